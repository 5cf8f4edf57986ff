//! Views against a walk of the chain that knows no index.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::extent::Target;
use crate::layer::{MapPolicy, VerifyPolicy};
use crate::medium::{FileHost, MemoryHost, Network, OpenMode};
use crate::testing::{CapacityHost, FolderLayers, LayerBuilder};
use crate::units::{ADDRESS_END, BlockAddress, BlockSize, FileBlock};

const BLOCKS: u64 = 48;
const SIZE: usize = 4096;

/// What one layer says of its addresses, oldest word first.
#[derive(Clone, Debug)]
enum Step {
    Data {
        start: u64,
        length: u64,
    },
    Zero {
        start: u64,
        length: u64,
    },
    /// Takes back what an older run of the layer says.
    Hole {
        start: u64,
        length: u64,
    },
    /// The block that layer `layer` (modulo those below) shows at `from`.
    Clone {
        start: u64,
        layer: usize,
        from: u64,
    },
    EndRun,
}

fn step() -> impl Strategy<Value = Step> {
    let range =
        || (0..BLOCKS, 1..9u64).prop_map(|(start, length)| (start, length.min(BLOCKS - start)));
    prop_oneof![
        4 => range().prop_map(|(start, length)| Step::Data { start, length }),
        2 => range().prop_map(|(start, length)| Step::Zero { start, length }),
        1 => range().prop_map(|(start, length)| Step::Hole { start, length }),
        2 => (0..BLOCKS, any::<usize>(), 0..BLOCKS)
            .prop_map(|(start, layer, from)| Step::Clone { start, layer, from }),
        1 => Just(Step::EndRun),
    ]
}

/// What an address holds, told by walking down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Hole,
    Zero,
    /// Owner, depth, block, and the byte that fills it.
    Data(LayerId, u64, FileBlock, u8),
}

/// A chain in a folder, and what a walk over its layers knows of it.
struct Chain {
    host: Arc<dyn Host>,
    /// Where the files are, unless in memory.
    _folder: Option<tempfile::TempDir>,
    layers: Arc<FolderLayers>,
    /// Oldest first.
    refs: Vec<LayerRef>,
    /// Of each layer, what it says itself: `None` asks the parent.
    said: Vec<Vec<Option<Held>>>,
}

impl Chain {
    /// An empty chain in memory.
    fn new(policy: ReadPolicy) -> Chain {
        Chain::on(Arc::new(MemoryHost::new()), None, policy)
    }

    /// An empty chain in files, which are mapped.
    fn in_files() -> Chain {
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(FileHost::open_root(folder.path(), Network::Refuse).unwrap());
        Chain::on(host, Some(folder), ReadPolicy::default())
    }

    fn on(host: Arc<dyn Host>, folder: Option<tempfile::TempDir>, policy: ReadPolicy) -> Chain {
        let layers = Arc::new(FolderLayers::new(Arc::clone(&host), policy, 8));
        Chain { host, _folder: folder, layers, refs: Vec::new(), said: Vec::new() }
    }

    fn of(chain: &[Vec<Step>]) -> Chain {
        Chain::new(ReadPolicy::default()).grown(chain)
    }

    fn grown(mut self, chain: &[Vec<Step>]) -> Chain {
        for steps in chain {
            self.push(steps);
        }
        self
    }

    fn tip(&self) -> &LayerRef {
        self.refs.last().expect("a layer")
    }

    fn open(&self) -> Arc<View> {
        View::open(self.layers.clone(), self.tip()).unwrap()
    }

    fn push(&mut self, steps: &[Step]) {
        let number = self.refs.len();
        let mut id = [0x5a; 16];
        id[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let id = LayerId(id);
        let path = FolderLayers::layer_path(id);
        let geometry = (BlockSize::DEFAULT, BLOCKS * SIZE as u64);
        let parent = self.refs.last().copied();
        let mut builder = LayerBuilder::create(&*self.host, &path, id, geometry, parent).unwrap();
        let mut said = vec![None; BLOCKS as usize];
        let mut next_block = 2;
        for (at, step) in steps.iter().enumerate() {
            match *step {
                Step::Data { start, length } => {
                    let byte = (number * 31 + at * 7 + 1) as u8;
                    let data = vec![byte; length as usize * SIZE];
                    builder.data(BlockAddress(start), &data).unwrap();
                    for into in 0..length {
                        let block = FileBlock(next_block + into);
                        said[(start + into) as usize] = Some(Held::Data(id, 0, block, byte));
                    }
                    next_block += length;
                }
                Step::Zero { start, length } => {
                    builder.blank(BlockAddress(start), length, Target::Zero);
                    said[start as usize..(start + length) as usize].fill(Some(Held::Zero));
                }
                Step::Hole { start, length } => {
                    builder.blank(BlockAddress(start), length, Target::Hole);
                    said[start as usize..(start + length) as usize].fill(None);
                }
                Step::Clone { start, layer, from } => {
                    let Some(layer) = layer.checked_rem(number) else { continue };
                    let Held::Data(owner, _, block, byte) = self.held(layer, from) else {
                        continue;
                    };
                    let owner = *self.refs.iter().find(|known| known.id == owner).unwrap();
                    let content = vec![byte; SIZE];
                    let crc = crate::format::checksum::of_block(owner.id, block, &content);
                    builder.foreign(BlockAddress(start), owner, block, crc);
                    said[start as usize] = Some(Held::Data(owner.id, 0, block, byte));
                }
                Step::EndRun => {
                    let before = builder.next_block();
                    builder.end_run().unwrap();
                    next_block += builder.next_block() - before;
                }
            }
        }
        self.refs.push(builder.finish().unwrap());
        self.said.push(said);
    }

    /// The naive walk: from layer `tip` (by number) down.
    fn held(&self, tip: usize, address: u64) -> Held {
        for depth in 0..=tip {
            match self.said[tip - depth][address as usize] {
                None => {}
                Some(Held::Data(owner, _, block, byte)) => {
                    return Held::Data(owner, depth as u64, block, byte);
                }
                Some(held) => return held,
            }
        }
        Held::Hole
    }

    /// That `view` says what the walk says, by every way of asking.
    fn compare(&self, view: &View) {
        let tip = self
            .refs
            .iter()
            .position(|known| Some(known.id) == view.tip().map(|tip| tip.reference().id))
            .unwrap();
        assert_eq!(view.depth(), tip as u64 + 1);
        let mut whole = vec![0xee; BLOCKS as usize * SIZE];
        view.read(BlockAddress(0), 0, &mut whole).unwrap();
        for address in 0..BLOCKS {
            let held = self.held(tip, address);
            let byte = match held {
                Held::Data(.., byte) => byte,
                _ => 0,
            };
            let block = &whole[address as usize * SIZE..][..SIZE];
            assert!(block.iter().all(|&found| found == byte), "address {address}: {held:?}");
            let span = view.find(BlockAddress(address)).unwrap();
            let expected = match held {
                Held::Hole => ViewTarget::Hole,
                Held::Zero => ViewTarget::Zero,
                Held::Data(owner, depth, block, _) => ViewTarget::Data { owner, block, depth },
            };
            assert_eq!(span.target, expected, "address {address}");
            assert!(span.end.0 > address);
            for further in address..span.end.0.min(BLOCKS) {
                let advanced = span.target.advanced(further - address);
                assert_eq!(view.find(BlockAddress(further)).unwrap().target, advanced);
            }
            let borrowed = view.borrow(BlockAddress(address)).unwrap();
            match borrowed {
                Borrowed::Zeros => assert!(!matches!(held, Held::Data(..))),
                Borrowed::Block(bytes) => assert_eq!(bytes, block),
                Borrowed::Unmapped => assert!(matches!(held, Held::Data(..))),
            }
            let source = view.source_of(BlockAddress(address)).unwrap();
            assert_eq!(source.is_some(), matches!(held, Held::Data(..)));
            if let (Some(source), Held::Data(owner, _, block, byte)) = (source, held) {
                assert_eq!((source.layer.id, source.block), (owner, block));
                let crc = crate::format::checksum::of_block(owner, block, &vec![byte; SIZE]);
                assert_eq!(source.checksum, crc);
                assert_eq!(view.checksum(BlockAddress(address)).unwrap(), Some(crc));
            }
        }
        let mut next = 0;
        for extent in view.extents(BlockAddress(0), BlockAddress(BLOCKS)) {
            let extent = extent.unwrap();
            assert_eq!(extent.start.0, next);
            for into in 0..extent.length {
                let single = view.find(BlockAddress(next + into)).unwrap().target;
                assert_eq!(single, extent.target.advanced(into));
            }
            next += extent.length;
        }
        assert_eq!(next, BLOCKS);
        let places: Vec<(u64, usize)> = (0..40)
            .map(|n: u64| (n * 4999 % (BLOCKS * SIZE as u64 - 9000), 1 + n as usize * 223))
            .collect();
        let mut buffers: Vec<Vec<u8>> = places.iter().map(|&(_, len)| vec![0xee; len]).collect();
        let mut requests: Vec<_> = places
            .iter()
            .zip(&mut buffers)
            .map(|(&(offset, _), buffer)| ReadRequest { address: BlockAddress(0), offset, buffer })
            .collect();
        view.read_many(&mut requests).unwrap();
        for (&(offset, length), buffer) in places.iter().zip(&buffers) {
            assert_eq!(buffer[..], whole[offset as usize..][..length], "at {offset}");
        }
    }

    fn compare_opened(&self) {
        let view = self.open();
        self.compare(&view);
        view.persist_index().unwrap();
        self.compare(&self.open());
    }

    fn index_files(&self) -> Vec<std::path::PathBuf> {
        let mut names: Vec<_> = self
            .host
            .list(Path::new(""))
            .unwrap()
            .into_iter()
            .map(std::path::PathBuf::from)
            .filter(|name| name.extension().is_some_and(|extension| extension == "index"))
            .collect();
        names.sort();
        names
    }
}

fn chains() -> impl Strategy<Value = Vec<Vec<Step>>> {
    prop::collection::vec(prop::collection::vec(step(), 0..8), 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_view_says_what_a_walk_of_the_chain_says(
        steps in chains(),
        persisted in any::<u16>(),
        deleted in any::<u16>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>(), 0..8u8), 0..6),
    ) {
        let mut chain = Chain::new(ReadPolicy::default());
        // Grown snapshot by snapshot, now and then with an index of all below.
        let mut view = View::empty(chain.layers.clone(), BlockSize::DEFAULT);
        for (number, steps) in steps.iter().enumerate() {
            chain.push(steps);
            let layer = chain.layers.layer(chain.tip()).unwrap();
            view = view.on_top(layer).unwrap();
            if persisted >> (number % 16) & 1 == 1 {
                view.persist_index().unwrap();
            }
        }
        chain.compare(&view);
        chain.compare(&chain.open());
        // Deleted and damaged indexes change nothing (INV-07).
        for (number, path) in chain.index_files().into_iter().enumerate() {
            if deleted >> (number % 16) & 1 == 1 {
                chain.host.remove(&path).unwrap();
            }
        }
        chain.compare(&chain.open());
        for (which, offset, bit) in flips {
            let files = chain.index_files();
            if files.is_empty() {
                break;
            }
            let medium = chain.host.open(&files[which.index(files.len())], OpenMode::ReadWrite).unwrap();
            let length = medium.facts().unwrap().length;
            let mut byte = [0];
            let offset = u64::from(offset) % length;
            medium.read_at(offset, &mut byte).unwrap();
            medium.write_at(offset, &[byte[0] ^ 1 << bit]).unwrap();
        }
        let damaged = chain.open();
        chain.compare(&damaged);
        damaged.persist_index().unwrap();
        chain.compare(&damaged);
        chain.compare(&chain.open());
    }

    #[test]
    fn changes_are_exact_between_any_two_views(steps in chains(), fork in any::<prop::sample::Index>()) {
        let chain = Chain::of(&steps);
        let other = fork.index(chain.refs.len());
        let before = View::open(chain.layers.clone(), &chain.refs[other]).unwrap();
        let after = chain.open();
        for (before, after, numbers) in [
            (&before, &after, (other, chain.refs.len() - 1)),
            (&after, &before, (chain.refs.len() - 1, other)),
        ] {
            let mut found = vec![None; BLOCKS as usize];
            let mut end = 0;
            for change in changes(before, after).unwrap() {
                let change = change.unwrap();
                assert!(change.start.0 >= end && change.length > 0);
                end = change.start.0 + change.length;
                for into in 0..change.length {
                    found[(change.start.0 + into) as usize] =
                        Some((change.before.advanced(into), change.after.advanced(into)));
                }
            }
            for address in 0..BLOCKS {
                let source = |held| match held {
                    Held::Data(owner, _, block, _) => Some((owner, block)),
                    _ => None,
                };
                let (old, new) = (chain.held(numbers.0, address), chain.held(numbers.1, address));
                let differs = match (old, new) {
                    (Held::Data(..), Held::Data(..)) => source(old) != source(new),
                    _ => old != new,
                };
                assert_eq!(found[address as usize].is_some(), differs, "{address}: {old:?} {new:?}");
                if let Some((told_old, told_new)) = found[address as usize] {
                    assert_eq!(told_old, before.find(BlockAddress(address)).unwrap().target);
                    assert_eq!(told_new, after.find(BlockAddress(address)).unwrap().target);
                }
            }
        }
    }
}

fn one_block(at: u64) -> Vec<Step> {
    vec![Step::Data { start: at % BLOCKS, length: 1 }]
}

#[test]
fn a_long_chain_keeps_few_levels_and_writes_its_indexes() {
    let chain = Chain::of(&(0..1000).map(one_block).collect::<Vec<_>>());
    let view = chain.open();
    assert!(view.levels().len() <= 4, "{} levels", view.levels().len());
    assert!(view.index_counters().written >= 1);
    chain.compare(&view);
    // The next one opens no more layers than the stretches ask for.
    chain.layers.forget();
    let again = chain.open();
    assert!(chain.layers.open_layers() <= 64, "{} layers", chain.layers.open_layers());
    chain.compare(&again);
}

#[test]
fn snapshots_on_top_are_merged_beside_their_path() {
    let mut chain = Chain::of(&[one_block(0)]);
    let mut view = chain.open();
    for number in 1..400 {
        chain.push(&one_block(number * 5));
        view = view.on_top(chain.layers.layer(chain.tip()).unwrap()).unwrap();
    }
    view.wait_for_merges();
    assert!(view.current().levels().len() <= 12, "{} levels", view.current().levels().len());
    assert!(view.index_counters().written >= 1);
    assert_eq!(view.index_counters().merge_failures, 0);
    chain.compare(&view);
}

#[test]
fn an_index_of_another_chain_is_not_trusted() {
    let steps: Vec<_> = (0..40).map(one_block).collect();
    let chain = Chain::of(&steps);
    chain.open().persist_index().unwrap();
    // A chain whose tip has the same id and other content finds the index of the first.
    let index = chain.layers.index_path(chain.tip().id);
    let mut other_steps = steps.clone();
    other_steps[39].push(Step::Zero { start: 0, length: 3 });
    let other = Chain::of(&other_steps);
    assert_eq!(other.tip().id, chain.tip().id);
    let bytes = {
        let medium = chain.host.open(&index, OpenMode::Read).unwrap();
        let mut bytes = vec![0; medium.facts().unwrap().length as usize];
        medium.read_at(0, &mut bytes).unwrap();
        bytes
    };
    other.host.open(&index, OpenMode::CreateNew).unwrap().write_at(0, &bytes).unwrap();
    let view = other.open();
    assert_eq!(view.index_counters().unusable, 1);
    other.compare(&view);
}

#[test]
fn a_parent_that_is_not_the_one_recorded_is_refused() {
    let chain = Chain::of(&[one_block(1), one_block(2), one_block(3)]);
    let other = Chain::of(&[one_block(1), one_block(9), one_block(3)]);
    let path = FolderLayers::layer_path(chain.refs[1].id);
    let medium = other.host.open(&path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; medium.facts().unwrap().length as usize];
    medium.read_at(0, &mut bytes).unwrap();
    chain.host.remove(&path).unwrap();
    chain.host.open(&path, OpenMode::CreateNew).unwrap().write_at(0, &bytes).unwrap();
    let error = View::open(chain.layers.clone(), chain.tip()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongParent, "{error}");
}

#[test]
fn a_chain_that_comes_back_to_itself_is_an_error() {
    let chain = Chain::of(&[one_block(1), one_block(2)]);
    // The parent is in the header and not in what the map checksum covers.
    let path = FolderLayers::layer_path(chain.refs[0].id);
    let medium = chain.host.open(&path, OpenMode::ReadWrite).unwrap();
    let mut header = crate::layer::read_header(&*medium, &path).unwrap().header;
    header.parent = Some(chain.refs[1]);
    for slot in 0..2 {
        medium.write_at(slot * 4096, &header.encode(slot)).unwrap();
    }
    let error = View::open(chain.layers.clone(), chain.tip()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn layers_that_an_index_names_and_that_went_away_are_looked_for_anew() {
    let chain = Chain::of(&[one_block(1), one_block(2), one_block(3)]);
    chain.open().persist_index().unwrap();
    chain.host.remove(&FolderLayers::layer_path(chain.refs[0].id)).unwrap();
    let layers = FolderLayers::new(chain.host.clone(), ReadPolicy::default(), 8);
    let view = View::open(Arc::new(layers), chain.tip()).unwrap();
    let mut block = vec![0; SIZE];
    view.read(BlockAddress(2), 0, &mut block).unwrap();
    let error = view.read(BlockAddress(1), 0, &mut block).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(view.index_counters().rebuilt, 1);
}

#[test]
fn ranges_past_the_address_space_and_past_a_disk_are_refused() {
    let chain = Chain::of(&[one_block(1)]);
    let view = chain.open();
    let mut two = vec![1; 2 * SIZE];
    let last = BlockAddress(ADDRESS_END - 1);
    assert_eq!(view.read(last, 0, &mut two).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(view.read(last, 1, &mut two[..SIZE]).unwrap_err().kind(), ErrorKind::InvalidInput);
    view.read(last, 0, &mut two[..SIZE]).unwrap();
    assert!(two[..SIZE].iter().all(|&byte| byte == 0));
    let snapshot = Snapshot::new(view, None).unwrap();
    let size = snapshot.size_bytes();
    assert_eq!(size, BLOCKS * SIZE as u64);
    snapshot.read_at(size - 10, &mut two[..10]).unwrap();
    for (offset, length) in [(size - 10, 11), (size + 1, 0), (u64::MAX, 2)] {
        let error = snapshot.read_at(offset, &mut two[..length]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{offset} {length}");
    }
    snapshot.read_at(size, &mut []).unwrap();
}

#[test]
fn damaged_data_is_an_error_and_not_data() {
    for chain in [Chain::new(ReadPolicy::default()), Chain::in_files()] {
        let chain = chain.grown(&[one_block(1), one_block(2)]);
        let path = FolderLayers::layer_path(chain.refs[0].id);
        let medium = chain.host.open(&path, OpenMode::ReadWrite).unwrap();
        medium.write_at(2 * SIZE as u64 + 77, &[0xff]).unwrap();
        let view = chain.open();
        let mut block = vec![0; SIZE];
        for _ in 0..2 {
            let error = view.read(BlockAddress(1), 0, &mut block).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(!matches!(view.borrow(BlockAddress(1)), Ok(Borrowed::Block(_))));
        }
        assert_eq!(view.index_counters().rebuilt, 0);
        view.read(BlockAddress(2), 0, &mut block).unwrap();
    }
}

#[test]
fn mapped_and_unmapped_files_and_every_policy_say_the_same() {
    let steps: Vec<_> = (0..60)
        .map(|at| {
            let mut steps = one_block(at * 7);
            steps.push(Step::Clone {
                start: at * 11 % BLOCKS,
                layer: at as usize,
                from: at * 3 % BLOCKS,
            });
            steps.push(Step::Zero { start: at * 13 % BLOCKS, length: 1 });
            steps
        })
        .collect();
    Chain::in_files().grown(&steps).compare_opened();
    for map in [MapPolicy::Map, MapPolicy::Read] {
        for verify in [VerifyPolicy::FirstTouch, VerifyPolicy::EveryRead] {
            Chain::new(ReadPolicy { map, verify }).grown(&steps).compare_opened();
        }
    }
}

#[test]
fn a_store_that_takes_no_index_is_read_all_the_same() {
    let chain = Chain::of(&(0..100).map(one_block).collect::<Vec<_>>());
    let full = CapacityHost::new(chain.host.clone(), 0);
    let layers = Arc::new(FolderLayers::new(full, ReadPolicy::default(), 8));
    let view = View::open(layers, chain.tip()).unwrap();
    assert_eq!((view.index_counters().written, view.index_counters().write_failures), (0, 1));
    assert_eq!(view.persist_index().unwrap_err().kind(), ErrorKind::NoSpace);
    chain.compare(&view);
    assert!(chain.index_files().is_empty());
}

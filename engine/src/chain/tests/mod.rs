//! Views against a walk of the chain that knows no index.

mod depth;
mod forged;
mod index;
mod model;
mod outside;
mod view;

use std::path::Path;
use std::sync::Arc;

pub(crate) use forged::forge;
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

    /// A layer of which the walk knows nothing.
    fn push_with(&mut self, fill: impl FnOnce(&mut LayerBuilder)) {
        let id = LayerId([0x77; 16]);
        let path = FolderLayers::layer_path(id);
        let geometry = (BlockSize::DEFAULT, BLOCKS * SIZE as u64);
        let parent = self.refs.last().copied();
        let mut builder = LayerBuilder::create(&*self.host, &path, id, geometry, parent).unwrap();
        fill(&mut builder);
        self.refs.push(builder.finish().unwrap());
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

fn one_block(at: u64) -> Vec<Step> {
    vec![Step::Data { start: at % BLOCKS, length: 1 }]
}

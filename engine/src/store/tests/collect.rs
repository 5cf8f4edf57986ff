//! Collecting in random forests, against what every kept view read before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::ErrorKind;
use crate::chain::View;
use crate::extent::Target;
use crate::format::{LayerRef, NameEntry, NameKind};
use crate::medium::{FileHost, Host, MemoryHost, Network};
use crate::store::collect::change_header;
use crate::store::locks::StoreLock;
use crate::store::{GcOptions, Name, Store, StoreOptions, headers, names, paths};
use crate::testing::LayerBuilder;
use crate::units::{BlockAddress, BlockSize, LayerId};

const BLOCKS: u64 = 24;
const SIZE: usize = 4096;
const DRY: GcOptions = GcOptions { dry_run: true };
const REAL: GcOptions = GcOptions { dry_run: false };

#[derive(Clone, Debug)]
struct Plan {
    parent: Option<Index>,
    steps: Vec<Step>,
    fate: Fate,
}

#[derive(Clone, Debug)]
enum Step {
    Data(u64, u64),
    Zero(u64, u64),
    /// The block that some older layer shows at the second address.
    Clone(u64, Index, u64),
    EndRun,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Kept,
    Removed,
    /// Removed, but somebody has it open.
    Leased,
    /// Removed, but the parent of a volume whose top is lost.
    Under,
    /// Its maker stopped before it gave it a name.
    Making,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let range = || (0..BLOCKS, 1..7u64).prop_map(|(at, length)| (at, length.min(BLOCKS - at)));
    let step = prop_oneof![
        4 => range().prop_map(|(at, length)| Step::Data(at, length)),
        1 => range().prop_map(|(at, length)| Step::Zero(at, length)),
        2 => (0..BLOCKS, any::<Index>(), 0..BLOCKS).prop_map(|(at, of, from)| Step::Clone(at, of, from)),
        1 => Just(Step::EndRun),
    ];
    let fate = prop_oneof![
        4 => Just(Fate::Kept),
        6 => Just(Fate::Removed),
        1 => Just(Fate::Leased),
        1 => Just(Fate::Under),
        1 => Just(Fate::Making),
    ];
    let parent = prop::option::weighted(0.85, any::<Index>());
    let plan = (parent, prop::collection::vec(step, 0..7), fate)
        .prop_map(|(parent, steps, fate)| Plan { parent, steps, fate });
    prop::collection::vec(plan, 1..9)
}

struct Grown {
    host: Arc<dyn Host>,
    store: Store,
    layers: Vec<LayerRef>,
}

impl Grown {
    fn on(host: Arc<dyn Host>) -> Grown {
        let store = Store::create_on(Arc::clone(&host), &StoreOptions::default()).unwrap();
        Grown { host, store, layers: Vec::new() }
    }

    fn push(&mut self, parent: Option<LayerRef>, steps: &[Step]) -> LayerRef {
        let number = self.layers.len();
        let id = LayerId([number as u8 + 1; 16]);
        let geometry = (BlockSize::DEFAULT, BLOCKS * SIZE as u64);
        let path = paths::layer(id);
        let mut builder = LayerBuilder::create(&*self.host, &path, id, geometry, parent).unwrap();
        for (at, step) in steps.iter().enumerate() {
            match step {
                Step::Data(start, length) => {
                    let byte = (number * 37 + at * 5 + 1) as u8;
                    let data = vec![byte; *length as usize * SIZE];
                    builder.data(BlockAddress(*start), &data).unwrap();
                }
                Step::Zero(start, length) => {
                    builder.blank(BlockAddress(*start), *length, Target::Zero);
                }
                Step::Clone(start, of, from) => {
                    let Some(of) = number.checked_sub(1).map(|_| of.index(number)) else {
                        continue;
                    };
                    let view = self.view(&self.layers[of]);
                    let source = view.source_of(BlockAddress(*from)).unwrap();
                    let Some(source) = source else { continue };
                    let (owner, block) = (source.layer, source.block);
                    builder.foreign(BlockAddress(*start), owner, block, source.checksum);
                }
                Step::EndRun => builder.end_run().unwrap(),
            }
        }
        self.layers.push(builder.finish().unwrap());
        self.layers[number]
    }

    fn view(&self, layer: &LayerRef) -> Arc<View> {
        let inner = self.store.inner().unwrap();
        View::open(Arc::clone(&inner.layers), layer).unwrap()
    }

    fn read(&self, layer: LayerId) -> Vec<u8> {
        let (snapshot, _) = self.store.inner().unwrap().open_snapshot(layer).unwrap();
        let mut bytes = vec![0; BLOCKS as usize * SIZE];
        snapshot.read_at(0, &mut bytes).unwrap();
        bytes
    }

    fn allocated(&self) -> u64 {
        self.host
            .list(paths::LAYERS.as_ref())
            .unwrap()
            .iter()
            .map(|file| self.host.facts(&Path::new(paths::LAYERS).join(file)).unwrap())
            .map(|facts| facts.allocated_bytes)
            .sum()
    }

    fn remove(&self, layer: LayerId) {
        let _alone = StoreLock::exclusive(&*self.host).unwrap();
        change_header(&*self.host, layer, "remove", |header| header.removed = true).unwrap();
    }
}

fn check_forest(host: Arc<dyn Host>, plans: &[Plan], notes_bytes: u64) {
    let mut grown = Grown::on(host);
    for (number, plan) in plans.iter().enumerate() {
        let below = plan.parent.as_ref().filter(|_| number > 0);
        let parent = below.map(|parent| grown.layers[parent.index(number)]);
        grown.push(parent, &plan.steps);
    }
    let mut leases = Vec::new();
    let mut expected = BTreeMap::new();
    for (layer, plan) in grown.layers.clone().iter().zip(plans) {
        let id = layer.id;
        match plan.fate {
            Fate::Kept => {}
            Fate::Making => {
                grown.host.open(&paths::making(id), crate::medium::OpenMode::CreateNew).unwrap();
            }
            Fate::Removed => grown.remove(id),
            Fate::Leased => {
                leases.push(grown.store.inner().unwrap().open_snapshot(id).unwrap());
                grown.remove(id);
            }
            Fate::Under => {
                grown.remove(id);
                let name = format!("volume-{id}");
                let top = LayerId([0xee; 16]);
                let (kind, parent) = (NameKind::Volume, Some(*layer));
                let entry = NameEntry { name: name.clone(), kind, top, parent };
                names::write(&*grown.host, &Name::new(name).unwrap(), &entry).unwrap();
            }
        }
    }
    // What is finished shows that what it stands on is, too; newest first, parents are older.
    let mut finished = BTreeSet::new();
    for (layer, plan) in grown.layers.iter().zip(plans).rev() {
        let is_finished = plan.fate != Fate::Making || finished.contains(&layer.id);
        if is_finished {
            let header = headers::read(&*grown.host, layer.id).unwrap().unwrap();
            finished.extend(header.parent.map(|parent| parent.id));
        }
        if is_finished && plan.fate != Fate::Removed {
            expected.insert(layer.id, grown.read(layer.id));
        }
    }

    let before = grown.allocated();
    let dry = grown.store.collect(&DRY).unwrap();
    assert_eq!(grown.allocated(), before, "a dry run changes nothing");
    assert_eq!(grown.store.collect(&DRY).unwrap(), dry);
    let report = grown.store.collect(&REAL).unwrap();
    assert_eq!(report, dry, "a dry run tells what will be");
    let back = before - grown.allocated();
    let noted = back + notes_bytes * report.thinned.len() as u64;
    assert!((back..=noted).contains(&report.freed_bytes()), "{back} to {noted} came back");
    let again = grown.store.collect(&REAL).unwrap();
    assert_eq!((again.freed_bytes(), again.other_files), (0, 0), "nothing is left");
    for (id, bytes) in &expected {
        assert!(grown.read(*id) == *bytes, "{id} reads as before");
    }
    // The same through a store that has nothing open yet, and what is kept can be sealed.
    drop(leases);
    let fresh = Store::open_on(Arc::clone(&grown.host), &StoreOptions::default()).unwrap();
    let mut digests = BTreeMap::new();
    for (id, bytes) in &expected {
        let (snapshot, header) = fresh.inner().unwrap().open_snapshot(*id).unwrap();
        let mut now = vec![0; BLOCKS as usize * SIZE];
        snapshot.read_at(0, &mut now).unwrap();
        assert!(now == *bytes, "{id} reads as before");
        digests.insert(*id, fresh.seal(&id.to_string()).unwrap());
        assert!(!header.thinned);
    }
    for file in grown.host.list(paths::LAYERS.as_ref()).unwrap() {
        let Some(paths::LayersEntry::Layer(id)) = paths::parse_layers_entry(file.to_str().unwrap())
        else {
            // The mark of a layer that others took blocks from.
            continue;
        };
        let header = headers::read(&*grown.host, id).unwrap().unwrap();
        if header.thinned {
            let error = fresh.inner().unwrap().open_snapshot(id).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            let digest = header.digest;
            let found = digest.map(|digest| crate::store::digests::find(&*grown.host, digest));
            assert!(!found.is_some_and(|found| found.unwrap().contains(&id)), "INV-04");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_kept_view_reads_the_same_and_the_space_told_comes_back(plans in plans()) {
        check_forest(Arc::new(MemoryHost::new()), &plans, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_same_on_files_that_are_mapped(plans in plans()) {
        let folder = tempfile::tempdir().unwrap();
        let host = FileHost::open_root(folder.path(), Network::Refuse).unwrap();
        // ext4 takes a block of its own to note more than four stretches of a file.
        check_forest(Arc::new(host), &plans, SIZE as u64);
    }
}

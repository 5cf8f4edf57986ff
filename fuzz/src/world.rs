//! A store beside its model: operations that both take, and what must be the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use sapwood::format::Annotations;
use sapwood::inspect::{CheckOptions, check};
use sapwood::medium::Host;
use sapwood::store::{GcOptions, Replace, Store, StoreOptions};
use sapwood::testing::{Model, ModelLayer};
use sapwood::volume::{CloneSource, Volume, VolumeOptions};

/// The size of a block.
pub const BLOCK: u64 = 4096;
/// The largest size of a volume in blocks: small, so that operations meet.
const BLOCKS_MAX: u64 = 48;
/// How many operations of an input are used.
const OPERATIONS_MAX: usize = 64;

/// One of few volumes or tags.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Pick(u8);

/// A range of bytes, fitted to the volume it is for.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Range {
    start: u16,
    length: u16,
    whole_blocks: bool,
}

/// What can be done to a store.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Operation {
    Write { volume: Pick, range: Range, fill: u8 },
    Zero { volume: Pick, range: Range },
    Discard { volume: Pick, range: Range },
    Clone { volume: Pick, from: Pick, range: Range, to: u8 },
    Resize { volume: Pick, bytes: u32 },
    Flush { volume: Pick },
    Checkpoint { volume: Pick },
    Snapshot { volume: Pick, tag: Pick },
    Fork { tag: Pick, volume: Pick },
    RemoveVolume { volume: Pick },
    RemoveTag { tag: Pick },
    Flatten { tag: Pick, to: Pick },
    Seal { tag: Pick },
    Collect,
    Close { volume: Pick },
    Kill { volume: Pick },
}

/// A store, its open volumes, and the model of both.
pub struct World {
    host: Arc<dyn Host>,
    store: Store,
    volumes: BTreeMap<String, Volume>,
    /// As everybody sees it now.
    pub now: Model,
    /// As the last flush of each volume left it.
    pub durable: BTreeMap<String, ModelLayer>,
}

/// Small bounds, so that a short input meets all of them.
pub fn options() -> StoreOptions {
    StoreOptions {
        volume: VolumeOptions {
            buffer_bytes: 4 * BLOCK,
            map_extents_max: 12,
            journal_records_max: 5,
            ..VolumeOptions::default()
        },
        ..StoreOptions::default()
    }
}

impl World {
    /// A store with one volume, `v0`, flushed once.
    pub fn new(host: Arc<dyn Host>) -> World {
        let store = Store::create_on(Arc::clone(&host), &options()).expect("a new store");
        let mut world = World {
            host,
            store,
            volumes: BTreeMap::new(),
            now: Model::default(),
            durable: BTreeMap::new(),
        };
        let volume = world.store.create_volume("v0", 24 * BLOCK).expect("a new volume");
        volume.flush().expect("a first flush");
        world.now.create("v0", BLOCK, 24 * BLOCK);
        world.durable.insert("v0".to_owned(), world.now.volumes["v0"].clone());
        world.volumes.insert("v0".to_owned(), volume);
        world
    }

    /// Runs the operations that an input gives, up to a bound.
    pub fn run(&mut self, operations: &[Operation]) {
        for operation in operations.iter().take(OPERATIONS_MAX) {
            self.step(operation);
        }
    }

    /// One operation on both. What the state of the two does not allow is left out.
    pub fn step(&mut self, operation: &Operation) {
        match *operation {
            Operation::Write { volume, range, fill } => {
                self.changed(volume, |held, volume, _| {
                    let (start, length) = range.within(held.size);
                    let bytes: Vec<u8> =
                        (0..length).map(|at| fill.wrapping_mul(at as u8 | 1)).collect();
                    volume.write_at(start, &bytes).expect("write");
                    held.write(start, &bytes);
                });
            }
            Operation::Zero { volume, range } => self.changed(volume, |held, volume, _| {
                let (start, length) = range.within(held.size);
                volume.write_zeroes(start, length).expect("write zeroes");
                held.write(start, &vec![0; length as usize]);
            }),
            Operation::Discard { volume, range } => self.changed(volume, |held, volume, _| {
                let (start, length) = range.within(held.size);
                volume.discard(start, length).expect("discard");
                held.discard(start, length);
            }),
            Operation::Clone { volume, from, range, to } => self.clone(volume, from, range, to),
            Operation::Resize { volume, bytes } => self.changed(volume, |held, volume, _| {
                let bytes = 1 + u64::from(bytes) % (BLOCKS_MAX * BLOCK);
                volume.resize(bytes).expect("resize");
                held.resize(bytes);
            }),
            Operation::Flush { volume } => self.flush(volume),
            Operation::Checkpoint { volume } => {
                self.changed(volume, |_, volume, _| volume.checkpoint().expect("checkpoint"));
            }
            Operation::Snapshot { volume, tag } => self.snapshot(volume, tag),
            Operation::Fork { tag, volume } => self.fork(tag, volume),
            Operation::RemoveVolume { volume } => self.remove_volume(volume),
            Operation::RemoveTag { tag } => {
                if let Some(tag) = self.tag(tag) {
                    self.store.remove(&tag).expect("remove a tag");
                    self.now.tags.remove(&tag);
                }
            }
            Operation::Flatten { tag, to } => {
                if let (Some(tag), Some(to)) = (self.tag(tag), self.free_tag(to)) {
                    self.store.flatten(&tag, &to, &mut |_| ()).expect("flatten");
                    let flat = Arc::clone(&self.now.tags[&tag]);
                    self.now.tags.insert(to, flat);
                }
            }
            Operation::Seal { tag } => {
                if let Some(tag) = self.tag(tag) {
                    self.store.seal(&tag).expect("seal");
                }
            }
            Operation::Collect => {
                self.store.collect(&GcOptions::default()).expect("collect");
            }
            Operation::Close { volume } => self.reopen(volume, Leave::Closed),
            Operation::Kill { volume } => self.reopen(volume, Leave::Dropped),
        }
    }

    /// That every volume and every tag reads as in the model, and that the store is sound.
    pub fn compare(&self) {
        for (name, volume) in &self.volumes {
            let held = &self.now.volumes[name];
            assert_eq!(volume.size_bytes(), held.size, "size of {name}");
            let mut bytes = vec![0xee; held.size as usize];
            volume.read_at(0, &mut bytes).expect("read a volume");
            assert!(bytes == held.read(0, held.size), "{name} differs from its model");
        }
        for (tag, held) in &self.now.tags {
            let snapshot = self.store.snapshot_of(tag).expect("open a snapshot");
            let mut bytes = vec![0xee; held.size as usize];
            snapshot.read_at(0, &mut bytes).expect("read a snapshot");
            assert!(bytes == held.read(0, held.size), "{tag} differs from its model");
        }
        assert_sound(&self.host);
    }

    /// Drops the handles of all volumes, as a process does that dies.
    pub fn forget_volumes(&mut self) {
        self.volumes.clear();
    }

    fn clone(&mut self, volume: Pick, from: Pick, range: Range, to: u8) {
        let source = self.tag(from).filter(|_| from.0 >= 128);
        let opened =
            source.as_ref().map(|tag| self.store.snapshot_of(tag).expect("open a snapshot"));
        self.changed(volume, |held, volume, tags| {
            let model = match &source {
                Some(tag) => Arc::clone(&tags[tag]),
                None => Arc::new(held.clone()),
            };
            let blocks = model.size.min(held.size) / BLOCK;
            let (start, length) = Range { whole_blocks: true, ..range }.within(blocks * BLOCK);
            let room = (held.size / BLOCK).saturating_sub(length / BLOCK);
            let to = u64::from(to) % (room + 1);
            let source = opened.as_ref().map_or(CloneSource::Own, CloneSource::Snapshot);
            volume.clone_range(source, start, to * BLOCK, length).expect("clone a range");
            held.clone_range(&model, start / BLOCK, to, length / BLOCK);
        });
    }

    fn flush(&mut self, volume: Pick) {
        let Some(name) = self.volume(volume) else { return };
        self.volumes[&name].flush().expect("flush");
        self.durable.insert(name.clone(), self.now.volumes[&name].clone());
    }

    fn snapshot(&mut self, volume: Pick, tag: Pick) {
        let (Some(name), Some(tag)) = (self.volume(volume), self.free_tag(tag)) else { return };
        self.volumes[&name].snapshot(&Annotations::default()).expect("snapshot");
        self.store.tag(&format!("{name}@1"), &tag, Replace::Refuse).expect("tag");
        self.now.snapshot(&name, &tag);
        self.durable.insert(name.clone(), self.now.volumes[&name].clone());
    }

    fn fork(&mut self, tag: Pick, volume: Pick) {
        let name = format!("v{}", volume.0 % 4);
        let Some(tag) = self.tag(tag).filter(|_| !self.volumes.contains_key(&name)) else { return };
        let forked = self.store.fork(&tag, &name).expect("fork");
        forked.flush().expect("flush a fork");
        self.volumes.insert(name.clone(), forked);
        self.now.fork(&tag, &name);
        self.durable.insert(name.clone(), self.now.volumes[&name].clone());
    }

    fn remove_volume(&mut self, volume: Pick) {
        let Some(name) = self.volume(volume).filter(|_| self.volumes.len() > 1) else { return };
        self.volumes.remove(&name);
        self.store.remove(&name).expect("remove a volume");
        self.now.volumes.remove(&name);
        self.durable.remove(&name);
    }

    fn reopen(&mut self, volume: Pick, leave: Leave) {
        let Some(name) = self.volume(volume) else { return };
        let Some(open) = self.volumes.remove(&name) else { return };
        match leave {
            Leave::Closed => {
                open.close().expect("close");
                self.durable.insert(name.clone(), self.now.volumes[&name].clone());
            }
            Leave::Dropped => {
                drop(open);
                self.now.volumes.insert(name.clone(), self.durable[&name].clone());
            }
        }
        let open = self.store.open_volume(&name).expect("open a volume again");
        self.volumes.insert(name, open);
    }

    fn changed(
        &mut self,
        volume: Pick,
        change: impl FnOnce(&mut ModelLayer, &Volume, &BTreeMap<String, Arc<ModelLayer>>),
    ) {
        if let Some(name) = self.volume(volume)
            && let Some(held) = self.now.volumes.get_mut(&name)
        {
            change(held, &self.volumes[&name], &self.now.tags);
        }
    }

    fn volume(&self, pick: Pick) -> Option<String> {
        let count = self.volumes.len().max(1);
        self.volumes.keys().nth(usize::from(pick.0) % count).cloned()
    }

    fn tag(&self, pick: Pick) -> Option<String> {
        let count = self.now.tags.len().max(1);
        self.now.tags.keys().nth(usize::from(pick.0) % count).cloned()
    }

    fn free_tag(&self, pick: Pick) -> Option<String> {
        let tag = format!("t{}", pick.0 % 6);
        (!self.now.tags.contains_key(&tag)).then_some(tag)
    }
}

enum Leave {
    Closed,
    Dropped,
}

impl Range {
    fn within(self, size: u64) -> (u64, u64) {
        let start = (u64::from(self.start) * 3) % size.max(1);
        let length = u64::from(self.length).min(size - start);
        match self.whole_blocks {
            false => (start, length),
            true => {
                let first = start / BLOCK * BLOCK;
                (first, length.next_multiple_of(BLOCK).min((size - first) / BLOCK * BLOCK))
            }
        }
    }
}

/// That a check of the whole store finds no damage.
pub fn assert_sound(host: &Arc<dyn Host>) {
    let options = CheckOptions { data: true };
    let report = check(host, Path::new(""), &options, &mut |_| ()).expect("check a store");
    let damage = report.damage().next();
    assert!(damage.is_none(), "{}", damage.map_or(String::new(), ToString::to_string));
}

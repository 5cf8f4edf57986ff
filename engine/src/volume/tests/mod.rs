//! A volume on its own, in a home that keeps layers in memory.

mod bounds;
mod giving_back;
mod journal;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::chain::{Layers, Snapshot, View};
use crate::format::{Annotations, Features, Header, NameEntry, NameKind};
use crate::inspect::{CheckOptions, Severity, check_layer};
use crate::layer::{Descriptors, Layer, ReadPolicy, read_header};
use crate::medium::{Host, Medium, MemoryHost, OpenMode};
use crate::units::BlockSize;

#[derive(Debug)]
struct MemoryLayers {
    host: Arc<dyn Host>,
    descriptors: Arc<Descriptors>,
    open: Mutex<HashMap<LayerId, Arc<Layer>>>,
}

#[derive(Debug)]
struct MemoryHome {
    layers: Arc<dyn Layers>,
    name: Mutex<Option<NameEntry>>,
}

fn path_of(id: LayerId) -> PathBuf {
    PathBuf::from(format!("{id}.layer"))
}

impl Layers for MemoryLayers {
    fn layer(&self, wanted: &LayerRef) -> Result<Arc<Layer>> {
        if let Some(layer) = self.open.lock().get(&wanted.id) {
            return Ok(Arc::clone(layer));
        }
        let layer = Layer::open(&self.descriptors, &path_of(wanted.id), ReadPolicy::default())?;
        wanted.verify(&layer.reference())?;
        self.open.lock().insert(wanted.id, Arc::clone(&layer));
        Ok(layer)
    }

    fn open_to_freeze(&self, id: LayerId) -> Result<Arc<dyn Medium>> {
        self.descriptors.open(&path_of(id))
    }

    fn frozen_layer(&self, wanted: &LayerRef, _file: Arc<dyn Medium>) -> Result<Arc<Layer>> {
        self.layer(wanted)
    }

    fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    fn index_path(&self, tip: LayerId) -> PathBuf {
        PathBuf::from(format!("{tip}.index"))
    }

    fn read_policy(&self) -> ReadPolicy {
        ReadPolicy::default()
    }
}

impl MemoryHome {
    fn new() -> Arc<MemoryHome> {
        let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
        let descriptors = Arc::new(Descriptors::new(Arc::clone(&host), 8));
        let layers = MemoryLayers { host, descriptors, open: Mutex::default() };
        Arc::new(MemoryHome { layers: Arc::new(layers), name: Mutex::default() })
    }

    fn entry(&self) -> NameEntry {
        self.name.lock().clone().unwrap()
    }

    fn handle(&self, id: LayerId, mode: OpenMode) -> LayerHandle {
        let medium = self.layers.host().open(&path_of(id), mode).unwrap();
        LayerHandle { medium, path: path_of(id) }
    }
}

impl Home for MemoryHome {
    fn layers(&self) -> &Arc<dyn Layers> {
        &self.layers
    }

    fn create_layer(&self, id: LayerId) -> Result<LayerHandle> {
        Ok(self.handle(id, OpenMode::CreateNew))
    }

    fn discard_layer(&self, id: LayerId) -> Result<()> {
        self.layers.host().remove(&path_of(id)).map_err(|error| Error::io("remove", error))
    }

    fn open_layer(&self, id: LayerId) -> Result<Option<LayerHandle>> {
        Ok(Some(self.handle(id, OpenMode::ReadWrite)))
    }

    fn frozen_file(&self, id: LayerId) -> Result<Option<LayerHandle>> {
        Ok(Some(self.handle(id, OpenMode::ReadWrite)))
    }

    fn snapshot(&self, view: Arc<View>) -> Result<Snapshot> {
        Snapshot::new(view, None)
    }

    fn open_snapshot(&self, wanted: &LayerRef) -> Result<Snapshot> {
        Snapshot::new(View::open(Arc::clone(&self.layers), wanted)?, None)
    }

    fn shape_of(&self, parent: Option<&LayerRef>) -> Result<Shape> {
        let volume_bytes = parent.map_or(0, |parent| parent.volume_bytes);
        Ok(Shape { kind: LayerKind::Disk, block_size: BlockSize::DEFAULT, volume_bytes })
    }

    fn adding(&self) -> Result<Box<dyn std::any::Any>> {
        Ok(Box::new(()))
    }

    fn publish_top(&self, top: LayerId, parent: Option<&LayerRef>) -> Result<()> {
        let (name, kind) = ("v".to_owned(), NameKind::Volume);
        *self.name.lock() = Some(NameEntry { name, kind, top, parent: parent.copied() });
        Ok(())
    }

    fn abandon_top(&self, _top: LayerId) -> Result<bool> {
        Ok(false)
    }

    fn sync_names(&self) -> Result<()> {
        Ok(())
    }
}

fn create(home: &Arc<MemoryHome>, bytes: u64, options: VolumeOptions) -> Volume {
    let view = View::empty(Arc::clone(&home.layers), BlockSize::DEFAULT);
    let new = NewVolume {
        kind: LayerKind::Disk,
        block_size: BlockSize::DEFAULT,
        volume_bytes: bytes,
        parent: None,
        view,
    };
    let volume = Volume::create(Arc::<MemoryHome>::clone(home), new, options).unwrap();
    home.publish_top(volume.layer_id(), None).unwrap();
    volume
}

fn reopen(home: &Arc<MemoryHome>, options: VolumeOptions) -> Volume {
    Volume::open(Arc::<MemoryHome>::clone(home), &home.entry(), options).unwrap()
}

/// That a second reading of the format finds nothing wrong with any layer, whatever its writer is doing.
fn assert_sound(home: &MemoryHome, when: &str) {
    let host = home.layers.host();
    for file in host.list(Path::new("")).unwrap() {
        if Path::new(&file).extension().is_some_and(|extension| extension == "layer") {
            let options = CheckOptions { data: true };
            let report = check_layer(host, Path::new(&file), &options, &mut |_| ()).unwrap();
            let wrong = report.findings.iter().find(|finding| finding.severity > Severity::Note);
            assert_eq!(wrong, None, "{when}");
        }
    }
}

/// Small bounds, so that a short test meets all of them.
fn small() -> VolumeOptions {
    VolumeOptions {
        buffer_bytes: 4 * 4096,
        map_extents_max: 16,
        journal_records_max: 5,
        ..VolumeOptions::default()
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A top that a crash left frozen was once mended before its features were looked at, and then stood
/// upon with a slot that was behind.
#[test]
fn a_frozen_top_whose_slots_differ_is_mended_or_refused() {
    const UNKNOWN: u64 = 1 << 40;
    for read_only_compatible in [0, UNKNOWN] {
        let home = MemoryHome::new();
        let volume = create(&home, 1 << 20, VolumeOptions::default());
        volume.write_at(0, &[7]).unwrap();
        volume.flush().unwrap();
        let before = home.entry();
        drop(volume.snapshot(&Annotations::default()).unwrap());
        drop(volume);
        let LayerHandle { medium, path } = home.handle(before.top, OpenMode::ReadWrite);
        let header = read_header(&*medium, &path).unwrap().header;
        let features = Features { read_only_compatible, ..header.features };
        let page = Header { features, ..header }.encode(0);
        medium.write_at(0, &page).unwrap();
        medium.write_at(4096, &[0; 4096]).unwrap();

        let options = VolumeOptions::default();
        let opened = Volume::open(Arc::<MemoryHome>::clone(&home), &before, options);
        let agree = read_header(&*medium, &path).unwrap().slots_agree;
        if read_only_compatible == UNKNOWN {
            let refused = opened.map(drop).unwrap_err().kind();
            assert_eq!((refused, agree), (ErrorKind::Unsupported, false));
            continue;
        }
        let mut byte = [0];
        opened.unwrap().read_at(0, &mut byte).unwrap();
        assert_eq!((byte, agree), ([7], true));
    }
}

#[test]
fn what_was_flushed_is_there_after_a_reopen_and_nothing_else() {
    const BYTES: u64 = 64 * 4096 + 1000;
    for seed in 1..60 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let home = MemoryHome::new();
        let options = small();
        let mut volume = create(&home, BYTES, options);
        let mut now = vec![0_u8; BYTES as usize];
        let mut durable = now.clone();
        let mut snapshots: Vec<(Snapshot, Vec<u8>)> = Vec::new();
        for step in 0..150 {
            let length = now.len() as u64;
            let start = random.below(length);
            let count = random.below(20_000).min(length - start);
            let range = start as usize..(start + count) as usize;
            match random.below(14) {
                0..5 => {
                    let byte = if random.below(5) == 0 { 0 } else { random.below(255) as u8 + 1 };
                    let data: Vec<u8> =
                        (0..count).map(|at| byte.wrapping_mul(at as u8 | 1)).collect();
                    volume.write_at(start, &data).unwrap();
                    now[range].copy_from_slice(&data);
                }
                5 => {
                    volume.discard(start, count).unwrap();
                    now[range].fill(0);
                }
                6 => {
                    volume.write_zeroes(start, count).unwrap();
                    now[range].fill(0);
                }
                7 => {
                    volume.flush().unwrap();
                    durable = now.clone();
                }
                8 => {
                    let block = |random: &mut Random| random.below(length / 4096);
                    let (from, to) = (block(&mut random), block(&mut random));
                    let blocks = random.below(12).min(length / 4096 - from.max(to));
                    let (from, to, bytes) = (from * 4096, to * 4096, blocks * 4096);
                    match snapshots.last() {
                        Some((snapshot, held))
                            if random.below(2) == 0 && from + bytes <= held.len() as u64 =>
                        {
                            let source = CloneSource::Snapshot(snapshot);
                            volume.clone_range(source, from, to, bytes).unwrap();
                            let part = &held[from as usize..(from + bytes) as usize];
                            now[to as usize..(to + bytes) as usize].copy_from_slice(part);
                        }
                        _ => {
                            volume.clone_range(CloneSource::Own, from, to, bytes).unwrap();
                            now.copy_within(from as usize..(from + bytes) as usize, to as usize);
                        }
                    }
                }
                9 => {
                    let bytes = 40 * 4096 + random.below(100_000);
                    volume.resize(bytes).unwrap();
                    now.resize(bytes as usize, 0);
                }
                10 if step % 3 == 0 => {
                    let snapshot = volume.snapshot(&Annotations::default()).unwrap();
                    durable = now.clone();
                    snapshots.push((snapshot, now.clone()));
                }
                11 => {
                    drop(volume);
                    volume = reopen(&home, options);
                    now = durable.clone();
                }
                12 => {
                    volume.close().unwrap();
                    durable = now.clone();
                    assert_sound(&home, &format!("seed {seed} step {step}, closed"));
                    volume = reopen(&home, options);
                }
                _ => volume.checkpoint().unwrap(),
            }
            assert_eq!(volume.size_bytes(), now.len() as u64, "seed {seed} step {step}");
            let mut read = vec![0xee; now.len()];
            volume.read_at(0, &mut read).unwrap();
            if let Some(at) = (0..now.len()).find(|&at| read[at] != now[at]) {
                panic!("seed {seed} step {step}: byte {at} is {}, not {}", read[at], now[at]);
            }
        }
        assert_sound(&home, &format!("seed {seed}"));
        for (snapshot, held) in &snapshots {
            let mut read = vec![0xee; held.len()];
            snapshot.read_at(0, &mut read).unwrap();
            assert!(read == *held, "seed {seed}: a snapshot changed");
        }
        let looked = look_in(home.layers.host(), Path::new(&path_of(volume.layer_id())));
        looked.unwrap();
    }
}

#[test]
fn one_write_and_flush_is_one_sync_and_two_blocks() {
    let home = MemoryHome::new();
    let volume = create(&home, 1 << 20, VolumeOptions::default());
    volume.write_at(0, &[1; 4096]).unwrap();
    volume.flush().unwrap();
    let before = volume.counters();
    volume.write_at(8192, &[2; 4096]).unwrap();
    volume.flush().unwrap();
    let after = volume.counters();
    assert_eq!(after.syncs - before.syncs, 1);
    assert_eq!(after.bytes_allocated - before.bytes_allocated, 4096);
    assert_eq!(after.metadata_bytes - before.metadata_bytes, 4096);
    assert_eq!(after.zeros_ahead_bytes, before.zeros_ahead_bytes, "the first commit did that");
    assert!(before.zeros_ahead_bytes > 0);
}

/// What `commits` of one block each, from address `from` on, made the host write.
fn written_by(volume: &Volume, from: u64, commits: u64) -> (u64, Counters) {
    let before = volume.counters();
    for number in from..from + commits {
        // Every other one, so that no two of them are one extent.
        volume.write_at(number * 8192, &[1 + (number % 255) as u8; 4096]).unwrap();
        volume.flush().unwrap();
    }
    let after = volume.counters();
    let total = |counters: Counters| {
        counters.bytes_allocated + counters.metadata_bytes + counters.zeros_ahead_bytes
    };
    (total(after) - total(before), after)
}

/// Heads that a checkpoint would have given back lay idle until one was due, and zeros were written
/// for all that came meanwhile, some of them again over those of the stretch before.
#[test]
fn commits_of_a_block_write_few_zeros_in_a_young_file() {
    const COMMITS: u64 = 500;
    let home = MemoryHome::new();
    let volume = create(&home, 1 << 30, VolumeOptions::default());
    let (young, after) = written_by(&volume, 0, COMMITS);
    assert!(young <= COMMITS * 12_950, "{} bytes a commit", young / COMMITS);
    assert!(after.syncs <= COMMITS * 104 / 100, "{} syncs", after.syncs);
    let (older, _) = written_by(&volume, COMMITS, 9 * COMMITS);
    assert!(older <= 9 * COMMITS * 12_500, "{} bytes a commit", older / COMMITS / 9);
}

/// A session of one commit wrote 256 KiB of zeros, each time.
#[test]
fn sessions_of_a_commit_find_what_those_before_them_wrote() {
    const SESSIONS: u64 = 40;
    let home = MemoryHome::new();
    create(&home, 1 << 30, VolumeOptions::default()).close().unwrap();
    let mut zeros = 0;
    for session in 0..SESSIONS {
        let volume = reopen(&home, VolumeOptions::default());
        zeros += written_by(&volume, session, 1).1.zeros_ahead_bytes;
        volume.close().unwrap();
    }
    assert!(zeros <= SESSIONS * (12 << 10), "{} bytes a session", zeros / SESSIONS);
}

/// Printing a volume once printed its buffer, its maps and its bitmaps, byte for byte.
#[test]
fn a_volume_is_printed_in_a_line() {
    let home = MemoryHome::new();
    let volume = create(&home, 1 << 20, VolumeOptions::default());
    volume.write_at(0, &[1; 65536]).unwrap();
    let shown = format!("{volume:?}");
    assert!(shown.contains(&format!("{:?}", volume.layer_id())), "{shown}");
    assert!(shown.contains("size_bytes: 1048576") && shown.len() < 200, "{shown}");
    let _held = volume.state.write();
    assert!(format!("{volume:?}").starts_with("Volume"));
}

/// Two neighbours in the buffer, whose blocks are not known yet: joining them went past the last
/// number of a block, and a walk over the extents of a volume being written to panicked.
#[test]
fn extents_of_blocks_that_have_no_place_yet_are_joined() {
    let home = MemoryHome::new();
    let volume = create(&home, 1 << 20, VolumeOptions::default());
    volume.write_at(4096, &[1; 12288]).unwrap();
    let extents: Vec<_> = volume
        .extents(BlockAddress(0), BlockAddress(8))
        .map(|extent| extent.map(|extent| (extent.start.0, extent.length)))
        .collect::<Result<_>>()
        .unwrap();
    assert_eq!(extents, [(0, 1), (1, 3), (4, 4)]);
}

#[test]
fn a_transaction_larger_than_memory_is_written_ahead_and_committed_whole() {
    let home = MemoryHome::new();
    let options = small();
    let volume = create(&home, 4096 * 4096, options);
    let mut random = Random(7);
    let mut held = vec![0_u8; 4096 * 4096];
    for _ in 0..3000 {
        let block = random.below(4096);
        let byte = random.below(255) as u8 + 1;
        volume.write_at(block * 4096, &[byte; 4096]).unwrap();
        held[(block * 4096) as usize..][..4096].fill(byte);
    }
    let mut read = vec![0; held.len()];
    volume.read_at(0, &mut read).unwrap();
    assert!(read == held);
    volume.flush().unwrap();
    drop(volume);
    let volume = reopen(&home, options);
    volume.read_at(0, &mut read).unwrap();
    assert!(read == held);
}

#[test]
fn overwriting_keeps_the_file_within_twice_its_live_blocks() {
    let home = MemoryHome::new();
    let volume = create(&home, 1024 * 4096, VolumeOptions::default());
    let mut random = Random(11);
    for round in 0..40 {
        for _ in 0..512 {
            let block = random.below(1024);
            volume.write_at(block * 4096, &[round + 1; 4096]).unwrap();
        }
        volume.flush().unwrap();
    }
    let facts = home.layers.host().facts(&path_of(volume.layer_id())).unwrap();
    assert!(facts.length < 2 * 1024 * 4096 + (4 << 20), "{} bytes", facts.length);
}

/// A writer that found the pending map full once asked for the lock of folding while a flush
/// held that lock and waited for the writer's call to end: neither came back.
#[test]
fn writers_that_fill_the_map_and_flushes_wait_in_one_order() {
    const WRITERS: u64 = 3;
    let home = MemoryHome::new();
    let options = VolumeOptions { map_extents_max: 4, ..small() };
    let volume = create(&home, 4096 * 1024, options);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let volume = &volume;
            scope.spawn(move || {
                for round in 0..4000 {
                    let block = (round * 7 * WRITERS + writer) % 1023 / WRITERS * WRITERS + writer;
                    volume.write_at(block * 4096, &[writer as u8 + 1; 4096]).unwrap();
                }
            });
        }
        for round in 0..1000 {
            match round % 100 {
                0 => drop(volume.snapshot(&Annotations::default()).unwrap()),
                _ => volume.flush().unwrap(),
            }
        }
    });
    let mut block = [0; 4096];
    for address in 0..1023 {
        volume.read_at(address * 4096, &mut block).unwrap();
        let expected = (address % WRITERS) as u8 + 1;
        assert!(block == [0; 4096] || block == [expected; 4096], "block {address}");
    }
}

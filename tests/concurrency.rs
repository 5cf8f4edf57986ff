//! Many threads at once: readers, writers, snapshots, forks, clones and collection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sapwood::medium::{FileHost, Host, MemoryHost, Network};
use sapwood::store::{GcOptions, Replace, Store, StoreOptions};
use sapwood::testing::Random;
use sapwood::volume::{CloneSource, Volume, VolumeOptions};
use std::sync::Arc;

const BLOCK: u64 = 4096;
/// Each writer has a range of its own.
const WRITERS: u64 = 8;
/// With the writers, who takes snapshots and forks, and who collects, 64 threads.
const READERS: u64 = 54;
const BLOCKS_PER_WRITER: u64 = 8;
/// How long all of them are at it: until so many snapshots were taken, on a machine that has little
/// time for them.
const SOAK_LEAST: Duration = Duration::from_secs(4);
const SOAK_MOST: Duration = Duration::from_secs(120);
const SNAPSHOTS_LEAST: u64 = 8;
const SPAN: u64 = WRITERS * BLOCKS_PER_WRITER;

/// A block that says where it belongs and how often it was written.
fn block(address: u64, round: u64) -> Vec<u8> {
    let mut bytes = vec![(address ^ round) as u8 | 1; BLOCK as usize];
    bytes[..8].copy_from_slice(&address.to_le_bytes());
    bytes[8..16].copy_from_slice(&round.to_le_bytes());
    bytes
}

/// The round of a block, which must be whole and at its place; 0 where it was never written.
fn round_of(bytes: &[u8], address: u64) -> u64 {
    if bytes.iter().all(|byte| *byte == 0) {
        return 0;
    }
    let round = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
    assert!(bytes == block(address, round), "block {address} is not whole");
    round
}

/// Reads all ranges; both halves of every pair were written in one batch.
fn check_pairs(mut read: impl FnMut(u64, &mut [u8])) -> Vec<u64> {
    let mut bytes = vec![0; (SPAN * BLOCK) as usize];
    read(0, &mut bytes);
    let rounds: Vec<u64> = (0..SPAN)
        .zip(bytes.chunks(BLOCK as usize))
        .map(|(address, bytes)| round_of(bytes, address))
        .collect();
    for (pair, rounds) in rounds.chunks(2).enumerate() {
        assert_eq!(rounds[0], rounds[1], "pair {pair} is torn apart");
    }
    rounds
}

fn write_pairs(volume: &Volume, writer: u64, stop: &AtomicBool) {
    let mut random = Random::new(writer + 1);
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let first = writer * BLOCKS_PER_WRITER + 2 * random.below(BLOCKS_PER_WRITER / 2);
        let batch = volume.batch();
        batch.write_at(first * BLOCK, &block(first, round)).unwrap();
        batch.write_at((first + 1) * BLOCK, &block(first + 1, round)).unwrap();
        drop(batch);
        if random.one_in(8) {
            volume.flush().unwrap();
        }
    }
}

fn read_blocks(volume: &Volume, reader: u64, stop: &AtomicBool) {
    let mut random = Random::new(1000 + reader);
    let mut bytes = vec![0; BLOCK as usize];
    while !stop.load(Ordering::Relaxed) {
        let address = random.below(SPAN);
        volume.read_at(address * BLOCK, &mut bytes).unwrap();
        round_of(&bytes, address);
    }
}

fn soak(host: Arc<dyn Host>) {
    let options = StoreOptions {
        volume: VolumeOptions {
            buffer_bytes: 8 * BLOCK,
            map_extents_max: 16,
            journal_records_max: 8,
            ..VolumeOptions::default()
        },
        ..StoreOptions::default()
    };
    let store = Store::create_on(host, &options).unwrap();
    let volume = store.create_volume("disk", 2 * SPAN * BLOCK).unwrap();
    let (stop, snapshots) = (AtomicBool::new(false), AtomicU64::new(0));
    let guarded = |work: &dyn Fn()| {
        // A thread that fails stops the others.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        if let Err(panic) = outcome {
            stop.store(true, Ordering::Relaxed);
            std::panic::resume_unwind(panic);
        }
    };
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (guarded, volume, stop) = (&guarded, &volume, &stop);
            scope.spawn(move || guarded(&|| write_pairs(volume, writer, stop)));
        }
        for reader in 0..READERS {
            let (guarded, volume, stop) = (&guarded, &volume, &stop);
            scope.spawn(move || guarded(&|| read_blocks(volume, reader, stop)));
        }
        scope.spawn(|| {
            guarded(&|| {
                let mut newest = vec![0; SPAN as usize];
                while !stop.load(Ordering::Relaxed) {
                    let number = snapshots.fetch_add(1, Ordering::Relaxed) + 1;
                    let snapshot = volume.snapshot(&Default::default()).unwrap();
                    let rounds = check_pairs(|at, bytes| snapshot.read_at(at, bytes).unwrap());
                    let older = rounds.iter().zip(&newest).any(|(now, before)| now < before);
                    assert!(!older, "snapshot {number} is older than the one before");
                    newest = rounds;
                    if number % 4 == 0 {
                        let tag = format!("tag:{number}");
                        store.tag("disk@1", &tag, Replace::Refuse).unwrap();
                        let fork = store.fork(&tag, "fork").unwrap();
                        check_pairs(|at, bytes| fork.read_at(at, bytes).unwrap());
                        let source = CloneSource::Snapshot(&snapshot);
                        fork.clone_range(source, 0, SPAN * BLOCK, SPAN * BLOCK).unwrap();
                        fork.flush().unwrap();
                        store.remove(&tag).unwrap();
                        check_pairs(|at, bytes| {
                            fork.read_at(SPAN * BLOCK + at, bytes).unwrap();
                        });
                        fork.close().unwrap();
                        store.remove("fork").unwrap();
                    } else if number % 4 == 3 {
                        store.remove("disk@2").unwrap();
                    }
                }
            });
        });
        scope.spawn(|| {
            guarded(&|| {
                while !stop.load(Ordering::Relaxed) {
                    store.collect(&GcOptions::default()).unwrap();
                    let seen = store.snapshot_of("disk").unwrap();
                    check_pairs(|at, bytes| match seen.read_at(at, bytes) {
                        // The writer has moved on: the next look is a newer one.
                        Err(error) if error.kind() == sapwood::ErrorKind::Stale => bytes.fill(0),
                        read => read.unwrap(),
                    });
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
        });
        let begun = Instant::now();
        let is_enough = || {
            let snapshots = snapshots.load(Ordering::Relaxed);
            snapshots > SNAPSHOTS_LEAST && begun.elapsed() > SOAK_LEAST
                || begun.elapsed() > SOAK_MOST
        };
        while !is_enough() && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(snapshots.load(Ordering::Relaxed) > SNAPSHOTS_LEAST);
    let last = check_pairs(|at, bytes| volume.read_at(at, bytes).unwrap());
    volume.close().unwrap();
    let volume = store.open_volume("disk").unwrap();
    assert_eq!(check_pairs(|at, bytes| volume.read_at(at, bytes).unwrap()), last);
    println!("{} snapshots beside writers, readers and collection", snapshots.into_inner());
}

#[test]
fn many_threads_on_files() {
    let folder = tempfile::tempdir().unwrap();
    soak(Arc::new(FileHost::open_root(folder.path(), Network::Refuse).unwrap()));
}

#[test]
fn many_threads_in_memory() {
    soak(Arc::new(MemoryHost::new()));
}

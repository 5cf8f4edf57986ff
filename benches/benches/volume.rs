//! Writing through a volume, forks, snapshots and seals, beside the host's own files.
//!
//! Times are wall clock, since syncs are what is paid for; each pair takes turns.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use sapwood::format::Annotations;
use sapwood::store::{Store, StoreOptions};
use sapwood::{Counters, Volume};
use sapwood_benches::{Random, cpu_time, is_quick, median};

const BLOCK: usize = 4096;
/// More than there are records between two checkpoints.
const FLUSHES_OVER_AND_OVER: u64 = 1000;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let size: u64 = if is_quick() { 64 << 20 } else { 1 << 30 };
    let rounds = if is_quick() { 3 } else { 5 };
    let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
    make_base(&store, "base", size);
    // First, since ext4 looks long for an inode where many were freed a moment ago.
    forks(&store, folder.path(), rounds * 20);
    random_writes(&store, folder.path(), size, rounds);
    write_and_flush(&store, folder.path(), size, rounds * 100);
    snapshots(&store, size, rounds);
    seals(&store, folder.path(), size, rounds);
}

fn make_base(store: &Store, name: &str, size: u64) {
    let volume = store.create_volume(name, size).unwrap();
    let mut random = Random::new(1);
    let mut chunk = vec![0; 1 << 20];
    for offset in (0..size).step_by(chunk.len()) {
        random.fill(&mut chunk);
        volume.write_at(offset, &chunk).unwrap();
    }
    volume.snapshot(&Annotations::default()).unwrap();
    volume.close().unwrap();
}

/// Random 4 KiB writes over a base, made durable every 16 MiB, and the same in place in a flat
/// file that was written in 4 KiB pieces.
fn random_writes(store: &Store, folder: &Path, size: u64, rounds: usize) {
    let total = size.min(128 << 20);
    let flat = flat_file(&folder.join("flat"), size);
    let mut random = Random::new(2);
    let mut block = vec![0; BLOCK];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let offsets: Vec<u64> = (0..total / BLOCK as u64)
            .map(|_| random.below(size / BLOCK as u64) * BLOCK as u64)
            .collect();
        let name = format!("writes-{round}");
        let volume = store.fork("base@1", &name).unwrap();
        let time = timed(|| {
            for group in offsets.chunks((16 << 20) / BLOCK) {
                for &offset in group {
                    random.fill(&mut block);
                    volume.write_at(offset, &block).unwrap();
                }
                volume.flush().unwrap();
            }
        });
        ours.push(time);
        drop(volume);
        store.remove(&name).unwrap();
        theirs.push(timed(|| {
            for group in offsets.chunks((16 << 20) / BLOCK) {
                for &offset in group {
                    random.fill(&mut block);
                    flat.write_all_at(&block, offset).unwrap();
                }
                flat.sync_data().unwrap();
            }
        }));
    }
    row("random 4 KiB writes, durable every 16 MiB", "in place in a flat file", ours, theirs);
}

fn write_and_flush(store: &Store, folder: &Path, size: u64, rounds: usize) {
    let volume = store.fork("base@1", "single").unwrap();
    let flat = flat_file(&folder.join("flat-single"), size.min(64 << 20));
    let mut random = Random::new(3);
    let mut block = vec![0; BLOCK];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    volume.write_at(0, &[1; BLOCK]).unwrap();
    volume.flush().unwrap();
    let mut flushes = Flushes::of(&volume);
    for _ in 0..rounds {
        random.fill(&mut block);
        let offset = random.below((size.min(64 << 20)) / BLOCK as u64) * BLOCK as u64;
        ours.push(timed(|| {
            volume.write_at(offset, &block).unwrap();
            volume.flush().unwrap();
        }));
        flushes.note();
        theirs.push(timed(|| {
            flat.write_all_at(&block, offset).unwrap();
            flat.sync_data().unwrap();
        }));
    }
    flushes.print("one 4 KiB write and flush, each elsewhere");
    // The journal begins anew at some point in the first of these.
    for turn in 0..2 {
        let mut flushes = Flushes::of(&volume);
        for number in 0..FLUSHES_OVER_AND_OVER {
            random.fill(&mut block);
            volume.write_at(number % 256 * BLOCK as u64, &block).unwrap();
            volume.flush().unwrap();
            flushes.note();
        }
        if turn == 1 {
            flushes.print("the same over and over in 1 MiB");
        }
    }
    row("one 4 KiB write and flush", "in place in a flat file", ours, theirs);
}

/// What flushes make the host write.
struct Flushes<'a> {
    volume: &'a Volume,
    first: Counters,
    last: Counters,
    bytes: Vec<u64>,
}

impl Flushes<'_> {
    fn of(volume: &Volume) -> Flushes<'_> {
        let now = volume.counters();
        Flushes { volume, first: now, last: now, bytes: Vec::new() }
    }

    /// Notes what was written since the last one.
    fn note(&mut self) {
        let now = self.volume.counters();
        self.bytes.push(written(&now) - written(&self.last));
        self.last = now;
    }

    fn print(mut self, what: &str) {
        let Flushes { first, last, .. } = self;
        let count = self.bytes.len() as u64;
        self.bytes.sort_unstable();
        println!(
            "  {what}: {:.2} fdatasync, {} bytes in the median, {} on average, of which {} are zeros written ahead ({} checkpoints among {count})",
            (last.syncs - first.syncs) as f64 / count as f64,
            self.bytes[self.bytes.len() / 2],
            (written(&last) - written(&first)) / count,
            (last.zeros_ahead_bytes - first.zeros_ahead_bytes) / count,
            last.checkpoints - first.checkpoints,
        );
    }
}

fn written(counters: &Counters) -> u64 {
    counters.bytes_allocated + counters.metadata_bytes + counters.zeros_ahead_bytes
}

/// Forks, in turns with making an empty file: what the host asks for the one file of a fork.
fn forks(store: &Store, folder: &Path, rounds: usize) {
    let (mut times, mut plain) = (Vec::new(), Vec::new());
    std::fs::create_dir(folder.join("plain")).unwrap();
    for round in 0..rounds {
        let name = format!("fork-{round}");
        let start = Instant::now();
        let volume = store.fork("base@1", &name).unwrap();
        times.push(start.elapsed());
        let path = folder.join(format!("plain/{round}"));
        plain.push(timed(|| drop(File::create_new(&path).unwrap())));
        if round == 0 {
            let path = folder.join(format!("store/layers/{}.layer", volume.layer_id()));
            let bytes = std::os::unix::fs::MetadataExt::blocks(&path.metadata().unwrap()) * 512;
            println!("\nfork\n  disk of a fresh fork{bytes:>34} bytes (bar: 32,768)");
        }
    }
    println!("  fork, nothing synced{:>31.1} us (bar: 200)", micros(median(times)));
    println!("  an empty file, made{:>32.1} us", micros(median(plain)));
}

fn snapshots(store: &Store, size: u64, rounds: usize) {
    let mut random = Random::new(4);
    let mut block = vec![0; BLOCK];
    let volume = store.fork("base@1", "snapshots").unwrap();
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    let mut syncs = 0;
    for _ in 0..rounds {
        for _ in 0..10_000 {
            random.fill(&mut block);
            let offset = random.below(size / BLOCK as u64) * BLOCK as u64;
            volume.write_at(offset, &block).unwrap();
        }
        volume.flush().unwrap();
        let (cpu, before) = (cpu_time(), volume.counters().syncs);
        let start = Instant::now();
        volume.snapshot(&Annotations::default()).unwrap();
        walls.push(start.elapsed());
        cpus.push(cpu_time() - cpu);
        // The name follows with the first flush of the new top.
        syncs = volume.counters().syncs - before;
    }
    println!(
        "\nsnapshot with 10,000 changed extents\n  CPU {:.2} ms (bar: 3 besides syncs), wall {:.2} ms, {syncs} syncs (bar: 4)",
        micros(median(cpus)) / 1e3,
        micros(median(walls)) / 1e3,
    );
}

fn seals(store: &Store, folder: &Path, size: u64, rounds: usize) {
    let size = size / 4;
    let flat = folder.join("flat-seal");
    flat_file(&flat, size);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let name = format!("seal-{round}");
        make_base(store, &name, size);
        ours.push(timed(|| {
            store.seal(&format!("{name}@1")).unwrap();
        }));
        theirs.push(timed(|| {
            let mut hasher = blake3::Hasher::new();
            hasher.update_mmap_rayon(&flat).unwrap();
            hasher.finalize();
        }));
    }
    row("seal", "BLAKE3 of a file of that size, all cores", ours, theirs);
}

fn flat_file(path: &Path, size: u64) -> File {
    let file =
        OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path).unwrap();
    let mut random = Random::new(5);
    let mut block = vec![0; BLOCK];
    for offset in (0..size).step_by(BLOCK) {
        random.fill(&mut block);
        file.write_all_at(&block, offset).unwrap();
    }
    file.sync_all().unwrap();
    file
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn row(what: &str, baseline: &str, ours: Vec<Duration>, theirs: Vec<Duration>) {
    let (ours, theirs) = (median(ours), median(theirs));
    println!("\n{what}");
    println!("  sapwood{:>44.1} us", micros(ours));
    println!("  {baseline:<40}{:>11.1} us", micros(theirs));
    println!("  {:.2} x as fast", theirs.as_secs_f64() / ours.as_secs_f64());
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

//! Large files: read through, written at random, written durably.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use sapwood::files::{Files, Inode, NewFile, ReadFiles};
use sapwood_benches::Random;

use crate::names::timed;
use crate::{Place, table};

const BLOCK: usize = 4096;
const MIB: usize = 1 << 20;

/// A file of `size` bytes in a tree, and one of the host.
fn large_file(place: &Place, name: &str, size: u64) -> (Files, Inode, File) {
    let files = place.tree(name);
    let new = NewFile::regular(0o644);
    let inode = files.create(Inode::ROOT, b"large", &new).unwrap().inode;
    let mut options = OpenOptions::new();
    let flat = options.create_new(true).read(true).write(true).open(place.host.join(name)).unwrap();
    let mut random = Random::new(12);
    let mut chunk = vec![0; MIB];
    for offset in (0..size).step_by(MIB) {
        random.fill(&mut chunk);
        files.write(inode, offset, &chunk).unwrap();
        flat.write_all_at(&chunk, offset).unwrap();
    }
    files.flush().unwrap();
    flat.sync_all().unwrap();
    (files, inode, flat)
}

pub fn sequential(place: &Place, size: u64) {
    let (files, inode, flat) = large_file(place, "sequential", size);
    let mut buffer = vec![0; MIB];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        ours.push(timed(|| {
            for offset in (0..size).step_by(MIB) {
                assert_eq!(files.read(inode, offset, &mut buffer).unwrap(), MIB);
            }
        }));
        theirs.push(timed(|| {
            for offset in (0..size).step_by(MIB) {
                flat.read_exact_at(&mut buffer, offset).unwrap();
            }
        }));
    }
    let what = format!("read a file of {} MiB through, checked, each MiB", size >> 20);
    table::times(&what, size as usize >> 20, ours, theirs, "0.9 x");
    drop(files);
    place.store.remove("sequential").unwrap();
}

pub fn random_writes(place: &Place, size: u64) {
    let (files, inode, flat) = large_file(place, "random", size);
    let writes = (size / 4) as usize / BLOCK;
    let mut random = Random::new(13);
    let mut block = vec![0; BLOCK];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let offsets: Vec<u64> =
            (0..writes).map(|_| random.below(size / BLOCK as u64) * BLOCK as u64).collect();
        ours.push(timed(|| {
            for group in offsets.chunks((16 << 20) / BLOCK) {
                for &offset in group {
                    random.fill(&mut block);
                    files.write(inode, offset, &block).unwrap();
                }
                files.flush().unwrap();
            }
        }));
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
    let what = "4 KiB writes at random, durable every 16 MiB";
    table::times(what, writes, ours, theirs, "1.0 x");
    drop(files);
    place.store.remove("random").unwrap();
}

pub fn write_and_flush(place: &Place, rounds: usize) {
    let size = 16 << 20;
    let (files, inode, flat) = large_file(place, "single", size);
    let mut random = Random::new(14);
    let mut block = vec![0; BLOCK];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let before = files.volume().counters().syncs;
    for _ in 0..rounds {
        random.fill(&mut block);
        let offset = random.below(size / BLOCK as u64) * BLOCK as u64;
        ours.push(timed(|| {
            files.write(inode, offset, &block).unwrap();
            files.flush().unwrap();
        }));
        theirs.push(timed(|| {
            flat.write_all_at(&block, offset).unwrap();
            flat.sync_all().unwrap();
        }));
    }
    table::times("one 4 KiB write made durable (flush, fsync)", 1, ours, theirs, "1.0 x");
    let syncs = (files.volume().counters().syncs - before) as f64 / rounds as f64;
    table::figure("  syncs of ours for each", &format!("{syncs:.2}"), "");
    drop(files);
    place.store.remove("single").unwrap();
}

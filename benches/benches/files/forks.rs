//! Snapshots and forks of trees: what they cost in time and in blocks.

use std::time::{Duration, Instant};

use sapwood::BlockAddress;
use sapwood::files::{Files, FilesOptions, Inode, NewFile, ReadFiles, SetAttributes};
use sapwood::format::Annotations;
use sapwood_benches::{Random, cpu_time, median};

use crate::{Place, table};

/// The first block that belongs to the content of a file: those before hold metadata.
const FIRST_CONTENT: BlockAddress = BlockAddress(1 << 32);

pub fn snapshots(place: &Place, changed: usize) {
    let files = place.tree("snapshots");
    let mut random = Random::new(15);
    let mut block = vec![0; 4096];
    let inodes = make(&files, changed, 4096);
    files.snapshot(&Annotations::default()).unwrap();
    let (mut cpus, mut walls) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        for &inode in &inodes {
            random.fill(&mut block);
            files.write(inode, 0, &block).unwrap();
        }
        files.flush().unwrap();
        let (start, cpu) = (Instant::now(), cpu_time());
        files.snapshot(&Annotations::default()).unwrap();
        cpus.push(cpu_time() - cpu);
        walls.push(start.elapsed());
    }
    let show = |times: Vec<Duration>| table::each(median(times), 1);
    let what = format!("snapshot after {changed} changed files, CPU");
    table::figure(&what, &show(cpus), "20 ms besides syncs");
    table::figure("  wall clock, with its syncs", &show(walls), "");
}

/// Another owner for each file of a fork.
pub fn changed_owners(place: &Place, count: usize) {
    let files = place.tree("owned");
    let inodes = make(&files, count, 8192);
    let before = files.snapshot(&Annotations::default()).unwrap();
    files.close().unwrap();
    let volume = place.store.fork("owned@1", "disowned").unwrap();
    let files = Files::open(volume, FilesOptions::default()).unwrap();
    let set = SetAttributes { owner: Some(1000), ..SetAttributes::default() };
    let start = Instant::now();
    for &inode in &inodes {
        files.set_attributes(inode, &set).unwrap();
    }
    let time = start.elapsed();
    files.flush().unwrap();
    let new_bytes = files.volume().counters().bytes_allocated;
    let after = files.snapshot(&Annotations::default()).unwrap();
    for extent in after.changes_since(&before).unwrap() {
        assert!(extent.unwrap().start < FIRST_CONTENT, "no content of a file was copied");
    }
    let each = format!("{} B", new_bytes / count as u64);
    table::figure("chown each file of a fork: new blocks of an entry", &each, "400 B, no content");
    table::figure("  time of an entry", &table::each(time, count), "");
}

/// The first write into a large file of a parent.
pub fn first_write(place: &Place, size: u64) {
    let files = place.tree("parent");
    let inode = files.create(Inode::ROOT, b"large", &NewFile::regular(0o644)).unwrap().inode;
    let mut random = Random::new(16);
    let mut chunk = vec![0; 1 << 20];
    for offset in (0..size).step_by(chunk.len()) {
        random.fill(&mut chunk);
        files.write(inode, offset, &chunk).unwrap();
    }
    files.snapshot(&Annotations::default()).unwrap();
    files.close().unwrap();
    let volume = place.store.fork("parent@1", "child").unwrap();
    let files = Files::open(volume, FilesOptions::default()).unwrap();
    let before = files.volume().occupied_bytes();
    let start = Instant::now();
    files.write(inode, size / 2, &chunk[..4096]).unwrap();
    let time = start.elapsed();
    files.flush().unwrap();
    let bytes = files.volume().occupied_bytes() - before;
    let what = format!("first 4 KiB into a parent's file of {} MiB: new", size >> 20);
    table::figure(&what, &format!("{bytes} B"), "65536 B");
    table::figure("  time of the write, not synced", &table::each(time, 1), "");
    let mut read = vec![0; 4096];
    files.read(inode, size / 2, &mut read).unwrap();
    assert_eq!(read, &chunk[..4096]);
    drop(files);
    place.store.remove("child").unwrap();
    place.store.remove("parent").unwrap();
}

/// Files of `bytes` each in a tree.
fn make(files: &Files, count: usize, bytes: usize) -> Vec<Inode> {
    let mut random = Random::new(17);
    let mut content = vec![0; bytes];
    let make = |number: usize| {
        let name = format!("file-{number}");
        let new = NewFile::regular(0o644);
        let inode = files.create(Inode::ROOT, name.as_bytes(), &new).unwrap().inode;
        random.fill(&mut content);
        files.write(inode, 0, &content).unwrap();
        inode
    };
    (0..count).map(make).collect()
}

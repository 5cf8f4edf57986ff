//! A host without room: nothing committed is lost, and what only frees goes through.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sapwood::ErrorKind;
use sapwood::medium::{FileHost, Host, MemoryHost, Network};
use sapwood::store::{GcOptions, Replace, Store, StoreOptions};
use sapwood::testing::CapacityHost;
use sapwood::volume::{CloneSource, Volume};

const CHUNK: u64 = 64 << 10;

/// Fills the volume chunk by chunk, with a commit after each; how many were acknowledged.
fn fill(volume: &Volume, value: u8) -> u64 {
    for chunk in 0.. {
        let write = volume.write_at(chunk * CHUNK, &[value; CHUNK as usize]);
        if let Err(error) = write.and_then(|()| volume.flush()) {
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
            return chunk;
        }
    }
    unreachable!("the host is smaller than the volume")
}

fn assert_filled(volume: &Volume, chunks: u64, value: u8) {
    let mut bytes = vec![0; CHUNK as usize];
    for chunk in 0..chunks {
        volume.read_at(chunk * CHUNK, &mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == value), "chunk {chunk}");
    }
}

/// On a host with a few MiB of room.
fn fill_and_free(host: Arc<dyn Host>) {
    let options = StoreOptions::default();
    let store = Store::create_on(host, &options).unwrap();
    let volume = store.create_volume("disk", 1 << 30).unwrap();
    let chunks = fill(&volume, 1);
    assert!(chunks > 4, "only {chunks} chunks had room");
    assert_filled(&volume, chunks, 1);
    drop(volume);

    // What was acknowledged is there, and discarding makes room for more.
    let volume = store.open_volume("disk").unwrap();
    assert_filled(&volume, chunks, 1);
    volume.discard(0, chunks / 2 * CHUNK).unwrap();
    volume.flush().expect("a commit that only frees finds room");
    volume.write_at(0, &[2; 4096]).unwrap();
    volume.flush().expect("what was freed can be used");
    let mut bytes = vec![0; 4096];
    volume.read_at(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 2));

    // Removal and collection work with no byte free.
    let chunks = fill(&volume, 3);
    assert!(chunks > 0);
    let error = volume.close().expect_err("what found no room is still in the buffer");
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    store.remove("disk").unwrap();
    store.collect(&GcOptions::default()).unwrap();
    let volume = store.create_volume("again", 1 << 30).unwrap();
    assert!(fill(&volume, 4) >= chunks, "the room came back");
}

#[test]
fn a_full_host_in_memory_loses_nothing() {
    fill_and_free(CapacityHost::new(Arc::new(MemoryHost::new()), 3 << 20));
}

/// A discard said that there was no room after it was done; so did a clone, and had changed what it was
/// to leave.
#[test]
fn what_finds_no_room_changed_nothing_and_a_discard_needs_none() {
    let host = CapacityHost::new(Arc::new(MemoryHost::new()), 1 << 30);
    let mut options = StoreOptions::default();
    options.volume.map_extents_max = 4;
    let store = Store::create_on(host.clone(), &options).unwrap();
    let volume = store.create_volume("disk", 1 << 30).unwrap();
    for block in 0..64 {
        volume.write_at(block * 8192, &[1; 4096]).unwrap();
    }
    let snapshot = volume.snapshot(&Default::default()).unwrap();
    host.set_capacity(host.used());
    let byte_at = |offset| {
        let mut bytes = [0];
        volume.read_at(offset, &mut bytes).unwrap();
        bytes[0]
    };
    let mut refused = 0;
    for block in 0..64 {
        let (from, to) = (block * 8192, block * 8192 + 4096);
        let clone = volume.clone_range(CloneSource::Snapshot(&snapshot), from, to, 4096);
        assert_eq!(byte_at(to) == 1, clone.is_ok(), "{block}: {clone:?}");
        refused += usize::from(clone.is_err());
        volume.discard(from, 4096).unwrap();
        assert_eq!(byte_at(from), 0);
    }
    assert!(refused > 0, "the host is not full enough to tell");
    host.set_capacity(1 << 30);
    volume.flush().unwrap();
    assert!(volume.close().is_ok());
}

#[test]
fn a_full_filesystem_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mounted) = Mounted::tmpfs(folder.path()) else {
        eprintln!("skipped: this process may not mount a small tmpfs");
        return;
    };
    fill_and_free(Arc::new(FileHost::open_root(folder.path(), Network::Refuse).unwrap()));
}

#[test]
fn a_snapshot_that_finds_no_room_leaves_the_volume_as_it_was() {
    let host = CapacityHost::new(Arc::new(MemoryHost::new()), 4 << 20);
    let store = Store::create_on(host.clone(), &StoreOptions::default()).unwrap();
    let volume = store.create_volume("disk", 1 << 20).unwrap();
    volume.write_at(0, &[1; CHUNK as usize]).unwrap();
    volume.flush().unwrap();
    host.set_capacity(0);
    volume.write_at(0, &[2; 4096]).unwrap();
    let error = volume.snapshot(&Default::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    host.set_capacity(4 << 20);
    volume.snapshot(&Default::default()).expect("it can be tried again");
    store.tag("disk@1", "base:1", Replace::Refuse).unwrap();
    let mut bytes = vec![0; 2 * 4096];
    store.snapshot_of("base:1").unwrap().read_at(0, &mut bytes).unwrap();
    assert!(bytes[..4096].iter().all(|byte| *byte == 2));
    assert!(bytes[4096..].iter().all(|byte| *byte == 1));
}

/// A small filesystem, gone when dropped.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn tmpfs(folder: &'a Path) -> Option<Mounted<'a>> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"])
            .arg(folder)
            .output();
        mount.is_ok_and(|output| output.status.success()).then_some(Mounted(folder))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0).output().expect("what was mounted can be unmounted");
    }
}

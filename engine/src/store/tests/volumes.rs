//! Volumes made, forked, opened, reset and looked into.

use std::ops::ControlFlow;

use super::*;
use crate::ErrorKind;
use crate::chain::{ReadRequest, ViewExtent};
use crate::files::{Files, FilesOptions, Inode, NewFile, ReadFiles, Seek};
use crate::store::paths;
use crate::testing::{Call, CrashDisk, FaultHost, Policy};
use crate::units::BlockSize;
use crate::volume::CloneSource;

#[test]
fn a_fork_sees_its_snapshot_and_its_writes_stay_its_own() {
    let (_folder, host, store) = files();
    let base = store.create_volume("base", DISK).unwrap();
    fill(&base, 0, 8, 1);
    let first = freeze(&base);
    fill(&base, 0, 1, 2);
    base.flush().unwrap();
    let one = store.fork_snapshot(&first, "one").unwrap();
    let two = store.fork("base@1", "two").unwrap();
    fill(&one, 1, 1, 3);
    assert_eq!([byte_in(&one, 0), byte_in(&one, 1), byte_in(&one, 9)], [1, 3, 0]);
    assert_eq!([byte_in(&two, 0), byte_in(&two, 1)], [1, 1]);
    assert_eq!(byte_in(&base, 0), 2);
    assert_eq!(byte_of(&first, 0), 1);
    one.close().unwrap();
    two.close().unwrap();
    base.close().unwrap();
    let store = reopened(&host);
    for (name, bytes) in [("base", [2, 1]), ("one", [1, 3]), ("two", [1, 1])] {
        let volume = store.open_volume(name).unwrap();
        assert_eq!([byte_in(&volume, 0), byte_in(&volume, 1)], bytes, "{name}");
        assert_eq!(volume.size_bytes(), DISK);
    }
}

#[test]
fn a_volume_has_one_writer_and_the_second_is_told_who_it_is() {
    let (_folder, host, store) = files();
    let volume = store.create_volume("web", DISK).unwrap();
    for other in [&store, &reopened(&host)] {
        for error in [
            other.open_volume("web").unwrap_err(),
            other.reset("web").unwrap_err(),
            other.remove("web").unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Locked);
            let holder = format!("process {}", std::process::id());
            assert!(error.to_string().contains(&holder), "{error}");
        }
        let error = other.create_volume("web", DISK).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }
    // Across a snapshot the lock stays.
    freeze(&volume);
    assert_eq!(store.open_volume("web").unwrap_err().kind(), ErrorKind::Locked);
    drop(volume);
    store.open_volume("web").unwrap();
}

/// Somebody who cleans up may take the file of the locks away, or put another in its place. A second
/// writer then once waited for the first as long as that lived, and a removal took its file away.
#[test]
fn a_lock_file_that_is_taken_away_lets_no_second_writer_in() {
    for is_flushed in [false, true] {
        let (_folder, host, store) = files();
        let volume = store.create_volume("web", DISK).unwrap();
        fill(&volume, 0, 1, 1);
        if is_flushed {
            volume.flush().unwrap();
        }
        host.remove(paths::NAME_LOCKS.as_ref()).unwrap();
        let other = reopened(&host);
        for _ in 0..2 {
            for error in [
                other.open_volume("web").unwrap_err(),
                other.reset("web").unwrap_err(),
                other.remove("web").unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
            }
            assert_eq!(
                other.create_volume("web", DISK).unwrap_err().kind(),
                ErrorKind::AlreadyExists
            );
        }
        assert_eq!(byte_in(&volume, 0), 1);
        if !is_flushed {
            // Its name is not durable yet, and who writes it has to have its lock.
            assert_eq!(volume.flush().unwrap_err().kind(), ErrorKind::Stale);
            continue;
        }
        fill(&volume, 1, 1, 2);
        volume.flush().unwrap();
        // Another may go on from what was frozen, so this one goes no further.
        freeze(&volume);
        let second = other.open_volume("web").unwrap();
        fill(&second, 2, 1, 3);
        fill(&volume, 2, 1, 4);
        assert_eq!(volume.flush().unwrap_err().kind(), ErrorKind::Stale);
        assert_eq!(volume.flush().unwrap_err().kind(), ErrorKind::Poisoned);
        drop(volume);
        second.close().unwrap();
        let volume = reopened(&host).open_volume("web").unwrap();
        assert_eq!([0, 1, 2].map(|block| byte_in(&volume, block)), [1, 2, 3]);
    }
}

#[test]
fn a_reset_takes_a_volume_back_to_what_it_stands_on() {
    let (host, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 2, 1);
    volume.close().unwrap();
    store.reset("web").unwrap();
    let volume = store.open_volume("web").unwrap();
    assert_eq!((byte_in(&volume, 0), volume.size_bytes()), (0, DISK));
    fill(&volume, 0, 2, 2);
    freeze(&volume);
    fill(&volume, 0, 1, 3);
    volume.resize(2 * DISK).unwrap();
    volume.close().unwrap();
    let layers = store.layers().unwrap().len();
    store.reset("web").unwrap();
    assert_eq!(store.layers().unwrap().len(), layers, "the old top is gone");
    let volume = reopened(&host).open_volume("web").unwrap();
    assert_eq!((byte_in(&volume, 0), volume.size_bytes()), (2, DISK));
}

#[test]
fn a_live_volume_is_looked_into_as_of_its_last_commit() {
    let (_folder, host, store) = files();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 4, 1);
    freeze(&volume);
    fill(&volume, 1, 1, 2);
    volume.flush().unwrap();
    fill(&volume, 2, 1, 3);
    let outside = reopened(&host);
    for reference in ["web", "web@0"] {
        let seen = outside.snapshot_of(reference).unwrap();
        assert_eq!([byte_of(&seen, 0), byte_of(&seen, 1), byte_of(&seen, 2)], [1, 2, 1]);
        assert_eq!(outside.fork(reference, "copy").unwrap_err().kind(), ErrorKind::InvalidInput);
        let error = outside.fork_snapshot(&seen, "copy").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let source = crate::volume::CloneSource::Snapshot(&seen);
        let error = volume.clone_range(source, 0, 0, BLOCK as u64).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    volume.flush().unwrap();
    assert_eq!(byte_of(&outside.snapshot_of("web").unwrap(), 2), 3);
    let before = outside.snapshot_of("web@1").unwrap();
    let changed = |after: &Snapshot, before: &Snapshot| -> Vec<u64> {
        let changes = after.changes_since(before).unwrap();
        changes
            .map(|change| change.unwrap())
            .flat_map(|change| change.start.0..change.start.0 + change.length)
            .collect()
    };
    let seen = outside.snapshot_of("web").unwrap();
    assert_eq!(changed(&seen, &before), [1, 2]);
    // Two looks at one layer, between which it changed.
    fill(&volume, 9, 1, 4);
    volume.flush().unwrap();
    assert_eq!(changed(&outside.snapshot_of("web").unwrap(), &seen), [9]);
}

#[test]
fn a_fork_that_nobody_flushed_is_there_for_other_handles() {
    let (host, store) = memory();
    store.create_volume("empty", DISK).unwrap();
    let base = store.create_volume("base", DISK).unwrap();
    fill(&base, 0, 1, 1);
    let snapshot = freeze(&base);
    drop(store.fork_snapshot(&snapshot, "web").unwrap());
    let other = reopened(&host);
    let names: Vec<_> = other.names().unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["base", "empty", "web"]);
    let web = other.open_volume("web").unwrap();
    assert_eq!(byte_in(&web, 0), 1);
    assert_eq!(byte_in(&other.open_volume("empty").unwrap(), 0), 0);
}

#[test]
fn a_snapshot_of_another_store_is_not_forked() {
    let (_, store) = memory();
    let (_, other) = memory();
    let base = store.create_volume("base", DISK).unwrap();
    fill(&base, 0, 1, 1);
    let snapshot = freeze(&base);
    let error = other.fork_snapshot(&snapshot, "web").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(other.names().unwrap().is_empty());
}

/// Addresses in blocks of two sizes, or of a disk and a tree, were compared as if they were the same.
#[test]
fn snapshots_that_have_nothing_in_common_are_not_compared() {
    let large = StoreOptions {
        block_size: BlockSize::from_bytes(16384).unwrap(),
        ..StoreOptions::default()
    };
    let [small, large] = [StoreOptions::default(), large]
        .map(|options| Store::create_on(Arc::new(MemoryHost::new()), &options).unwrap());
    let snapshot = |store: &Store| {
        let disk = store.create_volume("disk", DISK).unwrap();
        disk.write_at(65536, &[1; BLOCK]).unwrap();
        freeze(&disk)
    };
    let disks = [&small, &large].map(snapshot);
    let tree = freeze(&small.create_tree("tree").unwrap());
    for (before, after, field) in [
        (&disks[0], &disks[1], "block size"),
        (&disks[1], &disks[0], "block size"),
        (&disks[0], &tree, "kind"),
    ] {
        let error = after.changes_since(before).map(drop).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
    }
}

#[test]
fn a_tree_has_addresses_and_no_size() {
    let (_, store) = memory();
    let tree = store.create_tree("files").unwrap();
    let address = crate::units::BlockAddress(7 << 32);
    tree.write_blocks(address, 0, &[5; BLOCK]).unwrap();
    let snapshot = freeze(&tree);
    let mut bytes = vec![0; BLOCK];
    store.fork_snapshot(&snapshot, "more").unwrap().read_blocks(address, 0, &mut bytes).unwrap();
    assert_eq!(bytes, [5; BLOCK]);
    assert_eq!(snapshot.size_bytes(), 0);
}

#[test]
fn many_reads_at_once_give_what_each_alone_gives() {
    let (_folder, _host, store) = files();
    let base = store.create_volume("base", DISK).unwrap();
    for block in 0..32 {
        fill(&base, block, 1, block as u8 + 1);
    }
    let snapshot = freeze(&base);
    let web = store.fork_snapshot(&snapshot, "web").unwrap();
    fill(&web, 3, 2, 100);
    web.discard(9 * BLOCK as u64, 2 * BLOCK as u64).unwrap();
    let source = crate::volume::CloneSource::Snapshot(&snapshot);
    web.clone_range(source, BLOCK as u64, 40 * BLOCK as u64, 3 * BLOCK as u64).unwrap();
    web.flush().unwrap();
    fill(&web, 5, 1, 101);
    // More than are planned under one lock, parts of blocks and many blocks among them.
    let places: Vec<(u64, usize)> = (0..150)
        .map(|n: u64| (n * 7919 % (DISK - 30_000), [1, 511, BLOCK, 5 * BLOCK][n as usize % 4]))
        .collect();
    let mut buffers: Vec<Vec<u8>> = places.iter().map(|(_, length)| vec![0xee; *length]).collect();
    let mut requests: Vec<_> = places
        .iter()
        .zip(&mut buffers)
        .map(|((offset, _), buffer)| ReadRequest {
            address: crate::units::BlockAddress(0),
            offset: *offset,
            buffer,
        })
        .collect();
    web.read_blocks_many(&mut requests).unwrap();
    for ((offset, length), found) in places.into_iter().zip(buffers) {
        let mut alone = vec![0xdd; length];
        web.read_at(offset, &mut alone).unwrap();
        assert!(found == alone, "{length} bytes from {offset}");
    }
    let past =
        ReadRequest { address: crate::units::BlockAddress(63), offset: 1, buffer: &mut [0; BLOCK] };
    assert_eq!(web.read_blocks_many(&mut [past]).unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// A program that starts others with `fork` has a copy of every handle in the child: nothing that
/// is done with it there may touch the store, nor may closing it give the parent's locks away.
#[test]
fn a_forked_child_is_refused_and_damages_nothing() {
    let (_folder, host, store) = files();
    let volume = store.create_volume("disk", DISK).unwrap();
    fill(&volume, 0, 8, 1);
    volume.flush().unwrap();
    fill(&volume, 0, 1, 2);
    let refused = |result: crate::Result<()>| {
        result.is_err_and(|error| {
            error.kind() == ErrorKind::Unsupported && error.to_string().contains("forked child")
        })
    };
    let commit_interval = Some(std::time::Duration::from_secs(3600));
    let options = FilesOptions { commit_interval, ..FilesOptions::default() };
    let tree = Files::open(store.create_tree("tree").unwrap(), options).unwrap();
    let file = tree.create(Inode::ROOT, b"file", &NewFile::regular(0o644)).unwrap().inode;
    let (mut volume, mut store, mut tree) = (Some(volume), Some(store), Some(tree));
    let was_refused = crate::raw::in_child(|| {
        let (volume, store) = (volume.take().unwrap(), store.take().unwrap());
        let tree = tree.take().unwrap();
        let of_tree = [
            tree.lookup(Inode::ROOT, b"file").map(drop),
            tree.attributes(file).map(drop),
            tree.read(file, 0, &mut [0; 9]).map(drop),
            tree.read_with(file, 0, &mut [0; 9], &mut |_| ()),
            tree.seek(file, 0, Seek::Data).map(drop),
            tree.entries(Inode::ROOT, 0, &mut |_| ControlFlow::Continue(())),
            tree.statistics().map(drop),
            tree.write(file, 0, b"child"),
            tree.unlink(Inode::ROOT, b"file"),
            tree.release(file, 1),
            tree.flush(),
        ];
        // The thread that commits is the parent's.
        drop(tree);
        let mut bytes = [0; BLOCK];
        let all = [
            volume.read_at(0, &mut bytes),
            volume.write_at(0, &[9; BLOCK]),
            volume.write_zeroes(0, BLOCK as u64),
            volume.discard(0, BLOCK as u64),
            volume.clone_range(CloneSource::Own, 0, BLOCK as u64, BLOCK as u64),
            volume.resize(DISK / 2),
            volume.flush(),
            volume.checkpoint(),
            volume.snapshot(&Annotations::default()).map(drop),
            volume.batch().write_at(0, &[9; BLOCK]),
            volume.all_extents().try_for_each(|extent| extent.map(drop)),
            store.open_volume("disk").map(drop),
            store.create_volume("other", DISK).map(drop),
            store.snapshot_of("disk").map(drop),
            store.remove("disk").map(drop),
            store.collect(&crate::store::GcOptions::default()).map(drop),
        ];
        drop(store);
        all.into_iter().chain(of_tree).chain([volume.close()]).all(refused)
    });
    assert!(was_refused, "a child did something");
    let (volume, store) = (volume.take().unwrap(), store.take().unwrap());
    tree.take().unwrap().close().unwrap();
    let locked = reopened(&host).open_volume("disk").unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Locked, "the child's end is not the parent's: {locked}");
    assert_eq!([byte_in(&volume, 0), byte_in(&volume, 1)], [2, 1]);
    fill(&volume, 1, 1, 3);
    volume.close().unwrap();
    let volume = reopened(&host).open_volume("disk").unwrap();
    assert_eq!([0, 1, 2].map(|block| byte_in(&volume, block)), [2, 3, 1]);
    assert_eq!(store.names().unwrap().len(), 2);
}

#[test]
fn a_volume_closed_at_its_snapshot_is_left_at_that_without_a_sync() {
    let disk = CrashDisk::new();
    let faults = FaultHost::on_disk(&disk);
    let host: Arc<dyn Host> = faults.clone();
    let store = store_on(&host);
    let syncs = || faults.calls(Call::Sync) + faults.calls(Call::SyncFolder);
    let files = || host.list(paths::LAYERS.as_ref()).unwrap().len();
    let base = store.create_volume("base", DISK).unwrap();
    fill(&base, 0, 1, 1);
    let web = store.fork_snapshot(&freeze(&base), "web").unwrap();
    fill(&web, 1, 1, 2);
    freeze(&web);
    let before = syncs();
    web.close_at_snapshot().unwrap();
    base.close_at_snapshot().unwrap();
    assert_eq!((syncs(), files()), (before, 2));
    // So it is left when it is opened, and nothing written to it, too.
    let web = store.open_volume("web").unwrap();
    assert!(web.recovery().fresh_top);
    let before = syncs();
    web.close_at_snapshot().unwrap();
    assert_eq!((syncs(), files()), (before, 2));
    expect_no_damage(&host);
    for state in disk.states_at(disk.log_len(), &Policy::default()) {
        let host: Arc<dyn Host> = state.host();
        let store = reopened(&host);
        store.collect(&Default::default()).unwrap();
        let web = store.open_volume("web").unwrap();
        assert_eq!([byte_in(&web, 0), byte_in(&web, 1)], [1, 2]);
    }
    // What is written after the snapshot, or is no more than the name of a fork, is not left behind.
    let web = store.open_volume("web").unwrap();
    freeze(&web);
    fill(&web, 1, 1, 3);
    web.close_at_snapshot().unwrap();
    store.fork("base@1", "fork").unwrap().close_at_snapshot().unwrap();
    for state in disk.states_at(disk.log_len(), &Policy::default()) {
        let host: Arc<dyn Host> = state.host();
        let store = reopened(&host);
        assert_eq!(byte_in(&store.open_volume("web").unwrap(), 1), 3);
        assert_eq!(byte_in(&store.open_volume("fork").unwrap(), 0), 1);
    }
}

#[test]
fn all_extents_are_those_up_to_the_end() {
    let (_, store) = memory();
    let volume = store.create_volume("web", 10 * BLOCK as u64 + 1).unwrap();
    fill(&volume, 2, 3, 1);
    let of_volume = || volume.all_extents().map(|extent| extent.unwrap());
    let lengths =
        |extents: Vec<ViewExtent>| extents.iter().map(|extent| extent.length).collect::<Vec<_>>();
    assert_eq!(lengths(of_volume().collect()), [2, 3, 6]);
    volume.resize(4 * BLOCK as u64).unwrap();
    assert_eq!(lengths(of_volume().collect()), [2, 2]);
    let snapshot = freeze(&volume);
    assert_eq!(lengths(snapshot.all_extents().collect::<crate::Result<_>>().unwrap()), [2, 2]);
    let nothing = store.create_volume("nothing", 0).unwrap();
    assert_eq!(nothing.all_extents().count(), 0);
    let tree = freeze(&store.create_tree("tree").unwrap());
    let end = tree.all_extents().last().unwrap().unwrap();
    assert_eq!(end.start.0 + end.length, crate::units::ADDRESS_END);
}

/// As a drop leaves it, without the file above the snapshot that a drop leaves to be collected.
#[test]
fn a_volume_that_is_abandoned_is_left_at_what_was_committed() {
    let (host, store) = memory();
    let files = || host.list(paths::LAYERS.as_ref()).unwrap().len();
    let base = store.create_volume("base", DISK).unwrap();
    fill(&base, 0, 1, 1);
    let web = store.fork_snapshot(&freeze(&base), "web").unwrap();
    base.abandon().unwrap();
    fill(&web, 1, 1, 2);
    freeze(&web);
    fill(&web, 2, 1, 3);
    let before = files();
    web.abandon().unwrap();
    assert_eq!(files(), before - 1, "the layer above the snapshot");

    let web = store.open_volume("web").unwrap();
    assert_eq!([1, 2].map(|block| byte_in(&web, block)), [2, 0]);
    fill(&web, 2, 1, 4);
    web.flush().unwrap();
    fill(&web, 3, 1, 5);
    web.abandon().unwrap();
    let web = store.open_volume("web").unwrap();
    assert_eq!([2, 3].map(|block| byte_in(&web, block)), [4, 0]);
    web.close().unwrap();

    // A fork of which nothing is durable goes on as the name of what it stands on.
    store.fork("web@1", "fork").unwrap().abandon().unwrap();
    assert_eq!(byte_in(&store.open_volume("fork").unwrap(), 1), 2);
    assert_eq!(store.collect(&Default::default()).unwrap().freed_bytes(), 0);
    expect_no_damage(&host);
}

//! Volumes made, forked, opened, reset and looked into.

use super::*;
use crate::ErrorKind;

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
        changes.map(|change| change.unwrap().start.0).collect()
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

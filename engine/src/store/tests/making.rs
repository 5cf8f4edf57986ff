//! Snapshots that get a name only when they are whole, and what their makers leave.

use super::*;
use crate::medium::OpenMode;
use crate::store::{GcOptions, Making, Replace, paths};
use crate::testing::{CrashDisk, Policy};
use crate::units::LayerId;

const REAL: GcOptions = GcOptions { dry_run: false };

/// A making with three snapshots on each other, of which each block of the disk shows the latest
/// that wrote it: 3, 2, 1.
fn three_snapshots(store: &Store) -> (Making, [Snapshot; 3]) {
    let making = store.make("image", DISK, Replace::Refuse).unwrap();
    let snapshots = [1, 2, 3].map(|byte| {
        fill(making.volume(), 0, 4 - u64::from(byte), byte);
        freeze(making.volume())
    });
    (making, snapshots)
}

fn give(making: Making, snapshot: &Snapshot) {
    let (volume, tag) = making.into_parts();
    let top = volume.layer_id();
    drop(volume);
    tag.give(snapshot, top).unwrap();
}

/// The files of layers and their marks.
fn files_of_layers(host: &Arc<dyn Host>) -> usize {
    host.list(paths::LAYERS.as_ref()).unwrap().len()
}

#[test]
fn what_was_being_made_is_an_orphan_also_once_it_is_frozen() {
    let (host, store) = memory();
    let making = store.make("image", DISK, Replace::Refuse).unwrap();
    fill(making.volume(), 0, 4, 1);
    making.volume().flush().unwrap();
    assert!(store.collect(&REAL).unwrap().freed.is_empty(), "its maker is at work");
    let frozen = freeze(making.volume());
    assert!(store.collect(&REAL).unwrap().freed.is_empty(), "its maker holds a lease");
    // The maker stops here, without a name for what it made.
    drop((making, frozen));
    assert!(store.names().unwrap().is_empty());
    let outside = reopened(&host);
    assert_eq!(outside.collect(&REAL).unwrap().freed.len(), 2);
    assert_eq!(files_of_layers(&host), 0);

    let making = store.make("image", DISK, Replace::Refuse).unwrap();
    fill(making.volume(), 0, 4, 2);
    let snapshot = making.finish(&Annotations::default()).unwrap();
    outside.collect(&REAL).unwrap();
    assert_eq!(outside.resolve("image").unwrap().layer, snapshot.layer_id());
    assert_eq!(byte_of(&outside.snapshot_of("image").unwrap(), 3), 2);
    assert_eq!(files_of_layers(&host), 1);
}

#[test]
fn several_snapshots_of_a_making_stay_or_go_together() {
    let (host, store) = memory();
    let (making, snapshots) = three_snapshots(&store);
    drop(snapshots);
    // Nobody has the lower ones open; their maker is at work.
    let outside = reopened(&host);
    assert_eq!(outside.collect(&REAL).unwrap(), outside.collect(&REAL).unwrap());
    assert_eq!(files_of_layers(&host), 8, "four layers with their marks");
    outside.discard_unfinished().unwrap();
    assert_eq!([0, 1, 2].map(|block| byte_in(making.volume(), block)), [3, 2, 1]);
    // It stops without a name.
    drop(making);
    outside.discard_unfinished().unwrap();
    assert_eq!(files_of_layers(&host), 0);

    let (making, snapshots) = three_snapshots(&store);
    give(making, &snapshots[2]);
    assert_eq!(files_of_layers(&host), 3, "no mark is left");
    drop(snapshots);
    outside.discard_unfinished().unwrap();
    outside.collect(&REAL).unwrap();
    let history = |reference| byte_of(&outside.snapshot_of(reference).unwrap(), 0);
    assert_eq!(["image", "image@1", "image@2"].map(history), [3, 2, 1]);
    store.remove("image").unwrap();
    outside.discard_unfinished().unwrap();
    assert_eq!(files_of_layers(&host), 3, "what was removed is for a collection");
    outside.collect(&REAL).unwrap();
    assert_eq!(files_of_layers(&host), 0);
}

#[test]
fn what_others_stand_on_is_not_discarded_with_what_failed() {
    let (host, store) = memory();
    let (making, snapshots) = three_snapshots(&store);
    let middle = snapshots[1].layer_id().to_string();
    let other = store.make_on(&middle, "other", Replace::Refuse).unwrap();
    drop((making, snapshots));
    store.discard_unfinished().unwrap();
    assert_eq!(files_of_layers(&host), 6, "two layers and the top of the other, with marks");
    other.finish(&Annotations::default()).unwrap();
    store.collect(&REAL).unwrap();
    assert_eq!(files_of_layers(&host), 3);
    let history = |reference| byte_of(&store.snapshot_of(reference).unwrap(), 1);
    assert_eq!(["other", "other@1", "other@2"].map(history), [2, 2, 1]);
}

#[test]
fn after_a_power_cut_all_snapshots_of_a_making_are_there_or_none() {
    let disk = CrashDisk::new();
    let host: Arc<dyn Host> = disk.host();
    let store = store_on(&host);
    let begin = disk.log_len();
    let (making, snapshots) = three_snapshots(&store);
    give(making, &snapshots[2]);
    let given = disk.log_len();
    let policy = Policy { exhaustive_max: 10, samples: 40, seed: 1 };
    let mut seen = std::collections::BTreeSet::new();
    for point in begin..=given {
        for state in disk.states_at(point, &policy) {
            if !seen.insert(state.fingerprint()) && point < given {
                continue;
            }
            let host: Arc<dyn Host> = state.host();
            expect_no_damage(&host);
            let store = reopened(&host);
            let is_named = !store.names().unwrap().is_empty();
            assert!(is_named || point < given, "{}", state.describe());
            store.collect(&REAL).unwrap_or_else(|error| panic!("{error}\n{}", state.describe()));
            let files = files_of_layers(&host);
            assert_eq!(files, if is_named { 3 } else { 0 }, "{}", state.describe());
            if is_named {
                let history = |reference| byte_of(&store.snapshot_of(reference).unwrap(), 0);
                assert_eq!(["image", "image@1", "image@2"].map(history), [3, 2, 1]);
            }
        }
    }
    assert!(seen.len() > 200, "{}", seen.len());
}

#[test]
fn a_collection_cut_short_leaves_no_part_of_what_was_unfinished() {
    let disk = CrashDisk::new();
    let host: Arc<dyn Host> = disk.host();
    let store = store_on(&host);
    drop(three_snapshots(&store));
    // Finished, with the marks that a crash may have left: they go before what shows it.
    let (making, snapshots) = three_snapshots(&store);
    let kept = snapshots[1].layer_id();
    give(making, &snapshots[2]);
    host.open(&paths::making(kept), OpenMode::CreateNew).unwrap();
    host.sync_folder(paths::LAYERS.as_ref()).unwrap();
    drop(snapshots);
    store.tag("image@1", "kept", Replace::Refuse).unwrap();
    host.open(&paths::making(kept), OpenMode::CreateNew).unwrap();
    host.sync_folder(paths::LAYERS.as_ref()).unwrap();
    store.remove("image").unwrap();
    drop(store);
    let begin = disk.log_len();
    reopened(&host).collect(&REAL).unwrap();
    let policy = Policy { exhaustive_max: 12, samples: 40, seed: 2 };
    for point in begin..=disk.log_len() {
        for state in disk.states_at(point, &policy) {
            let host: Arc<dyn Host> = state.host();
            let store = reopened(&host);
            store.collect(&REAL).unwrap();
            assert_eq!(files_of_layers(&host), 2, "{}", state.describe());
            let history = |reference| byte_of(&store.snapshot_of(reference).unwrap(), 0);
            assert_eq!(["kept", "kept@1"].map(history), [2, 1]);
        }
    }
}

/// A making whose tag went on to another snapshot, and a mark on the lowest of its snapshots as a
/// crash may have left it: what keeps the three is that nobody removed them.
fn three_without_a_tag(host: &Arc<dyn Host>, store: &Store) -> [LayerId; 3] {
    let (making, snapshots) = three_snapshots(store);
    give(making, &snapshots[2]);
    let other = store.make("other", DISK, Replace::Refuse).unwrap();
    drop(other.finish(&Annotations::default()).unwrap());
    store.tag("other", "image", Replace::Move).unwrap();
    let ids = snapshots.each_ref().map(Snapshot::layer_id);
    mark(host, ids[0]);
    ids
}

fn mark(host: &Arc<dyn Host>, id: LayerId) {
    host.open(&paths::making(id), OpenMode::CreateNew).unwrap();
    host.sync_folder(paths::LAYERS.as_ref()).unwrap();
}

/// That a collection after a power cut anywhere since `begin` leaves the layer.
fn expect_to_stay(disk: &Arc<CrashDisk>, begin: usize, id: LayerId) {
    let policy = Policy { exhaustive_max: 12, samples: 40, seed: 3 };
    for point in begin..=disk.log_len() {
        for state in disk.states_at(point, &policy) {
            let host: Arc<dyn Host> = state.host();
            reopened(&host).collect(&REAL).unwrap();
            assert!(host.facts(&paths::layer(id)).is_ok(), "{}", state.describe());
        }
    }
}

/// A mark that a collection took away was once not gone for good while nothing else went.
#[test]
fn a_stale_mark_that_was_taken_away_does_not_come_back() {
    let disk = CrashDisk::new();
    let host: Arc<dyn Host> = disk.host();
    let store = store_on(&host);
    let [kept, middle, top] = three_without_a_tag(&host, &store);
    let begin = disk.log_len();
    store.collect(&REAL).unwrap();
    // What has shown the mark to be stale goes with the next collection.
    store.remove(&top.to_string()).unwrap();
    store.remove(&middle.to_string()).unwrap();
    store.collect(&REAL).unwrap();
    expect_to_stay(&disk, begin, kept);
}

/// It once counted as unfinished after a power cut between the tag's move and the mark's removal.
#[test]
fn what_a_tag_led_to_stays_while_it_moves_whatever_marks_a_crash_left() {
    let disk = CrashDisk::new();
    let host: Arc<dyn Host> = disk.host();
    let store = store_on(&host);
    let [.., top] = three_without_a_tag(&host, &store);
    store.tag(&top.to_string(), "image", Replace::Move).unwrap();
    mark(&host, top);
    let begin = disk.log_len();
    store.tag("other", "image", Replace::Move).unwrap();
    expect_to_stay(&disk, begin, top);
}

/// The mark of what was finished goes for good before anybody is told: once the tag has moved on,
/// nothing else shows that it was.
#[test]
fn what_was_finished_stays_when_its_tag_moves_on() {
    let disk = CrashDisk::new();
    let host: Arc<dyn Host> = disk.host();
    let store = store_on(&host);
    let other = store.make("other", DISK, Replace::Refuse).unwrap();
    drop(other.finish(&Annotations::default()).unwrap());
    let (making, snapshots) = three_snapshots(&store);
    give(making, &snapshots[2]);
    let begin = disk.log_len();
    store.tag("other", "image", Replace::Move).unwrap();
    for snapshot in snapshots {
        expect_to_stay(&disk, begin, snapshot.layer_id());
    }
}

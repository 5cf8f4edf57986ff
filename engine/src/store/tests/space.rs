//! Removing, usage, and what comes back.

use super::*;
use crate::ErrorKind;
use crate::medium::OpenMode;
use crate::store::{GcOptions, Removal, Replace, paths};
use crate::testing::CapacityHost;
use crate::units::LayerId;
use crate::volume::CloneSource;

const DRY: GcOptions = GcOptions { dry_run: true };
const REAL: GcOptions = GcOptions { dry_run: false };

#[test]
fn removing_a_volume_takes_the_snapshots_that_no_other_name_holds() {
    let (_, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    let mut ids = Vec::new();
    for byte in 1..=4 {
        fill(&volume, 0, 4, byte);
        ids.push(freeze(&volume).layer_id());
    }
    let top = volume.layer_id();
    volume.close().unwrap();
    store.tag("web@3", "kept", Replace::Refuse).unwrap();
    let report = store.remove("web").unwrap();
    assert_eq!(report.name.as_deref(), Some("web"));
    assert_eq!((report.snapshots, report.top), (vec![ids[3], ids[2]], Some(top)));
    assert_eq!(store.resolve("web").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(byte_of(&store.snapshot_of("kept").unwrap(), 0), 2);
    assert_eq!(byte_of(&store.snapshot_of("kept@1").unwrap(), 0), 1);
    let freed = store.collect(&REAL).unwrap();
    let mut gone: Vec<_> = freed.freed.iter().map(|(id, _)| *id).collect();
    gone.sort_unstable();
    let mut expected = vec![ids[2], ids[3]];
    expected.sort_unstable();
    assert_eq!(gone, expected);
    // The last name takes its history along.
    assert_eq!(store.remove("kept").unwrap().snapshots, [ids[1], ids[0]]);
    store.collect(&REAL).unwrap();
    assert!(store.layers().unwrap().is_empty());
}

#[test]
fn untagging_keeps_what_is_in_the_history_of_a_volume() {
    let (_, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 1, 1);
    freeze(&volume);
    store.tag("web@1", "v1", Replace::Refuse).unwrap();
    store.tag("web@1", "v2", Replace::Refuse).unwrap();
    assert_eq!(store.remove("web@1").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(store.remove("v1").unwrap().snapshots.is_empty());
    assert!(store.remove("v2").unwrap().snapshots.is_empty());
    store.snapshot_of("web@1").unwrap();
    assert_eq!(store.remove("web@0").unwrap_err().kind(), ErrorKind::InvalidInput);
    store.remove("web@1").unwrap();
    assert_eq!(store.snapshot_of("web@1").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(byte_in(&volume, 0), 1);
}

#[test]
fn space_comes_back_from_the_middle_of_a_chain_and_usage_told_so_before() {
    let (_folder, host, store) = files();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 48, 1);
    freeze(&volume);
    fill(&volume, 0, 32, 2);
    let middle = freeze(&volume).layer_id();
    fill(&volume, 0, 30, 3);
    freeze(&volume);
    fill(&volume, 60, 1, 4);
    volume.flush().unwrap();
    store.remove("web@2").unwrap();
    let dry = store.collect(&DRY).unwrap();
    let middle_allocated = || host.facts(&paths::layer(middle)).unwrap().allocated_bytes;
    let before = middle_allocated();
    let report = store.collect(&REAL).unwrap();
    assert_eq!(report, dry);
    assert_eq!(report.thinned.len(), 1);
    let (id, bytes) = report.thinned[0];
    assert_eq!(id, middle);
    // 30 of its 32 blocks are hidden.
    assert!(bytes >= 30 * BLOCK as u64, "{bytes}");
    assert_eq!(before - middle_allocated(), bytes);
    let expected = [(0, 3), (29, 3), (30, 2), (31, 2), (32, 1), (47, 1), (48, 0), (60, 4)];
    for store in [&store, &reopened(&host)] {
        for (block, byte) in expected {
            assert_eq!(byte_of(&store.snapshot_of("web").unwrap(), block), byte, "{block}");
            assert_eq!(byte_in(&volume, block), byte, "{block}");
        }
    }
    store.seal("web@1").unwrap();
    assert!(store.layer(middle).unwrap().thinned);
}

#[test]
fn exclusive_bytes_are_what_removing_frees() {
    let (_, store) = memory();
    let base = store.create_volume("base", DISK).unwrap();
    fill(&base, 0, 40, 1);
    freeze(&base);
    let one = store.fork("base@1", "one").unwrap();
    fill(&one, 0, 20, 2);
    freeze(&one);
    fill(&one, 0, 5, 3);
    one.close().unwrap();
    store.fork("base@1", "two").unwrap().close().unwrap();
    base.close().unwrap();
    let total = |store: &Store| store.usage().unwrap();
    let before = total(&store);
    assert_eq!(before.allocated_bytes, before.exclusive_bytes + before.shared_bytes);
    assert_eq!((before.volumes, before.tags, before.unnamed_bytes), (3, 0, 0));
    assert_eq!(before.virtual_bytes, 3 * DISK);
    let usage = store.usage_of("one").unwrap();
    assert_eq!(usage.virtual_bytes, DISK);
    assert_eq!(usage.allocated_bytes, usage.exclusive_bytes + usage.shared_bytes);
    assert!(usage.exclusive_bytes >= 25 * BLOCK as u64 && usage.shared_bytes >= 40 * BLOCK as u64);
    store.remove("one").unwrap();
    store.collect(&REAL).unwrap();
    assert_eq!(before.allocated_bytes - total(&store).allocated_bytes, usage.exclusive_bytes);
    let nothing = store.usage_of("two").unwrap();
    let base = store.usage_of("base@1").unwrap();
    // The others still stand on it, and see all of it.
    assert_eq!(base.exclusive_bytes, 0);
    assert!(nothing.exclusive_bytes < 10 * BLOCK as u64);
}

/// That all names at once are told what each by itself is.
fn expect_same_usage(store: &Store, when: &str) {
    let names = store.names().unwrap().into_iter().map(|entry| entry.name);
    let each: Vec<_> =
        names.map(|name| (name.clone(), Ok(store.usage_of(&name).unwrap()))).collect();
    assert_eq!(store.usage_of_names().unwrap().names, each, "{when}");
}

#[test]
fn all_names_at_once_take_what_each_by_itself_takes() {
    let (_folder, host, store) = files();
    let volume = store.create_volume("web", DISK).unwrap();
    for byte in 1..=5 {
        fill(&volume, byte.into(), 6 * u64::from(byte), byte);
        freeze(&volume);
    }
    expect_same_usage(&store, "one chain, which is open");
    store.tag("web@4", "old", Replace::Refuse).unwrap();
    store.tag("web@4", "old:again", Replace::Refuse).unwrap();
    let fork = store.fork("web@2", "fork").unwrap();
    fill(&fork, 3, 9, 6);
    fork.flush().unwrap();
    freeze(&fork);
    store.fork("web@2", "empty").unwrap().close().unwrap();
    expect_same_usage(&store, "forks and tags");
    let other = store.create_volume("other", DISK).unwrap();
    let lender = store.snapshot_of("fork@1").unwrap();
    other.clone_range(CloneSource::Snapshot(&lender), 0, 0, 12 * BLOCK as u64).unwrap();
    other.flush().unwrap();
    expect_same_usage(&store, "blocks that are shared");
    store.remove("web@3").unwrap();
    store.remove("web@1").unwrap();
    expect_same_usage(&store, "removed snapshots");
    store.collect(&REAL).unwrap();
    expect_same_usage(&store, "thinned layers");
    let held = store.snapshot_of("web@1").unwrap();
    fork.close().unwrap();
    store.remove("fork").unwrap();
    expect_same_usage(&store, "a lender without a name");
    drop((volume, lender, held));
    store.remove("old:again").unwrap();
    expect_same_usage(&store, "all closed");
    store.collect(&REAL).unwrap();
    expect_same_usage(&reopened(&host), "collected again");
    let flat = store.create_volume("flat", DISK).unwrap();
    fill(&flat, 0, 8, 7);
    freeze(&flat);
    store.tag("flat@1", "flat:1", Replace::Refuse).unwrap();
    flat.close().unwrap();
    store.remove("flat").unwrap();
    expect_same_usage(&store, "a tag that holds its snapshot alone");
    let lender = store.snapshot_of("flat:1").unwrap();
    other.clone_range(CloneSource::Snapshot(&lender), 0, 0, 2 * BLOCK as u64).unwrap();
    other.flush().unwrap();
    drop(lender);
    expect_same_usage(&store, "a tag whose snapshot lends blocks");
    other.close().unwrap();
    store.remove("other").unwrap();
    let fork = store.fork("flat:1", "lost").unwrap();
    let top = fork.layer_id();
    fork.close().unwrap();
    host.remove(&paths::layer(top)).unwrap();
    let usage = store.usage_of("flat:1").unwrap();
    assert_eq!(usage.exclusive_bytes, 0, "a volume whose top is lost goes on from it");
    let all = store.usage_of_names().unwrap();
    assert!(all.names.contains(&("flat:1".to_owned(), Ok(usage))));
    assert_eq!(all.lost.keys().copied().collect::<Vec<_>>(), [top]);
}

#[test]
fn what_several_names_need_and_what_goes_with_them() {
    let (_folder, _, store) = files();
    let base = store.create_volume("base", DISK).unwrap();
    fill(&base, 0, 40, 1);
    let bottom = freeze(&base).layer_id();
    base.close().unwrap();
    for name in ["one", "two"] {
        let fork = store.fork("base@1", name).unwrap();
        fill(&fork, 0, 20, 2);
        freeze(&fork);
        fork.close().unwrap();
    }
    let shared = store.snapshot_of("one@1").unwrap();
    let third = store.create_volume("third", DISK).unwrap();
    let bytes = 4 * BLOCK as u64;
    third.clone_range(CloneSource::Snapshot(&shared), 0, 0, bytes).unwrap();
    freeze(&third);
    third.close().unwrap();

    let holdings = store.holdings().unwrap();
    let history = |name: usize| holdings.history(holdings.names[name].tip).collect::<Vec<_>>();
    let named = |name: usize| {
        let lenders = history(name).into_iter().map(|id| holdings.layers[&id].lenders.len());
        (holdings.names[name].name.name.as_str(), history(name).len(), lenders.sum::<usize>())
    };
    let expected = [("base", 2, 0), ("one", 3, 0), ("third", 2, 1), ("two", 3, 0)];
    assert_eq!([0, 1, 2, 3].map(named), expected);
    assert_eq!(history(1)[2], bottom);
    let lender = shared.layer_id();
    assert_eq!(holdings.layers[&history(2)[1]].lenders, [lender]);
    // The snapshot that is open, and what it stands on.
    assert_eq!(holdings.in_use, [lender, bottom].into());
    let allocated: u64 = holdings.layers.values().map(|layer| layer.allocated_bytes).sum();
    assert_eq!(allocated, store.usage().unwrap().allocated_bytes);

    drop(shared);
    // Together they free what each alone would leave to the other.
    let names = ["base", "one", "two"].map(str::to_owned);
    let removal = Removal { names: names.clone().into(), ..Removal::default() };
    let told = store.would_free(&removal).unwrap();
    for name in &names {
        store.remove(name).unwrap();
    }
    store.collect(&REAL).unwrap();
    assert_eq!(told.freed_bytes(), allocated - store.usage().unwrap().allocated_bytes);
    assert_eq!((told.freed.len(), told.thinned.len()), (5, 1), "{told:?}");
    assert_eq!(byte_of(&store.snapshot_of("third").unwrap(), 3), 2);
    let nothing = Removal { names: ["no such name".to_owned()].into(), ..Removal::default() };
    assert_eq!(store.would_free(&nothing).unwrap_err().kind(), ErrorKind::InvalidInput);
    let nothing = Removal { names: ["none".to_owned()].into(), ..Removal::default() };
    assert_eq!(store.would_free(&nothing).unwrap_err().kind(), ErrorKind::NotFound);
}

/// What others stand on beside an open view of it counted as shared, with nobody.
#[test]
fn a_removed_snapshot_that_is_open_changes_nothing_of_what_a_name_takes() {
    let (_folder, _, store) = files();
    let volume = store.create_volume("web", DISK).unwrap();
    for byte in 1..=4 {
        fill(&volume, 0, 60, byte);
        freeze(&volume);
    }
    volume.flush().unwrap();
    let held = store.snapshot_of("web@3").unwrap();
    let before = store.usage_of("web").unwrap();
    assert_eq!(before.shared_bytes, 0);
    store.remove("web@3").unwrap();
    let removed = store.usage_of("web").unwrap();
    let of_names = |store: &Store| store.usage_of_names().unwrap().names;
    let told = of_names(&store);
    let removal = Removal { names: ["web".to_owned()].into(), ..Removal::default() };
    let would_free = store.would_free(&removal).unwrap();
    drop(held);
    assert_eq!(store.usage_of("web").unwrap(), removed);
    assert_eq!(of_names(&store), told);
    assert_eq!(told, [("web".to_owned(), Ok(removed))]);
    assert_eq!(store.would_free(&removal).unwrap(), would_free);
    assert_eq!(would_free.freed_bytes(), before.exclusive_bytes);
}

#[test]
fn an_open_view_of_a_removed_snapshot_keeps_it_until_it_is_dropped() {
    let (_folder, host, store) = files();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 8, 1);
    let snapshot = freeze(&volume);
    volume.close().unwrap();
    let outside = reopened(&host);
    outside.remove("web").unwrap();
    assert_eq!(outside.collect(&REAL).unwrap().freed, []);
    assert_eq!(byte_of(&snapshot, 7), 1);
    // What is open can be forked, and named, though it was removed.
    drop(store.fork_snapshot(&snapshot, "again").unwrap());
    let id = snapshot.layer_id();
    drop(snapshot);
    assert_eq!(outside.collect(&REAL).unwrap().freed, []);
    outside.remove("again").unwrap();
    assert_eq!(outside.collect(&REAL).unwrap().freed[0].0, id);
}

#[test]
fn orphans_go_and_what_is_at_work_stays() {
    let (host, store) = memory();
    // A fork whose name was lost: its top is an orphan once nobody holds it.
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 1, 1);
    let name = crate::store::Name::new("web").unwrap();
    host.remove(&paths::name(paths::NameFile::Fresh, &name)).unwrap();
    let outside = reopened(&host);
    let before = outside.collect(&DRY).unwrap();
    assert!(before.freed.is_empty(), "its writer is at work");
    let top = volume.layer_id();
    drop(volume);
    assert_eq!(outside.collect(&REAL).unwrap().freed[0].0, top);
    // Files written aside, and one that was made and never written.
    let aside = paths::name_aside(&name, top);
    host.open(&aside, crate::medium::OpenMode::CreateNew).unwrap();
    host.open(&paths::layer(top), crate::medium::OpenMode::CreateNew).unwrap();
    let report = outside.collect(&REAL).unwrap();
    assert_eq!((report.freed.len(), report.other_files), (1, 1));
    assert!(store.layers().unwrap().is_empty());
}

#[test]
fn a_layer_that_cannot_be_sealed_stays_whole_and_the_rest_is_freed() {
    let (host, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 8, 1);
    let rotten = freeze(&volume).layer_id();
    fill(&volume, 0, 4, 2);
    freeze(&volume);
    let other = store.create_volume("other", DISK).unwrap();
    fill(&other, 0, 4, 3);
    let gone = freeze(&other).layer_id();
    other.close().unwrap();
    store.remove("web@2").unwrap();
    store.remove("other").unwrap();
    let layer = host.open(&paths::layer(rotten), crate::medium::OpenMode::ReadWrite).unwrap();
    let mut bytes = vec![0; layer.facts().unwrap().length as usize];
    layer.read_at(0, &mut bytes).unwrap();
    let data = bytes.chunks(BLOCK).position(|block| block == [1; BLOCK]).unwrap();
    layer.write_at((data * BLOCK) as u64 + 9, &[0]).unwrap();
    let store = reopened(&host);
    assert_eq!(store.collect(&REAL).unwrap_err().kind(), ErrorKind::Corrupt);
    let header = store.layer(rotten).unwrap();
    assert!(!header.thinned && header.digest.is_none());
    assert_eq!(store.layer(gone).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn indexes_of_layers_that_are_gone_and_files_written_aside_are_litter() {
    let (host, store) = memory();
    let stale = paths::index(LayerId([9; 16]));
    let aside = Path::new(paths::INDEX).join(".x.tmp");
    for file in [&stale, &aside] {
        host.open(file, OpenMode::CreateNew).unwrap();
    }
    assert_eq!(store.collect(&REAL).unwrap().other_files, 2);
    assert!(host.list(paths::INDEX.as_ref()).unwrap().is_empty());
}

/// A host that has no room for all it was asked for may have made the file longer all the same, and a frozen
/// one is as long as its header says.
#[test]
fn a_volume_that_met_a_full_host_is_frozen_as_long_as_its_file_is() {
    for opened_between in [false, true] {
        let capacity = CapacityHost::new(Arc::new(MemoryHost::new()), 1 << 30);
        let host: Arc<dyn Host> = capacity.clone();
        let store = store_on(&host);
        let mut volume = store.create_volume("web", 16 << 20).unwrap();
        fill(&volume, 0, 100, 1);
        volume.flush().unwrap();
        capacity.set_capacity(capacity.used() + (64 << 10));
        let path = paths::layer(volume.layer_id());
        let length = host.facts(&path).unwrap().length;
        fill(&volume, 1000, 1000, 2);
        assert_eq!(volume.flush().unwrap_err().kind(), ErrorKind::NoSpace);
        let longer = host.facts(&path).unwrap().length;
        assert!(longer > length && !longer.is_multiple_of(BLOCK as u64), "{length}, {longer}");
        volume.discard(1000 * BLOCK as u64, 1000 * BLOCK as u64).unwrap();
        capacity.set_capacity(1 << 30);
        volume.flush().unwrap();
        if opened_between {
            volume.close().unwrap();
            volume = store.open_volume("web").unwrap();
        }
        let snapshot = freeze(&volume);
        assert_eq!((byte_of(&snapshot, 99), byte_of(&snapshot, 1000)), (1, 0));
        assert!(host.facts(&path).unwrap().length >= longer, "no file that may be mapped shrinks");
        volume.close().unwrap();
        expect_no_damage(&host);
        assert_eq!(byte_in(&reopened(&host).open_volume("web").unwrap(), 99), 1);
    }
}

//! What is left where a change of names stops half-way.

use super::*;
use crate::ErrorKind;
use crate::format::NameEntry;
use crate::medium::OpenMode;
use crate::store::paths::{self, NameFile};
use crate::store::{GcOptions, Name, Replace, ResolvedKind, names};
use crate::testing::{CrashDisk, Policy};
use crate::units::LayerId;

fn web() -> Name {
    Name::new("web").unwrap()
}

/// A volume with one snapshot, and the entry of its name before and after that was taken.
fn grown() -> (Arc<dyn Host>, Store, NameEntry, NameEntry) {
    let (host, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 1, 1);
    volume.flush().unwrap();
    let before = names::read(&*host, &web()).unwrap().unwrap();
    assert!(before.is_durable());
    freeze(&volume);
    volume.close().unwrap();
    let after = names::read(&*host, &web()).unwrap().unwrap().entry;
    (host, store, before.entry, after)
}

#[test]
fn a_name_whose_layer_was_frozen_goes_on_from_it() {
    let (host, _, before, after) = grown();
    // The name did not arrive; the top that was made for it is an orphan.
    names::write(&*host, &web(), &before).unwrap();
    let store = reopened(&host);
    assert_eq!(store.resolve("web@1").unwrap().layer, before.top);
    assert_eq!(byte_of(&store.snapshot_of("web").unwrap(), 0), 1);
    let report = store.collect(&GcOptions::default()).unwrap();
    assert_eq!(report.freed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [after.top]);
    let volume = store.open_volume("web").unwrap();
    assert!(volume.recovery().fresh_top);
    assert_eq!(volume.parent().unwrap().id, before.top);
    assert_eq!(byte_in(&volume, 0), 1);
}

#[test]
fn only_a_name_that_was_never_durable_goes_on_from_its_parent_where_its_top_is_lost() {
    type Loss = fn(&dyn Host, &std::path::Path);
    let losses: [Loss; 4] = [
        |host, top| host.remove(top).unwrap(),
        |host, top| {
            host.remove(top).unwrap();
            host.open(top, OpenMode::CreateNew).unwrap();
        },
        |host, top| host.open(top, OpenMode::ReadWrite).unwrap().set_length(8191).unwrap(),
        // What the device held before, as a fork has it that was never flushed.
        |host, top| {
            host.open(top, OpenMode::ReadWrite).unwrap().write_at(0, &[0x5a; 8192]).unwrap();
        },
    ];
    for lose in losses {
        let (host, _, before, after) = grown();
        lose(&*host, &paths::layer(after.top));
        // Of a name that is durable the top was, too: what became of it since is damage. It was
        // taken for a top that was never synced, and all that was acknowledged in it was gone.
        let store = reopened(&host);
        assert_eq!(store.snapshot_of("web").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(store.open_volume("web").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(byte_of(&store.snapshot_of("web@1").unwrap(), 0), 1);
        let path = |file| paths::name(file, &web());
        host.rename(&path(NameFile::Volume), &path(NameFile::Fresh)).unwrap();
        let store = reopened(&host);
        assert_eq!(byte_of(&store.snapshot_of("web").unwrap(), 0), 1);
        assert_eq!(store.resolve("web@1").unwrap().layer, before.top);
        assert!(store.layers().unwrap().len() <= 2);
        store.collect(&GcOptions::default()).unwrap();
        let volume = store.open_volume("web").unwrap();
        assert_eq!(volume.parent().unwrap().id, before.top);
        assert_eq!(byte_in(&volume, 0), 1);
        volume.close().unwrap();
        store.collect(&GcOptions::default()).unwrap();
        assert_eq!(store.layers().unwrap().len(), 2, "the lost top is collected");
    }
}

#[test]
fn a_volume_of_which_nothing_was_made_durable_is_not_found_and_can_be_removed() {
    let (host, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    let top = volume.layer_id();
    drop(volume);
    host.remove(&paths::layer(top)).unwrap();
    let store = reopened(&host);
    assert_eq!(store.open_volume("web").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.snapshot_of("web").unwrap_err().kind(), ErrorKind::NotFound);
    store.remove("web").unwrap();
    store.create_volume("web", DISK).unwrap();
}

#[test]
fn a_collection_that_stopped_between_mark_and_punch_is_finished_by_the_next() {
    let (host, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 8, 1);
    let middle = freeze(&volume).layer_id();
    fill(&volume, 0, 6, 2);
    freeze(&volume);
    store.seal("web@1").unwrap();
    store.remove("web@2").unwrap();
    let dry = store.collect(&GcOptions { dry_run: true }).unwrap();
    assert_eq!(dry.thinned.len(), 1);
    crate::store::collect::change_header(&*host, middle, "mark", |header| header.thinned = true)
        .unwrap();
    let store = reopened(&host);
    let report = store.collect(&GcOptions::default()).unwrap();
    assert_eq!(report.thinned, dry.thinned);
    assert_eq!((byte_in(&volume, 5), byte_in(&volume, 6)), (2, 1));
}

#[test]
fn a_mark_of_what_was_finished_does_no_harm() {
    let (host, store) = memory();
    let making = store.make("image", DISK, Replace::Refuse).unwrap();
    fill(making.volume(), 0, 1, 1);
    let id = making.finish(&Annotations::default()).unwrap().layer_id();
    let mark = |id: LayerId| {
        host.open(&paths::making(id), OpenMode::CreateNew).unwrap();
    };
    // A crash between the tag and the end of the mark.
    mark(id);
    let dry = store.collect(&GcOptions { dry_run: true }).unwrap();
    assert_eq!((dry.freed.len(), dry.other_files), (0, 1));
    // The tag moves on: what it stood for stays, as a snapshot without a name.
    let volume = store.fork("image", "web").unwrap();
    fill(&volume, 0, 1, 2);
    freeze(&volume);
    store.tag("web@1", "image", crate::store::Replace::Move).unwrap();
    volume.close().unwrap();
    store.collect(&GcOptions::default()).unwrap();
    assert_eq!(byte_of(&store.snapshot_of(&id.to_string()).unwrap(), 0), 1);
    assert!(store.collect(&GcOptions::default()).unwrap().freed.is_empty());
}

/// What the name `web` is, and the byte in its first block.
fn hand(host: &Arc<dyn Host>) -> Option<(ResolvedKind, u8)> {
    let store = reopened(host);
    match store.resolve("web") {
        Ok(resolved) if resolved.kind == ResolvedKind::Volume => {
            let volume = store.open_volume("web").unwrap();
            Some((resolved.kind, byte_in(&volume, 0)))
        }
        Ok(resolved) => Some((resolved.kind, byte_of(&store.snapshot_of("web").unwrap(), 0))),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{error}"),
    }
}

fn take(store: &Store, kind: ResolvedKind) {
    match kind {
        ResolvedKind::Volume => {
            let volume = store.fork("base", "web").unwrap();
            fill(&volume, 0, 1, 2);
            volume.flush().unwrap();
        }
        _ => store.tag("base", "web", Replace::Refuse).unwrap(),
    }
}

/// The removal of a name is killed anywhere, something of the other kind takes the name, the power
/// goes anywhere: one of the two is there, whole, or neither; and once it is removed, neither is.
#[test]
fn a_name_that_changes_hands_is_one_thing_after_any_crash() {
    let policy = Policy { exhaustive_max: 10, samples: 10, seed: 1 };
    let kinds = [ResolvedKind::Tag, ResolvedKind::Volume];
    for (before, after) in [(kinds[0], kinds[1]), (kinds[1], kinds[0])] {
        let content = |kind| if kind == ResolvedKind::Tag { 1 } else { 2 };
        let disk = CrashDisk::new();
        let host: Arc<dyn Host> = disk.host();
        let store = store_on(&host);
        let making = store.make("base", DISK, Replace::Refuse).unwrap();
        fill(making.volume(), 0, 1, 1);
        making.finish(&Annotations::default()).unwrap();
        take(&store, before);
        let begin = disk.log_len();
        store.remove("web").unwrap();
        let mut of_both = std::collections::HashMap::new();
        for killed in begin..=disk.log_len() {
            let disk = disk.killed_at(killed);
            let host: Arc<dyn Host> = disk.host();
            if hand(&host).is_some() {
                continue;
            }
            let begin = disk.log_len();
            take(&reopened(&host), after);
            for point in begin..=disk.log_len() {
                for state in disk.states_at(point, &policy) {
                    let host: Arc<dyn Host> = state.host();
                    expect_no_damage(&host);
                    let files = [NameFile::Tag, NameFile::Volume];
                    let files = files.map(|file| host.facts(&paths::name(file, &web())).is_ok());
                    let now = hand(&host);
                    let whole = now.is_none_or(|(kind, byte)| {
                        byte == content(kind) || (kind == after && byte == 1)
                    });
                    assert!(whole, "{now:?}\n{}", state.describe());
                    if point == disk.log_len() {
                        assert_eq!(now, Some((after, content(after))), "{}", state.describe());
                    }
                    if files == [true, true] {
                        of_both.insert(state.fingerprint(), state);
                    }
                }
            }
        }
        assert!(!of_both.is_empty(), "a crash leaves both");
        let first_collected = of_both.values().flat_map(|state| [(state, true), (state, false)]);
        for (state, is_collected) in first_collected {
            let disk = state.disk();
            let host: Arc<dyn Host> = disk.host();
            assert_eq!(hand(&host), Some((ResolvedKind::Tag, 1)));
            let begin = disk.log_len();
            let store = reopened(&host);
            if is_collected {
                store.collect(&GcOptions::default()).unwrap();
            }
            store.remove("web").unwrap();
            for point in begin..=disk.log_len() {
                for state in disk.states_at(point, &policy) {
                    let host: Arc<dyn Host> = state.host();
                    expect_no_damage(&host);
                    let now = hand(&host);
                    let is_tag = now == Some((ResolvedKind::Tag, 1));
                    assert!(is_tag || now.is_none(), "{now:?}\n{}", state.describe());
                }
            }
        }
    }
}

/// The writer before may have died before its sync: what it left in the cache alone is made durable
/// before anybody sees it.
#[test]
fn what_opening_shows_is_durable_before_it_is_shown() {
    let policy = Policy { exhaustive_max: 8, samples: 10, seed: 4 };
    let disk = CrashDisk::new();
    let host: Arc<dyn Host> = disk.host();
    let web = store_on(&host).create_volume("web", DISK).unwrap();
    fill(&web, 0, 1, 1);
    web.flush().unwrap();
    let begin = disk.log_len();
    fill(&web, 0, 1, 2);
    web.flush().unwrap();
    let mut shown = Vec::new();
    for killed in begin..=disk.log_len() {
        let disk = disk.killed_at(killed);
        let host: Arc<dyn Host> = disk.host();
        let web = reopened(&host).open_volume("web").unwrap();
        let byte = byte_in(&web, 0);
        for state in disk.states_at(disk.log_len(), &policy) {
            let again = reopened(&state.host()).open_volume("web").unwrap();
            assert_eq!(byte_in(&again, 0), byte, "killed at {killed}");
        }
        shown.push(byte);
    }
    shown.dedup();
    assert_eq!(shown, [1, 2]);
}

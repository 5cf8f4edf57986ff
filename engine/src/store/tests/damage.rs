//! What is lost or damaged is told, can be removed, and does not stand in the way of the rest.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::{DISK, byte_in, byte_of, files, fill, freeze, memory, reopened};
use crate::ErrorKind;
use crate::medium::{Host, OpenMode};
use crate::store::paths::{self, NameFile};
use crate::store::{GcOptions, GivenUp, Name, Removal, Replace, Store};
use crate::units::LayerId;

const REAL: GcOptions = GcOptions { dry_run: false };

/// Two header slots, or the first page of a name, with a byte of each changed.
fn damage(host: &Arc<dyn Host>, path: &Path) {
    let medium = host.open(path, OpenMode::ReadWrite).unwrap();
    for slot in [0, 4096].into_iter().filter(|slot| *slot < medium.facts().unwrap().length) {
        let mut byte = [0];
        medium.read_at(slot + 100, &mut byte).unwrap();
        medium.write_at(slot + 100, &[byte[0] ^ 1]).unwrap();
    }
}

fn damage_layer(host: &Arc<dyn Host>, id: LayerId) {
    damage(host, &paths::layer(id));
}

/// A volume of this name with three snapshots, oldest first.
fn chain(store: &Store, name: &str) -> [LayerId; 3] {
    let volume = store.create_volume(name, super::DISK).unwrap();
    let ids = [1, 2, 3].map(|byte| {
        fill(&volume, u64::from(byte), 1, byte);
        freeze(&volume).layer_id()
    });
    fill(&volume, 4, 1, 4);
    volume.close().unwrap();
    ids
}

fn kept(store: &Store) -> BTreeSet<LayerId> {
    store.kept_snapshots().unwrap().into_iter().map(|snapshot| snapshot.id).collect()
}

#[test]
fn names_on_a_damaged_layer_go_and_once_it_is_given_up_a_collection_goes_on() {
    let (host, store) = memory();
    let sound = chain(&store, "sound");
    let [oldest, middle, newest] = chain(&store, "web");
    store.tag(&middle.to_string(), "middle", Replace::Refuse).unwrap();
    damage_layer(&host, middle);
    let store = reopened(&host);
    assert_eq!(store.collect(&REAL).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.usage().unwrap().lost, [middle].into());

    let named = store.give_up(&middle.to_string()).unwrap_err();
    assert_eq!(named.kind(), ErrorKind::InvalidInput, "{named}");
    let report = store.remove("middle").unwrap();
    assert_eq!((report.snapshots, report.lost), (vec![], vec![middle]));
    // What stands on the damaged one is known to be of this name alone.
    let report = store.remove("web").unwrap();
    assert_eq!((report.snapshots, report.lost), (vec![newest], vec![middle]));
    assert_eq!(store.collect(&REAL).unwrap_err().kind(), ErrorKind::Corrupt);

    for sound in [newest, oldest] {
        let refused = store.give_up(&sound.to_string()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    }
    let prefix = &middle.to_string()[..12];
    assert_eq!(store.give_up(prefix).unwrap(), GivenUp::Layer(middle));
    assert_eq!(store.give_up(prefix).unwrap_err().kind(), ErrorKind::NotFound);
    store.collect(&REAL).unwrap();
    assert_eq!(kept(&store), sound.into_iter().chain([oldest]).collect(), "nothing else went");
    store.remove(&oldest.to_string()).unwrap();
    store.collect(&REAL).unwrap();
    assert_eq!(kept(&store), sound.into());
    assert_eq!(byte_of(&store.snapshot_of("sound@1").unwrap(), 3), 3);
}

#[test]
fn a_layer_that_is_gone_holds_no_name() {
    let (host, store) = memory();
    let [oldest, middle, newest] = chain(&store, "web");
    store.fork(&newest.to_string(), "fork").unwrap().flush().unwrap();
    host.remove(&paths::layer(middle)).unwrap();
    let store = reopened(&host);
    let report = store.remove("web").unwrap();
    assert_eq!((report.snapshots, report.lost), (vec![], vec![]), "the fork holds all");
    let report = store.remove("fork").unwrap();
    assert_eq!((report.snapshots, report.lost), (vec![newest], vec![middle]));
    store.collect(&REAL).unwrap();
    assert_eq!(kept(&store), [oldest].into());
}

/// The other's history may hold any of them: what is below its end is not known. They were left for good
/// then, and nothing told of them.
#[test]
fn snapshots_wait_while_the_history_of_another_name_cannot_be_walked() {
    for is_found_again in [false, true] {
        let (host, store) = memory();
        let ours = chain(&store, "ours");
        let theirs = chain(&store, "theirs");
        // One that stands on ours, and is lost: it does not say so any more.
        let on_ours = store.fork(&ours[1].to_string(), "on").unwrap();
        let [lost, _] = [1, 2].map(|byte| {
            fill(&on_ours, 5, 1, byte);
            freeze(&on_ours).layer_id()
        });
        on_ours.close().unwrap();
        let aside = Path::new("aside");
        host.rename(&paths::layer(lost), aside).unwrap();
        let store = reopened(&host);
        let report = store.remove("ours").unwrap();
        let newest_first = [ours[2], ours[1], ours[0]];
        assert_eq!((report.snapshots, report.lost), (vec![], vec![]));
        assert_eq!((report.released, report.unknown), (newest_first.into(), vec![lost]));
        assert_eq!(store.resolve("ours").unwrap_err().kind(), ErrorKind::NotFound);
        for options in [GcOptions { dry_run: true }, REAL, REAL] {
            let report = store.collect(&options).unwrap();
            let held: Vec<_> = report.held_back.iter().map(|(id, _)| *id).collect();
            assert_eq!(held.iter().collect::<BTreeSet<_>>(), ours.iter().collect());
            assert_eq!(report.unknown, [lost].into());
            assert!(report.freed.is_empty(), "{report:?}");
        }
        assert!(ours.iter().all(|id| kept(&store).contains(id)));
        match is_found_again {
            true => {
                host.rename(aside, &paths::layer(lost)).unwrap();
                assert!(store.collect(&REAL).unwrap().held_back.is_empty());
                assert_eq!(byte_of(&store.snapshot_of("on@2").unwrap(), 2), 2);
                // What the fork stands on is held again, as if nothing had been; the rest went.
                let left = kept(&store);
                assert!(ours[..2].iter().all(|id| left.contains(id)), "{left:?}");
                assert!(!left.contains(&ours[2]), "{left:?}");
            }
            false => {
                store.remove("on").unwrap();
                let would: BTreeSet<_> = store
                    .collect(&GcOptions { dry_run: true })
                    .unwrap()
                    .freed
                    .into_iter()
                    .collect();
                let freed: BTreeSet<_> = store.collect(&REAL).unwrap().freed.into_iter().collect();
                assert_eq!(would, freed);
                assert!(
                    ours.iter().all(|id| freed.iter().any(|(gone, _)| gone == id)),
                    "{freed:?}"
                );
                assert_eq!(kept(&store), theirs.into());
            }
        }
        let marks = |file: &std::ffi::OsString| file.to_str().unwrap().ends_with(".released");
        assert!(!host.list(Path::new(paths::LAYERS)).unwrap().iter().any(marks));
        super::expect_no_damage(&host);
    }
}

/// What surely does not lie below a layer that is lost goes at once: all of a chain is of one kind, and what
/// a volume stands on is told by its name.
#[test]
fn snapshots_that_no_lost_layer_stands_on_go_at_once() {
    let (host, store) = memory();
    let theirs = chain(&store, "theirs");
    let tree = store.create_tree("tree").unwrap();
    fill(&tree, 1, 1, 1);
    let ours = freeze(&tree).layer_id();
    tree.close().unwrap();
    host.remove(&paths::layer(theirs[0])).unwrap();
    let store = reopened(&host);
    let report = store.remove("tree").unwrap();
    assert_eq!((report.snapshots, report.released), (vec![ours], vec![]));

    let (host, store) = memory();
    let ours = chain(&store, "ours");
    chain(&store, "theirs");
    let top = store.resolve("theirs").unwrap().layer;
    host.remove(&paths::layer(top)).unwrap();
    let store = reopened(&host);
    let report = store.remove("ours").unwrap();
    assert_eq!((report.snapshots.len(), report.released), (ours.len(), vec![]));
}

#[test]
fn a_damaged_name_is_given_up_and_its_snapshots_stay() {
    let (host, store) = memory();
    let snapshots = chain(&store, "web");
    let other = chain(&store, "other");
    let sound = store.give_up("web").unwrap_err();
    assert_eq!(sound.kind(), ErrorKind::InvalidInput, "{sound}");
    assert_eq!(store.give_up("wob").unwrap_err().kind(), ErrorKind::NotFound);
    let volume = NameFile::Volume;
    damage(&host, &paths::name(volume, &Name::new("web").unwrap()));
    let store = reopened(&host);
    assert_eq!(store.names().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.remove("other").unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.give_up("web").unwrap(), GivenUp::Name("web".into()));
    let names: Vec<_> = store.names().unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["other"]);
    store.collect(&REAL).unwrap();
    assert_eq!(kept(&store), snapshots.into_iter().chain(other).collect());
    let again = store.fork(&snapshots[2].to_string(), "web").unwrap();
    assert_eq!(byte_in(&again, 3), 3);
}

/// A name is what it is everywhere: as it is written first, and only then with `:latest`.
#[test]
fn what_is_sound_under_the_very_name_is_not_taken_for_another_that_is_damaged() {
    let (host, store) = memory();
    let [oldest, ..] = chain(&store, "web");
    store.tag(&oldest.to_string(), "web:latest", Replace::Refuse).unwrap();
    let file_of = |kind, name| paths::name(kind, &Name::new(name).unwrap());
    damage(&host, &file_of(NameFile::Tag, "web:latest"));
    let store = reopened(&host);
    assert_eq!(store.give_up("web").unwrap_err().kind(), ErrorKind::InvalidInput);
    damage(&host, &file_of(NameFile::Volume, "web"));
    assert_eq!(store.give_up("web").unwrap(), GivenUp::Name("web".into()));
    assert_eq!(store.give_up("web").unwrap(), GivenUp::Name("web:latest".into()));
    assert!(store.names().unwrap().is_empty());
}

#[test]
fn what_somebody_has_open_is_not_given_up() {
    let (_folder, host, store) = files();
    let [_, middle, _] = chain(&store, "web");
    let open = store.snapshot_of("web@2").unwrap();
    assert_eq!(open.layer_id(), middle);
    let elsewhere = reopened(&host);
    damage_layer(&host, middle);
    elsewhere.remove("web").unwrap();
    let locked = elsewhere.give_up(&middle.to_string()).unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Locked, "{locked}");
    drop((open, store));
    assert_eq!(elsewhere.give_up(&middle.to_string()).unwrap(), GivenUp::Layer(middle));
}

/// What is sound is told as it was before, and as it is once the damage is given up.
#[test]
fn what_the_sound_names_take_is_told_beside_damage() {
    let (_folder, host, store) = files();
    let sound = chain(&store, "sound");
    let [oldest, middle, newest] = chain(&store, "web");
    let below = store.tag(&oldest.to_string(), "below", Replace::Refuse);
    below.and_then(|()| store.tag(&newest.to_string(), "above", Replace::Refuse)).unwrap();
    let whole = store.usage_of_names().unwrap();
    assert!(whole.lost.is_empty());
    let of = |name: &str| whole.names.iter().find(|named| named.0 == name).unwrap().1.unwrap();
    damage_layer(&host, middle);
    let store = reopened(&host);

    let left = store.usage_of_names().unwrap();
    assert_eq!(left.lost.keys().copied().collect::<Vec<_>>(), [middle]);
    assert!(left.lost[&middle].damage.contains("read header slot"), "{left:?}");
    let lost = |name: &str| (name.to_owned(), Err(middle));
    let is_sound = |name: &str| (name.to_owned(), Ok(store.usage_of(name).unwrap()));
    assert_eq!(left.names, [lost("above"), is_sound("below"), is_sound("sound"), lost("web")]);
    assert_eq!(store.usage_of("sound").unwrap(), of("sound"));
    let [reference, snapshot] = [newest, sound[0]].map(|id| id.to_string());
    assert_eq!(store.usage_of(&reference).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(store.usage_of(&snapshot).unwrap().allocated_bytes > 0);
    assert_eq!(store.usage_of("web").unwrap_err().kind(), ErrorKind::Corrupt);

    let holdings = store.holdings().unwrap();
    let ends: Vec<_> = holdings.names.iter().map(|holding| holding.lost).collect();
    assert_eq!(ends, [Some(middle), None, None, Some(middle)]);
    assert!(holdings.lost[&middle].allocated_bytes > 0 && !holdings.layers.contains_key(&middle));
    let names = Removal { names: ["sound".to_owned()].into(), ..Removal::default() };
    let told = store.would_free(&names).unwrap().freed_bytes();
    assert_eq!(told, of("sound").exclusive_bytes);

    for name in ["above", "web"] {
        store.remove(name).unwrap();
    }
    store.give_up(&middle.to_string()).unwrap();
    store.collect(&REAL).unwrap();
    let now = store.usage_of_names().unwrap();
    assert_eq!(now.names, [is_sound("below"), is_sound("sound")]);
    assert_eq!(left.names[1..3], now.names);
}

/// As beside a damaged layer: a name that does not verify hides no other, and counts as given up.
#[test]
fn what_the_sound_names_take_is_told_beside_a_damaged_name() {
    for kind in [NameFile::Tag, NameFile::Volume] {
        let (_folder, host, store) = files();
        chain(&store, "sound");
        let [_, _, newest] = chain(&store, "web");
        let name = match kind {
            NameFile::Tag => "web:1",
            _ => "web",
        };
        store.tag(&newest.to_string(), "web:1", Replace::Refuse).unwrap();
        let whole = store.usage_of("sound").unwrap();
        damage(&host, &paths::name(kind, &Name::new(name).unwrap()));
        let store = reopened(&host);

        let left = store.names_left().unwrap();
        let sound: Vec<_> = left.names.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(sound, ["sound", if name == "web" { "web:1" } else { "web" }]);
        let [damaged] = &left.damaged[..] else { panic!("{left:?}") };
        assert_eq!((damaged.name.as_str(), damaged.kind), (name, kind.kind()));
        assert!(damaged.damage.contains("checksum"), "{}", damaged.damage);
        let tags = store.tags_left().unwrap();
        assert_eq!(tags.damaged.len(), usize::from(kind == NameFile::Tag));

        let usage = store.usage_of_names().unwrap();
        assert_eq!((&usage.damaged, usage.lost.len()), (&left.damaged, 0));
        assert_eq!(usage.names[0], ("sound".to_owned(), Ok(whole)));
        for (name, told) in &usage.names {
            assert_eq!(store.usage_of(name).unwrap(), told.unwrap());
        }
        assert_eq!(store.usage_of(name).unwrap_err().kind(), ErrorKind::Corrupt);
        let of_store = store.usage().unwrap();
        assert_eq!(of_store.damaged_names, left.damaged);
        assert_eq!(of_store.tags + of_store.volumes, 2);
        let holdings = store.holdings().unwrap();
        assert_eq!((&holdings.damaged_names, holdings.names.len()), (&left.damaged, 2));
        let told = store.would_free(&Removal::default()).unwrap().freed_bytes();

        // Nothing is taken as long as it is there.
        for refused in [store.collect(&REAL).map(drop), store.remove("sound").map(drop)] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert_eq!(store.give_up(name).unwrap(), GivenUp::Name(name.into()));
        assert_eq!(store.usage_of_names().unwrap().names, usage.names);
        let freed = store.collect(&REAL).unwrap().freed_bytes();
        assert_eq!((freed, freed > 0), (told, kind == NameFile::Volume));
        assert_eq!(kept(&store).len(), 6);
    }
}

/// A map that only a collection reads may be what is damaged: that of what stands on a removed layer.
#[test]
fn a_map_that_does_not_verify_hides_no_other_name() {
    let (_folder, host, store) = files();
    chain(&store, "sound");
    let [_, _, newest] = chain(&store, "web");
    store.remove("web@2").unwrap();
    let whole = store.usage_of("sound").unwrap();
    let path = paths::layer(newest);
    let medium = host.open(&path, OpenMode::ReadWrite).unwrap();
    let header = crate::layer::read_header(&*medium, &path).unwrap().header;
    let at = header.runs[0].place.byte_offset(header.block_size) + 100;
    let mut byte = [0];
    medium.read_at(at, &mut byte).unwrap();
    medium.write_at(at, &[byte[0] ^ 1]).unwrap();
    let store = reopened(&host);
    assert_eq!(store.collect(&REAL).unwrap_err().kind(), ErrorKind::Corrupt);
    let left = store.usage_of_names().unwrap();
    assert_eq!(left.lost.keys().copied().collect::<Vec<_>>(), [newest]);
    let expected = [("sound".to_owned(), Ok(whole)), ("web".to_owned(), Err(newest))];
    assert_eq!(left.names, expected);
    assert_eq!(store.usage_of("sound").unwrap(), whole);
    assert_eq!(store.usage_of("web").unwrap_err().kind(), ErrorKind::Corrupt);
    // And what a collection refuses beside can be given up, whatever of it is damaged.
    assert!(store.obstacles().unwrap().layers.keys().eq([&newest]));
    assert_eq!(store.give_up(&newest.to_string()).unwrap(), GivenUp::Layer(newest));
    store.collect(&REAL).unwrap();
    assert_eq!(byte_of(&store.snapshot_of("sound@1").unwrap(), 3), 3);
}

/// What a crash of the host or a restore that stopped leaves of a layer that others stand on: a
/// collection refused beside it, and it was not given up, as one that was never durable.
#[test]
fn what_stops_a_collection_is_given_up_even_where_nothing_of_it_is_left() {
    for length in [0, 100, 4095, 4096, 8191, 8192] {
        let (host, store) = memory();
        let sound = chain(&store, "sound");
        let [oldest, middle, newest] = chain(&store, "web");
        let medium = host.open(&paths::layer(middle), OpenMode::ReadWrite).unwrap();
        medium.set_length(0).unwrap();
        medium.set_length(length).unwrap();
        let store = reopened(&host);
        assert_eq!(store.collect(&REAL).unwrap_err().kind(), ErrorKind::Corrupt, "{length}");
        let obstacles = store.obstacles().unwrap();
        assert!(obstacles.layers.keys().eq([&middle]), "{length}: {obstacles:?}");
        assert!(obstacles.names.is_empty(), "{length}: {obstacles:?}");
        assert_eq!(store.give_up(&middle.to_string()).unwrap(), GivenUp::Layer(middle));
        assert!(store.obstacles().unwrap().layers.is_empty(), "{length}");
        store.collect(&REAL).unwrap();
        let left: BTreeSet<_> = sound.into_iter().chain([oldest, newest]).collect();
        assert_eq!(kept(&store), left, "{length}");
    }
}

/// A collection once took a layer whose header rotted while somebody had it open for one that was
/// just being made, which needs nothing, and punched the blocks that were cloned into it.
#[test]
fn nothing_is_collected_beside_an_open_layer_that_rotted() {
    let (_folder, host, store) = files();
    let source = store.create_volume("source", super::DISK).unwrap();
    fill(&source, 0, 60, 7);
    let snapshot = freeze(&source);
    source.close().unwrap();
    let volume = store.create_volume("web", super::DISK).unwrap();
    let length = 60 << 12;
    volume.clone_range(crate::volume::CloneSource::Snapshot(&snapshot), 0, 0, length).unwrap();
    volume.flush().unwrap();
    drop(snapshot);
    store.remove("source").unwrap();
    damage_layer(&host, volume.layer_id());
    let elsewhere = reopened(&host);
    assert_eq!(elsewhere.collect(&REAL).unwrap_err().kind(), ErrorKind::Corrupt);
    // Its writer goes on, and makes the header anew.
    assert_eq!(byte_in(&volume, 59), 7);
    volume.checkpoint().unwrap();
    elsewhere.collect(&REAL).unwrap();
    assert_eq!(byte_in(&volume, 59), 7);
    volume.close().unwrap();
    assert_eq!(byte_in(&reopened(&host).open_volume("web").unwrap(), 59), 7);
}

/// A header's parent can be made up by who makes its checksum too: no walk may go round for ever.
#[test]
fn a_history_that_comes_back_to_itself_ends_every_operation() {
    for length in 1..=3 {
        let (_folder, host, store) = files();
        let sound = chain(&store, "sound");
        let layers = chain(&store, "web");
        let newest = store.layer(layers[2]).unwrap();
        store.tag(&newest.id.to_string(), "web:1", Replace::Refuse).unwrap();
        // The oldest of the last `length` layers stands on the newest.
        let path = paths::layer(layers[3 - length]);
        let medium = host.open(&path, OpenMode::ReadWrite).unwrap();
        let top = store.open_volume("web").unwrap();
        let parent = top.parent();
        assert_eq!(parent.unwrap().id, newest.id);
        drop(top);
        let mut header = crate::layer::read_header(&*medium, &path).unwrap().header;
        header.parent = parent;
        for slot in 0..2 {
            medium.write_at(slot * 4096, &header.encode(slot)).unwrap();
        }
        let store = reopened(&host);
        let corrupt = |what: &str, result: crate::Result<()>| {
            let error = result.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        };
        corrupt("opening", store.snapshot_of("web:1").map(drop));
        corrupt("opening for writing", store.open_volume("web").map(drop));
        corrupt("forking", store.fork("web:1", "fork").map(drop));
        corrupt("lineage", store.lineage("web").map(drop));
        corrupt("depth", store.depth("web:1").map(drop));
        corrupt("stepping back", store.resolve("web@7").map(drop));
        corrupt("sealing", store.seal("web:1").map(drop));
        corrupt("flattening", store.flatten("web:1", "flat", &mut |_| ()).map(drop));
        corrupt("usage", store.usage_of("web:1").map(drop));
        corrupt("holdings", store.holdings().map(drop));
        corrupt("collecting", store.collect(&REAL).map(drop));
        assert_eq!(store.usage().unwrap().tags, 1);
        assert_eq!(store.names().unwrap().len(), 3);
        // It is told as the same each time it is looked at, or it would not be told.
        let report = crate::inspect::check(&host, Path::new(""), &Default::default(), &mut |_| ());
        let findings = report.unwrap().findings;
        let circles = findings.iter().filter(|finding| finding.what.contains("lead back to it"));
        assert_eq!(circles.count(), 1, "{findings:?}");
        let circle = store.obstacles().unwrap().layers;
        assert!(circle.keys().copied().eq(BTreeSet::from_iter(layers[3 - length..].to_vec())));
        // The names go, and with nothing that leads there the rest is as it was.
        for name in ["web:1", "web"] {
            store.remove(name).unwrap();
        }
        assert!(sound.iter().all(|id| kept(&store).contains(id)));
        assert_eq!(byte_of(&store.snapshot_of("sound@1").unwrap(), 1), 1);
        assert!(store.obstacles().unwrap().layers.is_empty());
        store.collect(&REAL).unwrap();
        assert!(sound.iter().all(|id| kept(&store).contains(id)));
    }
}

/// A copy that was broken off: the volume was opened, and the first read in the map of its file ended the
/// process.
#[test]
fn a_volume_of_which_the_file_was_cut_off_is_opened_as_what_can_be_read_or_not_at_all() {
    let (folder, host, store) = files();
    let volume = store.create_volume("web", 4 * DISK).unwrap();
    for step in 0..30 {
        fill(&volume, step * 8 % 200, 25, step as u8 + 1);
        volume.flush().unwrap();
    }
    let path = folder.path().join(paths::layer(volume.layer_id()));
    drop(volume);
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for cut in (1..60).map(|part| whole.len() * part / 60 / 512 * 512) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        match reopened(&host).open_volume("web") {
            Err(error) => {
                assert!(error.is_damage(), "{cut}: {error}");
                refused += 1;
            }
            Ok(volume) => {
                let read = volume.read_at(0, &mut vec![0; 4 * DISK as usize]);
                assert!(read.as_ref().err().is_none_or(crate::Error::is_damage), "{cut}: {read:?}");
            }
        }
    }
    assert!(refused > 0);
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(byte_in(&reopened(&host).open_volume("web").unwrap(), 29 * 8 % 200), 30);
}

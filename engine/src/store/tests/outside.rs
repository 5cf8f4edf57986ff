//! Looks into volumes from outside: by name, by the id of the open layer, and where that is damaged.

use super::*;
use crate::ErrorKind;
use crate::medium::OpenMode;
use crate::store::paths::{self, NameFile};
use crate::store::{GcOptions, Name, Replace};
use crate::units::LayerId;

/// Changes a byte of the first block of a layer file that holds nothing but `byte`.
fn flip_in_block_of(host: &Arc<dyn Host>, id: LayerId, byte: u8) {
    let medium = host.open(&paths::layer(id), OpenMode::ReadWrite).unwrap();
    let length = medium.facts().unwrap().length;
    let at = (0..length / BLOCK as u64).map(|block| block * BLOCK as u64).find(|at| {
        let mut bytes = [0; BLOCK];
        medium.read_at(*at, &mut bytes).is_ok() && bytes == [byte; BLOCK]
    });
    medium.write_at(at.unwrap() + 100, &[byte ^ 1]).unwrap();
}

/// It was told as a race with a writer, each time, with no writer anywhere.
#[test]
fn a_block_of_an_open_layer_that_rots_is_damage_and_one_written_anew_is_stale() {
    let (_folder, host, store) = files();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 4, 1, 7);
    fill(&volume, 5, 1, 8);
    volume.close().unwrap();
    let top = store.resolve("web").unwrap().layer;
    let read = |snapshot: &Snapshot, block: u64| {
        let mut bytes = [0; BLOCK];
        snapshot.read_at(block * BLOCK as u64, &mut bytes).map(|()| bytes[0])
    };

    // What a writer has moved on from is stale or as it was, whatever it writes.
    let looked = reopened(&host).snapshot_of("web").unwrap();
    let volume = store.open_volume("web").unwrap();
    let mut stale = 0;
    for round in 0..200_u8 {
        fill(&volume, u64::from(round % 60), 4, round | 64);
        volume.flush().unwrap();
        if round % 10 == 0 {
            volume.checkpoint().unwrap();
        }
        match read(&looked, 4) {
            Ok(byte) => assert_eq!(byte, 7),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Stale, "{error}");
                stale += 1;
            }
        }
    }
    assert!(stale > 0, "nothing was ever written anew");
    fill(&volume, 4, 1, 7);
    fill(&volume, 5, 1, 8);
    volume.close().unwrap();

    flip_in_block_of(&host, top, 7);
    let store = reopened(&host);
    let looked = store.snapshot_of("web").unwrap();
    assert_eq!(read(&looked, 5).unwrap(), 8);
    for _ in 0..2 {
        let error = read(&looked, 4).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    // Once somebody has written there again it is a race.
    let volume = store.open_volume("web").unwrap();
    fill(&volume, 9, 1, 9);
    volume.flush().unwrap();
    assert_eq!(read(&looked, 4).unwrap_err().kind(), ErrorKind::Stale);
}

/// A block that was read before it rotted got a new checksum, or a place in a digest.
#[test]
fn what_rots_after_it_was_read_is_not_sealed_and_not_copied() {
    let (_folder, host, store) = files();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 4, 1, 7);
    let frozen = freeze(&volume);
    let mut bytes = [0; BLOCK];
    frozen.read_at(4 * BLOCK as u64, &mut bytes).unwrap();
    assert_eq!(bytes, [7; BLOCK]);
    flip_in_block_of(&host, frozen.layer_id(), 7);
    assert!(frozen.read_at(4 * BLOCK as u64, &mut bytes).is_ok(), "it was verified before");
    let flattened = store.flatten("web@1", "flat", &mut |_| ()).map(drop);
    assert_eq!(flattened.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.seal("web@1").unwrap_err().kind(), ErrorKind::Corrupt);
}

/// What a volume had written was out of reach once its name was lost, and a collection took it.
#[test]
fn what_was_committed_to_an_open_layer_is_read_by_its_id_whether_a_name_leads_there_or_not() {
    let (_folder, host, store) = files();
    let base = store.create_volume("base", DISK).unwrap();
    fill(&base, 1, 1, 1);
    freeze(&base);
    base.close().unwrap();
    let volume = store.fork("base@1", "web").unwrap();
    fill(&volume, 2, 1, 2);
    volume.flush().unwrap();
    fill(&volume, 2, 1, 3);
    let top = volume.layer_id();
    let by_id = || reopened(&host).snapshot_of(&top.to_string()).unwrap();
    assert_eq!([1, 2].map(|block| byte_of(&by_id(), block)), [1, 2], "the last commit");
    volume.close().unwrap();
    assert_eq!(byte_of(&by_id(), 2), 3);

    let nameless = || {
        let report = check(&host, Path::new(""), &CheckOptions::default(), &mut |_| ()).unwrap();
        assert!(report.is_sound());
        let found = report.findings.into_iter().filter(|it| it.what.contains("no name leads"));
        found.map(|finding| finding.layer.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(nameless(), []);
    host.remove(&paths::name(NameFile::Volume, &Name::new("web").unwrap())).unwrap();
    assert_eq!(nameless(), [top]);
    assert_eq!([1, 2].map(|block| byte_of(&by_id(), block)), [1, 3]);
    let snapshot = by_id();
    let refused = store.fork_snapshot(&snapshot, "again").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    let report = store.collect(&GcOptions { dry_run: true }).unwrap();
    assert_eq!(report.nameless, [top].into());
    store.collect(&GcOptions::default()).unwrap();
    assert_eq!(nameless(), []);
    let gone = store.snapshot_of(&top.to_string()).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound, "{gone}");
}

/// An older copy of a snapshot's file, from when it was open, was "unsupported".
#[test]
fn a_tag_on_an_older_copy_of_its_layer_leads_to_another_one_than_was_tagged() {
    let (host, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 1, 1, 1);
    volume.flush().unwrap();
    let path = paths::layer(volume.layer_id());
    let medium = host.open(&path, OpenMode::Read).unwrap();
    let mut older = vec![0; medium.facts().unwrap().length as usize];
    medium.read_at(0, &mut older).unwrap();
    freeze(&volume);
    volume.close().unwrap();
    store.tag("web@1", "web:1", Replace::Refuse).unwrap();
    let medium = host.open(&path, OpenMode::ReadWrite).unwrap();
    medium.set_length(0).unwrap();
    medium.write_at(0, &older).unwrap();
    let store = reopened(&host);
    for error in [
        store.snapshot_of("web:1").map(drop).unwrap_err(),
        store.fork("web:1", "fork").map(drop).unwrap_err(),
        store.tag("web:1", "web:2", Replace::Refuse).unwrap_err(),
        store.flatten("web:1", "flat", &mut |_| ()).map(drop).unwrap_err(),
        store.seal("web:1").map(drop).unwrap_err(),
        store.depth("web:1").map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::WrongParent, "{error}");
    }
}

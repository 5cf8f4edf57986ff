//! Flattening, making, cloning, and collecting beside them.

use super::*;
use crate::ErrorKind;
use crate::chain::Layers;
use crate::layer::compute_digest;
use crate::medium::{LockMode, LockWait, OpenMode};
use crate::store::collect::change_header;
use crate::store::locks::StoreLock;
use crate::store::seal::seal_layer;
use crate::store::{GcOptions, Progress, Replace, headers, paths};
use crate::volume::CloneSource;

const REAL: GcOptions = GcOptions { dry_run: false };

#[test]
fn a_flat_layer_shows_the_same_and_needs_nobody() {
    let (_folder, host, store) = files();
    let volume = store.create_volume("web", DISK + 100).unwrap();
    fill(&volume, 0, 30, 1);
    freeze(&volume);
    fill(&volume, 10, 10, 2);
    volume.discard(0, BLOCK as u64).unwrap();
    volume.write_at(DISK + 10, &[9; 90]).unwrap();
    let annotations = Annotations { comment: Some("why".into()), ..Default::default() };
    let snapshot = volume.snapshot(&annotations).unwrap();
    volume.close().unwrap();
    let mut told = Vec::new();
    let flat =
        store.flatten("web@1", "flat", &mut |progress: Progress| told.push(progress)).unwrap();
    assert_eq!(told.first().unwrap().done_bytes, 0);
    assert_eq!(told.last().unwrap().done_bytes, told.last().unwrap().total_bytes);
    assert_eq!(told.last().unwrap().total_bytes, 30 * BLOCK as u64);
    assert_eq!((flat.depth(), flat.parent(), flat.size_bytes()), (1, None, DISK + 100));
    assert_eq!(flat.annotations().unwrap(), annotations);
    let whole = |snapshot: &Snapshot| {
        let mut bytes = vec![0; snapshot.size_bytes() as usize];
        snapshot.read_at(0, &mut bytes).unwrap();
        bytes
    };
    let expected = whole(&snapshot);
    assert!(whole(&flat) == expected);
    drop(snapshot);
    store.remove("web").unwrap();
    store.collect(&REAL).unwrap();
    let store = reopened(&host);
    assert!(whole(&store.snapshot_of("flat").unwrap()) == expected);
    let layers: Vec<_> = store.layers().unwrap().iter().map(|layer| layer.id).collect();
    assert_eq!(layers, [flat.layer_id()]);
    assert_eq!(host.list(paths::LAYERS.as_ref()).unwrap().len(), 1, "no mark is left");
    let taken = store.flatten("flat", "flat", &mut |_| ()).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn cloned_blocks_outlive_the_snapshot_they_came_from() {
    let (_folder, host, store) = files();
    let source = store.create_volume("source", DISK).unwrap();
    fill(&source, 0, 16, 1);
    let snapshot = freeze(&source);
    source.close().unwrap();
    let holder = snapshot.layer_id();
    let target = store.create_volume("target", DISK).unwrap();
    let size = BLOCK as u64;
    target.clone_range(CloneSource::Snapshot(&snapshot), 4 * size, 40 * size, 4 * size).unwrap();
    drop(snapshot);
    let outside = reopened(&host);
    outside.remove("source").unwrap();
    // Not committed yet: the clone holds the lease of its source.
    assert_eq!(outside.collect(&REAL).unwrap().freed_bytes(), 0);
    target.flush().unwrap();
    // Committed in the journal of an open layer: every block of the source stays.
    assert_eq!(outside.collect(&REAL).unwrap().freed_bytes(), 0);
    assert_eq!([byte_in(&target, 40), byte_in(&target, 43), byte_in(&target, 44)], [1, 1, 0]);
    freeze(&target);
    target.close().unwrap();
    // Frozen: its map is read, and only the blocks that it targets stay.
    let report = outside.collect(&REAL).unwrap();
    assert_eq!(report.thinned.len(), 1);
    assert!(report.thinned[0].1 >= 12 * size && report.thinned[0].0 == holder);
    let seen = reopened(&host).snapshot_of("target@1").unwrap();
    assert_eq!([byte_of(&seen, 40), byte_of(&seen, 43), byte_of(&seen, 44)], [1, 1, 0]);
    outside.seal("target@1").unwrap();
    outside.remove("target").unwrap();
    drop(seen);
    outside.collect(&REAL).unwrap();
    assert!(outside.layers().unwrap().is_empty());
}

#[test]
fn equal_content_on_equal_parents_has_one_digest() {
    let (_, store) = memory();
    let mut digests = Vec::new();
    for name in ["one", "two"] {
        let volume = store.create_volume(name, DISK).unwrap();
        let blocks: Vec<u64> = if name == "one" { vec![0, 1, 2] } else { vec![2, 0, 1] };
        for block in blocks {
            fill(&volume, block, 1, 1 + block as u8);
        }
        freeze(&volume);
        fill(&volume, 5, 2, 7);
        freeze(&volume);
        digests.push(store.seal(&format!("{name}@1")).unwrap());
    }
    assert_eq!(digests[0], digests[1]);
    // Which of the two is meant makes no difference.
    store.snapshot_of(&digests[0].to_string()).unwrap();
    store.tag("one@1", "a", Replace::Refuse).unwrap();
    assert_eq!(store.seal("a").unwrap(), digests[0]);
}

/// Where zeros are kept as data, and how extents are split, does not show.
#[test]
fn a_digest_is_of_what_is_read_and_of_what_it_stands_on() {
    let (host, store) = memory();
    let volume = crate::VolumeOptions { detect_zeroes: false, ..Default::default() };
    let options = StoreOptions { volume, ..StoreOptions::default() };
    let keeping_zeros = Store::open_on(Arc::clone(&host), &options).unwrap();
    let base = |store: &Store, name: &str, bytes: u64, byte: u8| {
        let volume = store.create_volume(name, bytes).unwrap();
        fill(&volume, 0, 1, byte);
        freeze(&volume);
        volume
    };
    let seal = |name: &str| {
        let digest = store.seal(&format!("{name}@1")).unwrap();
        assert_eq!(store.verify(&format!("{name}@1")).unwrap(), digest);
        digest
    };
    for (name, store) in [("plain", &store), ("split", &store), ("zeros", &keeping_zeros)] {
        let volume = base(store, name, DISK, 1);
        let blocks: Vec<u64> = match name {
            "split" => (10..30).step_by(2).chain((10..30).skip(1).step_by(2)).collect(),
            _ => (10..30).collect(),
        };
        for block in blocks {
            fill(&volume, block, 1, if [20, 21].contains(&block) { 0 } else { 7 });
            if name == "split" {
                volume.flush().unwrap();
            }
        }
        let extents: Vec<_> = volume.all_extents().map(|extent| extent.unwrap().target).collect();
        let zeros = extents.iter().filter(|target| **target == crate::ViewTarget::Zero).count();
        assert_eq!(zeros, usize::from(name != "zeros"), "{name}: {extents:?}");
        freeze(&volume);
        volume.close().unwrap();
    }
    let plain = seal("plain");
    assert_eq!((seal("split"), seal("zeros")), (plain, plain));
    let below = store.resolve("plain@2").unwrap().layer;
    assert!(store.layer(below).unwrap().digest.is_some(), "what it stands on is sealed first");

    let larger = base(&store, "larger", 2 * DISK, 1);
    let other = base(&store, "other", DISK, 2);
    for volume in [larger, other] {
        for block in 10..30 {
            fill(&volume, block, 1, if [20, 21].contains(&block) { 0 } else { 7 });
        }
        freeze(&volume);
        volume.close().unwrap();
    }
    assert_ne!(store.seal("larger@2").unwrap(), store.seal("plain@2").unwrap());
    let (larger, other) = (seal("larger"), seal("other"));
    assert!(larger != plain && other != plain && larger != other);

    assert_eq!(store.verify("plain").unwrap_err().kind(), ErrorKind::InvalidInput);
    let unsealed = store.open_volume("plain").unwrap();
    fill(&unsealed, 0, 1, 9);
    freeze(&unsealed);
    assert_eq!(store.verify("plain@1").unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// As long as it is looked at, what a look into a live volume stands on stays.
#[test]
fn a_look_into_a_volume_keeps_what_that_stands_on() {
    let (_folder, host, store) = files();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 60, 1);
    let below = freeze(&volume).layer_id();
    fill(&volume, 0, 1, 2);
    volume.close().unwrap();
    let look = store.snapshot_of("web").unwrap();
    let elsewhere = reopened(&host);
    elsewhere.remove("web").unwrap();
    let report = elsewhere.collect(&REAL).unwrap();
    assert!(report.freed.iter().chain(&report.thinned).all(|(id, _)| *id != below), "{report:?}");
    assert_eq!(byte_of(&look, 59), 1);
    drop((look, store));
    assert_eq!(elsewhere.collect(&REAL).unwrap().freed[0].0, below);
}

/// One that was removed may be about to be thinned by somebody who found no lease on it.
#[test]
fn a_lease_on_what_was_removed_waits_for_who_collects() {
    let (host, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 60, 1);
    let removed = freeze(&volume).layer_id();
    volume.close().unwrap();
    store.remove(&removed.to_string()).unwrap();
    let inner = store.inner().unwrap();
    let alone = StoreLock::exclusive(&*host).unwrap();
    std::thread::scope(|scope| {
        let lease = scope.spawn(|| inner.leases.take(&*host, removed).map(drop));
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!lease.is_finished());
        change_header(&*host, removed, "thin", |header| header.thinned = true).unwrap();
        drop(alone);
        assert_eq!(lease.join().unwrap().unwrap_err().kind(), ErrorKind::NotFound);
    });
}

/// Between being made and being locked a layer would look like garbage.
#[test]
fn no_layer_is_made_while_somebody_collects() {
    let (host, store) = memory();
    let alone = StoreLock::exclusive(&*host).unwrap();
    std::thread::scope(|scope| {
        let made = scope.spawn(|| store.create_volume("web", DISK).unwrap().layer_id());
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(host.list(paths::LAYERS.as_ref()).unwrap().is_empty());
        drop(alone);
        made.join().unwrap();
    });
}

#[test]
fn a_writer_holds_the_lock_of_its_open_layer() {
    let (host, store) = memory();
    store.create_volume("web", DISK).unwrap().close().unwrap();
    let volume = store.open_volume("web").unwrap();
    let is_free = |id, mode| {
        let layer = host.open(&paths::layer(id), OpenMode::Read).unwrap();
        layer.lock(mode, LockWait::Try).unwrap()
    };
    let first = volume.layer_id();
    assert!(!is_free(first, LockMode::Shared));
    fill(&volume, 0, 1, 1);
    freeze(&volume);
    assert!(is_free(first, LockMode::Shared), "a lease by now");
    assert!(!is_free(first, LockMode::Exclusive), "and kept as long as the volume stands on it");
    assert!(!is_free(volume.layer_id(), LockMode::Shared));
    volume.close().unwrap();
    assert!(is_free(first, LockMode::Exclusive));
}

#[test]
fn readers_forks_and_collections_at_once_never_meet_a_block_that_went() {
    let (_folder, host, store) = files();
    let base = store.create_volume("base", DISK).unwrap();
    fill(&base, 0, 32, 1);
    freeze(&base);
    base.close().unwrap();
    store.tag("base@1", "image", Replace::Refuse).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..3_u8 {
            let host = &host;
            scope.spawn(move || {
                let store = reopened(host);
                for round in 0..12_u8 {
                    let name = format!("w{worker}-{round}");
                    let volume = store.fork("image", &name).unwrap();
                    let byte = 10 + worker * 12 + round;
                    fill(&volume, u64::from(round), 4, byte);
                    let snapshot = freeze(&volume);
                    fill(&volume, 0, 2, byte.wrapping_add(100));
                    volume.close().unwrap();
                    store.remove(&format!("{name}@1")).unwrap();
                    let seen = store.snapshot_of(&name).unwrap();
                    assert_eq!(byte_of(&snapshot, u64::from(round)), byte);
                    assert_eq!(byte_of(&seen, u64::from(round) + 3), byte);
                    assert_eq!(byte_of(&seen, 31), 1);
                    drop((snapshot, seen));
                    store.remove(&name).unwrap();
                }
            });
        }
        let host = &host;
        scope.spawn(move || {
            let store = reopened(host);
            for _ in 0..30 {
                store.collect(&REAL).unwrap();
            }
        });
    });
    store.collect(&REAL).unwrap();
    let names: Vec<_> = store.names().unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["base", "image"]);
    assert_eq!(store.layers().unwrap().len(), 2);
}

/// Such a clone was once taken: the flush was acknowledged, and the blocks could never be read.
#[test]
fn a_snapshot_of_another_store_lends_nothing() {
    let (_, other) = memory();
    let (host, store) = memory();
    let foreign = other.create_volume("foreign", DISK).unwrap();
    fill(&foreign, 0, 4, 1);
    let foreign = freeze(&foreign);
    let volume = store.create_volume("web", DISK).unwrap();
    let clone =
        |from: &Snapshot| volume.clone_range(CloneSource::Snapshot(from), 0, 0, 4 * BLOCK as u64);
    assert_eq!(clone(&foreign).unwrap_err().kind(), ErrorKind::InvalidInput);
    volume.flush().unwrap();
    assert_eq!(byte_in(&volume, 0), 0);

    let own = store.create_volume("own", DISK).unwrap();
    fill(&own, 0, 4, 2);
    drop(freeze(&own));
    clone(&reopened(&host).snapshot_of("own@1").unwrap()).unwrap();
    drop(own);
    store.remove("own").unwrap();
    store.collect(&Default::default()).unwrap();
    volume.flush().unwrap();
    store.collect(&Default::default()).unwrap();
    assert_eq!(byte_in(&volume, 3), 2);
}

/// What was verified before reads as zeros once it is punched, and the digest came out another: the
/// layer was called damaged.
#[test]
fn a_layer_that_is_collected_while_it_is_sealed_has_the_digest_of_its_whole_content() {
    let (host, store) = memory();
    let inner = store.inner().unwrap();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 40, 1);
    let layer = freeze(&volume).layer_id();
    let reference = headers::read_existing(&*host, layer).unwrap().layer_ref();
    let whole = compute_digest(&inner.cache.layer(&reference).unwrap(), None, &*inner.cache);
    let opened = inner.cache.layer(&reference).unwrap();
    fill(&volume, 0, 20, 2);
    freeze(&volume);
    volume.close_at_snapshot().unwrap();
    store.remove("web@2").unwrap();

    let report = reopened(&host).collect(&REAL).unwrap();
    assert_eq!(report.thinned.len(), 1, "{report:?}");
    let punched = compute_digest(&opened, None, &*inner.cache).unwrap();
    let whole = whole.unwrap();
    assert_ne!(punched, whole, "else there is nothing to be taken in by");
    assert_eq!(seal_layer(inner, &reference, None).unwrap(), whole);
    assert_eq!(headers::read_existing(&*host, layer).unwrap().digest, Some(whole));
}

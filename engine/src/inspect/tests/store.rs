//! Whole stores, made by the engine and read a second time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::chain::Snapshot;
use crate::format::Annotations;
use crate::inspect::{
    CheckOptions, CheckReport, DumpOptions, Severity, Verdict, check, check_layer, dump,
};
use crate::medium::{Host, MemoryHost, OpenMode};
use crate::store::{GcOptions, Replace, ResolvedKind, Store, StoreOptions};
use crate::units::LayerId;
use crate::volume::{CloneSource, Volume, VolumeOptions};

const BLOCK: u64 = 4096;
const DATA: CheckOptions = CheckOptions { data: true };

fn small() -> StoreOptions {
    let volume = VolumeOptions { buffer_bytes: 4 * BLOCK, ..VolumeOptions::default() };
    StoreOptions { volume, ..StoreOptions::default() }
}

fn fill(volume: &Volume, block: u64, blocks: u64, byte: u8) {
    volume.write_at(block * BLOCK, &vec![byte; (blocks * BLOCK) as usize]).unwrap();
}

fn freeze(volume: &Volume) -> Snapshot {
    volume.snapshot(&Annotations::default()).unwrap()
}

fn store() -> (Arc<dyn Host>, Store) {
    let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
    let store = Store::create_on(Arc::clone(&host), &small()).unwrap();
    (host, store)
}

/// Three snapshots of a volume, the middle one removed and thinned: of its blocks the newest
/// hides 0 to 3, a fork sees none, and a clone holds 6.
fn thinned() -> (Arc<dyn Host>, Store, LayerId) {
    let (host, store) = store();
    let disk = store.create_volume("disk", 16 * BLOCK).unwrap();
    fill(&disk, 0, 2, 1);
    freeze(&disk);
    store.tag("disk@1", "first", Replace::Refuse).unwrap();
    fill(&disk, 0, 8, 2);
    let middle = freeze(&disk);
    store.tag("disk@1", "middle", Replace::Refuse).unwrap();
    let other = store.create_volume("other", 16 * BLOCK).unwrap();
    other.clone_range(CloneSource::Snapshot(&middle), 6 * BLOCK, 0, BLOCK).unwrap();
    other.flush().unwrap();
    freeze(&other);
    store.tag("other@1", "clone", Replace::Refuse).unwrap();
    other.close().unwrap();
    fill(&disk, 0, 7, 3);
    freeze(&disk);
    store.tag("disk@1", "last", Replace::Refuse).unwrap();
    disk.close().unwrap();
    let id = middle.layer_id();
    drop(middle);
    // `disk@2` is the middle one of the history.
    store.remove("middle").unwrap();
    store.remove("disk@2").unwrap();
    store.collect(&GcOptions::default()).unwrap();
    (host, store, id)
}

fn layer_path(id: LayerId) -> PathBuf {
    PathBuf::from(format!("layers/{id}.layer"))
}

fn checked(host: &Arc<dyn Host>) -> CheckReport {
    check(host, Path::new(""), &DATA, &mut |_| ()).unwrap()
}

#[track_caller]
fn assert_clean(host: &Arc<dyn Host>) {
    let report = checked(host);
    let wrong = report.findings.iter().find(|finding| finding.severity > Severity::Note);
    assert_eq!(wrong, None);
}

fn whole(host: &Arc<dyn Host>, path: &Path) -> Vec<u8> {
    let file = host.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.facts().unwrap().length as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

fn flip(host: &Arc<dyn Host>, path: &Path, at: u64) {
    let file = host.open(path, OpenMode::ReadWrite).unwrap();
    let mut byte = [0];
    file.read_at(at, &mut byte).unwrap();
    file.write_at(at, &[byte[0] ^ 0x10]).unwrap();
}

fn files(host: &Arc<dyn Host>) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in ["", "layers", "names", "index", "digests"] {
        for name in host.list(Path::new(folder)).unwrap() {
            let path = Path::new(folder).join(name);
            if host.facts(&path).is_ok() {
                files.push((path.clone(), whole(host, &path)));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_store_at_work_is_sound() {
    let (host, store) = store();
    let disk = store.create_volume("disk", 64 * BLOCK).unwrap();
    for round in 0..20_u8 {
        fill(&disk, u64::from(round) % 7 * 4, 5, round + 1);
        disk.clone_range(CloneSource::Own, 0, 40 * BLOCK, 3 * BLOCK).unwrap();
        disk.discard(u64::from(round) * BLOCK, 2 * BLOCK).unwrap();
        disk.flush().unwrap();
        assert_clean(&host);
        if round % 6 == 5 {
            freeze(&disk);
            assert_clean(&host);
        }
    }
    store.tag("disk@2", "tagged", Replace::Refuse).unwrap();
    store.seal("tagged").unwrap();
    let fork = store.fork("tagged", "fork").unwrap();
    assert_clean(&host);
    fill(&fork, 3, 1, 200);
    fork.flush().unwrap();
    store.flatten("tagged", "flat", &mut |_| ()).unwrap();
    assert_clean(&host);
    store.remove("tagged").unwrap();
    store.collect(&GcOptions::default()).unwrap();
    assert_clean(&host);
    let counts = checked(&host).counts;
    assert!(counts.layers >= 5 && counts.names == 3 && counts.data_blocks > 50, "{counts:?}");
}

#[test]
fn what_a_collection_gave_back_is_not_missed() {
    let (host, _store, id) = thinned();
    assert_clean(&host);
    // By itself the file shows what is gone, and calls none of it damage.
    let alone = check_layer(&host, &layer_path(id), &DATA, &mut |_| ()).unwrap();
    assert!(alone.is_sound());
}

#[test]
fn what_a_thinned_layer_still_owes_is_damage_where_it_is_gone() {
    let (host, _store, id) = thinned();
    let path = layer_path(id);
    let bytes = whole(&host, &path);
    // Block 7 is seen by the snapshot on top, block 6 by the clone alone; both hold twos.
    let blocks = bytes.chunks(BLOCK as usize).enumerate();
    let twos: Vec<u64> = blocks
        .filter(|(_, block)| block.iter().all(|&byte| byte == 2))
        .map(|(at, _)| at as u64)
        .collect();
    assert_eq!(twos.len(), 2, "all other blocks were given back");
    for block in twos {
        flip(&host, &path, block * BLOCK + 5);
        let report = checked(&host);
        let named = report.damage().filter(|finding| {
            finding.layer == Some(id) && finding.block.is_some_and(|bad| bad.0 == block)
        });
        assert_eq!(named.count(), 1, "{:?}", report.findings);
        flip(&host, &path, block * BLOCK + 5);
    }
    assert_clean(&host);
}

#[test]
fn a_parent_that_went_is_damage() {
    let (host, store) = store();
    let disk = store.create_volume("disk", 16 * BLOCK).unwrap();
    fill(&disk, 0, 2, 1);
    let base = freeze(&disk);
    fill(&disk, 0, 1, 2);
    freeze(&disk);
    disk.close().unwrap();
    host.remove(&layer_path(base.layer_id())).unwrap();
    let report = checked(&host);
    let found = report.damage().any(|finding| finding.what.contains("parent"));
    assert!(found, "{:?}", report.findings);
}

/// A collection takes the files of a chain in any order; killed in between it leaves layers whose
/// parents went, and that nothing reaches. They were called damage.
#[test]
fn what_an_interrupted_collection_leaves_is_a_note() {
    let (host, store) = store();
    let disk = store.create_volume("disk", 16 * BLOCK).unwrap();
    fill(&disk, 0, 2, 1);
    let lower = freeze(&disk);
    fill(&disk, 1, 2, 2);
    let upper = freeze(&disk);
    disk.close().unwrap();
    store.tag("disk@1", "kept", Replace::Refuse).unwrap();
    store.remove("disk").unwrap();
    let gone = whole(&host, &layer_path(lower.layer_id()));
    host.remove(&layer_path(lower.layer_id())).unwrap();
    assert!(!checked(&host).is_sound(), "as long as a tag reaches it");

    let file = host.open(&layer_path(lower.layer_id()), OpenMode::CreateNew).unwrap();
    file.write_at(0, &gone).unwrap();
    store.remove("kept").unwrap();
    host.remove(&layer_path(lower.layer_id())).unwrap();
    let report = checked(&host);
    assert!(report.is_sound() && !report.findings.is_empty(), "{:?}", report.findings);
    drop((lower, upper));
    store.collect(&GcOptions::default()).unwrap();
    assert_eq!(checked(&host).counts.layers, 0);
}

/// Of a layer that only holds blocks of clones a collection gives back all else, and takes what it
/// stands on; nobody can seal it any more, and nobody needs to. That was called damage.
#[test]
fn a_layer_kept_for_blocks_of_clones_is_sound_without_a_seal_or_a_parent() {
    let (host, store) = store();
    let disk = store.create_volume("disk", 16 * BLOCK).unwrap();
    fill(&disk, 0, 4, 1);
    freeze(&disk);
    fill(&disk, 4, 4, 2);
    let source = freeze(&disk);
    let other = store.create_volume("other", 16 * BLOCK).unwrap();
    other.clone_range(CloneSource::Snapshot(&source), 5 * BLOCK, 0, BLOCK).unwrap();
    other.flush().unwrap();
    freeze(&other);
    other.close().unwrap();
    disk.close().unwrap();
    drop(source);
    store.remove("disk").unwrap();
    let report = store.collect(&GcOptions::default()).unwrap();
    assert!(report.freed.len() == 1 && report.thinned.len() == 1, "{report:?}");
    assert!(checked(&host).is_sound(), "{:?}", checked(&host).findings);
    let mut found = [0; BLOCK as usize];
    store.snapshot_of("other").unwrap().read_at(0, &mut found).unwrap();
    assert_eq!(found, [2; BLOCK as usize]);
}

/// A removed layer of which everything is still seen has room that nothing maps: old records,
/// blocks that were written anew. Giving that back used to mark the layer thinned, and only what is
/// sealed may be: whoever stood on it could never be sealed in the eyes of a check.
#[test]
fn giving_back_what_nothing_maps_does_not_thin_a_layer() {
    let (host, store) = store();
    let disk = store.create_volume("disk", 16 * BLOCK).unwrap();
    for byte in 1..=3 {
        fill(&disk, 0, 4, byte);
        disk.flush().unwrap();
    }
    let base = freeze(&disk).layer_id();
    fill(&disk, 8, 1, 4);
    freeze(&disk);
    // Not closed: a close would give it back.
    drop(disk);
    store.remove("disk@2").unwrap();
    let report = store.collect(&GcOptions::default()).unwrap();
    assert!(report.thinned.iter().any(|(id, bytes)| *id == base && *bytes > 0), "{report:?}");
    assert!(checked(&host).is_sound(), "{:?}", checked(&host).findings);
    let info = store.layer(base).unwrap();
    assert!(info.removed && !info.thinned && info.digest.is_none());
    store.seal("disk@1").unwrap();
    assert_eq!(store.collect(&GcOptions::default()).unwrap().thinned, []);
}

/// A power cut while a snapshot is taken may leave the new top behind without its name, on a parent
/// that never came to be frozen. It was called damage.
#[test]
fn a_top_that_no_name_leads_to_is_a_note() {
    let (host, store) = store();
    let disk = store.create_volume("disk", 16 * BLOCK).unwrap();
    fill(&disk, 0, 2, 1);
    let base = freeze(&disk);
    disk.close().unwrap();
    host.remove(Path::new("names/disk.name")).unwrap();
    host.remove(&layer_path(base.layer_id())).unwrap();
    let report = checked(&host);
    assert!(report.is_sound() && !report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn names_are_compared_with_what_they_stand_for() {
    let (host, store) = store();
    let disk = store.create_volume("disk", 16 * BLOCK).unwrap();
    fill(&disk, 0, 2, 1);
    freeze(&disk);
    store.tag("disk@1", "a/b:1", Replace::Refuse).unwrap();
    disk.close().unwrap();
    assert_clean(&host);
    let name = Path::new("names/a%2fb:1.tag");
    flip(&host, name, 60);
    assert!(checked(&host).damage().any(|finding| finding.path.ends_with(name)));
    flip(&host, name, 60);
    host.rename(name, Path::new("names/c.tag")).unwrap();
    assert!(checked(&host).damage().any(|finding| finding.what.contains("a/b:1")));
    host.rename(Path::new("names/c.tag"), Path::new("names/a%2fb:1.name")).unwrap();
    let told = "kind: found tag, expected volume";
    assert!(checked(&host).damage().any(|finding| finding.what == told));
}

/// A power cut may leave what was removed and what took its name after it: the tag counts, and a
/// collection takes the rest.
#[test]
fn a_volume_beside_a_tag_of_its_name_is_a_note() {
    let (host, store) = store();
    let disk = store.create_volume("disk", 16 * BLOCK).unwrap();
    fill(&disk, 0, 2, 1);
    freeze(&disk);
    disk.close().unwrap();
    let other = store.create_volume("other", 16 * BLOCK).unwrap();
    other.close().unwrap();
    let volume = whole(&host, Path::new("names/other.name"));
    store.remove("other").unwrap();
    store.tag("disk@1", "other", Replace::Refuse).unwrap();
    let path = Path::new("names/other.name");
    host.open(path, OpenMode::CreateNew).unwrap().write_at(0, &volume).unwrap();
    let report = checked(&host);
    assert!(report.is_sound(), "{:?}", report.findings);
    let note = r#"the name "other" is also in other.tag"#;
    assert!(report.findings.iter().any(|finding| finding.what == note), "{:?}", report.findings);
    assert_eq!(store.resolve("other").unwrap().kind, ResolvedKind::Tag);
    store.collect(&GcOptions::default()).unwrap();
    assert_clean(&host);
}

#[test]
fn a_broken_index_is_a_note() {
    let (host, store) = store();
    let disk = store.create_volume("disk", 64 * BLOCK).unwrap();
    for round in 0..40 {
        fill(&disk, round, 1, 7);
        freeze(&disk);
    }
    disk.close().unwrap();
    let snapshot = store.snapshot_of("disk@1").unwrap();
    snapshot.view().persist_index().unwrap();
    let indexes = host.list(Path::new("index")).unwrap();
    assert!(!indexes.is_empty() && checked(&host).findings.is_empty());
    for index in indexes {
        let path = Path::new("index").join(index);
        for at in [50, 4196, whole(&host, &path).len() as u64 - 4096] {
            flip(&host, &path, at);
            let report = checked(&host);
            let noted: Vec<Severity> =
                report.findings.iter().map(|finding| finding.severity).collect();
            assert_eq!(noted, [Severity::Note], "{:?}", report.findings);
            flip(&host, &path, at);
        }
    }
}

#[test]
fn check_and_dump_change_nothing() {
    let (host, _store, _) = thinned();
    let before = files(&host);
    checked(&host);
    for (path, bytes) in &before {
        if bytes.is_empty() || path == Path::new("names.lock") {
            continue;
        }
        let mut broken = 0;
        dump(&host, path, &DumpOptions::default(), &mut |item| {
            broken += usize::from(matches!(item.verdict, Verdict::Broken(_)));
            Ok(())
        })
        .unwrap();
        assert_eq!(broken, 0, "{}", path.display());
    }
    assert!(files(&host) == before);
}

#[test]
fn a_writer_beside_the_check_is_no_damage() {
    let (host, store) = store();
    let disk = store.create_volume("disk", 64 * BLOCK).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..400_u64 {
                fill(&disk, round * 7 % 60, 4, round as u8 | 1);
                disk.flush().unwrap();
                if round % 40 == 39 {
                    freeze(&disk);
                } else if round % 16 == 15 {
                    disk.checkpoint().unwrap();
                }
            }
        });
        let mut looks = 0;
        while looks < 5 || !writer.is_finished() {
            let report = checked(&host);
            assert_eq!(report.damage().next(), None);
            looks += 1;
        }
        writer.join().unwrap();
    });
    assert_clean(&host);
}

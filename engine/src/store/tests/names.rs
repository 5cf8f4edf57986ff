//! References, tags, and what a store refuses.

use super::*;
use crate::ErrorKind;
use crate::format::NameEntry;
use crate::medium::OpenMode;
use crate::store::{Replace, ResolvedKind, paths};
use crate::units::LayerId;

#[test]
fn references_lead_to_names_steps_back_ids_and_digests() {
    let (_, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    let mut ids = Vec::new();
    for byte in 1..=3 {
        fill(&volume, 0, 1, byte);
        ids.push(freeze(&volume).layer_id());
    }
    let layer = |reference: &str| store.resolve(reference).unwrap().layer;
    // Until the fresh top is durable the name leads to what it stands on.
    assert_eq!(layer("web"), ids[2]);
    assert!(store.resolve("web").unwrap().is_live());
    volume.flush().unwrap();
    assert_eq!(layer("web"), volume.layer_id());
    assert_eq!([layer("web@1"), layer("web@2"), layer("web@3")], [ids[2], ids[1], ids[0]]);
    assert_eq!(store.resolve("web@4").unwrap_err().kind(), ErrorKind::NotFound);
    store.tag("web@2", "debian:latest", Replace::Refuse).unwrap();
    let resolved = store.resolve("debian").unwrap();
    assert_eq!(resolved.name.as_deref(), Some("debian:latest"));
    assert_eq!((resolved.layer, resolved.kind), (ids[1], ResolvedKind::Tag));
    assert_eq!([layer("debian@0"), layer("debian@1")], [ids[1], ids[0]]);
    assert_eq!(layer(&ids[0].to_string()), ids[0]);
    assert_eq!(layer(&ids[0].to_string()[..8]), ids[0]);
    let digest = store.seal("web@1").unwrap();
    assert_eq!(layer(&digest.to_string()), ids[2]);
    assert_eq!(layer(&digest.to_string()[..10]), ids[2]);
    for missing in ["nothing", "nothing@1", "ffff"] {
        let found = store.resolve(missing).map(|resolved| resolved.layer);
        // Random ids may begin with anything, but hardly with this.
        assert_eq!(found.unwrap_err().kind(), ErrorKind::NotFound, "{missing}");
    }
    // A removed one does not count.
    store.remove("web@1").unwrap();
    assert_eq!([layer("web@1"), layer("web@2")], [ids[1], ids[0]]);
    let gone = store.snapshot_of(&ids[2].to_string()).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

/// A tag on what a volume was still writing was made, and lost its layer with the volume.
#[test]
fn the_id_of_an_open_layer_is_no_snapshot_whoever_asks() {
    let (host, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 1, 1);
    let below = freeze(&volume).layer_id();
    fill(&volume, 0, 1, 2);
    volume.flush().unwrap();
    let open = volume.layer_id();
    volume.close().unwrap();
    let store = reopened(&host);
    for reference in [&open.to_string(), &open.to_string()[..8], "web", "web@0"] {
        assert!(store.resolve(reference).unwrap().is_live(), "{reference}");
        let mut texts = Vec::new();
        for refused in [
            store.tag(reference, "new:1", Replace::Refuse),
            store.fork(reference, "new").map(drop),
            store.make_on(reference, "new", Replace::Refuse).map(drop),
            store.flatten(reference, "new", &mut |_| ()).map(drop),
            store.seal(reference).map(drop),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{reference}: {error}");
            texts.push(error.to_string());
        }
        texts.dedup();
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(texts[0].contains("take one first"), "{texts:?}");
        assert_eq!(store.verify(reference).unwrap_err().kind(), ErrorKind::InvalidInput);
        let lineage = store.lineage(reference).unwrap();
        assert!(lineage.iter().map(|layer| layer.id).eq([open, below]), "{reference}");
    }
    assert_eq!(store.names().unwrap().len(), 1);
}

#[test]
fn digests_are_found_without_the_derived_files() {
    let (host, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 1, 1);
    let id = freeze(&volume).layer_id();
    let digest = store.seal("web@1").unwrap();
    host.remove(&paths::digest(digest, id)).unwrap();
    assert_eq!(store.resolve(&digest.to_string()).unwrap().layer, id);
    // One that tells what is not so is not believed.
    let lie = crate::units::Digest([7; 32]);
    host.open(&paths::digest(lie, id), OpenMode::CreateNew).unwrap();
    let error = store.resolve(&lie.to_string()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn names_are_listed_all_or_by_what_they_stand_for() {
    let (_, store) = memory();
    let web = store.create_volume("web", DISK).unwrap();
    fill(&web, 0, 1, 1);
    let frozen = freeze(&web).layer_id();
    for tag in ["v2", "v1"] {
        store.tag("web@1", tag, Replace::Refuse).unwrap();
    }
    let fork = store.fork("v1", "fork").unwrap();
    let of = |layers: &[LayerId]| store.names_of(&layers.iter().copied().collect()).unwrap();
    let list = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let told = |entries: Vec<NameEntry>| entries.into_iter().map(|entry| entry.name);

    assert!(told(store.names().unwrap()).eq(["fork", "v1", "v2", "web"]));
    assert!(told(store.tags().unwrap()).eq(["v1", "v2"]));
    // The name of the volume still leads there, and means what is open above it.
    assert_eq!(store.resolve("web").unwrap().layer, frozen);
    assert_eq!(of(&[frozen]), [(frozen, list(&["v1", "v2"]))].into());
    web.flush().unwrap();
    let all = [
        (frozen, list(&["v1", "v2"])),
        (web.layer_id(), list(&["web"])),
        (fork.layer_id(), list(&["fork"])),
    ];
    assert_eq!(of(&all.each_ref().map(|(id, _)| *id)), all.into());
    assert_eq!(of(&[fork.layer_id()]).len(), 1, "nothing of it was ever flushed");
    assert_eq!(of(&[LayerId([7; 16])]), [].into());
    assert_eq!(of(&[]), [].into());
}

#[test]
fn a_prefix_of_several_is_ambiguous() {
    let (host, store) = memory();
    for last in [1, 2] {
        let mut id = [0xab; 16];
        id[15] = last;
        let path = paths::layer(LayerId(id));
        let geometry = (store.block_size(), DISK);
        let builder =
            crate::testing::LayerBuilder::create(&*host, &path, LayerId(id), geometry, None);
        builder.unwrap().finish().unwrap();
    }
    assert_eq!(store.resolve("abab").unwrap_err().kind(), ErrorKind::Ambiguous);
    let whole = store.resolve("abababababababababababababababa1");
    assert_eq!(whole.unwrap_err().kind(), ErrorKind::NotFound);
    let whole = store.resolve("ABABABABABABABABABABABABABABAB01").unwrap();
    assert_eq!(whole.layer.0[15], 1);
}

#[test]
fn tags_are_moved_only_when_asked_and_share_their_names_with_volumes() {
    let (_, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 1, 1);
    let first = freeze(&volume).layer_id();
    fill(&volume, 0, 1, 2);
    let second = freeze(&volume).layer_id();
    let kind = |result: crate::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(store.tag("web", "live", Replace::Refuse)), ErrorKind::InvalidInput);
    store.tag("web@2", "v", Replace::Refuse).unwrap();
    assert_eq!(kind(store.tag("web@1", "v", Replace::Refuse)), ErrorKind::AlreadyExists);
    assert_eq!(store.resolve("v").unwrap().layer, first);
    store.tag("web@1", "v", Replace::Move).unwrap();
    assert_eq!(store.resolve("v").unwrap().layer, second);
    assert_eq!(kind(store.tag("web@1", "web", Replace::Move)), ErrorKind::AlreadyExists);
    let error = store.create_volume("v", DISK).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(store.open_volume("v").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(store.expect_free("v").unwrap_err().kind(), ErrorKind::AlreadyExists);
    store.expect_free("free").unwrap();
}

#[test]
fn a_second_file_of_one_layer_is_refused_by_name() {
    let (host, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 1, 1);
    let id = freeze(&volume).layer_id();
    let copy = |to: &std::path::Path| {
        let from = host.open(&paths::layer(id), OpenMode::Read).unwrap();
        let mut bytes = vec![0; from.facts().unwrap().length as usize];
        from.read_at(0, &mut bytes).unwrap();
        host.open(to, OpenMode::CreateNew).unwrap().write_at(0, &bytes).unwrap();
    };
    let other = LayerId([0x11; 16]);
    copy(&paths::layer(other));
    for error in [
        store.layers().map(|_| ()).unwrap_err(),
        store.collect(&Default::default()).map(|_| ()).unwrap_err(),
        store.snapshot_of(&other.to_string()).map(|_| ()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&other.to_string()), "{error}");
    }
    host.remove(&paths::layer(other)).unwrap();
    let copied = format!("layers/{id} (copy).layer");
    copy(copied.as_ref());
    let error = store.collect(&Default::default()).unwrap_err();
    assert!(error.to_string().contains(&copied), "{error}");
}

#[test]
fn what_is_no_store_is_told_and_never_made() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions::default();
    for path in [folder.path().to_owned(), folder.path().join("missing")] {
        assert_eq!(Store::open(&path, &options).unwrap_err().kind(), ErrorKind::NoStore);
    }
    assert!(!folder.path().join("missing").exists());
    // A filesystem of its own has one folder in it from the start.
    let own = tempfile::tempdir().unwrap();
    std::fs::create_dir(own.path().join(crate::store::LOST_AND_FOUND)).unwrap();
    Store::create(own.path(), &options).unwrap();
    std::fs::write(folder.path().join("letter"), "dear").unwrap();
    let error = Store::create(folder.path(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let error = Store::open(folder.path().join("letter"), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoStore);
    let made = Store::create(folder.path().join("a/b"), &options).unwrap();
    assert_eq!(made.path(), folder.path().join("a/b"));
    let again = Store::create(folder.path().join("a/b"), &options).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    Store::open(folder.path().join("a/b"), &options).unwrap();
}

#[test]
fn a_creation_that_stopped_half_way_is_finished_by_the_next() {
    let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
    host.create_folder(paths::LAYERS.as_ref()).unwrap();
    host.open(".store.12345678.tmp".as_ref(), OpenMode::CreateNew).unwrap();
    let error = Store::open_on(Arc::clone(&host), &StoreOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoStore);
    store_on(&host);
    reopened(&host);
}

/// Two layers of one id, size and freeze generation: frozen in a store and in a copy of it.
#[test]
fn what_stands_on_another_layer_than_it_recorded_is_refused_everywhere() {
    let (folder, host, store) = files();
    store.create_volume("web", DISK).unwrap().close().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp")
        .args(["-rT".as_ref(), folder.path().as_os_str(), copy.path().as_os_str()])
        .status();
    assert!(copied.unwrap().success());
    let other = Store::open(copy.path(), &StoreOptions::default()).unwrap();
    let [ours, theirs] = [(&store, 1), (&other, 2)].map(|(store, byte)| {
        let volume = store.open_volume("web").unwrap();
        fill(&volume, 0, 1, byte);
        let id = freeze(&volume).layer_id();
        volume.close().unwrap();
        id
    });
    assert_eq!(ours, theirs);
    store.fork("web@1", "child").unwrap().close().unwrap();
    store.tag("web@1", "gold", Replace::Refuse).unwrap();
    let volume = store.open_volume("child").unwrap();
    fill(&volume, 1, 1, 3);
    freeze(&volume);
    volume.close().unwrap();
    let file = paths::layer(ours);
    std::fs::copy(copy.path().join(&file), folder.path().join(&file)).unwrap();

    let store = reopened(&host);
    let of = |error: crate::Error| error.kind();
    let wrong = ErrorKind::WrongParent;
    assert_eq!(store.snapshot_of("child@1").map(drop).map_err(of), Err(wrong));
    assert_eq!(store.snapshot_of("child").map(drop).map_err(of), Err(wrong));
    assert_eq!(store.open_volume("child").map(drop).map_err(of), Err(wrong));
    assert_eq!(store.fork("child@1", "more").map(drop).map_err(of), Err(wrong));
    assert_eq!(store.lineage("child").map(drop).map_err(of), Err(wrong));
    assert_eq!(store.seal("child@1").map(drop).map_err(of), Err(wrong));
    assert_eq!(store.usage_of("child").map(drop).map_err(of), Err(wrong));
    // A tag recorded what it was given to as well.
    assert_eq!(store.snapshot_of("gold").map(drop).map_err(of), Err(wrong));
    assert_eq!(store.fork("gold", "more").map(drop).map_err(of), Err(wrong));
    assert_eq!(store.tag("gold", "more", Replace::Refuse).map_err(of), Err(wrong));
    assert_eq!(store.flatten("gold", "more", &mut |_| ()).map(drop).map_err(of), Err(wrong));
    assert_eq!(store.seal("gold").map(drop).map_err(of), Err(wrong));
    assert_eq!(store.verify("gold").map(drop).map_err(of), Err(wrong));
    assert_eq!(store.lineage("gold").map(drop).map_err(of), Err(wrong));
    assert_eq!(store.depth("gold").map(drop).map_err(of), Err(wrong));
    assert_eq!(store.usage_of("gold").map(drop).map_err(of), Err(wrong));
    let resolved = store.resolve("gold").unwrap();
    assert_eq!(store.layer_of(&resolved).map(drop).map_err(of), Err(wrong));
    let usage = store.usage_of_names().unwrap();
    let lost = ["child", "gold", "web"].map(|name| (name.to_owned(), Err(ours)));
    assert_eq!(usage.names, lost);
    assert_eq!(store.remove("child").unwrap().lost, [ours]);
    assert_eq!(store.remove("gold").unwrap().lost, [ours]);
}

#[test]
fn between_a_snapshot_and_the_next_flush_the_name_of_a_volume_leads_to_the_snapshot() {
    let (_, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    fill(&volume, 0, 1, 1);
    let frozen = freeze(&volume).layer_id();
    let told = |store: &Store| {
        let lineage =
            store.lineage("web").unwrap().iter().map(|layer| layer.id).collect::<Vec<_>>();
        (store.resolve("web").unwrap().layer, store.names().unwrap()[0].top, lineage)
    };
    assert_eq!(told(&store), (frozen, frozen, vec![frozen]));
    assert_eq!(store.resolve("web@1").unwrap().layer, frozen);
    fill(&volume, 0, 1, 2);
    volume.flush().unwrap();
    let top = volume.layer_id();
    assert_eq!(told(&store), (top, top, vec![top, frozen]));
}

#[test]
fn a_snapshot_is_not_opened_to_write_and_the_error_says_so() {
    let (_, store) = memory();
    let volume = store.create_volume("web", DISK).unwrap();
    let id = freeze(&volume).layer_id().to_string();
    volume.close().unwrap();
    for reference in ["web@1", id.as_str()] {
        let error = store.open_volume(reference).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("fork the snapshot"), "{error}");
    }
    assert_eq!(store.open_volume("nothing").unwrap_err().kind(), ErrorKind::NotFound);
}

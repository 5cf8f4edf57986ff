//! Stores that lack what is not names and layers.

use super::*;
use crate::ErrorKind;
use crate::medium::OpenMode;
use crate::store::{FOLDER, GcOptions, paths};
use crate::units::BlockSize;

/// What copies of a store leave out, as it is empty or nobody knows what it is for.
#[test]
fn a_store_without_what_is_derived_or_empty_works_and_one_without_its_own_file_is_mended() {
    let options = StoreOptions {
        block_size: BlockSize::from_bytes(8192).unwrap(),
        ..StoreOptions::default()
    };
    let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
    let store = Store::create_on(Arc::clone(&host), &options).unwrap();
    let volume = store.create_volume("web", super::DISK).unwrap();
    fill(&volume, 0, 2, 7);
    let base = freeze(&volume).layer_id();
    volume.close().unwrap();
    let plain = StoreOptions::default();
    let findings = || {
        let report = check(&host, Path::new(""), &CheckOptions::default(), &mut |_| ()).unwrap();
        let missing = report.findings.iter().filter(|it| it.what.contains("missing: a copy"));
        (report.is_sound(), missing.count())
    };
    for part in ["lock", "names.lock"] {
        host.remove(Path::new(part)).unwrap();
    }
    assert_eq!(findings(), (true, 2));
    let store = Store::open_on(Arc::clone(&host), &plain).unwrap();
    store.collect(&GcOptions::default()).unwrap();
    store.fork("web@1", "fork").unwrap().flush().unwrap();
    assert_eq!(findings(), (true, 0));

    let own = Path::new(paths::STORE);
    for is_lost in [true, false] {
        match is_lost {
            true => host.remove(own).unwrap(),
            false => host.open(own, OpenMode::ReadWrite).unwrap().set_length(100).unwrap(),
        }
        let error = Store::open_on(Arc::clone(&host), &plain).unwrap_err();
        let kind = if is_lost { ErrorKind::NoStore } else { ErrorKind::Corrupt };
        assert_eq!(error.kind(), kind, "{error}");
        let error = Store::create_on(Arc::clone(&host), &plain).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        let mended = Store::mend_on(Arc::clone(&host), &plain).unwrap();
        assert_eq!(mended.made, ["store"]);
        assert_eq!(mended.store.block_size(), options.block_size, "as the layers say");
        assert_eq!(byte_of(&mended.store.snapshot_of(&base.to_string()).unwrap(), 1), 7);
        assert_eq!(findings(), (true, 0));
    }
    // A sound one stays the same, and nothing is made of what is no store.
    let before = {
        let mut page = [0; 4096];
        host.open(own, OpenMode::Read).unwrap().read_at(0, &mut page).unwrap();
        page
    };
    assert!(Store::mend_on(Arc::clone(&host), &plain).unwrap().made.is_empty());
    let mut page = [0; 4096];
    host.open(own, OpenMode::Read).unwrap().read_at(0, &mut page).unwrap();
    assert!(page == before);
    let nothing: Arc<dyn Host> = Arc::new(MemoryHost::new());
    let error = Store::mend_on(Arc::clone(&nothing), &plain).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoStore, "{error}");
    assert!(nothing.list(Path::new("")).unwrap().is_empty());
}

/// Folders that were empty are nowhere in an archive by names of files.
#[test]
fn folders_that_a_copy_left_out_are_told_and_made() {
    let folder = tempfile::tempdir().unwrap();
    let host: Arc<dyn Host> =
        Arc::new(FileHost::open_root(folder.path(), Network::Refuse).unwrap());
    let store = store_on(&host);
    let volume = store.create_volume("web", super::DISK).unwrap();
    fill(&volume, 0, 2, 7);
    freeze(&volume);
    volume.close().unwrap();
    for part in ["index", "digests"] {
        std::fs::remove_dir_all(folder.path().join(part)).unwrap();
    }
    let store = reopened(&host);
    store.collect(&GcOptions::default()).unwrap();
    store.usage().unwrap();
    let digest = store.seal("web@1").unwrap();
    assert_eq!(
        store.resolve(&digest.to_string()).unwrap().layer,
        store.resolve("web@1").unwrap().layer
    );
    let report = check(&host, Path::new(""), &CheckOptions::default(), &mut |_| ()).unwrap();
    assert!(report.is_sound());
    assert_eq!(report.findings.iter().filter(|it| it.what.contains("missing: a copy")).count(), 2);
    std::fs::remove_dir_all(folder.path().join("names")).unwrap();
    let error = reopened(&host).names().unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Corrupt, Some(FOLDER)), "{error}");
    let report = check(&host, Path::new(""), &CheckOptions::default(), &mut |_| ()).unwrap();
    assert!(!report.is_sound());
    let mended = Store::mend_on(Arc::clone(&host), &StoreOptions::default()).unwrap();
    assert_eq!(mended.made, ["names", "index", "digests"]);
    assert_eq!(mended.store.names().unwrap(), []);
    super::expect_no_damage(&host);
}

//! Arbitrary image layouts, their digests made right: an image that is sound and goes out as it came,
//! or an error that leaves nothing behind.
#![no_main]

use std::io::Cursor;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use sapwood::files::{FilesView, check};
use sapwood::{GcOptions, Replace, Store, StoreOptions};
use sapwood_archive::export_residue;
use sapwood_fuzz::images::assemble;
use sapwood_oci::{Image, Input, LoadOptions, Sha256, load, open_archive};

/// No layer of a few bytes unpacks to more.
const UNPACKED_BYTES_MAX: u64 = 16 << 20;

/// A store in a folder, as memory has no place for what is unpacked first.
fn store() -> &'static Store {
    static STORE: OnceLock<(tempfile::TempDir, Store)> = OnceLock::new();
    let (_, store) = STORE.get_or_init(|| {
        let memory = std::path::Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let folder = folder.expect("a folder");
        let path = folder.path().join("store");
        let store = Store::create(path, &StoreOptions::default()).expect("a store");
        (folder, store)
    });
    store
}

fuzz_target!(|data: &[u8]| {
    let store = store();
    let options = LoadOptions {
        replace: Replace::Move,
        unpacked_bytes_max: Some(UNPACKED_BYTES_MAX),
        ..LoadOptions::default()
    };
    let input = Input::Stream(Box::new(Cursor::new(assemble(data))));
    let loaded = open_archive(store, input, None, &options)
        .and_then(|archive| load(store, &*archive, None, Some("image:1"), &options, &|_| {}));
    if let Ok(images) = loaded {
        for (_, image) in &images {
            expect_sound(store, image);
        }
        drop(images);
        store.remove("image:1").expect("it was tagged");
        store.collect(&GcOptions::default()).expect("a sound store");
    }
    assert!(store.names().expect("names").is_empty());
    assert!(store.layers().expect("layers").is_empty(), "something was left behind");
});

fn expect_sound(store: &Store, image: &Image) {
    let report = check(image.view()).expect("it can be read");
    assert!(report.is_sound(), "{report:?}");
    for layer in image.layers(store).expect("its layers") {
        let snapshot = store.snapshot_of(&layer.id.to_string()).expect("a layer");
        let view = FilesView::open(snapshot).expect("a tree");
        let mut tar = Vec::new();
        assert!(export_residue(&view, &mut tar).expect("it was recorded"));
        assert_eq!(layer.diff_id, Some(Sha256::of(&tar)));
    }
}

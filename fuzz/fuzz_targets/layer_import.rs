//! Arbitrary bytes as an image layer on a tree, with checksums made right: a tree that is sound,
//! and always the same one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood::files::{Files, Inode};
use sapwood_archive::{ExportOptions, ImportOptions, export_tar, import_layer};
use sapwood_fuzz::archive::{assert_sound, below, repair, tree};

fn apply(files: &Files, layer: &[u8]) -> sapwood::Result<()> {
    import_layer(files, &mut &layer[..], &ImportOptions::default(), &mut |_| {}).map(drop)
}

fuzz_target!(|data: &[u8]| {
    let Some((&how, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if how % 4 != 0 {
        repair(&mut bytes);
    }
    let apply_once = || {
        let files = tree();
        apply(&files, &below()).expect("a good layer");
        let done = apply(&files, &bytes);
        assert_sound(&files);
        let options = ExportOptions::default();
        let exported = export_tar(&files, Inode::ROOT, Vec::new(), &options, &mut |_| {});
        (done.map_err(|error| error.to_string()), exported.ok().map(|(_, stream)| stream))
    };
    assert!(apply_once() == apply_once(), "another tree of the same layer");
});

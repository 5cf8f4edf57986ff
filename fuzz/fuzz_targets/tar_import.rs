//! Arbitrary bytes as a tar stream, with checksums made right: a tree that is sound, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood::files::Inode;
use sapwood_archive::{ImportOptions, import_tar};
use sapwood_fuzz::archive::{assert_sound, repair, tree};

fuzz_target!(|data: &[u8]| {
    let Some((&how, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if how % 4 != 0 {
        repair(&mut bytes);
    }
    let files = tree();
    // What came before an error stays, and is sound as well.
    let _ =
        import_tar(&files, Inode::ROOT, &mut &bytes[..], &ImportOptions::default(), &mut |_| {});
    assert_sound(&files);
});

//! Arbitrary bytes as what is kept of a layer's tar: an error, or some tar, in bounded time.
#![no_main]

use std::io::{self, Write};

use libfuzzer_sys::fuzz_target;
use sapwood::Annotations;
use sapwood::files::{FilesView, Paths};
use sapwood_archive::export_residue;
use sapwood_fuzz::archive::tree;

/// Takes no more than this.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

struct Limited(usize);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let [how, length, rest @ ..] = data else { return };
    let (contents, frames) = rest.split_at(usize::from(*length).min(rest.len()));
    // As they are, or as frames of a whole stream.
    let frames = match how % 4 {
        0 => frames.to_vec(),
        _ => zstd::encode_all(frames, 1).expect("memory takes all"),
    };
    let files = tree();
    Paths::new(&files).write("file", &[7; 5000]).expect("a file");
    files.attach(b"tar-residue", &frames).expect("an attachment");
    files.attach(b"tar-residue-contents", contents).expect("an attachment");
    let snapshot = files.snapshot(&Annotations::default()).expect("memory takes all");
    let view = FilesView::open(snapshot).expect("a tree");
    let _ = export_residue(&view, &mut Limited(OUTPUT_BYTES_MAX));
});

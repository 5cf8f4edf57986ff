//! Streams that are compressed, told by how they begin.

use std::io::{self, Read, Write};

use sapwood::ErrorKind;
use sapwood_archive::tar::{Member, MemberKind, TarWriter};
use sapwood_archive::{decompressed, is_archive};

/// Gives what it has byte by byte, as a pipe may.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

fn archive() -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    writer.begin(&Member::new("etc", MemberKind::Directory, 0o755)).unwrap();
    writer.finish().unwrap()
}

fn forms(bytes: &[u8]) -> [Vec<u8>; 5] {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(bytes).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(bytes).unwrap();
    [
        bytes.to_vec(),
        gzip.finish().unwrap(),
        bzip2.finish().unwrap(),
        xz.finish().unwrap(),
        zstd::encode_all(bytes, 1).unwrap(),
    ]
}

#[test]
fn every_form_reads_as_what_was_compressed() {
    let tar = archive();
    for form in forms(&tar) {
        let mut read = Vec::new();
        decompressed(Trickle(&form)).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, tar);
        assert!(is_archive(&mut &form[..]));
    }
    // Two of them one behind the other are one stream, as `gzip` and others have it.
    let halves = [&tar[..1000], &tar[1000..]].map(forms);
    for (one, other) in halves[0].iter().zip(&halves[1]) {
        let mut read = Vec::new();
        let both = [&one[..], &other[..]].concat();
        decompressed(&both[..]).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, tar);
    }
}

#[test]
fn what_is_no_archive_is_none_and_what_cannot_be_read_is_told() {
    for bytes in [&b""[..], b"\x1f\x8b", b"text", &[0; 1024]] {
        assert!(!is_archive(&mut &bytes[..]), "{bytes:?}");
    }
    for form in forms(&[7; 1024]) {
        assert!(!is_archive(&mut &form[..]));
    }
    let error = decompressed(&b"\x04\x22\x4d\x18rest"[..]).err().expect("lz4 is not read");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("found lz4"), "{error}");
}

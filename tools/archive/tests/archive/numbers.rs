//! Numbers at and past what fields can say.

use sapwood::ErrorKind;
use sapwood::files::{Inode, ReadFiles};

use crate::support::*;

/// Twelve or eight bytes of a number in two's complement, the first bit set.
fn binary<const LENGTH: usize>(number: i128) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes.copy_from_slice(&number.to_be_bytes()[16 - LENGTH..]);
    bytes[0] |= 0x80;
    bytes
}

fn with(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    ended(&[raw_member(b"file", b'0', b"", change)])
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    for size in [-1, i128::from(i64::MIN), 1 << 63, 1 << 64, (1 << 64) + 5, (1 << 95) - 1] {
        let archive = with(|header| header[124..136].copy_from_slice(&binary::<12>(size)));
        let error = import_tar(&tree(), &archive).unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some("size")),
            "{size}"
        );
    }
    // A size that may be, of a stream that ends.
    let archive = with(|header| header[124..136].copy_from_slice(&binary::<12>((1 << 63) - 1)));
    assert!(import_tar(&tree(), &archive).is_err());
}

#[test]
fn garbage_in_a_number_is_refused() {
    for (place, field) in [(100, "mode"), (108, "uid"), (116, "gid"), (124, "size"), (136, "mtime")]
    {
        let archive = with(|header| header[place] = b'x');
        assert_eq!(import_tar(&tree(), &archive).unwrap_err().field(), Some(field));
    }
    let mut archive = with(|_| {});
    archive[0] ^= 1;
    assert_eq!(import_tar(&tree(), &archive).unwrap_err().field(), Some("checksum"));
    let magic = with(|header| header[263] = b'9');
    assert_eq!(import_tar(&tree(), &magic).unwrap_err().field(), Some("magic"));
}

#[test]
fn owners_reach_as_far_as_there_are_some() {
    let files = tree();
    let largest = i128::from(u32::MAX) - 1;
    let archive = with(|header| {
        header[108..116].copy_from_slice(&binary::<8>(largest));
        header[116..124].copy_from_slice(&binary::<8>(largest));
    });
    import_tar(&files, &archive).unwrap();
    let file = files.lookup(Inode::ROOT, b"file").unwrap();
    let file = files.attributes(file).unwrap();
    assert_eq!((file.owner, file.group), (u32::MAX - 1, u32::MAX - 1));
    for owner in [-1, largest + 1, 1 << 32] {
        let archive = with(|header| header[108..116].copy_from_slice(&binary::<8>(owner)));
        assert_eq!(import_tar(&tree(), &archive).unwrap_err().field(), Some("uid"), "{owner}");
    }
}

#[test]
fn times_are_those_that_a_tree_can_keep() {
    const FIRST: i64 = -(1 << 31);
    const LAST: i64 = FIRST + (1 << 34) - 1;
    for seconds in [FIRST, -1, 0, 1 << 33, LAST] {
        let files = tree();
        let archive =
            with(|header| header[136..148].copy_from_slice(&binary::<12>(seconds.into())));
        import_tar(&files, &archive).unwrap();
        let file = files.lookup(Inode::ROOT, b"file").unwrap();
        assert_eq!(files.attributes(file).unwrap().modified.seconds, seconds);
    }
    for seconds in [FIRST - 1, LAST + 1, i64::MIN, i64::MAX] {
        let archive =
            with(|header| header[136..148].copy_from_slice(&binary::<12>(seconds.into())));
        assert_eq!(import_tar(&tree(), &archive).unwrap_err().field(), Some("accessed"));
    }
    let archive = with(|header| header[136..148].copy_from_slice(&binary::<12>(1 << 64)));
    assert_eq!(import_tar(&tree(), &archive).unwrap_err().field(), Some("mtime"));
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let old = |entries: &[(&str, &str)], real: &str, content: &[u8]| {
        ended(&[raw_member(b"sparse", b'S', content, |header| {
            header[257..265].copy_from_slice(b"ustar  \0");
            for (place, (offset, length)) in entries.iter().enumerate() {
                let at = 386 + 24 * place;
                header[at..at + 11].copy_from_slice(format!("{offset:0>11}").as_bytes());
                header[at + 12..at + 23].copy_from_slice(format!("{length:0>11}").as_bytes());
            }
            header[483..494].copy_from_slice(format!("{real:0>11}").as_bytes());
        })])
    };
    let files = tree();
    let good = old(&[("0", "1000"), ("10000", "10"), ("20000", "0")], "20000", &[7; 520]);
    import_tar(&files, &good).unwrap();
    let content = read(&files, "sparse");
    assert_eq!(content.len(), 0o20000);
    assert_eq!(content.iter().filter(|&&byte| byte == 7).count(), 520);
    let bad = [
        old(&[("0", "1000"), ("777", "10")], "20000", &[7; 520]),
        old(&[("0", "1000"), ("10000", "10")], "10000", &[7; 520]),
        old(&[("0", "1000"), ("10000", "11")], "20000", &[7; 520]),
        old(&[("0", "1000")], "20000", &[7; 520]),
        old(&[("0", "7"), ("10000", "1001")], "20000", &[7; 520]),
        old(&[("77777777777", "1010")], "77777777777", &[7; 520]),
    ];
    for archive in bad {
        assert_eq!(import_tar(&tree(), &archive).unwrap_err().field(), Some("sparse map"));
    }
    let records: [&[(&str, &[u8])]; 6] = [
        &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")],
        &[("GNU.sparse.size", b"10")],
        &[("GNU.sparse.size", b"10"), ("GNU.sparse.numblocks", b"2"), ("GNU.sparse.map", b"0,1")],
        &[("GNU.sparse.size", b"10"), ("GNU.sparse.numblocks", b"1"), ("GNU.sparse.offset", b"1")],
        &[("GNU.sparse.major", b"2"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"1")],
        &[("GNU.sparse.numbytes", b"1")],
    ];
    for records in records {
        let archive = ended(&[raw_pax(records), raw_member(b"file", b'0', b"x", |_| {})]);
        assert_eq!(import_tar(&tree(), &archive).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let lines = [
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.realsize", b"9"),
    ];
    for map in [&b"1\n"[..], b"999999999999999999999\n", b"x\n", b"1\n0\n5000\n"] {
        let mut content = map.to_vec();
        content.resize(512, b'1');
        let archive = ended(&[raw_pax(&lines), raw_member(b"file", b'0', &content, |_| {})]);
        assert!(import_tar(&tree(), &archive).is_err());
    }
}

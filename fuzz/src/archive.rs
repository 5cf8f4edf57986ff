//! Tar streams: their checksums made right again, trees to put them in, and streams to begin with.

use std::sync::Arc;

use sapwood::files::{Files, FilesOptions, FilesView, Inode, Time, check};
use sapwood::medium::MemoryHost;
use sapwood::{Annotations, ErrorKind, Store, StoreOptions};
use sapwood_archive::tar::{Member, MemberKind, Segment, TarWriter};
use sapwood_archive::{ExportOptions, Holes, ImportOptions, export_tar, import_tar};

/// The unit of a tar stream in bytes.
const RECORD: usize = 512;
/// Where the checksum of a header is.
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// Where the size of a member is.
const SIZE: std::ops::Range<usize> = 124..136;

/// An empty tree in memory.
pub fn tree() -> Files {
    let host = Arc::new(MemoryHost::new());
    let store = Store::create_on(host, &StoreOptions::default()).expect("a store in memory");
    let volume = store.create_tree("tree").expect("a tree");
    let clock = || Time { seconds: 1, nanoseconds: 0 };
    Files::open(volume, FilesOptions { clock, ..FilesOptions::default() }).expect("its files")
}

/// Makes the checksum of every header right, as far as sizes lead to headers, and ends the stream.
pub fn repair(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(RECORD), 0);
    let mut at = 0;
    while let Some(header) = bytes.get_mut(at..at + RECORD) {
        if header.iter().any(|&byte| byte != 0) {
            header[CHECKSUM].fill(b' ');
            let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
            header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let digits = header[SIZE].iter().filter(|byte| matches!(byte, b'0'..=b'7'));
        let size = digits.fold(0_usize, |size, &digit| (size << 3) + usize::from(digit - b'0'));
        at = at.saturating_add(RECORD).saturating_add(size.next_multiple_of(RECORD));
    }
    bytes.resize(bytes.len() + 2 * RECORD, 0);
}

/// Whatever came in is a sound tree, which can be written out and comes back equal.
pub fn assert_sound(files: &Files) {
    let snapshot = files.snapshot(&Annotations::default()).expect("memory takes all");
    let view = FilesView::open(snapshot).expect("a tree");
    let report = check(&view).expect("what is in memory can be read");
    assert!(report.is_sound(), "{report:?}");
    let options = ExportOptions { holes: Holes::Keep, ..ExportOptions::default() };
    let export = |files: &dyn sapwood::files::ReadFiles| {
        export_tar(files, Inode::ROOT, Vec::new(), &options, &mut |_| {})
    };
    let (_, stream) = match export(&view) {
        Ok(exported) => exported,
        // The name of an attribute may hold what a stream cannot say.
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            return;
        }
    };
    let again = tree();
    import_tar(&again, Inode::ROOT, &mut &stream[..], &ImportOptions::default(), &mut |_| {})
        .expect("our own stream is read");
    let (_, other) = export(&again).expect("the same tree");
    assert!(stream == other, "another stream of an equal tree");
}

/// Streams that reach every kind of member, extension and whiteout.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let member = |name: &str, kind| Member::new(name, kind, 0o755);
    let link = |name: &str, target: &str| member(name, MemberKind::HardLink(target.into()));
    let symlink = |name: &str, target: &str| member(name, MemberKind::Symlink(target.into()));
    let mut rich = member("d/rich", MemberKind::File);
    rich.attributes = vec![(b"user.a".to_vec(), b"b\n".to_vec())];
    rich.modified = Time { seconds: -5, nanoseconds: 25 };
    rich.owner = 1 << 22;
    let plain = vec![
        member("./", MemberKind::Directory),
        member("d/", MemberKind::Directory),
        rich,
        link("again", "d/rich"),
        symlink("way", "d"),
        member("way/below", MemberKind::Fifo),
        member("d/null", MemberKind::CharDevice(1, 3)),
        member("d", MemberKind::BlockDevice(8, 0)),
        Member::new("n".repeat(120), MemberKind::Symlink(vec![b't'; 120]), 0o777),
    ];
    let layer = vec![
        member("d/.wh.one", MemberKind::File),
        member("d/new/", MemberKind::Directory),
        member("d/.wh..wh..opq", MemberKind::File),
        member("d/sub/over", MemberKind::File),
        member("d/.wh.sub", MemberKind::File),
        symlink("e", "../d"),
        member("e/.wh.two", MemberKind::File),
        link("kept", "d/sub/over"),
    ];
    vec![
        ("plain", stream(&plain)),
        ("layer", stream(&layer)),
        ("sparse", sparse()),
        ("empty", stream(&[])),
    ]
}

/// What the layers below hold where a layer is applied.
pub fn below() -> Vec<u8> {
    let member = |name: &str, kind| Member::new(name, kind, 0o755);
    stream(&[
        member("d/", MemberKind::Directory),
        member("d/one", MemberKind::File),
        member("d/two", MemberKind::File),
        member("d/sub/", MemberKind::Directory),
        member("d/sub/three", MemberKind::File),
        member("d/sub/deep/four", MemberKind::File),
        member("e", MemberKind::File),
        member("way", MemberKind::Symlink(b"d/sub".to_vec())),
    ])
}

fn stream(members: &[Member]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for member in members {
        writer.begin(member).expect("memory takes all");
    }
    writer.finish().expect("memory takes all")
}

fn sparse() -> Vec<u8> {
    let segments = [Segment { offset: 4096, length: 512 }, Segment { offset: 9000, length: 7 }];
    let mut member = Member::new("sparse", MemberKind::File, 0o644);
    member.size = 20_000;
    let mut writer = TarWriter::new(Vec::new());
    writer.begin_sparse(&member, &segments).expect("memory takes all");
    writer.write(&[1; 519]).expect("as much as announced");
    writer.finish().expect("memory takes all")
}

//! Random trees out to a tar stream and in again, whole and as layers.

use proptest::prelude::*;
use sapwood::files::{FileKind, Files, FilesView, Inode, NewFile, Paths, ReadFiles, Seek, Time};
use sapwood_archive::tar::{Member, MemberKind};
use sapwood_archive::{ExportOptions, Holes, SpecialFiles, export_layer};

use crate::support::*;

/// A name that may hold anything but a slash and a NUL.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => "[a-d]{1,2}".prop_map(String::into_bytes),
        1 => prop::collection::vec(1..=255_u8, 1..40),
        1 => prop::collection::vec(Just(b'n'), 90..256),
        1 => Just(b".wh.a".to_vec()),
    ]
    .prop_filter("a name", |name| {
        !name.contains(&b'/') && !matches!(&name[..], b"." | b".." | b".wh..wh..opq")
    })
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(name(), 1..4).prop_map(|names| names.join(&b'/'))
}

fn kind() -> impl Strategy<Value = MemberKind> {
    prop_oneof![
        6 => Just(MemberKind::File),
        3 => Just(MemberKind::Directory),
        2 => path().prop_map(MemberKind::HardLink),
        1 => prop::collection::vec(1..=255_u8, 1..150).prop_map(MemberKind::Symlink),
        1 => (0..4096_u32, 0..1_u32 << 20).prop_map(|(major, minor)| MemberKind::CharDevice(major, minor)),
        1 => Just(MemberKind::Fifo),
    ]
}

fn attributes() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let name = "user\\.[a-z]{1,8}".prop_map(String::into_bytes);
    let value = prop::collection::vec(any::<u8>(), 0..600);
    prop::collection::btree_map(name, value, 0..3).prop_map(|all| all.into_iter().collect())
}

fn owner() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1000), Just((1 << 21) - 1), Just(1 << 21), Just(u32::MAX - 1)]
}

fn time() -> impl Strategy<Value = Time> {
    let seconds = prop_oneof![Just(0), -(1_i64 << 31)..(1 << 34) - (1 << 31)];
    let nanoseconds = prop_oneof![Just(0), 0..1_000_000_000_u32];
    (seconds, nanoseconds).prop_map(|(seconds, nanoseconds)| Time { seconds, nanoseconds })
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![Just(0), 1..600_usize, 4090..4100_usize, 0..20_000_usize];
    (length, any::<u8>()).prop_map(|(length, byte)| vec![byte; length])
}

prop_compose! {
    fn entry()(
        name in path(),
        kind in kind(),
        permissions in 0..=0o7777_u16,
        owner in owner(),
        group in owner(),
        modified in time(),
        attributes in attributes(),
        content in content(),
    ) -> (Member, Vec<u8>) {
        let mut member = Member::new(name, kind, permissions);
        (member.owner, member.group) = (owner, group);
        member.modified = modified;
        let is_file = member.kind == MemberKind::File;
        if !matches!(member.kind, MemberKind::HardLink(_)) {
            member.attributes = attributes;
        }
        member.size = if is_file { content.len() as u64 } else { 0 };
        (member, if is_file { content } else { Vec::new() })
    }
}

/// Applies what can be applied, one by one; the rest has no place in the tree.
fn grow(files: &sapwood::files::Files, members: &[(Member, Vec<u8>)]) {
    for member in members {
        let _ = import_tar(files, &stream(std::slice::from_ref(member)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_comes_back_from_its_tar_and_gives_the_same_bytes(
        members in prop::collection::vec(entry(), 0..40)
    ) {
        let files = tree();
        grow(&files, &members);
        let expected = describe(&files, Inode::ROOT);
        for holes in [Holes::Expand, Holes::Keep] {
            let options = ExportOptions { holes, ..ExportOptions::default() };
            let bytes = export_tar(&files, &options);
            let again = tree();
            import_tar(&again, &bytes).unwrap();
            assert_same(&describe(&again, Inode::ROOT), &expected);
            prop_assert!(export_tar(&again, &options) == bytes, "other bytes for an equal tree");
        }
    }

    #[test]
    fn any_bytes_are_an_archive_or_an_error(
        members in prop::collection::vec(entry(), 0..6),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut bytes = stream(&members);
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let files = tree();
        let _ = import_layer(&files, &bytes);
        // Whatever came in is a tree that can be written out.
        let _ = try_export_tar(&files, &ExportOptions::default());
    }
}

#[test]
fn the_order_in_which_a_tree_was_made_does_not_show() {
    let mut members: Vec<_> = (0..200)
        .flat_map(|at| {
            let mut directory = directory(&format!("d{}/", at % 7));
            directory.0.modified.seconds = 5;
            let mut file = file(&format!("d{}/f{at}", at % 7), "content");
            file.0.modified.seconds = 6;
            [directory, file]
        })
        .collect();
    members.push(directory("./"));
    let (one, other) = (tree(), tree());
    import_tar(&one, &stream(&members)).unwrap();
    members.reverse();
    import_tar(&other, &stream(&members)).unwrap();
    let options = ExportOptions::default();
    assert!(export_tar(&one, &options) == export_tar(&other, &options));
}

#[test]
fn members_stand_in_the_order_of_their_paths() {
    let files = tree();
    let members =
        [file("a-b", ""), directory("a/"), file("a/c", ""), file("a0", ""), file("A", "")];
    import_tar(&files, &stream(&members)).unwrap();
    let bytes = export_tar(&files, &ExportOptions::default());
    let mut reader = sapwood_archive::tar::TarReader::new(&bytes[..]);
    let mut names = Vec::new();
    while let Some(member) = reader.next_member().unwrap() {
        names.push(String::from_utf8(member.name).unwrap());
    }
    assert_eq!(names, ["./", "A", "a-b", "a/", "a/c", "a0"]);
}

#[test]
fn holes_are_kept_where_the_caller_says_so_and_content_decides_otherwise() {
    let (sparse, dense) = (tree(), tree());
    for (files, zeros) in [(&sparse, false), (&dense, true)] {
        import_tar(files, &stream(&[directory("./"), file("f", "")])).unwrap();
        let inode = files.lookup(Inode::ROOT, b"f").unwrap();
        if zeros {
            files.write(inode, 0, &vec![0; 3 << 20]).unwrap();
        }
        files.write(inode, 3 << 20, b"end").unwrap();
        let mut set = sapwood::files::SetAttributes::default();
        let time = Some(Time { seconds: 1, nanoseconds: 0 });
        (set.modified, set.accessed) = (time, time);
        files.set_attributes(inode, &set).unwrap();
    }
    let with =
        |files, holes| export_tar(files, &ExportOptions { holes, ..ExportOptions::default() });
    assert!(with(&sparse, Holes::Expand) == with(&dense, Holes::Expand));
    let kept = with(&sparse, Holes::Keep);
    assert!(kept.len() < 16 << 10, "{}", kept.len());
    let again = tree();
    import_tar(&again, &kept).unwrap();
    let inode = again.lookup(Inode::ROOT, b"f").unwrap();
    assert_eq!(again.seek(inode, 0, Seek::Data).unwrap(), Some(3 << 20));
    assert_same(&describe(&again, Inode::ROOT), &describe(&dense, Inode::ROOT));
}

#[test]
fn sockets_are_no_part_of_a_tar() {
    let files = tree();
    let socket = NewFile { kind: FileKind::Socket, ..NewFile::regular(0o600) };
    files.create(Inode::ROOT, b"s", &socket).unwrap();
    let error = try_export_tar(&files, &ExportOptions::default()).unwrap_err();
    assert_eq!(error.kind(), sapwood::ErrorKind::Unsupported, "{error}");
    for special_files in [SpecialFiles::Skip, SpecialFiles::SkipSockets] {
        export_tar(&files, &ExportOptions { special_files, ..ExportOptions::default() });
    }
}

/// What is left out of a layer hides what stood in its place: else that would be there again.
#[test]
fn a_socket_that_is_left_out_of_a_layer_hides_what_was_there() {
    let files = tree();
    Paths::new(&files).create_dir_all("d").unwrap();
    for path in ["a", "d/x", "e"] {
        Paths::new(&files).write(path, path.as_bytes()).unwrap();
    }
    let view =
        |files: &Files| FilesView::open(files.snapshot(&Default::default()).unwrap()).unwrap();
    let before = view(&files);
    let make = |name: &[u8], kind| {
        let new = NewFile { kind, ..NewFile::regular(0o600) };
        files.create(Inode::ROOT, name, &new).unwrap();
    };
    files.unlink(Inode::ROOT, b"a").unwrap();
    Paths::new(&files).remove_dir_all("d").unwrap();
    for name in [b"a", b"d", b"s"] {
        make(name, FileKind::Socket);
    }
    make(b"p", FileKind::Fifo);
    let after = view(&files);
    let applied = |special_files| {
        let options = ExportOptions { special_files, ..ExportOptions::default() };
        let (report, layer) =
            export_layer(Some(&before), &after, Vec::new(), &options, &mut |_| {})?;
        let tree = tree();
        import_tar(&tree, &try_export_tar(&before, &ExportOptions::default())?)?;
        import_layer(&tree, &layer)?;
        Ok::<_, sapwood::Error>((report.skipped, paths(&tree)))
    };
    let kept = |paths: &[&str]| paths.iter().map(|path| path.to_string()).collect::<Vec<_>>();
    assert_eq!(applied(SpecialFiles::SkipSockets).unwrap(), (3, kept(&["e", "p"])));
    assert_eq!(applied(SpecialFiles::Skip).unwrap(), (4, kept(&["e"])));
    let error = applied(SpecialFiles::Make).unwrap_err();
    assert_eq!(error.kind(), sapwood::ErrorKind::Unsupported);
    let error = applied(SpecialFiles::Refuse).unwrap_err();
    assert_eq!(error.kind(), sapwood::ErrorKind::NotPermitted);
}

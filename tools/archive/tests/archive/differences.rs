//! Layers of what changed: applied on the tree before they give the tree after.

use proptest::prelude::*;
use sapwood::files::{
    FileKind, Files, FilesView, Inode, NewFile, ReadFiles, RenameMode, SetAttributes, SetMode,
};
use sapwood::{Annotations, ErrorKind};
use sapwood_archive::tar::TarReader;
use sapwood_archive::{ExportOptions, export_layer, transfer_layer};

use crate::support::*;

/// A change of a tree; places are drawn from the directories and names that are there.
#[derive(Clone, Debug)]
enum Step {
    Create { place: u8, name: u8, is_directory: bool },
    Write { place: u8, name: u8, byte: u8 },
    Remove { place: u8, name: u8 },
    Rename { from: (u8, u8), to: (u8, u8), mode: u8 },
    Link { from: (u8, u8), to: (u8, u8) },
    Symlink { place: u8, name: u8 },
    Mode { place: u8, name: u8, permissions: u16 },
    Attribute { place: u8, name: u8, byte: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let at = || (0..6_u8, 0..5_u8);
    prop_oneof![
        4 => (at(), any::<bool>())
            .prop_map(|((place, name), is_directory)| Step::Create { place, name, is_directory }),
        3 => (at(), any::<u8>()).prop_map(|((place, name), byte)| Step::Write { place, name, byte }),
        2 => at().prop_map(|(place, name)| Step::Remove { place, name }),
        3 => (at(), at(), 0..3_u8).prop_map(|(from, to, mode)| Step::Rename { from, to, mode }),
        2 => (at(), at()).prop_map(|(from, to)| Step::Link { from, to }),
        1 => at().prop_map(|(place, name)| Step::Symlink { place, name }),
        1 => (at(), 0..=0o7777_u16)
            .prop_map(|((place, name), permissions)| Step::Mode { place, name, permissions }),
        1 => (at(), any::<u8>())
            .prop_map(|((place, name), byte)| Step::Attribute { place, name, byte }),
    ]
}

/// Does what can be done; the rest has no meaning in the tree as it is.
fn perform(files: &Files, step: &Step) {
    let directories = directories(files);
    let place = |number: u8| directories[usize::from(number) % directories.len()];
    let name = |number: u8| vec![b'a' + number];
    let find = |at: u8, number: u8| files.lookup(place(at), &name(number));
    let done = match step {
        Step::Create { place: at, name: number, is_directory } => {
            let new =
                if *is_directory { NewFile::directory(0o755) } else { NewFile::regular(0o644) };
            files.create(place(*at), &name(*number), &new).map(drop)
        }
        Step::Write { place: at, name: number, byte } => {
            let content = vec![*byte; usize::from(*byte) * 30];
            find(*at, *number).and_then(|file| files.write(file, u64::from(*byte), &content))
        }
        Step::Remove { place: at, name: number } => {
            let (directory, name) = (place(*at), name(*number));
            files.unlink(directory, &name).or_else(|_| files.remove_directory(directory, &name))
        }
        Step::Rename { from, to, mode } => {
            let modes = [RenameMode::Replace, RenameMode::NoReplace, RenameMode::Exchange];
            let mode = modes[usize::from(*mode)];
            files.rename(place(from.0), &name(from.1), place(to.0), &name(to.1), mode)
        }
        Step::Link { from, to } => find(from.0, from.1)
            .and_then(|file| files.link(file, place(to.0), &name(to.1)).map(drop)),
        Step::Symlink { place: at, name: number } => {
            files.symlink(place(*at), &name(*number), b"../a", 1, 2).map(drop)
        }
        Step::Mode { place: at, name: number, permissions } => {
            find(*at, *number).and_then(|file| {
                // Symlinks have no permissions of their own.
                let is_symlink = files.attributes(file)?.kind == FileKind::Symlink;
                let permissions = Some(*permissions).filter(|_| !is_symlink);
                let set = SetAttributes { permissions, ..SetAttributes::default() };
                files.set_attributes(file, &set).map(drop)
            })
        }
        Step::Attribute { place: at, name: number, byte } => find(*at, *number)
            .and_then(|file| files.set_extended_attribute(file, b"user.a", &[*byte], SetMode::Any)),
    };
    if let Err(error) = done {
        let expected = [
            ErrorKind::NotFound,
            ErrorKind::AlreadyExists,
            ErrorKind::InvalidInput,
            ErrorKind::IsADirectory,
            ErrorKind::NotADirectory,
            ErrorKind::NotEmpty,
            ErrorKind::NotPermitted,
        ];
        assert!(expected.contains(&error.kind()), "{step:?}: {error}");
    }
}

fn directories(files: &Files) -> Vec<Inode> {
    let mut found = vec![Inode::ROOT];
    let mut at = 0;
    while at < found.len() {
        let mut names = Vec::new();
        let each = &mut |entry: sapwood::files::Entry<'_>| {
            if entry.kind == FileKind::Directory {
                names.push((entry.name.to_vec(), entry.inode));
            }
            std::ops::ControlFlow::Continue(())
        };
        files.entries(found[at], 0, each).unwrap();
        names.sort();
        found.extend(names.into_iter().map(|(_, inode)| inode));
        at += 1;
    }
    found
}

fn snapshot(files: &Files) -> FilesView {
    FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap()
}

fn layer(before: &FilesView, after: &FilesView) -> sapwood::Result<Vec<u8>> {
    let options = ExportOptions::default();
    Ok(export_layer(Some(before), after, Vec::new(), &options, &mut |_| {})?.1)
}

fn names(stream: &[u8]) -> Vec<String> {
    let mut reader = TarReader::new(stream);
    let mut names = Vec::new();
    while let Some(member) = reader.next_member().unwrap() {
        names.push(String::from_utf8(member.name).unwrap());
    }
    names
}

/// A copy of a tree that has nothing to do with it.
fn copy(view: &FilesView) -> Files {
    let files = tree();
    import_layer(&files, &export_tar(view, &ExportOptions::default())).unwrap();
    files
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_layer_makes_the_tree_after_out_of_the_tree_before(
        first in prop::collection::vec(step(), 0..40),
        second in prop::collection::vec(step(), 0..25),
    ) {
        let store = store();
        let files = tree_in(&store, "tree");
        first.iter().for_each(|step| perform(&files, step));
        let before = snapshot(&files);
        second.iter().for_each(|step| perform(&files, step));
        let after = snapshot(&files);
        let stream = layer(&before, &after).unwrap();
        let copied = copy(&before);
        import_layer(&copied, &stream).unwrap();
        assert_same(&describe(&copied, Inode::ROOT), &describe(&after, Inode::ROOT));
        prop_assert!(stream == layer(&before, &after).unwrap());
        // And the way back.
        let back = layer(&after, &before).unwrap();
        import_layer(&copied, &back).unwrap();
        assert_same(&describe(&copied, Inode::ROOT), &describe(&before, Inode::ROOT));
        // The same without a stream, in a tree of the same store that begins with nothing.
        let other = tree_in(&store, "other");
        for (old, new) in [(None, &before), (Some(&before), &after), (Some(&after), &before)] {
            transfer_layer(old, new, &other, &mut |_| {}).unwrap();
            assert_same(&describe(&other, Inode::ROOT), &describe(new, Inode::ROOT));
        }
    }
}

#[test]
fn a_layer_moves_to_another_tree_of_the_store_without_its_content() {
    let store = store();
    let files = tree_in(&store, "tree");
    import_tar(&files, &stream(&[directory("d/"), file("d/gone", "1"), file("d/.wh.x", "2")]))
        .unwrap();
    let before = snapshot(&files);
    let large = files.create(Inode::ROOT, b"large", &NewFile::regular(0o600)).unwrap().inode;
    files.write(large, 0, &vec![7; 3 << 20]).unwrap();
    files.link(large, Inode::ROOT, b"linked").unwrap();
    let d = files.lookup(Inode::ROOT, b"d").unwrap();
    files.unlink(d, b"gone").unwrap();
    let after = snapshot(&files);
    let other = tree_in(&store, "other");
    import_tar(&other, &stream(&[file("d/gone", "of the other"), file("own", "3")])).unwrap();
    let report = transfer_layer(Some(&before), &after, &other, &mut |_| {}).unwrap();
    assert_eq!((report.entries, report.bytes), (4, 3 << 20));
    other.flush().unwrap();
    // Beside what the tree had already: the pages of its metadata and a record.
    assert!(other.volume().counters().bytes_allocated < 256 << 10);
    let described = describe(&other, Inode::ROOT);
    let paths: Vec<&str> = described.keys().map(String::as_str).collect();
    assert_eq!(paths, [".", "d", "large", "linked", "own"]);
    assert_eq!(described["linked"].same_as, "large");
    // A name that a layer of an archive cannot say moves like all others.
    transfer_layer(None, &before, &other, &mut |_| {}).unwrap();
    assert_eq!(read(&other, "d/.wh.x"), b"2");
}

#[test]
fn a_layer_says_what_changed_and_no_more() {
    let files = tree();
    let members = [
        directory("d/"),
        file("d/gone", "1"),
        file("d/same", "2"),
        directory("d/moved/"),
        file("d/moved/inside", "3"),
        directory("old/"),
        file("old/x", "4"),
        file("old/y", "5"),
        file("linked", "6"),
        hard_link("linked too", "linked"),
    ];
    import_tar(&files, &stream(&members)).unwrap();
    let before = snapshot(&files);
    assert_eq!(names(&layer(&before, &snapshot(&files)).unwrap()), Vec::<String>::new());
    let d = files.lookup(Inode::ROOT, b"d").unwrap();
    files.unlink(d, b"gone").unwrap();
    files.rename(d, b"moved", Inode::ROOT, b"here", RenameMode::Replace).unwrap();
    let old = files.lookup(Inode::ROOT, b"old").unwrap();
    files.unlink(old, b"x").unwrap();
    files.unlink(old, b"y").unwrap();
    files.remove_directory(Inode::ROOT, b"old").unwrap();
    files.create(Inode::ROOT, b"old", &NewFile::directory(0o755)).unwrap();
    let linked = files.lookup(Inode::ROOT, b"linked").unwrap();
    files.write(linked, 0, b"7").unwrap();
    let after = snapshot(&files);
    let found = names(&layer(&before, &after).unwrap());
    let expected = [
        "d/.wh.gone",
        "d/.wh.moved",
        "old/.wh.x",
        "old/.wh.y",
        "d/",
        "here/",
        "here/inside",
        "linked",
        "linked too",
        "old/",
    ];
    assert_eq!(found, expected);
}

#[test]
fn names_of_whiteouts_cannot_be_said() {
    let files = tree();
    let before = snapshot(&files);
    import_tar(&files, &stream(&[file("d/.wh.foo", "")])).unwrap();
    let after = snapshot(&files);
    for (one, other) in [(&before, &after), (&after, &before)] {
        match layer(one, other) {
            // What hides the directory hides what is in it.
            Ok(stream) => assert_eq!(names(&stream)[0], ".wh.d"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                assert!(error.to_string().contains(".wh.foo"), "{error}");
            }
        }
    }
    assert!(layer(&before, &after).is_err());
    let options = ExportOptions::default();
    let lowest = export_layer(None, &after, Vec::new(), &options, &mut |_| {}).map(drop);
    assert_eq!(lowest.unwrap_err().kind(), ErrorKind::Unsupported);
    let (_, lowest) = export_layer(None, &before, Vec::new(), &options, &mut |_| {}).unwrap();
    assert!(lowest == export_tar(&before, &options), "the lowest layer is the tree");
    let d = files.lookup(Inode::ROOT, b"d").unwrap();
    files.unlink(d, b".wh.foo").unwrap();
    assert!(layer(&after, &snapshot(&files)).is_err());
    // A device that is none hides what is below it where OverlayFS puts the layer.
    let device = NewFile { kind: FileKind::CharDevice, ..NewFile::regular(0o600) };
    files.create(Inode::ROOT, b"null", &device).unwrap();
    let error = layer(&before, &snapshot(&files)).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("null"), "{error}");
}

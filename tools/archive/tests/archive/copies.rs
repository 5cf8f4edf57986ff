//! Directories of trees, copied into trees of the same store.

use sapwood::files::{
    FileKind, Files, FilesView, NewFile, Paths, ReadFiles, Seek, SetAttributes, SetMode,
};
use sapwood::{Annotations, ErrorKind};
use sapwood_archive::{ImportOptions, Report, SpecialFiles, TreeSource, copy_tree};

use crate::support::*;

/// Enough for many blocks.
const LARGE_BYTES: usize = 1 << 20;

fn make(files: &Files) {
    let paths = Paths::new(files);
    paths.create_dir_all("d/deep/er").unwrap();
    paths.write("d/large", &vec![7; LARGE_BYTES]).unwrap();
    paths.write("d/small", b"small").unwrap();
    paths.hard_link("d/large", "d/deep/again").unwrap();
    paths.symlink("../small", "d/deep/link").unwrap();
    let d = paths.resolve("d").unwrap();
    for (name, kind) in
        [(b"s", FileKind::Socket), (b"p", FileKind::Fifo), (b"c", FileKind::CharDevice)]
    {
        files.create(d, name, &NewFile { kind, device: 0x103, ..NewFile::regular(0o600) }).unwrap();
    }
    let sparse = files.create(d, b"sparse", &NewFile::regular(0o4755)).unwrap().inode;
    files.write(sparse, 8 << 20, b"end").unwrap();
    files.set_extended_attribute(sparse, b"user.a", b"1", SetMode::Any).unwrap();
    let set = SetAttributes { owner: Some(5), group: Some(6), ..SetAttributes::default() };
    files.set_attributes(d, &set).unwrap();
}

fn snapshot(files: &Files) -> FilesView {
    FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap()
}

fn copy(
    view: &FilesView,
    source: TreeSource,
    files: &Files,
    into: &str,
    options: &ImportOptions,
) -> sapwood::Result<Report> {
    let from = Paths::new(view).resolve("d")?;
    let into = Paths::new(files).create_dir_all(into)?;
    copy_tree(view, source, from, files, into, options, &mut |_| {})
}

fn described(files: &dyn ReadFiles, path: &str) -> Described {
    describe(files, Paths::new(files).resolve(path).unwrap())
}

/// Whether what was done since `before` took as many new bytes as the content has.
fn has_copied(files: &Files, before: u64) -> bool {
    allocated(files) - before >= LARGE_BYTES as u64
}

fn allocated(files: &Files) -> u64 {
    files.flush().unwrap();
    files.volume().counters().bytes_allocated
}

#[test]
fn a_copy_is_the_same_and_shares_what_can_be_shared() {
    let store = store();
    let one = tree_in(&store, "one");
    make(&one);
    let frozen = snapshot(&one);
    let expected = described(&frozen, "d");
    let options = ImportOptions::default();
    let other = tree_in(&store, "other");

    let before = allocated(&other);
    let report = copy(&frozen, TreeSource::Snapshot, &other, "of/snapshot", &options).unwrap();
    assert_eq!(report.entries, expected.len() as u64);
    assert_same(&described(&other, "of/snapshot"), &expected);
    assert!(!has_copied(&other, before));
    let sparse = Paths::new(&other).resolve("of/snapshot/sparse").unwrap();
    assert_eq!(other.seek(sparse, 0, Seek::Data).unwrap(), Some(8 << 20));

    // What is there is replaced, or joined, and a second copy changes nothing.
    Paths::new(&other).remove_file("of/snapshot/small").unwrap();
    Paths::new(&other).create_dir_all("of/snapshot/small/er").unwrap();
    copy(&frozen, TreeSource::Snapshot, &other, "of/snapshot", &options).unwrap();
    assert_same(&described(&other, "of/snapshot"), &expected);

    // The last commit of a volume may go: nothing is shared with it.
    Paths::new(&one).write("d/small", b"since").unwrap();
    one.flush().unwrap();
    let expected = described(&one, "d");
    let looked_into = FilesView::open(store.snapshot_of("one").unwrap()).unwrap();
    copy(&looked_into, TreeSource::Volume, &other, "of/volume", &options).unwrap();
    assert_same(&described(&other, "of/volume"), &expected);
    assert!(has_copied(&other, before));
    let refused = copy(&looked_into, TreeSource::Snapshot, &other, "of/volume", &options);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn within_a_volume_files_are_shared_unless_they_changed_since() {
    let store = store();
    let files = Files::open(store.create_tree("own").unwrap(), Default::default()).unwrap();
    make(&files);
    files.flush().unwrap();
    let view = FilesView::open(store.snapshot_of("own").unwrap()).unwrap();
    let expected = described(&view, "d");
    let before = allocated(&files);
    let options = ImportOptions::default();
    copy(&view, TreeSource::Target, &files, "d/deep/er", &options).unwrap();
    assert!(!has_copied(&files, before));
    assert_same(&described(&files, "d/deep/er"), &expected);

    // Into itself, over what is being copied.
    Paths::new(&files).write("d/small", b"other").unwrap();
    Paths::new(&files).remove_file("d/sparse").unwrap();
    copy(&view, TreeSource::Target, &files, "d", &options).unwrap();
    for (path, file) in &expected {
        assert_eq!(described(&files, "d").get(path), Some(file), "{path}");
    }
}

#[test]
fn what_is_not_wanted_is_left_out_whole() {
    let store = store();
    let one = tree_in(&store, "one");
    make(&one);
    Paths::new(&one).hard_link("d/p", "d/q").unwrap();
    let (view, other) = (snapshot(&one), tree_in(&store, "other"));
    let names = |special_files| {
        let options = ImportOptions { special_files, ..ImportOptions::default() };
        let into = format!("{special_files:?}");
        let report = copy(&view, TreeSource::Snapshot, &other, &into, &options)?;
        let names = Paths::new(&other).read_dir(&into)?.into_iter();
        let names: Vec<_> = names.map(|entry| String::from_utf8(entry.name).unwrap()).collect();
        Ok::<_, sapwood::Error>((report.skipped, names.concat()))
    };
    let (files, all) = ("deeplarge", "cdeeplargepqssmallsparse");
    assert_eq!(names(SpecialFiles::Make).unwrap(), (0, all.to_owned()));
    assert_eq!(
        names(SpecialFiles::SkipSockets).unwrap(),
        (1, "cdeeplargepqsmallsparse".to_owned())
    );
    assert_eq!(names(SpecialFiles::Skip).unwrap(), (4, format!("{files}smallsparse")));
    assert_eq!(names(SpecialFiles::Refuse).unwrap_err().kind(), ErrorKind::NotPermitted);
}

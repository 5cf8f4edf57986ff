//! Attachments: what they are, and where they do not show.

use super::*;
use crate::format::files::Superblock;
use crate::units::{BlockAddress, BlockSize};

#[test]
fn attachments_go_where_the_tree_goes_and_show_nowhere_in_it() {
    let store = store();
    let live = files(&store);
    assert_eq!(live.attachments().unwrap(), None);
    assert_eq!(attachment(&live, b"note").unwrap(), None);
    make(&live, ROOT, "seen");
    let before = live.snapshot(&Annotations::default()).unwrap();
    let large: Vec<u8> = (0..70_000_u32).map(|at| (at / 7) as u8).collect();
    live.attach(b"note", b"first, and longer").unwrap();
    live.attach(b"note", b"second").unwrap();
    live.attach(b"large", &large).unwrap();
    let only_attached = live.snapshot(&Annotations::default()).unwrap();
    make(&live, ROOT, "also seen");
    let last = live.snapshot(&Annotations::default()).unwrap();

    let [before, only_attached, last] =
        [before, only_attached, last].map(|snapshot| FilesView::open(snapshot).unwrap());
    assert_eq!(before.attachments().unwrap(), None);
    let fork = store.fork("tree@1", "fork").unwrap();
    let fork = Files::open(fork, FilesOptions::default()).unwrap();
    for tree in [&live as &dyn ReadFiles, &last, &fork] {
        assert_eq!(attachment(tree, b"note").unwrap().unwrap(), b"second");
        assert_eq!(attachment(tree, b"large").unwrap().unwrap(), large);
        assert_eq!(attachment(tree, b"none").unwrap(), None);
        let directory = tree.attachments().unwrap().unwrap();
        assert_eq!(names(tree, directory), ["large", "note"]);
        assert_eq!(tree.lookup(directory, b"..").unwrap(), directory);
        assert_eq!(names(tree, ROOT), ["also seen", "seen"]);
    }
    assert_eq!(changes(&before, &only_attached).unwrap(), []);
    assert_eq!(changes(&only_attached, &before).unwrap(), []);
    assert_eq!(compare(&before, &only_attached).unwrap(), []);
    let paths: Vec<_> = changes(&before, &last).unwrap().into_iter().map(|c| c.path).collect();
    assert_eq!(paths, [b"".to_vec(), b"also seen".to_vec()]);
    let note = find_attachment(&last, b"note").unwrap().unwrap();
    assert_eq!(last.paths_of(note).unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(last.paths_of(last.attachments().unwrap().unwrap()).unwrap(), Vec::<Vec<u8>>::new());
    let report = check(&last).unwrap();
    assert_eq!(report.findings, []);
    let usage = usage(&last).unwrap();
    assert_eq!((usage.files, usage.directories, usage.content_bytes), (3, 1, 0));
    assert_eq!((usage.attachments, usage.attachment_bytes), (2, 70_006));
}

#[test]
fn an_attachment_is_a_regular_file_of_one_name() {
    let store = store();
    let files = files(&store);
    let seen = make(&files, ROOT, "seen");
    files.attach(b"note", b"text").unwrap();
    let directory = files.attachments().unwrap().unwrap();
    assert_eq!(files.make_attachments().unwrap(), directory);
    let note = find_attachment(&files, b"note").unwrap().unwrap();

    expect_error(
        files.create(directory, b"x", &NewFile::directory(0o755)),
        ErrorKind::InvalidInput,
    );
    expect_error(files.symlink(directory, b"x", b"y", 0, 0), ErrorKind::InvalidInput);
    expect_error(files.link(note, ROOT, b"x"), ErrorKind::NotPermitted);
    expect_error(files.link(note, directory, b"x"), ErrorKind::NotPermitted);
    expect_error(files.link(seen, directory, b"x"), ErrorKind::NotPermitted);
    for mode in [RenameMode::Replace, RenameMode::Exchange] {
        let moved = files.rename(directory, b"note", ROOT, b"seen", mode);
        expect_error(moved, ErrorKind::InvalidInput);
        let moved = files.rename(ROOT, b"seen", directory, b"note", mode);
        expect_error(moved, ErrorKind::InvalidInput);
    }
    files.rename(directory, b"note", directory, b"other", RenameMode::Replace).unwrap();
    let unnamed = files.create_unnamed(&NewFile::regular(0o600)).unwrap().inode;
    files.link(unnamed, directory, b"linked").unwrap();
    files.release(unnamed, 1).unwrap();
    assert_eq!(names(&files, directory), ["linked", "other"]);
    files.unlink(directory, b"linked").unwrap();
    files.unlink(directory, b"other").unwrap();
    files.snapshot(&Annotations::default()).unwrap();
    let view = FilesView::open(store.snapshot_of("tree@1").unwrap()).unwrap();
    assert_eq!(check(&view).unwrap().findings, []);
}

#[test]
fn a_first_page_that_calls_something_else_the_attachments_is_found_out() {
    for pick in 0..2 {
        let store = store();
        let live = files(&store);
        let directory = make_directory(&live, ROOT, "directory");
        let file = make(&live, directory, "file");
        live.close().unwrap();
        let volume = store.open_volume("tree").unwrap();
        let mut page = vec![0; 4096];
        volume.read_blocks(BlockAddress(0), 0, &mut page).unwrap();
        let mut superblock = Superblock::decode(&page, BlockSize::DEFAULT).unwrap();
        superblock.attachments = [directory, file][pick].0;
        volume.write_blocks(BlockAddress(0), 0, &superblock.encode(BlockSize::DEFAULT)).unwrap();
        volume.snapshot(&Annotations::default()).unwrap();
        let view = FilesView::open(store.snapshot_of("tree@1").unwrap()).unwrap();
        let report = check(&view).unwrap();
        assert!(!report.is_sound());
        let texts: Vec<_> = report.findings.iter().map(|finding| &finding.what).collect();
        assert!(texts.iter().any(|what| what.contains("holds the attachments")), "{texts:?}");
    }
}

//! Files of a volume in memory: each operation once by hand, its errors, and what reopening shows.

mod attachments;

use std::ops::ControlFlow;
use std::sync::Arc;

use super::*;
use crate::error::ErrorKind;
use crate::medium::MemoryHost;
use crate::{Annotations, Result, Store, StoreOptions};

const ROOT: Inode = Inode::ROOT;

fn store() -> Store {
    Store::create_on(Arc::new(MemoryHost::new()), &StoreOptions::default()).expect("a store")
}

fn files(store: &Store) -> Files {
    let volume = store.create_tree("tree").expect("a tree");
    Files::open(volume, FilesOptions::default()).expect("files")
}

fn reopened(store: &Store, files: Files) -> Files {
    files.close().expect("the last handle");
    let volume = store.open_volume("tree").expect("its volume");
    Files::open(volume, FilesOptions::default()).expect("files")
}

fn make(files: &Files, directory: Inode, name: &str) -> Inode {
    let new = NewFile::regular(0o644);
    files.create(directory, name.as_bytes(), &new).expect("a free name").inode
}

fn make_directory(files: &Files, directory: Inode, name: &str) -> Inode {
    let new = NewFile::directory(0o755);
    files.create(directory, name.as_bytes(), &new).expect("a free name").inode
}

fn content(files: &dyn ReadFiles, inode: Inode) -> Vec<u8> {
    let size = files.attributes(inode).expect("there").size as usize;
    let mut bytes = vec![0xee; size + 10];
    assert_eq!(files.read(inode, 0, &mut bytes).expect("readable"), size);
    bytes.truncate(size);
    bytes
}

fn names(files: &dyn ReadFiles, directory: Inode) -> Vec<String> {
    let mut names = Vec::new();
    files
        .entries(directory, 0, &mut |entry| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            ControlFlow::Continue(())
        })
        .expect("a directory");
    names.sort();
    names
}

#[track_caller]
fn expect_error<T: std::fmt::Debug>(done: Result<T>, kind: ErrorKind) {
    assert_eq!(done.expect_err("must be refused").kind(), kind);
}

#[test]
fn files_are_made_written_read_and_there_after_reopening() {
    let store = store();
    let files = files(&store);
    let directory = make_directory(&files, ROOT, "etc");
    // Within the metadata, at its edge, and in blocks; written in order and not.
    let sizes = [0, 1, 997, 1994, 1995, 4096, 4097, 100_000];
    for size in sizes {
        let inode = make(&files, directory, &size.to_string());
        let bytes: Vec<u8> = (0..size).map(|at| (at * 7 + size) as u8).collect();
        let middle = size / 3;
        files.write(inode, middle as u64, &bytes[middle..]).unwrap();
        files.write(inode, 0, &bytes[..middle]).unwrap();
        assert_eq!(content(&files, inode), bytes);
    }
    let files = reopened(&store, files);
    for size in sizes {
        let directory = files.lookup(ROOT, b"etc").unwrap();
        let inode = files.lookup(directory, size.to_string().as_bytes()).unwrap();
        let bytes: Vec<u8> = (0..size).map(|at| (at * 7 + size) as u8).collect();
        assert_eq!(content(&files, inode), bytes);
        let attributes = files.attributes(inode).unwrap();
        assert_eq!(attributes.allocated_bytes == 0, size <= 1994, "{size}");
    }
    assert_eq!(names(&files, directory).len(), sizes.len());
    assert_eq!(files.lookup(directory, b"..").unwrap(), ROOT);
    expect_error(files.lookup(ROOT, b"none"), ErrorKind::NotFound);
    expect_error(files.lookup(ROOT, &[b'x'; 256]), ErrorKind::NameTooLong);
    expect_error(files.create(ROOT, b"etc", &NewFile::regular(0)), ErrorKind::AlreadyExists);
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b"] {
        expect_error(files.create(ROOT, name, &NewFile::regular(0)), ErrorKind::InvalidInput);
    }
    let statistics = files.statistics().unwrap();
    assert_eq!((statistics.inodes, statistics.entries), (10, 9));
}

#[test]
fn what_a_file_is_made_longer_by_reads_as_zeros_whatever_was_there_before() {
    let files = files(&store());
    let inode = make(&files, ROOT, "file");
    let resize = |size| {
        files.set_attributes(inode, &SetAttributes { size: Some(size), ..Default::default() })
    };
    for (long, short) in [(1500, 3), (9000, 100), (50_000, 4097), (50_000, 0)] {
        files.write(inode, 0, &vec![7; long]).unwrap();
        resize(short as u64).unwrap();
        resize(long as u64 + 5000).unwrap();
        let mut expected = vec![7; short];
        expected.resize(long + 5000, 0);
        assert_eq!(content(&files, inode), expected);
        resize(short as u64).unwrap();
        // A write behind the end leaves zeros too.
        files.write(inode, long as u64, b"end").unwrap();
        expected.truncate(long);
        expected.extend(b"end");
        assert_eq!(content(&files, inode), expected);
        resize(0).unwrap();
    }
    expect_error(resize(u64::MAX), ErrorKind::FileTooLarge);
    resize((u64::from(u32::MAX)) << 12).unwrap();
    assert_eq!(files.seek(inode, 0, Seek::Data).unwrap(), None);
    assert_eq!(files.attributes(inode).unwrap().allocated_bytes, 0);
}

#[test]
fn holes_are_punched_found_and_shared_blocks_are_not_copied() {
    let files = files(&store());
    let inode = make(&files, ROOT, "file");
    files.write(inode, 0, &vec![1; 10 * 4096]).unwrap();
    files.zero(inode, 2 * 4096, 3 * 4096, SizeChange::Keep).unwrap();
    files.zero(inode, 9 * 4096 + 100, 1 << 20, SizeChange::Keep).unwrap();
    let found = |offset, seek| files.seek(inode, offset, seek).unwrap();
    assert_eq!(found(0, Seek::Hole), Some(2 * 4096));
    assert_eq!(found(3 * 4096, Seek::Data), Some(5 * 4096));
    assert_eq!(found(6 * 4096, Seek::Hole), Some(10 * 4096));
    assert_eq!(found(10 * 4096, Seek::Hole), None);
    let mut expected = vec![1; 10 * 4096];
    expected[2 * 4096..5 * 4096].fill(0);
    expected[9 * 4096 + 100..].fill(0);
    assert_eq!(content(&files, inode), expected);
    assert_eq!(files.attributes(inode).unwrap().allocated_bytes, 7 * 4096);

    let copy = make(&files, ROOT, "copy");
    files.flush().unwrap();
    let before = files.volume().counters().bytes_allocated;
    assert_eq!(files.copy_range(inode, 0, copy, 0, u64::MAX).unwrap(), 10 * 4096);
    assert_eq!(content(&files, copy), expected);
    assert_eq!(files.volume().counters().bytes_allocated, before);
    // Parts that do not lie alike in their blocks are copied.
    assert_eq!(files.copy_range(inode, 100, copy, 50, 9000).unwrap(), 9000);
    assert_eq!(content(&files, copy)[50..9050], expected[100..9100]);
    expect_error(files.copy_range(inode, 0, inode, 10, 20), ErrorKind::InvalidInput);
    files.copy_range(inode, 0, inode, 10 * 4096, 10 * 4096).unwrap();
    assert_eq!(content(&files, inode), [&expected[..], &expected].concat());
    files.allocate(copy, 0, 1 << 20, SizeChange::Keep).unwrap();
    assert_eq!(files.attributes(copy).unwrap().size, 10 * 4096);
    files.allocate(copy, 0, 1 << 20, SizeChange::Extend).unwrap();
    assert_eq!(files.attributes(copy).unwrap().size, 1 << 20);
}

#[test]
fn a_file_without_a_name_stays_while_it_is_held() {
    let store = store();
    let files = files(&store);
    let inode = make(&files, ROOT, "file");
    files.write(inode, 0, &[5; 9000]).unwrap();
    files.hold(inode);
    files.unlink(ROOT, b"file").unwrap();
    assert_eq!(files.attributes(inode).unwrap().links, 0);
    files.write(inode, 9000, b"more").unwrap();
    assert_eq!(content(&files, inode).len(), 9004);
    files.release(inode, 1).unwrap();
    expect_error(files.attributes(inode), ErrorKind::NotFound);
    // Its number is used again, and is told apart by its generation.
    let again = files.create(ROOT, b"again", &NewFile::regular(0o600)).unwrap();
    assert_eq!((again.inode, again.generation), (inode, 2));

    let unnamed = files.create_unnamed(&NewFile::regular(0o600)).unwrap();
    files.write(unnamed.inode, 0, b"later").unwrap();
    files.link(unnamed.inode, ROOT, b"named").unwrap();
    files.release(unnamed.inode, 1).unwrap();
    assert_eq!(content(&files, files.lookup(ROOT, b"named").unwrap()), b"later");
    // Held when the volume was closed: nobody holds it any more.
    let lost = files.create_unnamed(&NewFile::regular(0o600)).unwrap().inode;
    let files = reopened(&store, files);
    expect_error(files.attributes(lost), ErrorKind::NotFound);
    assert_eq!(files.statistics().unwrap().inodes, 3);
}

#[test]
fn links_count_names_and_each_can_be_the_last() {
    let files = files(&store());
    let directory = make_directory(&files, ROOT, "d");
    let inode = make(&files, ROOT, "0");
    for number in 1..20 {
        let place = if number % 2 == 0 { ROOT } else { directory };
        let linked = files.link(inode, place, number.to_string().as_bytes()).unwrap();
        assert_eq!(linked.links, number + 1);
    }
    for number in 0..19 {
        let place = if number % 2 == 0 { ROOT } else { directory };
        files.unlink(place, number.to_string().as_bytes()).unwrap();
    }
    assert_eq!(files.attributes(inode).unwrap().links, 1);
    files.rename(directory, b"19", ROOT, b"last", RenameMode::Replace).unwrap();
    files.unlink(ROOT, b"last").unwrap();
    expect_error(files.attributes(inode), ErrorKind::NotFound);
    expect_error(files.link(directory, ROOT, b"x"), ErrorKind::NotPermitted);
    expect_error(files.unlink(ROOT, b"d"), ErrorKind::IsADirectory);
    make(&files, directory, "child");
    expect_error(files.remove_directory(ROOT, b"d"), ErrorKind::NotEmpty);
    files.unlink(directory, b"child").unwrap();
    expect_error(files.remove_directory(directory, b"child"), ErrorKind::NotFound);
    files.remove_directory(ROOT, b"d").unwrap();
    assert_eq!(files.attributes(ROOT).unwrap().links, 2);
    expect_error(files.create(directory, b"x", &NewFile::regular(0)), ErrorKind::NotFound);
    assert!(names(&files, ROOT).is_empty());
}

#[test]
fn renames_replace_refuse_and_exchange() {
    let files = files(&store());
    let [a, b] = ["a", "b"].map(|name| make_directory(&files, ROOT, name));
    let below = make_directory(&files, a, "below");
    let file = make(&files, a, "file");
    let other = make(&files, b, "other");
    let rename = |from, from_name: &[u8], to, to_name: &[u8], mode| {
        files.rename(from, from_name, to, to_name, mode)
    };
    use RenameMode::{Exchange, NoReplace, Replace};
    expect_error(rename(ROOT, b"a", below, b"x", Replace), ErrorKind::InvalidInput);
    expect_error(rename(a, b"file", b, b"other", NoReplace), ErrorKind::AlreadyExists);
    expect_error(rename(a, b"file", ROOT, b"b", Replace), ErrorKind::IsADirectory);
    expect_error(rename(ROOT, b"b", a, b"file", Replace), ErrorKind::NotADirectory);
    expect_error(rename(a, b"below", ROOT, b"b", Replace), ErrorKind::NotEmpty);
    expect_error(rename(a, b"none", b, b"x", Replace), ErrorKind::NotFound);
    expect_error(rename(a, b"file", b, b"x", Exchange), ErrorKind::NotFound);
    rename(a, b"file", b, b"other", Exchange).unwrap();
    assert_eq!(
        (files.lookup(a, b"file").unwrap(), files.lookup(b, b"other").unwrap()),
        (other, file)
    );
    rename(a, b"below", b, b"other", Exchange).unwrap();
    assert_eq!(files.lookup(below, b"..").unwrap(), b);
    let links = |inode| files.attributes(inode).unwrap().links;
    assert_eq!((links(a), links(b)), (2, 3));
    rename(b, b"other", ROOT, b"top", Replace).unwrap();
    assert_eq!((links(ROOT), links(b), files.lookup(below, b"..").unwrap()), (5, 2, ROOT));
    rename(a, b"file", a, b"below", Replace).unwrap();
    expect_error(files.attributes(file), ErrorKind::NotFound);
    // Two names of one file: nothing happens, and both stay.
    files.link(other, b, b"link").unwrap();
    rename(a, b"below", b, b"link", Replace).unwrap();
    assert_eq!((names(&files, a), names(&files, b)), (vec!["below".into()], vec!["link".into()]));
    rename(ROOT, b"top", ROOT, b"b2", NoReplace).unwrap();
    assert_eq!(names(&files, ROOT), ["a", "b", "b2"]);
}

#[test]
fn symlinks_attributes_and_modes_are_kept() {
    let store = store();
    let files = files(&store);
    let target = vec![b't'; 4095];
    let link = files.symlink(ROOT, b"link", &target, 3, 4).unwrap();
    assert_eq!((link.kind, link.size, link.owner), (FileKind::Symlink, 4095, 3));
    expect_error(files.symlink(ROOT, b"x", &[b't'; 4096], 0, 0), ErrorKind::NameTooLong);
    expect_error(files.symlink(ROOT, b"x", b"", 0, 0), ErrorKind::InvalidInput);

    let inode = make(&files, ROOT, "file");
    expect_error(files.extended_attribute(inode, b"user.a"), ErrorKind::NoAttribute);
    let big: Vec<u8> = (0..65_536).map(|at| (at % 251) as u8).collect();
    let set =
        |name: &[u8], value: &[u8], mode| files.set_extended_attribute(inode, name, value, mode);
    set(b"user.big", &big, SetMode::Any).unwrap();
    set(b"user.a", b"", SetMode::Create).unwrap();
    set(b"security.capability", b"cap", SetMode::Any).unwrap();
    expect_error(set(b"user.a", b"1", SetMode::Create), ErrorKind::AlreadyExists);
    expect_error(set(b"user.b", b"1", SetMode::Replace), ErrorKind::NoAttribute);
    expect_error(set(b"user.b", &[0; 65_537], SetMode::Any), ErrorKind::InvalidInput);
    set(b"user.a", b"one", SetMode::Replace).unwrap();
    files
        .set_attributes(
            inode,
            &SetAttributes { permissions: Some(0o6755), owner: Some(7), ..Default::default() },
        )
        .unwrap();
    let files = reopened(&store, files);
    assert_eq!(files.read_link(link.inode).unwrap(), target);
    assert_eq!(files.extended_attribute(inode, b"user.big").unwrap(), big);
    assert_eq!(files.extended_attribute(inode, b"user.a").unwrap(), b"one");
    assert_eq!(files.extended_attribute_names(inode).unwrap().len(), 3);
    let drop_privileges = SetAttributes { clear_privileges: true, ..Default::default() };
    let attributes = files.set_attributes(inode, &drop_privileges).unwrap();
    assert_eq!((attributes.permissions, attributes.owner), (0o755, 7));
    assert_eq!(
        files.extended_attribute_names(inode).unwrap(),
        [b"user.a".to_vec(), b"user.big".to_vec()]
    );
    for name in [&b"user.a"[..], b"user.big"] {
        files.remove_extended_attribute(inode, name).unwrap();
    }
    expect_error(files.remove_extended_attribute(inode, b"user.a"), ErrorKind::NoAttribute);
    assert!(files.extended_attribute_names(inode).unwrap().is_empty());
    // A directory with the set-group-id bit gives its group on.
    let shared = NewFile { group: 50, ..NewFile::directory(0o2775) };
    let shared = files.create(ROOT, b"shared", &shared).unwrap().inode;
    let child = files.create(shared, b"d", &NewFile::directory(0o755)).unwrap();
    assert_eq!((child.group, child.permissions), (50, 0o2755));
}

#[test]
fn a_large_directory_is_listed_once_whatever_comes_and_goes() {
    let files = files(&store());
    for number in 0..3000 {
        make(&files, ROOT, &format!("file-{number}"));
    }
    let mut seen = std::collections::HashMap::new();
    let mut after = 0;
    loop {
        let mut count = 0;
        files
            .entries(ROOT, after, &mut |entry| {
                assert!(entry.cookie >= 256 && entry.cookie < 1 << 63 && entry.cookie > after);
                (after, count) = (entry.cookie, count + 1);
                *seen.entry(entry.name.to_vec()).or_insert(0) += 1;
                if count < 100 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .unwrap();
        if count == 0 {
            break;
        }
        // Half of what was seen goes, and other names come.
        for number in 0..20 {
            let number = seen.len() - 1 - number * 3;
            let _ = files.unlink(ROOT, format!("file-{number}").as_bytes());
            let name = format!("new-{}-{number}", seen.len());
            let _ = files.create(ROOT, name.as_bytes(), &NewFile::regular(0o600));
        }
    }
    assert!(seen.values().all(|&times| times == 1));
    let stayed = names(&files, ROOT).into_iter().filter(|name| name.starts_with("file-"));
    assert!(stayed.into_iter().all(|name| seen.contains_key(name.as_bytes())));
}

#[test]
fn a_snapshot_shows_the_tree_as_it_was_and_a_fork_goes_on_from_there() {
    let store = store();
    let live = files(&store);
    let inode = make(&live, ROOT, "file");
    live.write(inode, 0, &[1; 1 << 20]).unwrap();
    let snapshot = live.snapshot(&Annotations::default()).unwrap();
    live.write(inode, 4096, &[2; 4096]).unwrap();
    make(&live, ROOT, "later");
    let before = FilesView::open(snapshot.clone()).unwrap();
    assert_eq!(names(&before, ROOT), ["file"]);
    assert!(content(&before, inode).iter().all(|&byte| byte == 1));
    assert_eq!(content(&live, inode)[4096..8192], [2; 4096]);

    let fork = store.fork_snapshot(&snapshot, "fork").unwrap();
    let fork = Files::open(fork, FilesOptions::default()).unwrap();
    fork.unlink(ROOT, b"file").unwrap();
    let made = make(&fork, ROOT, "made");
    assert_ne!(made, inode, "a number of an ancestor is not given again");
    fork.close().unwrap();
    live.close().unwrap();
    let view = |name: &str| FilesView::open(store.snapshot_of(name).unwrap()).unwrap();
    assert_eq!(names(&view("fork"), ROOT), ["made"]);
    assert_eq!(names(&view("tree"), ROOT), ["file", "later"]);
    expect_error(
        FilesView::open(
            store
                .create_volume("disk", 1 << 20)
                .and_then(|disk| disk.snapshot(&Annotations::default()))
                .unwrap(),
        ),
        ErrorKind::InvalidInput,
    );
}

#[test]
fn what_was_not_flushed_is_lost_whole_and_nothing_else() {
    let store = store();
    let files = files(&store);
    let inode = make(&files, ROOT, "kept");
    files.write(inode, 0, &[1; 5000]).unwrap();
    files.flush().unwrap();
    // So many changes that pages are written out before any commit.
    for number in 0..40_000 {
        make(&files, ROOT, &number.to_string());
    }
    files.write(inode, 0, &[2; 100_000]).unwrap();
    drop(files);
    let volume = store.open_volume("tree").unwrap();
    let files = Files::open(volume, FilesOptions::default()).unwrap();
    assert_eq!(names(&files, ROOT), ["kept"]);
    assert_eq!(content(&files, inode), [1; 5000]);
}

/// The changes as lines: letter, path, where from, and what is different.
fn told(before: &FilesView, after: &FilesView) -> Vec<String> {
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    changes(before, after)
        .unwrap()
        .iter()
        .filter(|change| !change.is_only_of_names())
        .map(|change| {
            let (from, difference) = match &change.kind {
                ChangeKind::Renamed { from, difference } => (text(from) + " -> ", *difference),
                ChangeKind::Modified(difference) => (String::new(), *difference),
                _ => (String::new(), Difference::default()),
            };
            let content = if difference.content { " content" } else { "" };
            let attributes = if difference.attributes { " attributes" } else { "" };
            format!("{} {from}{}{content}{attributes}", change.letter(), text(&change.path))
        })
        .collect()
}

#[test]
fn changes_are_told_by_name_exactly_whatever_pages_split_or_join() {
    let store = store();
    let files = files(&store);
    let directory = make_directory(&files, ROOT, "d");
    for number in 0..3000 {
        let inode = make(&files, directory, &format!("{number:04}"));
        files.write(inode, 0, &vec![1; number % 50 * 100]).unwrap();
    }
    let deep = make_directory(&files, directory, "deep");
    let big = make(&files, deep, "big");
    files.write(big, 0, &[1; 100_000]).unwrap();
    files.link(big, ROOT, "second".as_bytes()).unwrap();
    let view = || FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap();
    let first = view();
    assert!(told(&first, &view()).is_empty());

    files.write(big, 50_000, b"changed").unwrap();
    let small = files.lookup(directory, b"0017").unwrap();
    files.write(small, 3, b"x").unwrap();
    let own = SetAttributes { owner: Some(9), ..Default::default() };
    files.set_attributes(files.lookup(directory, b"0018").unwrap(), &own).unwrap();
    files.unlink(directory, b"0019").unwrap();
    files.rename(directory, b"0020", ROOT, b"moved", RenameMode::Replace).unwrap();
    files.rename(ROOT, b"d", ROOT, b"e", RenameMode::Replace).unwrap();
    files.rename(directory, b"0021", directory, b"0022", RenameMode::Replace).unwrap();
    let made = make(&files, deep, "new");
    files.set_extended_attribute(made, b"user.a", b"1", SetMode::Any).unwrap();
    let second = view();
    assert_eq!(
        told(&first, &second),
        [
            "D d/0019",
            "D d/0021",
            "R d -> e",
            "M e/0017 content",
            "M e/0018 attributes",
            "M e/0022 content attributes",
            "M e/deep/big content",
            "A e/deep/new",
            "R d/0020 -> moved",
            "M second content",
        ]
    );
    // Backwards, the same the other way round; and of many removals each one.
    assert_eq!(told(&second, &first).len(), 10);
    for number in 100..2900 {
        files.unlink(directory, format!("{number:04}").as_bytes()).unwrap();
    }
    let third = view();
    let gone = told(&second, &third);
    assert_eq!(gone.len(), 2800);
    assert!(gone.iter().all(|line| line.starts_with("D e/")));
    assert_eq!(told(&third, &second).iter().filter(|line| line.starts_with("A e/")).count(), 2800);
}

#[test]
fn paths_stay_inside_the_tree() {
    let files = files(&store());
    let paths = Paths::new(&files);
    paths.create_dir_all("a/b/c").unwrap();
    paths.write("a/b/file", b"inside").unwrap();
    paths.symlink("/../../../a/b", "a/up").unwrap();
    paths.symlink("../../..", "a/b/c/out").unwrap();
    paths.symlink("loop", "loop").unwrap();
    paths.symlink("nowhere", "dangling").unwrap();
    for path in ["a/b/file", "/a/up/file", "../../a/./b//file", "a/b/c/out/../a/up/file"] {
        assert_eq!(paths.read(path).unwrap(), b"inside", "{path}");
    }
    assert_eq!(paths.resolve("a/b/c/out/..").unwrap(), ROOT);
    expect_error(paths.resolve("loop"), ErrorKind::SymlinkLoop);
    assert_eq!(paths.symlink_metadata("loop").unwrap().kind, FileKind::Symlink);
    expect_error(paths.resolve("a/b/file/x"), ErrorKind::NotADirectory);
    expect_error(paths.resolve("a/b/file/"), ErrorKind::NotADirectory);
    expect_error(paths.resolve(""), ErrorKind::NotFound);
    expect_error(paths.resolve("a/none/x"), ErrorKind::NotFound);
    assert!(!paths.exists("dangling").unwrap());
    // A write through a symlink makes what it leads to.
    paths.write("dangling", b"made").unwrap();
    assert_eq!(paths.read("nowhere").unwrap(), b"made");
    assert_eq!(paths.copy("nowhere", "a/copy").unwrap(), 4);
    expect_error(paths.copy("nowhere", "dangling"), ErrorKind::InvalidInput);
    expect_error(paths.copy("a/b", "a/copied"), ErrorKind::IsADirectory);
    assert!(!paths.exists("a/copied").unwrap());
    paths.hard_link("a/copy", "a/link").unwrap();
    paths.rename("a/link", "a/b/moved").unwrap();
    expect_error(paths.create_dir("a"), ErrorKind::AlreadyExists);
    expect_error(paths.create_dir_all("a/copy/x"), ErrorKind::NotADirectory);
    expect_error(paths.remove_dir("/"), ErrorKind::InvalidInput);
    let mut walked = Vec::new();
    paths
        .walk("/", |path, _| {
            walked.push(String::from_utf8_lossy(path).into_owned());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    let expected = [
        "",
        "a",
        "a/b",
        "a/b/c",
        "a/b/c/out",
        "a/b/file",
        "a/b/moved",
        "a/copy",
        "a/up",
        "dangling",
        "loop",
        "nowhere",
    ];
    assert_eq!(walked, expected);
    paths.remove_dir_all("a").unwrap();
    paths.remove_dir_all("loop").unwrap();
    paths.remove_file("dangling").unwrap();
    assert_eq!(names(&files, ROOT), ["nowhere"]);
}

#[track_caller]
fn expect_sound(view: &FilesView) {
    let report = check(view).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn blame_tells_which_layer_wrote_each_range_and_small_file() {
    let store = store();
    let files = files(&store);
    let big = make(&files, ROOT, "big");
    let [old, new] = ["old", "new"].map(|name| make(&files, ROOT, name));
    files.write(big, 0, &[1; 10 * 4096]).unwrap();
    files.write(old, 0, b"small").unwrap();
    files.write(new, 0, b"before").unwrap();
    let first = files.snapshot(&Annotations::default()).unwrap();
    files.write(big, 4096, &[2; 4096]).unwrap();
    files.zero(big, 6 * 4096, 4096, SizeChange::Keep).unwrap();
    files.write(new, 0, b"behind").unwrap();
    let second = files.snapshot(&Annotations::default()).unwrap();
    let [a, b] = [first.layer_id(), second.layer_id()];
    let view = FilesView::open(second).unwrap();
    let told: Vec<_> = blame(&store, &view, big)
        .unwrap()
        .iter()
        .map(|range| (range.start / 4096, range.end / 4096, range.layer))
        .collect();
    let expected =
        [(0, 1, Some(a)), (1, 2, Some(b)), (2, 6, Some(a)), (6, 7, None), (7, 10, Some(a))];
    assert_eq!(told, expected);
    // Both stand in one page, which the second layer wrote anew.
    assert_eq!(blame(&store, &view, old).unwrap()[0].layer, Some(a));
    assert_eq!(blame(&store, &view, new).unwrap()[0].layer, Some(b));
    let shares = shares(&view).unwrap();
    assert_eq!((shares[&a].content_bytes, shares[&b].content_bytes), (8 * 4096, 4096));
    let usage = usage(&view).unwrap();
    assert_eq!((usage.files, usage.inline_bytes, usage.block_bytes), (4, 11, 9 * 4096));
    expect_sound(&view);
}

#[test]
fn check_finds_what_does_not_fit_together() {
    let store = store();
    let files = files(&store);
    let directory = make_directory(&files, ROOT, "d");
    let file = make(&files, directory, "file");
    files.link(file, ROOT, b"second").unwrap();
    files.write(file, 0, b"content").unwrap();
    files.set_extended_attribute(file, b"user.a", &[1; 3000], SetMode::Any).unwrap();
    make(&files, ROOT, "other");
    expect_sound(&FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap());
    use crate::format::files::{ItemKind, Key};
    let entries = |inode| Key::range(ItemKind::Entry, inode);
    let key_of = |kind, inode: Inode| {
        let mut found = None;
        let (first, last) = Key::range(kind, inode.0);
        files
            .core
            .look(|reader| {
                reader.pages.scan(first, last, |key, value| {
                    found = Some((key, value.to_vec()));
                    Ok(ControlFlow::Break(()))
                })
            })
            .unwrap();
        found.expect("an item")
    };
    let record = |inode| files.core.look(|reader| reader.record(inode)).unwrap();
    let inode_key = |inode: Inode| Key::new(ItemKind::Inode, inode.0, 0);
    let (name_key, name) = key_of(ItemKind::Entry, directory);
    let (piece_key, piece) = key_of(ItemKind::Content, file);
    let (attribute_key, _) = key_of(ItemKind::Attribute, file);
    let (link_key, _) = key_of(ItemKind::Link, file);
    let with_links = |inode, links| {
        let record = crate::format::files::InodeRecord { links, ..record(inode) };
        (inode_key(inode), Some(record.encode().to_vec()))
    };
    let circle = {
        let mut circle = record(directory);
        circle.name.directory = directory.0;
        circle.encode().to_vec()
    };
    let last_piece = Key::new(ItemKind::Attribute, file.0, attribute_key.sub() + 3);
    let spoiled: Vec<(Key, Option<Vec<u8>>)> = vec![
        with_links(file, 3),
        with_links(directory, 3),
        (inode_key(file), None),
        (inode_key(directory), Some(circle)),
        (name_key, None),
        (Key::new(ItemKind::Entry, directory.0, name_key.sub() + 512), Some(name.clone())),
        (name_key, Some([&name[..4], &[4], &name[5..]].concat())),
        (piece_key, Some(piece[1..].to_vec())),
        (piece_key, None),
        (Key::new(ItemKind::Content, file.0, 5), Some(piece.clone())),
        (last_piece, None),
        (attribute_key, None),
        (link_key, None),
        (Key::new(ItemKind::Orphan, file.0, 0), Some(Vec::new())),
        (Key::new(ItemKind::Orphan, 77, 0), Some(Vec::new())),
        (Key::new(ItemKind::Free, file.0, 0), Some(vec![0; 4])),
        (inode_key(Inode(900)), Some(record(file).encode().to_vec())),
        (entries(ROOT.0).0, Some(name)),
    ];
    for (at, (key, value)) in spoiled.into_iter().enumerate() {
        let fork = store.fork("tree@1", &format!("spoiled-{at}")).unwrap();
        let fork = Files::open(fork, FilesOptions::default()).unwrap();
        {
            let core = &fork.core;
            let mut tree = core.tree.write();
            tree.transaction(&core.cache, &core.volume, |change| match value {
                Some(value) => change.put(key, &value),
                None => change.remove(key).map(|there| assert!(there)),
            })
            .unwrap();
            core.volume.note_change_above();
        }
        let snapshot = fork.snapshot(&Annotations::default()).unwrap();
        let report = check(&FilesView::open(snapshot).unwrap()).unwrap();
        assert!(!report.is_sound(), "{at}: {key:?}");
    }
}

#[test]
fn trees_without_a_common_origin_are_compared_by_walking_them() {
    let fixed =
        FilesOptions { clock: || Time { seconds: 9, nanoseconds: 0 }, ..Default::default() };
    let store = store();
    let make_tree = |name: &str| {
        let files = Files::open(store.create_tree(name).unwrap(), fixed).unwrap();
        let paths = Paths::new(&files);
        paths.create_dir_all("a/b").unwrap();
        paths.write("a/b/file", &[1; 10_000]).unwrap();
        paths.write("a/small", b"small").unwrap();
        paths.symlink("a/b", "link").unwrap();
        files
    };
    let (one, other) = (make_tree("one"), make_tree("other"));
    assert_eq!(compare(&one, &other).unwrap(), []);
    let paths = Paths::new(&other);
    other.write(paths.resolve("a/b/file").unwrap(), 9_999, b"x").unwrap();
    other.set_extended_attribute(Inode::ROOT, b"user.a", b"", SetMode::Any).unwrap();
    paths.remove_file("a/small").unwrap();
    paths.create_dir("a/small").unwrap();
    paths.write("a/small/new", b"").unwrap();
    paths.remove_file("link").unwrap();
    let told: Vec<_> = compare(&one, &other)
        .unwrap()
        .iter()
        .map(|change| format!("{} {}", change.letter(), String::from_utf8_lossy(&change.path)))
        .collect();
    assert_eq!(told, ["M ", "M a/b/file", "M a/small", "A a/small/new", "D link"]);
    let view = |files: &Files| FilesView::open(files.snapshot(&Annotations::default()).unwrap());
    let (one, other) = (view(&one).unwrap(), view(&other).unwrap());
    expect_error(changes(&one, &other), ErrorKind::InvalidInput);
}

#[test]
fn an_interval_commits_without_being_asked() {
    let store = store();
    let commit_interval = Some(std::time::Duration::from_millis(1));
    let options = FilesOptions { commit_interval, ..FilesOptions::default() };
    let files = Files::open(store.create_tree("tree").unwrap(), options).unwrap();
    for number in 0..3 {
        let before = files.volume().counters().commits;
        make(&files, ROOT, &number.to_string());
        while files.volume().counters().commits == before {
            std::thread::yield_now();
        }
    }
    drop(files);
    // Whoever has the last handle gives the lock back: that may be the thread itself.
    let volume = loop {
        match store.open_volume("tree") {
            Err(error) if error.kind() == ErrorKind::Locked => std::thread::yield_now(),
            volume => break volume.unwrap(),
        }
    };
    let files = Files::open(volume, options).unwrap();
    assert_eq!(names(&files, ROOT), ["0", "1", "2"]);
    files.close().unwrap();
}

/// A made-up tree in which a directory stands below itself once had a walk that never ended.
#[test]
fn a_directory_with_a_second_name_is_refused_by_whoever_goes_down() {
    let store = store();
    let files = files(&store);
    let above = make_directory(&files, ROOT, "above");
    let below = make_directory(&files, above, "below");
    let sound = files.snapshot(&Annotations::default()).unwrap();
    files
        .core
        .operate("make a circle", |operation| {
            operation.change(|editor| editor.put_name(below, b"circle", above, FileKind::Directory))
        })
        .unwrap();
    let walk = |files: &dyn ReadFiles| {
        Paths::new(files).walk("/", |_, _| Ok(ControlFlow::Continue(()))).map(drop)
    };
    expect_error(walk(&files), ErrorKind::Corrupt);
    expect_error(Paths::new(&files).remove_dir_all("above"), ErrorKind::Corrupt);
    let circle = FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap();
    expect_error(compare(&FilesView::open(sound).unwrap(), &circle), ErrorKind::Corrupt);
    assert!(!check(&circle).unwrap().is_sound());
}

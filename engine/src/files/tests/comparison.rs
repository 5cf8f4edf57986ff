//! What changed between two trees.

use super::*;

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
            "M e/0022 content",
            "M e/deep/big content",
            "A e/deep/new",
            "R d/0020 -> moved",
            "M second content",
        ]
    );
    let changes = changes(&first, &second).unwrap();
    let big = changes.iter().find(|change| change.path == b"e/deep/big").unwrap();
    assert_eq!(big.after.unwrap().allocated_bytes, 25 * 4096);
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
fn what_is_made_anew_under_its_path_is_told_once() {
    let store = store();
    let files = files(&store);
    let paths = Paths::new(&files);
    let fill = |content: &[u8]| {
        paths.create_dir_all("kept/a/b").unwrap();
        for name in ["kept/a/same", "kept/a/b/other", "kept/away"] {
            paths.write(name, content).unwrap();
        }
        paths.symlink("same", "kept/a/link").unwrap();
        paths.symlink(std::str::from_utf8(content).unwrap(), "kept/a/turned").unwrap();
    };
    let view = || FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap();
    fill(b"before");
    paths.write("kept/a/gone", b"").unwrap();
    paths.write("kept/a/back", &[1; 9000]).unwrap();
    paths.write("kept/a/kind", b"a file").unwrap();
    let first = view();

    paths.rename("kept/a/back", "back").unwrap();
    paths.remove_dir_all("kept").unwrap();
    fill(b"after");
    paths.rename("back", "kept/a/back").unwrap();
    paths.create_dir("kept/a/kind").unwrap();
    paths.write("kept/a/come", b"").unwrap();
    paths
        .set_attributes("kept/a/b", &SetAttributes { owner: Some(9), ..Default::default() })
        .unwrap();
    let second = view();
    assert_eq!(
        told(&first, &second),
        [
            "M kept/a/b attributes",
            "M kept/a/b/other content",
            "A kept/a/come",
            "D kept/a/gone",
            "M kept/a/kind content attributes",
            "M kept/a/link",
            "M kept/a/same content",
            "M kept/a/turned content",
            "M kept/away content",
        ]
    );
    // Walking both trees finds the same names.
    let by_walking = compare(&first, &second).unwrap();
    let by_pages = changes(&first, &second).unwrap();
    let letters = |changes: &[FileChange]| -> Vec<_> {
        let named = |change: &&FileChange| !change.is_only_of_names();
        let letter = |change: &FileChange| (change.letter(), change.path.clone());
        changes.iter().filter(named).map(letter).collect()
    };
    assert_eq!(letters(&by_pages), letters(&by_walking));
}

/// `mv app app.old; mkdir app`: all that was in it was told neither as moved nor as gone.
#[test]
fn a_moved_directory_is_one_change_whoever_takes_its_path() {
    let store = store();
    let files = files(&store);
    let paths = Paths::new(&files);
    let view = || FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap();
    for directory in ["app/data", "b/data", "c", "target/data"] {
        paths.create_dir_all(directory).unwrap();
        for number in 0..300 {
            paths.write(format!("{directory}/{number}"), b"x").unwrap();
        }
    }
    let first = view();
    paths.rename("app", "app.old").unwrap();
    paths.create_dir_all("app/data").unwrap();
    paths.write("app/data/0", b"new").unwrap();
    paths.remove_file("app.old/data/7").unwrap();
    let second = view();
    let expected = ["A app", "R app -> app.old", "A app/data", "A app/data/0", "D app/data/7"];
    assert_eq!(told(&first, &second), expected);
    let expected = ["D app", "R app.old -> app", "D app/data", "D app/data/0", "A app/data/7"];
    assert_eq!(told(&second, &first), expected);

    files.rename(ROOT, b"b", ROOT, b"c", RenameMode::Exchange).unwrap();
    let third = view();
    assert_eq!(told(&second, &third), ["R c -> b", "R b -> c"]);
    paths.rename("b", "d").unwrap();
    paths.write("b", b"a file").unwrap();
    let fourth = view();
    assert_eq!(told(&third, &fourth), ["A b", "R b -> d"]);
    // Into what it was in, and over what was there.
    paths.rename("target/data", "data").unwrap();
    paths.rename("target", "data/target").unwrap();
    paths.rename("data", "target").unwrap();
    let fifth = view();
    assert_eq!(told(&fourth, &fifth), ["R target/data -> target", "R target -> target/target"]);
    paths.remove_dir_all("d").unwrap();
    paths.rename("target", "d").unwrap();
    let changes = told(&fifth, &view());
    assert_eq!(changes[..3], ["D d", "R target -> d", "D d/0"]);
    assert_eq!(changes.len(), 302);
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

/// Two files of 8 TiB that held a few bytes were read from end to end.
#[test]
fn what_is_a_hole_in_both_files_is_not_read() {
    let fixed =
        FilesOptions { clock: || Time { seconds: 9, nanoseconds: 0 }, ..Default::default() };
    let store = store();
    let make_tree = |name: &str| {
        let files = Files::open(store.create_tree(name).unwrap(), fixed).unwrap();
        let huge = make(&files, ROOT, "huge");
        for at in [7, 1 << 40, (1 << 43) - 5] {
            files.write(huge, at, b"bytes").unwrap();
        }
        (files, huge)
    };
    let ((one, _), (other, huge)) = (make_tree("one"), make_tree("other"));
    assert_eq!(compare(&one, &other).unwrap(), []);
    other.write(huge, 1 << 41, b"x").unwrap();
    assert_eq!(compare(&one, &other).unwrap().len(), 1);
    assert_eq!(compare(&other, &one).unwrap().len(), 1);
    other.write(huge, 1 << 41, b"\0").unwrap();
    assert_eq!(compare(&one, &other).unwrap(), [], "zeros are what a hole reads as");
}

/// The comparison of two live trees once read the end of both files over and over.
#[test]
fn files_that_are_both_cut_while_they_are_compared_are_read_to_their_end() {
    let store = store();
    let make_tree = |name: &str| {
        let files = Files::open(store.create_tree(name).unwrap(), FilesOptions::default()).unwrap();
        let file = make(&files, ROOT, "file");
        files.write(file, 0, &[1; 10_000]).unwrap();
        let before = files.attributes(file).unwrap();
        files
            .set_attributes(file, &SetAttributes { size: Some(100), ..Default::default() })
            .unwrap();
        (files, before)
    };
    let ((one, old), (other, new)) = (make_tree("one"), make_tree("other"));
    assert!(!difference(&one, &old, &other, &new).unwrap().content);
    other.write(new.inode, 50, b"x").unwrap();
    assert!(difference(&one, &old, &other, &new).unwrap().content);
    other
        .set_attributes(new.inode, &SetAttributes { size: Some(40), ..Default::default() })
        .unwrap();
    assert!(difference(&one, &old, &other, &new).unwrap().content, "one is longer");
}

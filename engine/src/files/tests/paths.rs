//! Paths, and what they cannot reach.

use super::*;

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

/// `remove_dir_all("link/")` emptied the directory that the symlink leads to, and a file could be made
/// under a path with a slash at its end.
#[test]
fn a_slash_at_the_end_means_a_directory_and_no_symlink_to_one() {
    let files = files(&store());
    let paths = Paths::new(&files);
    paths.create_dir_all("dir/below").unwrap();
    paths.write("dir/below/kept", b"").unwrap();
    paths.create_dir("other").unwrap();
    paths.write("file", b"").unwrap();
    for (target, name) in [("dir", "link"), ("file", "to-file"), ("none", "dangling")] {
        paths.symlink(target, name).unwrap();
    }
    let before = names(&files, ROOT);
    for name in ["link/", "to-file/", "dangling/", "file/"] {
        expect_error(paths.remove_dir_all(name), ErrorKind::NotADirectory);
        expect_error(paths.remove_dir(name), ErrorKind::NotADirectory);
        expect_error(paths.remove_file(name), ErrorKind::NotADirectory);
        expect_error(paths.rename(name, "new"), ErrorKind::NotADirectory);
        expect_error(paths.rename("file", name), ErrorKind::NotADirectory);
        expect_error(paths.rename("other", name), ErrorKind::NotADirectory);
        expect_error(paths.create_dir(name), ErrorKind::AlreadyExists);
        expect_error(paths.symlink("target", name), ErrorKind::AlreadyExists);
        expect_error(paths.hard_link("file", name), ErrorKind::AlreadyExists);
    }
    for name in ["new/", "dangling/"] {
        expect_error(paths.write(name, b""), ErrorKind::IsADirectory);
        expect_error(paths.copy("file", name), ErrorKind::IsADirectory);
    }
    expect_error(paths.rename("file", "new/"), ErrorKind::NotADirectory);
    expect_error(paths.rename("file", "dir/"), ErrorKind::NotADirectory);
    expect_error(paths.symlink("target", "new/"), ErrorKind::NotFound);
    expect_error(paths.hard_link("file", "new/"), ErrorKind::NotFound);
    expect_error(paths.remove_file("dir/"), ErrorKind::IsADirectory);
    assert_eq!(names(&files, ROOT), before);
    assert!(paths.exists("dir/below/kept").unwrap());

    // What leads to a directory is seen as one, and what is one goes as one.
    assert_eq!(paths.symlink_metadata("link/").unwrap().kind, FileKind::Directory);
    assert_eq!(paths.read_dir("link/").unwrap().len(), 1);
    paths.create_dir("new/").unwrap();
    paths.rename("new/", "moved/").unwrap();
    paths.rename("moved/", "other/").unwrap();
    paths.remove_dir("other/").unwrap();
    paths.remove_dir_all("dir/").unwrap();
    assert_eq!(names(&files, ROOT), ["dangling", "file", "link", "to-file"]);
}

/// Both ended with an error as soon as somebody removed a file beside them.
#[test]
fn walks_and_removals_pass_over_what_goes_meanwhile() {
    let files = files(&store());
    let paths = Paths::new(&files);
    let fill = || {
        for number in 0..100 {
            paths.create_dir_all(format!("top/{number}")).unwrap();
            paths.write(format!("top/{number}/file"), b"").unwrap();
        }
    };
    let remove = || {
        for number in 0..100 {
            let _ = paths.remove_file(format!("top/{number}/file"));
            let _ = paths.remove_dir(format!("top/{number}"));
        }
    };
    for _ in 0..20 {
        fill();
        std::thread::scope(|scope| {
            scope.spawn(remove);
            paths.walk("top", |_, _| Ok(ControlFlow::Continue(()))).unwrap();
        });
        fill();
        std::thread::scope(|scope| {
            scope.spawn(remove);
            paths.remove_dir_all("top").unwrap();
        });
        assert!(!paths.exists("top").unwrap());
    }
    expect_error(paths.walk("top", |_, _| Ok(ControlFlow::Continue(()))), ErrorKind::NotFound);
    expect_error(paths.remove_dir_all("top"), ErrorKind::NotFound);
}

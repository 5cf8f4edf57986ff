//! Directories of the host in and out, compared entry by entry.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use sapwood::ErrorKind;
use sapwood::files::{FileKind, Files, Inode, NewFile, ReadFiles, Seek, SetMode};
use sapwood_archive::{
    ExportOptions, ImportOptions, Ownership, Progress, Report, SpecialFiles, export_directory,
    import_directory,
};

use crate::support::*;

fn import(files: &Files, from: &Path) -> sapwood::Result<Report> {
    import_directory(files, Inode::ROOT, from, &ImportOptions::default(), &mut |_| {})
}

fn export(files: &dyn ReadFiles, to: &Path) -> sapwood::Result<Report> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let own = Ownership::Fixed { owner: user.as_raw(), group: group.as_raw() };
    let ownership = if is_root() { Ownership::Keep } else { own };
    let options = ExportOptions { ownership, ..ExportOptions::default() };
    export_directory(files, Inode::ROOT, to, &options, &mut |_| {})
}

/// A directory with one of each kind that anybody may make.
fn varied(folder: &Path) {
    let write = |name: &str, content: &[u8]| fs::write(folder.join(name), content).unwrap();
    fs::create_dir_all(folder.join("a/b/c")).unwrap();
    write("a/empty", b"");
    write("a/small", b"small");
    write("a/b/large", &(0..3 << 20).map(|at| (at / 1000) as u8).collect::<Vec<_>>());
    write("a/b/c/read-only", b"no");
    fs::hard_link(folder.join("a/small"), folder.join("a/b/again")).unwrap();
    fs::hard_link(folder.join("a/small"), folder.join("third")).unwrap();
    symlink("../small", folder.join("a/b/link")).unwrap();
    symlink("/nowhere/at all", folder.join("dangling")).unwrap();
    fs::hard_link(folder.join("dangling"), folder.join("dangling too")).unwrap();
    let sparse = fs::File::create(folder.join("sparse")).unwrap();
    sparse.write_all_at(b"begin", 0).unwrap();
    sparse.write_all_at(b"middle", 40 << 20).unwrap();
    sparse.set_len(100 << 20).unwrap();
    let holes = fs::File::create(folder.join("holes alone")).unwrap();
    holes.set_len(64 << 10).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
    std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    let name = std::ffi::OsStr::from_encoded(b"not \xff utf8\n");
    fs::write(folder.join(name), "x").unwrap();
    for (name, mode) in
        [("a/b/c/read-only", 0o400), ("a/small", 0o4755), ("a/b/c", 0o2555), ("a", 0o1777)]
    {
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let times = fs::FileTimes::new()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_234_567_890, 123_456_789))
        .set_accessed(std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 1));
    fs::File::open(folder.join("a/b/large")).unwrap().set_times(times).unwrap();
    fs::File::open(folder.join("a/b")).unwrap().set_times(times).unwrap();
}

trait FromEncoded {
    fn from_encoded(bytes: &[u8]) -> &std::ffi::OsStr;
}

impl FromEncoded for std::ffi::OsStr {
    fn from_encoded(bytes: &[u8]) -> &std::ffi::OsStr {
        std::os::unix::ffi::OsStrExt::from_bytes(bytes)
    }
}

/// Sets extended attributes where the host keeps them; says whether it does.
fn set_attribute(path: &Path, name: &str, value: &[u8]) -> bool {
    match rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty()) {
        Ok(()) => true,
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::PERM) => {
            eprintln!("skipped: the host does not keep {name}");
            false
        }
        Err(errno) => panic!("{errno}"),
    }
}

#[test]
fn a_directory_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir(&from).unwrap();
    varied(&from);
    set_attribute(&from.join("a/small"), "user.note", b"line\nline\0");
    set_attribute(&from.join("a/b"), "user.long", &[7; 3000]);
    let files = tree();
    let report = import(&files, &from).unwrap();
    let described = describe(&files, Inode::ROOT);
    assert_eq!(report.entries, described.len() as u64);
    assert_eq!(described["a/b/again"].same_as, "a/b/again");
    assert_eq!(described["a/small"].same_as, "a/b/again");
    assert_eq!(described["third"].same_as, "a/b/again");
    assert_eq!(described["dangling too"].same_as, "dangling");
    assert_eq!(described["socket"].kind, FileKind::Socket);
    let large = files.lookup(Inode::ROOT, b"sparse").unwrap();
    assert!(files.attributes(large).unwrap().allocated_bytes < 1 << 20);
    assert!(files.seek(large, 1 << 20, Seek::Data).unwrap().unwrap() >= 39 << 20);

    let out = export(&files, &to).unwrap();
    assert_eq!(out.entries, report.entries);
    let again = tree();
    import(&again, &to).unwrap();
    assert_same(&describe(&again, Inode::ROOT), &described);
    compare(&from, &to);
    assert!(fs::metadata(to.join("sparse")).unwrap().blocks() < 4096);
    let (small, third) = (to.join("a/small"), to.join("third"));
    assert_eq!(fs::metadata(small).unwrap().ino(), fs::metadata(third).unwrap().ino());
}

/// More files than are looked at ahead: the walk waited for ever for somebody to take what it had found.
#[test]
fn an_error_ends_an_import_however_much_was_found_by_then() {
    let folder = tempfile::tempdir().unwrap();
    for directory in 0..8 {
        let directory = folder.path().join(directory.to_string());
        fs::create_dir(&directory).unwrap();
        (0..200).for_each(|name| fs::write(directory.join(name.to_string()), "x").unwrap());
    }
    let files = tree();
    let no_directory = files.create(Inode::ROOT, b"file", &NewFile::regular(0o644)).unwrap().inode;
    let (end, ended) = std::sync::mpsc::channel();
    let importing = std::thread::spawn(move || {
        let options = ImportOptions::default();
        let imported = import_directory(&files, no_directory, folder.path(), &options, &mut |_| {});
        end.send(()).unwrap();
        imported.unwrap_err().kind()
    });
    // A thread that waits for ever cannot be joined.
    ended.recv_timeout(std::time::Duration::from_secs(120)).expect("the import ends");
    assert_eq!(importing.join().unwrap(), ErrorKind::NotADirectory);
}

/// Lengths past the first buffer of who asks: they came in empty, and the same both ways.
#[test]
fn attributes_of_any_length_and_number_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for length in [0, 1, 255, 256, 257, 3000] {
        let name = format!("value of {length}");
        fs::write(folder.path().join(&name), "").unwrap();
        let value = vec![7; length];
        if !set_attribute(&folder.path().join(&name), "user.note", &value) {
            return;
        }
        expected.push((name, vec![(b"user.note".to_vec(), value)]));
    }
    let name = "many names".to_owned();
    fs::write(folder.path().join(&name), "").unwrap();
    let attribute = |number| (format!("user.{number:-<40}"), vec![number as u8; number]);
    for (attribute, value) in (10..40).map(attribute) {
        assert!(set_attribute(&folder.path().join(&name), &attribute, &value));
    }
    let many = (10..40).map(attribute).map(|(name, value)| (name.into_bytes(), value));
    expected.push((name, many.collect()));
    let files = tree();
    import(&files, folder.path()).unwrap();
    let described = describe(&files, Inode::ROOT);
    for (name, attributes) in expected {
        assert!(described[name.as_str()].attributes == attributes, "{name}");
    }
}

/// What the host says of two directories, besides what a tree keeps.
fn compare(one: &Path, other: &Path) {
    let mut left = vec![(one.to_owned(), other.to_owned())];
    while let Some((one, other)) = left.pop() {
        let [a, b] = [&one, &other].map(|path| fs::symlink_metadata(path).unwrap());
        let facts = |of: &fs::Metadata| {
            let whose = is_root().then(|| (of.uid(), of.gid()));
            (of.mode(), of.nlink(), of.mtime(), of.mtime_nsec(), of.rdev(), whose)
        };
        assert_eq!(facts(&a), facts(&b), "{}", one.display());
        if a.is_file() {
            assert_eq!(a.len(), b.len());
            assert!(fs::read(&one).unwrap() == fs::read(&other).unwrap(), "{}", one.display());
        } else if a.is_symlink() {
            assert_eq!(fs::read_link(&one).unwrap(), fs::read_link(&other).unwrap());
        } else if a.is_dir() {
            let names = |path: &Path| {
                let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
                names.collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(names(&one), names(&other), "{}", one.display());
            left.extend(names(&one).iter().map(|name| (one.join(name), other.join(name))));
        }
    }
}

#[test]
fn a_directory_of_the_system_comes_back_as_it_was() {
    let from = Path::new("/usr/share/doc");
    if !from.is_dir() {
        eprintln!("skipped: there is no {}", from.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let files = tree();
    import(&files, from).unwrap();
    export(&files, &folder.path().join("to")).unwrap();
    compare(from, &folder.path().join("to"));
}

#[test]
fn what_is_imported_over_a_tree_replaces_what_has_its_name() {
    let folder = tempfile::tempdir().unwrap();
    varied(folder.path());
    let files = tree();
    let members =
        [file("a", "was a file"), directory("third/"), file("third/in", ""), file("kept", "")];
    import_tar(&files, &stream(&members)).unwrap();
    import(&files, folder.path()).unwrap();
    import(&files, folder.path()).unwrap();
    assert_eq!(read(&files, "kept"), b"");
    assert_eq!(read(&files, "third"), b"small");
    let again = tree();
    import(&again, folder.path()).unwrap();
    let mut described = describe(&files, Inode::ROOT);
    described.remove("kept");
    assert_same(&described, &describe(&again, Inode::ROOT));
}

#[test]
fn special_files_are_left_out_or_refused_where_the_caller_says_so() {
    let folder = tempfile::tempdir().unwrap();
    varied(folder.path());
    let with = |special_files| ImportOptions { special_files, ..ImportOptions::default() };
    let import = |files: &Files, options| {
        import_directory(files, Inode::ROOT, folder.path(), &options, &mut |_| {})
    };
    let error = import(&tree(), with(SpecialFiles::Refuse)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error}");
    assert!(error.path().is_some(), "{error}");
    let files = tree();
    assert_eq!(import(&files, with(SpecialFiles::Skip)).unwrap().skipped, 2);
    assert!(!paths(&files).contains(&"pipe".to_owned()));
}

#[test]
fn owners_are_what_the_caller_says() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f"), "").unwrap();
    let ownership = Ownership::Fixed { owner: 5, group: 6 };
    let options = ImportOptions { ownership, ..ImportOptions::default() };
    let files = tree();
    import_directory(&files, Inode::ROOT, folder.path(), &options, &mut |_| {}).unwrap();
    let described = describe(&files, Inode::ROOT);
    assert!(described.values().all(|file| (file.owner, file.group) == (5, 6)));
}

#[test]
fn what_cannot_be_read_is_an_error_with_its_path() {
    let error = import(&tree(), Path::new("/no/such/directory")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("/no/such/directory"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f"), "").unwrap();
    assert!(import(&tree(), &folder.path().join("f")).is_err());
}

#[test]
fn devices_are_made_where_the_host_lets_us() {
    use sapwood_archive::tar::MemberKind;
    let folder = tempfile::tempdir().unwrap();
    let files = tree();
    let mut device = member("null", MemberKind::CharDevice(1, 3));
    device.0.permissions = 0o666;
    import_tar(&files, &stream(&[directory("./"), device])).unwrap();
    let to = folder.path().join("to");
    match export(&files, &to) {
        Ok(_) => {
            let null = fs::metadata(to.join("null")).unwrap();
            assert_eq!((null.rdev(), null.mode() & 0o7777), (0x103, 0o666));
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error}");
            assert!(error.to_string().contains("null"), "{error}");
        }
    }
}

#[test]
fn deep_trees_and_wide_ones_go_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let files = tree();
    let mut members = vec![file(&format!("{}f", "d/".repeat(200)), "deep")];
    // Directories beside the deeper one, so that each level is come back to.
    members.extend((0..600).map(|at| directory(&format!("{}z", "e/".repeat(at)))));
    members.extend((0..5_000).map(|at| file(&format!("wide/{at}"), "w")));
    import_tar(&files, &stream(&members)).unwrap();
    export(&files, &folder.path().join("to")).unwrap();
    let again = tree();
    import(&again, &folder.path().join("to")).unwrap();
    if is_root() {
        assert_same(&describe(&again, Inode::ROOT), &describe(&files, Inode::ROOT));
    }
}

/// Deeper than a process may have files open, and than a path may be long.
#[test]
fn an_export_holds_a_bounded_number_of_directories_open() {
    let folder = tempfile::tempdir().unwrap();
    let files = tree();
    let mut members = vec![file(&format!("{}f", "d/".repeat(3_000)), "deep")];
    members.extend((0..3_000).step_by(100).map(|at| directory(&format!("{}z", "d/".repeat(at)))));
    import_tar(&files, &stream(&members)).unwrap();
    let to = folder.path().join("to");
    let report = export(&files, &to).unwrap();
    let again = tree();
    assert_eq!(import(&again, &to).unwrap().entries, report.entries);
    // The standard library would open them all.
    let removed = std::process::Command::new("rm").arg("-rf").arg(&to).status().unwrap();
    assert!(removed.success());
}

/// Files came in as they were found, whatever was done to them meanwhile: one that was cut off in its
/// holes came in as zeros.
#[test]
fn a_file_that_changes_while_it_is_read_is_an_error_with_its_path() {
    type Change = fn(&Path);
    let open = |path: &Path| fs::File::options().write(true).open(path).unwrap();
    let changes: [(&str, Change); 5] = [
        ("grows", |path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() + 1).unwrap();
        }),
        ("shrinks", |path| {
            fs::File::options().write(true).open(path).unwrap().set_len(10).unwrap()
        }),
        ("is written over", |path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.write_all_at(b"other", 0).unwrap();
        }),
        ("goes", |path| fs::remove_file(path).unwrap()),
        ("is another", |path| {
            fs::write(path.with_extension("new"), "new").unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        }),
    ];
    for (what, change) in changes {
        for size in [0, 100 << 20] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            fs::write(&path, vec![1; 3 << 20]).unwrap();
            if size > 0 {
                open(&path).set_len(size).unwrap();
            }
            let mut is_changed = false;
            let done = import_directory(
                &tree(),
                Inode::ROOT,
                folder.path(),
                &ImportOptions::default(),
                &mut |progress| {
                    if progress.bytes > 0 && !std::mem::replace(&mut is_changed, true) {
                        // A clock that goes in steps has made one.
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        change(&path);
                    }
                },
            );
            let error = done.expect_err(what);
            assert_eq!((error.kind(), error.path()), (ErrorKind::Stale, Some(&*path)), "{error}");
        }
    }
}

/// The walk lists one directory after the other: what was moved to one behind it was missed, and what was
/// moved to one before it came twice.
#[test]
fn names_that_move_past_the_walk_are_an_error_with_the_directory() {
    for (from, to) in [("z/in", "a/in"), ("a/in", "z/in"), ("z/in", "in"), ("a/in/deep", "z/deep")]
    {
        let folder = tempfile::tempdir().unwrap();
        // More names than are looked at ahead stand between the two.
        for directory in ["a", "m", "z"] {
            fs::create_dir(folder.path().join(directory)).unwrap();
        }
        let [from, to] = [from, to].map(|name| folder.path().join(name));
        fs::create_dir_all(from.parent().unwrap()).unwrap();
        fs::write(&from, "x").unwrap();
        for number in 0..1000 {
            fs::write(folder.path().join(format!("m/{number:03}")), "x").unwrap();
        }
        // A clock that goes in steps has made one.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let mut is_moved = false;
        let mv = &mut |progress: Progress| {
            if progress.entries >= 100 && !std::mem::replace(&mut is_moved, true) {
                fs::rename(&from, &to).unwrap();
            }
        };
        let files = tree();
        let done =
            import_directory(&files, Inode::ROOT, folder.path(), &ImportOptions::default(), mv);
        let error = done.expect_err(&format!("{} to {}", from.display(), to.display()));
        // That which was listed before the move.
        let listed = if to.starts_with(folder.path().join("z")) { &from } else { &to };
        assert_eq!((error.kind(), error.path()), (ErrorKind::Stale, listed.parent()), "{error}");
    }
}

/// More names than are looked at ahead, all of which are listed by the time that the first is put.
#[test]
fn a_file_that_goes_before_it_is_read_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..1000 {
        fs::write(folder.path().join(format!("{number:03}")), "x").unwrap();
    }
    let last = folder.path().join("999");
    let gone = &mut |progress: Progress| {
        if progress.entries >= 100 {
            let _ = fs::remove_file(&last);
        }
    };
    let options = ImportOptions::default();
    let done = import_directory(&tree(), Inode::ROOT, folder.path(), &options, gone);
    let error = done.unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::NotFound, Some(&*last)), "{error}");
}

/// A program of somebody else's became one that runs as whoever exported it, for everybody.
#[test]
fn without_its_owner_a_file_runs_as_nobody_in_particular() {
    let files = tree();
    let of_another = |kind, permissions| NewFile {
        owner: 1234,
        group: 1234,
        ..NewFile { kind, permissions, ..NewFile::regular(0) }
    };
    let program = of_another(FileKind::Regular, 0o6755);
    let program = files.create(Inode::ROOT, b"program", &program).unwrap().inode;
    files.create(Inode::ROOT, b"shared", &of_another(FileKind::Directory, 0o2755)).unwrap();
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    files
        .set_extended_attribute(program, b"security.capability", &capability, SetMode::Any)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let nobodys = ExportOptions { ownership: Ownership::Default, ..ExportOptions::default() };
    export_directory(&files, Inode::ROOT, &out, &nobodys, &mut |_| {}).unwrap();
    let mode = |name: &str| fs::metadata(out.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("program"), mode("shared")), (0o755, 0o2755));
    let mut value = [0; 64];
    let found = rustix::fs::getxattr(out.join("program"), "security.capability", &mut value);
    assert!(found.is_err());

    // What comes in belongs to root, who made it set-user-id or not.
    fs::set_permissions(out.join("program"), fs::Permissions::from_mode(0o4755)).unwrap();
    let permissions = |ownership| {
        let files = tree();
        let options = ImportOptions { ownership, ..ImportOptions::default() };
        import_directory(&files, Inode::ROOT, &out, &options, &mut |_| {}).unwrap();
        let program = files.lookup(Inode::ROOT, b"program").unwrap();
        files.attributes(program).unwrap().permissions
    };
    assert_eq!(permissions(Ownership::Default), 0o755);
    assert_eq!(permissions(Ownership::Keep), 0o4755);
}

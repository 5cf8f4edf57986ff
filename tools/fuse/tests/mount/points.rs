//! Mount points that the tree lacks: there for whoever mounts on them, and in no tree.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::mount::{MountFlags, UnmountFlags};
use sapwood::Annotations;
use sapwood::files::{FilesView, Inode, Paths, ReadFiles};

use crate::harness::{Place, can_mount, shell, snapshot};

const EBUSY: Option<i32> = Some(16);
const ENOTEMPTY: Option<i32> = Some(39);

/// The names of a tree, each with its kind.
fn tree(place: &Place, reference: &str) -> Vec<String> {
    let view = FilesView::open(place.store().snapshot_of(reference).unwrap()).unwrap();
    let mut names = Vec::new();
    let walked = Paths::new(&view).walk("/", |path, _| {
        names.push(String::from_utf8(path.to_vec()).unwrap());
        Ok(std::ops::ControlFlow::Continue(()))
    });
    walked.unwrap();
    names
}

#[test]
fn they_are_mounted_on_and_leave_no_trace() {
    if !can_mount("they_are_mounted_on_and_leave_no_trace") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    fs::create_dir(served.path("etc")).unwrap();
    fs::write(served.path("etc/hosts"), "its own").unwrap();
    std::os::unix::fs::symlink("/run/resolv.conf", served.path("etc/resolv.conf")).unwrap();
    served.unmount();
    snapshot(&place, "web");
    let before = tree(&place, "web@1");

    let served = place.serve(&[
        "directory-at=/proc",
        "directory-at=/run/secrets",
        "file-at=/etc/hosts",
        "file-at=/etc/hostname",
        "file-at=/etc/resolv.conf",
    ]);
    let listed =
        shell(&served.directory, "find . -printf '%p %y\\n' | LC_ALL=C sort | tr '\\n' ','");
    assert_eq!(
        listed,
        ". d,./etc d,./etc/hostname f,./etc/hosts f,./etc/resolv.conf l,./proc d,./run d,\
         ./run/resolv.conf f,./run/secrets d,"
    );
    assert_eq!(shell(&served.directory, "ls -a run | tr '\\n' ' '"), ". .. resolv.conf secrets ");
    assert_eq!(fs::read(served.path("etc/hosts")).unwrap(), b"its own");
    let own = fs::metadata(served.path("run")).unwrap();
    assert_eq!((own.mode(), own.uid(), own.len()), (0o040_755, 0, 0));
    assert!(fs::read(served.path("etc/hostname")).unwrap().is_empty());

    let target = served.path("proc");
    rustix::mount::mount("tmpfs", &target, "tmpfs", MountFlags::empty(), None).unwrap();
    fs::write(target.join("inside"), "x").unwrap();
    // The kernel lists again what it knows, and must not lose what is mounted there.
    assert!(shell(&served.directory, "ls").contains("proc"));
    place.ask("web").snapshot(&Annotations::default()).unwrap();
    assert!(target.join("inside").exists());
    rustix::mount::unmount(&target, UnmountFlags::empty()).unwrap();
    served.unmount();
    assert_eq!(tree(&place, "web@1"), before, "a snapshot of the running mount");
    assert_eq!(tree(&place, "web"), before);
    let view = FilesView::open(place.store().snapshot_of("web").unwrap()).unwrap();
    let first = FilesView::open(place.store().snapshot_of("web@2").unwrap()).unwrap();
    let root = |view: &FilesView| view.attributes(Inode::ROOT).unwrap().modified;
    assert_eq!(root(&view), root(&first), "the times of what they are in");
    place.check();
}

#[test]
fn what_is_made_in_one_makes_it_real() {
    if !can_mount("what_is_made_in_one_makes_it_real") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&["file-at=/a/b/point", "directory-at=/a/other/point"]);
    let number = fs::metadata(served.path("a/b")).unwrap().ino();
    fs::write(served.path("a/b/file"), "kept").unwrap();
    assert_eq!(fs::metadata(served.path("a/b")).unwrap().ino(), number, "one file, one number");
    assert_eq!(shell(&served.directory, "ls -a a/b | tr '\\n' ' '"), ". .. file point ");
    assert_eq!(shell(&served.directory, "ls a | tr '\\n' ' '"), "b other ");
    let refused = [
        (fs::remove_file(served.path("a/b/point")), EBUSY),
        (fs::rename(served.path("a/b/file"), served.path("a/b/point")), EBUSY),
        (fs::remove_dir(served.path("a/other")), EBUSY),
    ];
    for (done, code) in refused {
        assert_eq!(done.unwrap_err().raw_os_error(), code);
    }
    fs::remove_file(served.path("a/b/file")).unwrap();
    assert_eq!(fs::remove_dir(served.path("a/b")).unwrap_err().raw_os_error(), ENOTEMPTY);
    fs::write(served.path("a/b/again"), "kept").unwrap();
    fs::rename(served.path("a/b"), served.path("c")).unwrap();
    assert_eq!(shell(&served.directory, "ls c | tr '\\n' ' '"), "again point ");
    served.unmount();
    assert_eq!(tree(&place, "web"), ["", "a", "c", "c/again"]);
    place.check();
}

#[test]
fn where_none_can_be_is_said() {
    if !can_mount("where_none_can_be_is_said") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    fs::write(served.path("file"), "x").unwrap();
    fs::create_dir(served.path("directory")).unwrap();
    std::os::unix::fs::symlink("loop", served.path("loop")).unwrap();
    served.unmount();
    let refusals = [
        ("directory-at=/file", "not a directory"),
        ("directory-at=/file/below", "not a directory"),
        ("file-at=/directory", "is a directory"),
        ("directory-at=/loop", "too many symlinks"),
    ];
    for (word, text) in refusals {
        let start = |words: &[&str]| {
            crate::harness::Served::start(&place.store_path(), "web", &place.path("mnt"), words)
        };
        let said = start(&[word]).err().expect("a refusal");
        assert!(said.contains(text), "{word}: {said}");
    }
}

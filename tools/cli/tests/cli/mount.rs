//! `mount`, `umount`, `flush`, and `snapshot` of what is mounted.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use sapwood::files::{FilesView, Inode, ReadFiles};
use sapwood::{Store, StoreOptions};

use super::support::{Place, Said};

/// A place with a tree, where this machine can mount; else the test says so loudly.
fn place(test: &str) -> Option<Place> {
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
        eprintln!("SKIPPED {test}: mounts need root and /dev/fuse");
        return None;
    }
    let place = Place::with_store();
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    store.create_tree("web").unwrap().close().unwrap();
    fs::create_dir(place.path("mnt")).unwrap();
    Some(place)
}

/// Unmounts what a failed test left.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

fn expect(said: &Said, code: i32, text: &str) {
    assert_eq!(said.code, code, "{}", said.stderr);
    assert!(said.stderr.contains(text), "{}", said.stderr);
}

/// The process that has a volume locked, as the refusal names it.
fn holder(place: &Place, name: &str) -> Pid {
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    let text = store.open_volume(name).unwrap_err().to_string();
    let after = text.split("process ").nth(1).expect("the holder");
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    Pid::from_raw(digits.parse().unwrap()).unwrap()
}

#[test]
fn a_volume_is_mounted_asked_and_unmounted() {
    let Some(place) = place("a_volume_is_mounted_asked_and_unmounted") else { return };
    let mount = place.path("mnt");
    let _mounted = Mounted(mount.clone());
    let said = String::from_utf8(place.ok(&["mount", "web", "mnt"])).unwrap();
    assert_eq!(said, format!("mounted web on {}, read and write\n", mount.display()));
    fs::write(mount.join("file"), "before").unwrap();
    expect(&place.run(&["mount", "web", "store"]), 4, "process");
    place.ok(&["snapshot", "web", "--tag", "web:1", "--comment", "of a mount"]);
    fs::write(mount.join("file"), "after").unwrap();
    place.ok(&["flush", "web"]);
    let log = String::from_utf8(place.ok(&["log", "web:1"])).unwrap();
    assert!(log.contains("of a mount"), "{log}");

    fs::create_dir(place.path("frozen")).unwrap();
    let _frozen = Mounted(place.path("frozen"));
    place.ok(&["mount", "web:1", "frozen"]);
    assert_eq!(fs::read(place.path("frozen/file")).unwrap(), b"before");
    assert!(fs::write(place.path("frozen/file"), "x").is_err());
    place.ok(&["umount", "frozen"]);

    let open = fs::File::open(mount.join("file")).unwrap();
    expect(&place.run(&["umount", "mnt"]), 4, "busy");
    drop(open);
    place.ok(&["umount", "mnt"]);
    assert!(!mount.join("file").exists());
    expect(&place.run(&["umount", "mnt"]), 8, "no sapwood mount");
    place.ok(&["flush", "web"]);
    place.ok(&["mount", "web", "mnt"]);
    assert_eq!(fs::read(mount.join("file")).unwrap(), b"after");
    place.ok(&["umount", "mnt"]);
    place.ok(&["check", "--data"]);
}

#[test]
fn a_temporary_mount_leaves_nothing() {
    let Some(place) = place("a_temporary_mount_leaves_nothing") else { return };
    place.ok(&["mount", "web", "mnt"]);
    let _mounted = Mounted(place.path("mnt"));
    fs::write(place.path("mnt/file"), "kept").unwrap();
    place.ok(&["snapshot", "web", "--tag", "web:1"]);
    place.ok(&["umount", "mnt"]);
    expect(&place.run(&["mount", "--temporary", "web", "mnt"]), 2, "snapshot");
    let before = place.ok(&["ls"]);
    place.ok(&["mount", "--temporary", "web:1", "mnt"]);
    fs::write(place.path("mnt/file"), "gone").unwrap();
    place.ok(&["umount", "mnt"]);
    assert_eq!(place.ok(&["ls"]), before, "the fork went with the unmount");
    place.ok(&["mount", "web:1", "mnt"]);
    assert_eq!(fs::read(place.path("mnt/file")).unwrap(), b"kept");
    place.ok(&["umount", "mnt"]);
}

#[test]
fn signals_end_a_mount_with_a_commit() {
    let Some(place) = place("signals_end_a_mount_with_a_commit") else { return };
    let mount = place.path("mnt");
    let _mounted = Mounted(mount.clone());
    for signal in [Signal::TERM, Signal::INT] {
        place.ok(&["mount", "web", "mnt"]);
        fs::write(mount.join("file"), format!("{signal:?}")).unwrap();
        let process = holder(&place, "web");
        kill_process(process, signal).unwrap();
        let has_ended = |_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            !Path::new("/proc").join(process.as_raw_nonzero().to_string()).join("exe").exists()
        };
        assert!((0..3000).any(has_ended), "the process goes on");
        place.ok(&["mount", "web", "mnt"]);
        assert_eq!(fs::read_to_string(mount.join("file")).unwrap(), format!("{signal:?}"));
        place.ok(&["umount", "mnt"]);
    }
}

/// The server dies: its mount is named as dead, taken away, and the volume mounted again.
#[test]
fn a_dead_mount_is_told_and_taken_away() {
    let Some(place) = place("a_dead_mount_is_told_and_taken_away") else { return };
    let mount = place.path("mnt");
    let _mounted = Mounted(mount.clone());
    place.ok(&["mount", "web", "mnt"]);
    fs::write(mount.join("file"), "flushed").unwrap();
    place.ok(&["flush", "web"]);
    kill_process(holder(&place, "web"), Signal::KILL).unwrap();
    // What the kernel has cached it goes on showing; of other names it must ask.
    let is_dead = |n| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let answer = fs::metadata(mount.join(format!("fresh-{n}"))).unwrap_err();
        answer.kind() != std::io::ErrorKind::NotFound
    };
    assert!((0..3000).any(is_dead), "the mount goes on");
    expect(&place.run(&["mount", "web", "mnt"]), 10, "server has gone");
    place.ok(&["umount", "mnt"]);
    place.ok(&["mount", "web", "mnt"]);
    assert_eq!(fs::read(mount.join("file")).unwrap(), b"flushed");
    place.ok(&["umount", "mnt"]);
}

/// Nobody syncs, nobody asks: a kill loses no more than the interval.
#[test]
fn a_mount_commits_every_so_often() {
    let Some(place) = place("a_mount_commits_every_so_often") else { return };
    let mount = place.path("mnt");
    let _mounted = Mounted(mount.clone());
    place.ok(&["mount", "web", "mnt", "--commit-every", "1"]);
    fs::create_dir(mount.join("folder")).unwrap();
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    let is_committed = |_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let view = FilesView::open(store.snapshot_of("web").unwrap());
        view.is_ok_and(|view| view.lookup(Inode::ROOT, b"folder").is_ok())
    };
    assert!((0..300).any(is_committed), "no commit came");
    place.ok(&["umount", "mnt"]);
}

#[test]
fn what_cannot_be_mounted_is_said_before_anything_is() {
    let Some(place) = place("what_cannot_be_mounted_is_said_before_anything_is") else { return };
    place.ok(&["create", "disk", "1M"]);
    expect(&place.run(&["mount", "nothing", "mnt"]), 8, "nothing");
    expect(&place.run(&["mount", "disk", "mnt"]), 2, "a tree");
    expect(&place.run(&["mount", "web", "nowhere"]), 8, "nowhere");
    fs::write(place.path("file"), "x").unwrap();
    expect(&place.run(&["mount", "web", "file"]), 2, "not a directory");
    expect(&place.run(&["mount", "web", "mnt", "--map-users", "1:2"]), 2, "HOST:TREE:COUNT");
    expect(&place.run(&["mount", "web", "mnt", "--read-only", "--volatile"]), 2, "--volatile");
    let json = place.run(&["--json", "mount", "web", "mnt"]);
    assert_eq!(json.code, 0, "{}", json.stderr);
    let _mounted = Mounted(place.path("mnt"));
    let json = String::from_utf8(json.stdout).unwrap();
    assert!(json.contains("\"writable\":true") || json.contains("\"writable\": true"), "{json}");
    place.ok(&["umount", "mnt"]);
}

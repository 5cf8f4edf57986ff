//! `mount`, `umount`, `flush`, and `snapshot` of what is mounted.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use sapwood::files::{FilesView, Inode, ReadFiles};
use sapwood::{Store, StoreOptions};

use super::support::{Place, Said, pattern, skip};

/// A place with a tree, where this machine can mount; else the test says so loudly.
fn place(test: &str) -> Option<Place> {
    place_in(test, Place::with_store)
}

/// As [`place`], in a store as `make` makes it.
fn place_in(test: &str, make: fn() -> Place) -> Option<Place> {
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
        skip(test, "mounts need root and /dev/fuse");
        return None;
    }
    let place = make();
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

/// Waits for the end of a process.
fn expect_end(process: Pid) {
    let has_ended = |_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        !Path::new("/proc").join(process.as_raw_nonzero().to_string()).join("exe").exists()
    };
    assert!((0..3000).any(has_ended), "the process goes on");
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
    let told = format!("mounted on {}; write there, or `umount", mount.display());
    expect(&place.run(&["rm", "web"]), 4, &told);
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

/// One program wrote past the largest file, and whoever came next was told to make room.
#[test]
fn a_write_that_no_file_can_hold_is_no_want_of_room() {
    let Some(place) = place("a_write_that_no_file_can_hold_is_no_want_of_room") else { return };
    let mount = place.path("mnt");
    let _mounted = Mounted(mount.clone());
    place.ok(&["mount", "web", "mnt"]);
    for words in [&["snapshot", "web"][..], &["umount", "mnt"]] {
        fs::write(mount.join("kept"), words[0]).unwrap();
        let file = fs::File::create(mount.join("large")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"a", ((1 << 32) - 1) * 4096).unwrap();
        drop(file);
        expect(&place.run(words), 10, "I/O error: write back a mount");
        place.ok(words);
    }
    assert_eq!(place.ok(&["cat", "web:/kept"]), b"umount");
}

/// It said that it was mounted, and what was written went into the directory of the host.
#[test]
fn a_mount_whose_log_cannot_be_opened_is_none() {
    let Some(place) = place("a_mount_whose_log_cannot_be_opened_is_none") else { return };
    let _mounted = Mounted(place.path("mnt"));
    expect(&place.run(&["mount", "web", "mnt", "--log", "nowhere/log"]), 8, "nowhere/log");
    expect(&place.run(&["umount", "mnt"]), 8, "no sapwood mount");
    place.ok(&["mount", "web", "mnt", "--log", "log"]);
    place.ok(&["umount", "mnt"]);
}

/// One asker that could not be taken was the last one, and those after it waited for ever.
#[test]
fn a_server_without_a_free_descriptor_answers_once_it_has_one() {
    let test = "a_server_without_a_free_descriptor_answers_once_it_has_one";
    let Some(place) = place(test) else { return };
    place.ok(&["mount", "web", "mnt"]);
    let _mounted = Mounted(place.path("mnt"));
    let server = holder(&place, "web");
    let none = Rlimit { current: Some(0), maximum: getrlimit(Resource::Nofile).maximum };
    let before = prlimit(Some(server), Resource::Nofile, none).unwrap();
    // The descriptor of the next asker was taken when the server began to wait for one.
    expect(&place.run(&["rm", "web"]), 4, "held by process");
    let mut asker = Command::new(env!("CARGO_BIN_EXE_sapwood"))
        .args(["flush", "web"])
        .env("SAPWOOD_STORE", place.store())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(asker.try_wait().unwrap().is_none(), "it is not refused");
    prlimit(Some(server), Resource::Nofile, before).unwrap();
    assert!(asker.wait().unwrap().success());
    place.ok(&["flush", "web"]);
    place.ok(&["umount", "mnt"]);
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

    // One whose server is killed stays until somebody clears up; one that is served stays then, too.
    place.ok(&["mount", "--temporary", "web:1", "mnt"]);
    let told = place.json(&["prune"], 0);
    assert_eq!(told["temporary_forks"], 0);
    fs::write(place.path("mnt/file"), "still there").unwrap();
    let listed = String::from_utf8(place.ok(&["ls"])).unwrap();
    let fork = listed.split_whitespace().find(|word| word.starts_with("temporary-")).unwrap();
    kill_process(holder(&place, fork), Signal::KILL).unwrap();
    place.ok(&["umount", "mnt"]);
    for (words, count) in [(&["prune", "--dry-run"][..], 1), (&["prune"], 1), (&["prune"], 0)] {
        assert_eq!(place.json(words, 0)["temporary_forks"], count, "{words:?}");
    }
    assert_eq!(place.ok(&["ls"]), before);
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
        expect_end(process);
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
    kill_process(holder(&place, "web"), Signal::KILL).unwrap();
    place.ok(&["umount", "mnt"]);
    place.ok(&["rm", "web"]);
    assert_eq!(fs::read_dir(place.store().join("mounts")).unwrap().count(), 0);
}

/// A mount below the store's folder whose server had gone ended every measuring of the store.
#[test]
fn a_dead_mount_in_the_store_is_not_looked_at() {
    let Some(place) = place("a_dead_mount_in_the_store_is_not_looked_at") else { return };
    let dead = place.store().join("beside/dead");
    fs::create_dir_all(&dead).unwrap();
    let _mounted = Mounted(dead.clone());
    let device = fs::File::options().read(true).write(true).open("/dev/fuse").unwrap();
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    let options = std::ffi::CString::new(options).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("dead", &dead, "fuse", flags, options.as_c_str()).unwrap();
    drop(device);
    assert!(fs::symlink_metadata(&dead).is_err());
    place.ok(&["df", "-v"]);
    place.ok(&["prune", "-a", "--containers"]);
}

/// The same volume to write, and its last commit to read on top: each unmount takes the one away that is seen,
/// and a signal none but its own.
#[test]
fn mounts_on_one_directory_are_told_apart() {
    let Some(place) = place("mounts_on_one_directory_are_told_apart") else { return };
    let mount = place.path("mnt");
    let (_below, _above) = (Mounted(mount.clone()), Mounted(mount.clone()));
    place.ok(&["mount", "web", "mnt"]);
    fs::write(mount.join("file"), "below").unwrap();
    place.ok(&["flush", "web"]);
    place.ok(&["mount", "--read-only", "web", "mnt"]);
    expect(&place.run(&["flush", "web"]), 10, "unmount what lies on it");
    kill_process(holder(&place, "web"), Signal::TERM).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(fs::write(mount.join("file"), "x").is_err(), "the one on top has gone");
    place.ok(&["umount", "mnt"]);
    assert_eq!(fs::read(mount.join("file")).unwrap(), b"below");
    place.ok(&["umount", "mnt"]);
    assert_eq!(fs::read_dir(&mount).unwrap().count(), 0);
}

/// The mount was gone, and what was not committed with it.
#[test]
fn a_full_host_keeps_what_was_written_until_there_is_room() {
    let test = "a_full_host_keeps_what_was_written_until_there_is_room";
    let Some(place) = place_in(test, Place::with_small_store) else { return };
    let mount = place.path("mnt");
    let _mounted = Mounted(mount.clone());
    let content = pattern(1, 1 << 20);
    place.ok(&["mount", "web", "mnt"]);
    fs::write(mount.join("first"), &content).unwrap();
    place.fill();
    for words in [&["umount", "mnt"][..], &["umount", "--lazy", "mnt"]] {
        expect(&place.run(words), 7, "it stays mounted");
        assert_eq!(fs::read(mount.join("first")).unwrap(), content);
    }
    place.make_room();
    place.ok(&["umount", "mnt"]);
    assert_eq!(place.ok(&["cat", "web:/first"]), content);
    place.ok(&["snapshot", "web", "--tag", "web:1"]);

    // Others ask nobody: the server keeps it, and says so to whoever comes to the volume.
    place.ok(&["mount", "web", "mnt"]);
    fs::write(mount.join("second"), &content).unwrap();
    place.fill();
    rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::empty()).unwrap();
    let is_told = |_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        place.run(&["mount", "web", "mnt"]).stderr.contains("its last commit waits for room")
    };
    assert!((0..3000).any(is_told), "nobody is told");
    expect(&place.run(&["flush", "web"]), 7, "no space");
    expect(&place.run(&["rm", "web"]), 4, "`flush web`");
    place.make_room();
    place.ok(&["flush", "web"]);
    assert_eq!(place.ok(&["cat", "web:/second"]), content);

    // What goes with the unmount needs no room.
    place.ok(&["mount", "--temporary", "web:1", "mnt"]);
    fs::write(mount.join("third"), &content).unwrap();
    place.fill();
    place.ok(&["umount", "mnt"]);
    place.make_room();
    assert_eq!(place.json(&["prune"], 0)["temporary_forks"], 0);
    place.ok(&["check", "--data"]);
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

/// Each option does what it says: what it is to hinder fails, and goes through without it.
#[test]
fn the_options_reach_the_mount() {
    let Some(place) = place("the_options_reach_the_mount") else { return };
    let mount = place.path("mnt");
    let _mounted = Mounted(mount.clone());
    let file = mount.join("file");
    let errno = |done: std::io::Result<()>| done.err().and_then(|error| error.raw_os_error());

    place.ok(&["mount", "web", "mnt", "--quota", "4M"]);
    assert_eq!(errno(fs::write(&file, vec![7; 8 << 20])), Some(28));
    fs::write(&file, "kept").unwrap();
    place.ok(&["umount", "mnt"]);

    place.ok(&["mount", "web", "mnt", "--map-users", "5000:0:10", "--map-groups", "6000:0:10"]);
    let owner = fs::metadata(&file).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (5000, 6000));
    assert_eq!(errno(fs::write(mount.join("new"), "x")), Some(75), "nobody of the tree");
    place.ok(&["umount", "mnt"]);

    place.ok(&["mount", "web", "mnt", "--read-only"]);
    assert_eq!(
        (fs::read(&file).unwrap(), errno(fs::write(&file, "x"))),
        (b"kept".into(), Some(30))
    );
    place.ok(&["umount", "mnt"]);

    // A kill takes with it what was synced, and what was not asked to be kept.
    for (volatile, left) in [(&["--volatile"][..], "kept"), (&[], "synced")] {
        place.ok(&[&["mount", "web", "mnt"], volatile].concat());
        fs::write(&file, "synced").unwrap();
        fs::File::open(&file).unwrap().sync_all().unwrap();
        kill_process(holder(&place, "web"), Signal::KILL).unwrap();
        place.ok(&["umount", "mnt", "--lazy"]);
        assert_eq!(place.ok(&["cat", "web:/file"]), left.as_bytes(), "{volatile:?}");
    }

    // Somebody is in it: it goes from its directory with what was written, and ends with them.
    place.ok(&["mount", "web", "mnt"]);
    let mut open = fs::File::create(&file).unwrap();
    open.write_all(b"early").unwrap();
    expect(&place.run(&["umount", "mnt"]), 4, "busy");
    place.ok(&["umount", "mnt", "--lazy"]);
    assert!(!file.exists());
    assert_eq!(place.ok(&["cat", "web:/file"]), b"early");
    open.write_all(b", late").unwrap();
    drop(open);
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    let has_ended = |_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        store.open_volume("web").is_ok()
    };
    assert!((0..3000).any(has_ended), "the mount goes on");
    assert_eq!(place.ok(&["cat", "web:/file"]), b"early, late");
    place.ok(&["check", "--data"]);
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
    expect(&place.run(&["mount", "web", "mnt", "--read-only", "--commit-every", "9"]), 2, "commit");
    let json = place.run(&["--json", "mount", "web", "mnt"]);
    assert_eq!(json.code, 0, "{}", json.stderr);
    let _mounted = Mounted(place.path("mnt"));
    let json = String::from_utf8(json.stdout).unwrap();
    assert!(json.contains("\"writable\":true") || json.contains("\"writable\": true"), "{json}");
    place.ok(&["umount", "mnt"]);
}

/// It was waited for, without a word, until the last of them had gone.
#[test]
fn an_unmount_says_where_else_the_mount_is() {
    let Some(place) = place("an_unmount_says_where_else_the_mount_is") else { return };
    let (mount, other) = (place.path("mnt"), place.path("other"));
    let (_mounted, _other) = (Mounted(mount.clone()), Mounted(other.clone()));
    fs::create_dir(&other).unwrap();
    let run = |words: &[&str]| {
        let status = Command::new(words[0]).args(&words[1..]).current_dir(place.path("")).status();
        assert!(status.unwrap().success(), "{words:?}");
    };
    for bound in [true, false] {
        place.ok(&["mount", "web", "mnt"]);
        fs::write(mount.join("file"), format!("bound: {bound}")).unwrap();
        let mut seeing = None;
        if bound {
            run(&["mount", "--bind", "mnt", "other"]);
        } else {
            let script = "echo; exec sleep 600";
            let mut child = Command::new("unshare")
                .args(["--mount", "--propagation", "private", "sh", "-c", script])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            seeing = Some(child);
        }
        let process = holder(&place, "web");
        let said = place.run(&["umount", "mnt"]);
        expect(&said, 4, "gone from there and committed, and still mounted on");
        match &mut seeing {
            None => {
                expect(&said, 4, other.to_str().unwrap());
                rustix::mount::unmount(&other, rustix::mount::UnmountFlags::empty()).unwrap();
            }
            Some(child) => {
                expect(&said, 4, &format!("process {}", child.id()));
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
        expect_end(process);
        assert_eq!(place.ok(&["cat", "web:/file"]), format!("bound: {bound}").into_bytes());
    }
}

/// One mount of anybody's with such a name let no other be unmounted.
#[test]
fn a_mount_whose_name_is_no_text_is_in_nobodys_way() {
    let Some(place) = place("a_mount_whose_name_is_no_text_is_in_nobodys_way") else { return };
    let mount = place.path("mnt");
    let strange = place.path("").join(OsStr::from_bytes(b"\xff \\"));
    let (_mounted, _strange) = (Mounted(mount.clone()), Mounted(strange.clone()));
    fs::create_dir(&strange).unwrap();
    let status = Command::new("mount").args(["-t", "tmpfs", "x"]).arg(&strange).status().unwrap();
    assert!(status.success());
    place.ok(&["mount", "web", "mnt"]);
    place.ok(&["umount", "mnt"]);
    place.ok(&["mount", "web", "mnt"]);
    place.ok(&["umount", "--lazy", "mnt"]);
}

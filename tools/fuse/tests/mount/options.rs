//! What a mount can be told.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};

use sapwood::files::{Files, FilesOptions};
use sapwood_fuse::{Unmount, detach};

use crate::harness::{Place, can_mount, has_program, run, shell, snapshot, wait_for};

const ENOSPC: Option<i32> = Some(28);
const EROFS: Option<i32> = Some(30);
const EOVERFLOW: Option<i32> = Some(75);

#[test]
fn a_quota_fills_and_frees() {
    if !can_mount("a_quota_fills_and_frees") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&["quota=8388608"]);
    let fill = |name: &str| {
        let mut file = File::create(served.path(name)).unwrap();
        let mut written = 0;
        loop {
            match file.write(&[3; 65536]) {
                Ok(length) => written += length,
                Err(error) => {
                    assert_eq!(error.raw_os_error(), ENOSPC, "{error}");
                    return written;
                }
            }
            assert!(written < 9 << 20, "no end");
        }
    };
    let first = fill("first");
    assert!(first > 6 << 20, "only {first} bytes fitted");
    assert_eq!(fill("second"), 0);
    for _ in 0..3 {
        fs::remove_file(served.path("first")).unwrap();
        let again = fill("first");
        assert!(again > 6 << 20, "only {again} bytes fitted after a removal");
    }
    let size = shell(&served.directory, "df -B1 --output=size . | tail -1");
    assert_eq!(size.trim(), "8388608");
    served.unmount();
    place.check();
}

/// Names, inodes and short contents were counted with the next commit only: some tens of times the quota.
#[test]
fn a_quota_counts_names_and_short_files_at_once() {
    if !can_mount("a_quota_counts_names_and_short_files_at_once") {
        return;
    }
    const QUOTA: u64 = 256 << 10;
    let place = Place::new();
    let served = place.serve(&["quota=262144"]);
    let name = |number: u32| served.path(&format!("{number}-{}", "x".repeat(100)));
    let fill = || {
        for number in 0..20_000 {
            match fs::write(name(number), [7; 60]) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.raw_os_error(), ENOSPC, "{error}");
                    return number;
                }
            }
        }
        panic!("no end");
    };
    let free = || {
        let room = rustix::fs::statvfs(&served.directory).unwrap();
        room.f_bavail * room.f_frsize
    };
    let made = fill();
    assert!(made > 300, "only {made} files fitted");
    assert!(free() < QUOTA / 8, "{} bytes are said to be free", free());
    for number in 0..=made {
        let _ = fs::remove_file(name(number));
    }
    wait_for("the room of what was removed", || free() > QUOTA / 2);
    assert!(fill() > 300);
    served.unmount();
    place.check();
    // A commit has its own needs, and little ones.
    let files =
        Files::open(place.store().open_volume("web").unwrap(), FilesOptions::default()).unwrap();
    let taken = files.occupied_bytes();
    assert!(taken < QUOTA * 5 / 4, "{taken} bytes are taken");
}

/// Cutting files is how logs and the journals of databases make room; it was refused for want of it,
/// and `df` went on saying that all was full.
#[test]
fn a_full_quota_lets_files_be_cut_and_shows_the_room_at_once() {
    if !can_mount("a_full_quota_lets_files_be_cut_and_shows_the_room_at_once") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&["quota=8388608"]);
    let fill = |name: &str, piece: usize| {
        let mut file = File::create(served.path(name)).unwrap();
        while let Ok(length) = file.write(&[3; 65536][..piece]) {
            assert!(length > 0 && file.metadata().unwrap().len() < 9 << 20, "no end");
        }
    };
    let free = || {
        let room = rustix::fs::statvfs(&served.directory).unwrap();
        room.f_bavail * room.f_frsize
    };
    // What takes no room by itself fills it past its end: names and times.
    fill("log", 65536);
    fill("rest", 4096);
    for name in ["log", "rest"] {
        fs::rename(served.path(name), served.path(&format!("{name}{}", "-".repeat(200)))).unwrap();
    }
    let log = served.path(&format!("log{}", "-".repeat(200)));
    let opened = File::options().write(true).open(&log).unwrap();
    opened.sync_all().unwrap();
    assert_eq!(free(), 0);
    opened.set_len(8192).unwrap();
    assert!(free() > 6 << 20, "{} bytes shown after a file was cut", free());
    fill("again", 65536);
    fs::remove_file(served.path("again")).unwrap();
    // The kernel lets go of it beside the next question.
    wait_for("the room of what was removed", || free() > 6 << 20);
    opened.set_len(0).unwrap();
    drop(opened);
    served.unmount();
    place.check();
}

/// A copy between places that do not line up is one of bytes, and took as much as it liked.
#[test]
fn a_copy_takes_what_it_does_not_share_from_the_quota() {
    if !can_mount("a_copy_takes_what_it_does_not_share_from_the_quota") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&["quota=8388608"]);
    fs::write(served.path("from"), vec![3; 3 << 20]).unwrap();
    let copy = |name: &str, mut offset: u64| {
        let from = File::open(served.path("from")).unwrap();
        let to = File::create(served.path(name)).unwrap();
        rustix::fs::copy_file_range(&from, Some(&mut offset), &to, None, 4 << 20)
    };
    assert_eq!(copy("shifted", 1), Ok((3 << 20) - 1));
    assert_eq!(copy("too much", 1), Err(rustix::io::Errno::NOSPC));
    for number in 0..5 {
        assert_eq!(copy(&format!("shared-{number}"), 0), Ok(3 << 20));
    }
    assert!(fs::read(served.path("shifted")).unwrap().iter().all(|byte| *byte == 3));
    served.unmount();
    place.check();
}

/// Stores through a map that the quota has no room for.
const MAPPED: &str = r#"
import errno, mmap, os, sys
path = sys.argv[1]
with open(path, "w+b") as file:
    file.truncate(16 << 20)
    pages = mmap.mmap(file.fileno(), 16 << 20)
    for at in range(0, 16 << 20, 4096):
        pages[at:at + 8] = at.to_bytes(8, "little")
    try:
        pages.flush()
        sys.exit("16 MiB fitted")
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
    pages.close()
"#;

#[test]
fn what_a_map_stores_past_the_quota_is_told_and_the_room_comes_back() {
    let test = "what_a_map_stores_past_the_quota_is_told_and_the_room_comes_back";
    if !can_mount(test) || !has_program(test, "python3") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&["quota=8388608"]);
    run(std::process::Command::new("python3").args(["-c", MAPPED]).arg(served.path("mapped")));
    // One message carries 1 MiB at most: there may be room left for less than was refused.
    let full = fs::write(served.path("more"), vec![1; 2 << 20]).unwrap_err();
    assert_eq!(full.raw_os_error(), ENOSPC);
    fs::remove_file(served.path("mapped")).unwrap();
    fs::write(served.path("more"), vec![1; 6 << 20]).unwrap();
    served.unmount();
    let served = place.serve(&[]);
    assert!(fs::read(served.path("more")).unwrap() == vec![1; 6 << 20]);
    served.unmount();
    place.check();
}

#[test]
fn owners_are_shown_as_others_and_no_file_is_touched() {
    if !can_mount("owners_are_shown_as_others_and_no_file_is_touched") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    fs::write(served.path("of-root"), "x").unwrap();
    fs::write(served.path("of-7"), "x").unwrap();
    chown(served.path("of-7"), Some(7), Some(8)).unwrap();
    fs::write(served.path("of-nobody-known"), "x").unwrap();
    chown(served.path("of-nobody-known"), Some(70_000), Some(70_000)).unwrap();
    served.unmount();

    let served = place.serve(&["users=100000:0:65536", "groups=200000:0:65536", "everybody"]);
    let owner = |name: &str| {
        let metadata = fs::metadata(served.path(name)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    assert_eq!(owner("of-root"), (100_000, 200_000));
    assert_eq!(owner("of-7"), (100_007, 200_008));
    assert_eq!(owner("of-nobody-known"), (65534, 65534));
    chown(served.path("of-7"), Some(100_009), Some(200_009)).unwrap();
    let error = chown(served.path("of-7"), Some(5), None).unwrap_err();
    assert_eq!(error.raw_os_error(), EOVERFLOW, "an owner that no range has");
    let error = fs::write(served.path("new"), "x").unwrap_err();
    assert_eq!(error.raw_os_error(), EOVERFLOW, "root of the host is nobody in the tree");
    served.unmount();

    let served = place.serve(&[]);
    let metadata = fs::metadata(served.path("of-7")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (9, 9));
    served.unmount();
}

#[test]
fn a_volatile_mount_commits_at_its_end_only() {
    if !can_mount("a_volatile_mount_commits_at_its_end_only") {
        return;
    }
    let place = Place::new();
    let mut served = place.serve(&["volatile"]);
    fs::write(served.path("lost"), "x").unwrap();
    File::open(served.path("lost")).unwrap().sync_all().unwrap();
    served.kill();
    drop(served);
    let served = place.serve(&["volatile"]);
    assert!(!served.path("lost").exists());
    fs::write(served.path("kept"), "x").unwrap();
    served.unmount();
    let served = place.serve(&[]);
    assert!(served.path("kept").exists());
    served.unmount();
    place.check();
}

#[test]
fn a_snapshot_is_read_only_and_beside_its_volume() {
    if !can_mount("a_snapshot_is_read_only_and_beside_its_volume") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    fs::write(served.path("file"), "before").unwrap();
    served.unmount();
    snapshot(&place, "web");
    let live = place.serve(&[]);
    fs::write(live.path("file"), "after").unwrap();
    let frozen = place.serve_as("web@1", "frozen", &["view"]);
    assert_eq!(fs::read(frozen.path("file")).unwrap(), b"before");
    assert_eq!(fs::read(live.path("file")).unwrap(), b"after");
    assert_eq!(fs::write(frozen.path("file"), "x").unwrap_err().raw_os_error(), EROFS);
    assert_eq!(fs::remove_file(frozen.path("file")).unwrap_err().raw_os_error(), EROFS);
    frozen.unmount();
    live.unmount();
}

/// A lazy unmount ends the mount when the last file is closed, with all that was written.
#[test]
fn a_detached_mount_ends_with_its_last_file() {
    if !can_mount("a_detached_mount_ends_with_its_last_file") {
        return;
    }
    let place = Place::new();
    let mut served = place.serve(&[]);
    let mut file = File::create(served.path("open")).unwrap();
    let busy = detach(&served.directory, Unmount::WhenFree).unwrap_err();
    assert_eq!(busy.kind(), sapwood::ErrorKind::Locked);
    detach(&served.directory, Unmount::Detach).unwrap();
    file.write_all(b"late").unwrap();
    drop(file);
    served.expect_good_end();
    drop(served);
    let served = place.serve(&[]);
    assert_eq!(fs::read(served.path("open")).unwrap(), b"late");
    served.unmount();
}

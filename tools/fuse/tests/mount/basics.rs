//! What POSIX promises, through the mount, and again after it was unmounted and mounted anew.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{
    FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink,
};

use rustix::fs::{AtFlags, FallocateFlags, RenameFlags, Timespec, Timestamps, XattrFlags};

use crate::harness::{Place, can_mount, shell, snapshot};

#[test]
fn files_are_as_they_were_left() {
    if !can_mount("files_are_as_they_were_left") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let at = |name: &str| served.path(name);
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("folder/small"), "sap").unwrap();
    let large: Vec<u8> = (0..3_000_001_u32).map(|n| (n % 251) as u8).collect();
    fs::write(at("large"), &large).unwrap();
    fs::hard_link(at("large"), at("folder/also")).unwrap();
    symlink("folder/small", at("link")).unwrap();
    fs::set_permissions(at("large"), fs::Permissions::from_mode(0o4751)).unwrap();
    std::os::unix::fs::chown(at("large"), Some(1234), Some(567)).unwrap();
    // Before 1970, with a part of a second, which counts forward.
    let time = Timespec { tv_sec: -5, tv_nsec: 250_000_000 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, at("folder/small"), &times, AtFlags::empty()).unwrap();
    rustix::fs::setxattr(at("large"), "user.key", b"value", XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(at("folder"), "trusted.empty", b"", XattrFlags::empty()).unwrap();

    let expect = |served: &crate::harness::Served| {
        let at = |name: &str| served.path(name);
        assert_eq!(fs::read(at("folder/small")).unwrap(), b"sap");
        assert_eq!(fs::read(at("folder/also")).unwrap(), large);
        assert_eq!(fs::read(at("link")).unwrap(), b"sap");
        assert_eq!(fs::read_link(at("link")).unwrap().to_str(), Some("folder/small"));
        let metadata = fs::metadata(at("large")).unwrap();
        // A new owner took the set-user-id bit.
        assert_eq!(metadata.mode() & 0o7777, 0o751);
        assert_eq!((metadata.uid(), metadata.gid(), metadata.nlink()), (1234, 567, 2));
        assert_eq!(metadata.size(), large.len() as u64);
        assert_eq!(metadata.blocks() * 512, (large.len() as u64).next_multiple_of(4096));
        let small = fs::metadata(at("folder/small")).unwrap();
        assert_eq!((small.mtime(), small.mtime_nsec()), (-5, 250_000_000));
        let mut value = [0; 64];
        let length = rustix::fs::getxattr(at("large"), "user.key", &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"value");
        let names = shell(&served.directory, "ls -A . folder");
        assert_eq!(names, ".:\nfolder\nlarge\nlink\n\nfolder:\nalso\nsmall\n");
        metadata.ino()
    };
    let inode = expect(&served);
    served.unmount();
    let served = place.serve(&[]);
    assert_eq!(expect(&served), inode, "the number of a file stays");
    served.unmount();
    place.check();
}

#[test]
fn a_removed_file_lives_while_it_is_open() {
    if !can_mount("a_removed_file_lives_while_it_is_open") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let path = served.path("gone");
    let mut file = OpenOptions::new().create_new(true).read(true).write(true).open(&path).unwrap();
    file.write_all(b"still here").unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap_err().kind(), ErrorKind::NotFound);
    shell(&served.directory, "sync . && echo 2 > /proc/sys/vm/drop_caches");
    file.write_all(b", and longer").unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "still here, and longer");
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    drop(file);
    served.unmount();
    place.check();
}

#[test]
fn holes_are_found_punched_and_filled() {
    if !can_mount("holes_are_found_punched_and_filled") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let file = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(served.path("sparse"))
        .unwrap();
    file.write_all_at(&[7; 4096], 1 << 20).unwrap();
    file.set_len(8 << 20).unwrap();
    let seek = |from| rustix::fs::seek(&file, from).ok();
    use rustix::fs::SeekFrom::{Data, Hole};
    assert_eq!(seek(Data(0)), Some(1 << 20));
    assert_eq!(seek(Hole(1 << 20)), Some((1 << 20) + 4096));
    assert_eq!(seek(Data((1 << 20) + 4096)), None, "no data behind it");
    file.write_all_at(&[9; 65536], 4 << 20).unwrap();
    file.sync_all().unwrap();
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, punch, (4 << 20) + 8192, 16384).unwrap();
    let mut bytes = [1; 65536];
    file.read_exact_at(&mut bytes, 4 << 20).unwrap();
    assert!(bytes[..8192].iter().all(|&byte| byte == 9));
    assert!(bytes[8192..24576].iter().all(|&byte| byte == 0));
    assert!(bytes[24576..].iter().all(|&byte| byte == 9));
    rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 16 << 20).unwrap();
    assert_eq!(file.metadata().unwrap().size(), 8 << 20);
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 16 << 20).unwrap();
    assert_eq!(file.metadata().unwrap().size(), 16 << 20);
    drop(file);
    served.unmount();
    place.check();
}

#[test]
fn a_copied_range_shares_its_blocks() {
    if !can_mount("a_copied_range_shares_its_blocks") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    fs::write(served.path("from"), vec![5; 32 << 20]).unwrap();
    place.ask("web").flush().unwrap();
    let layer = || place.store().usage_of("web").unwrap().allocated_bytes;
    let before = layer();
    let (from, to) =
        (File::open(served.path("from")).unwrap(), File::create(served.path("to")).unwrap());
    let mut left = 32 << 20;
    while left > 0 {
        left -= rustix::fs::copy_file_range(&from, None, &to, None, left).unwrap();
    }
    drop((from, to));
    place.ask("web").flush().unwrap();
    let grown = layer() - before;
    assert!(grown < 1 << 20, "a copy of 32 MiB took {grown} bytes");
    assert_eq!(fs::read(served.path("to")).unwrap(), vec![5; 32 << 20]);
    served.unmount();
    place.check();
}

#[test]
fn writes_past_the_cache_and_through_it_agree() {
    if !can_mount("writes_past_the_cache_and_through_it_agree") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let path = served.path("both");
    fs::write(&path, [1; 16384]).unwrap();
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap();
    let past = File::options().read(true).write(true).custom_flags(direct).open(&path).unwrap();
    let through = File::options().read(true).write(true).open(&path).unwrap();
    let mut bytes = [0; 4096];
    past.read_exact_at(&mut bytes, 4096).unwrap();
    assert_eq!(bytes, [1; 4096], "what the cache held back is seen");
    through.write_all_at(&[2; 4096], 0).unwrap();
    past.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, [2; 4096]);
    past.write_all_at(&[3; 4096], 8192).unwrap();
    through.read_exact_at(&mut bytes, 8192).unwrap();
    assert_eq!(bytes, [3; 4096], "what went past the cache is seen");
    drop((past, through));
    served.unmount();
}

#[test]
fn renames_exchange_and_refuse() {
    if !can_mount("renames_exchange_and_refuse") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let at = |name: &str| served.path(name);
    fs::create_dir_all(at("full/of/things")).unwrap();
    fs::write(at("file"), "one").unwrap();
    let rename = |from: &str, to: &str, flags| {
        let here = rustix::fs::CWD;
        rustix::fs::renameat_with(here, at(from), here, at(to), flags)
    };
    assert_eq!(rename("file", "full", RenameFlags::NOREPLACE), Err(rustix::io::Errno::EXIST));
    rename("file", "full", RenameFlags::EXCHANGE).unwrap();
    assert_eq!(fs::read(at("full")).unwrap(), b"one");
    assert!(at("file/of/things").is_dir());
    // What union filesystems refuse with EXDEV.
    fs::rename(at("file"), at("moved")).unwrap();
    assert!(at("moved/of/things").is_dir());
    assert_eq!(fs::rename(at("moved"), at("moved/of/x")).unwrap_err().raw_os_error(), Some(22));
    served.unmount();
    place.check();
}

/// Other union filesystems keep their own marks in the tree, and fail on files that look alike.
#[test]
fn names_and_devices_that_others_use_as_marks_are_ordinary() {
    if !can_mount("names_and_devices_that_others_use_as_marks_are_ordinary") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    fs::write(served.path(".wh.file"), "x").unwrap();
    fs::write(served.path(".wh..wh..opq"), "y").unwrap();
    fs::write(served.path("file"), "z").unwrap();
    shell(&served.directory, "mknod device c 0 0; chmod 600 device; mkfifo fifo");
    served.unmount();
    let served = place.serve(&[]);
    let mut names: Vec<_> = fs::read_dir(&served.directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".wh..wh..opq", ".wh.file", "device", "fifo", "file"]);
    let device = fs::metadata(served.path("device")).unwrap();
    assert!(device.file_type().is_char_device());
    assert_eq!((device.rdev(), device.mode() & 0o7777), (0, 0o600));
    assert_eq!(fs::read(served.path(".wh.file")).unwrap(), b"x");
    served.unmount();
}

#[test]
fn a_large_directory_is_listed_whole_while_names_go() {
    if !can_mount("a_large_directory_is_listed_whole_while_names_go") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let names = 3000;
    for n in 0..names {
        File::create(served.path(&format!("name-{n}"))).unwrap();
    }
    let mut seen = 0;
    for entry in fs::read_dir(&served.directory).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
        seen += 1;
    }
    assert_eq!(seen, names, "each name once, though those seen were removed");
    assert_eq!(fs::read_dir(&served.directory).unwrap().count(), 0);
    served.unmount();
    place.check();
}

#[test]
fn a_read_notes_its_time_once() {
    if !can_mount("a_read_notes_its_time_once") {
        return;
    }
    let place = Place::new();
    for (words, is_noted) in [(&[][..], true), (&["no-access-times"][..], false)] {
        let served = place.serve(words);
        let path = served.path("file");
        fs::write(&path, "x").unwrap();
        let old = Timespec { tv_sec: 1000, tv_nsec: 0 };
        let times = Timestamps { last_access: old, last_modification: old };
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::empty()).unwrap();
        served.unmount();
        let served = place.serve(words);
        fs::read(&path).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.atime() != 1000, is_noted);
        assert_eq!(metadata.mtime(), 1000);
        // Read once more, the time stays; after a change, the next read notes it anew.
        let first = fs::metadata(&path).unwrap().atime_nsec();
        let read_anew = || {
            shell(&served.directory, "sync .; echo 3 > /proc/sys/vm/drop_caches");
            fs::read(&path).unwrap();
            fs::metadata(&path).unwrap().atime_nsec()
        };
        assert_eq!(read_anew(), first);
        fs::write(&path, "y").unwrap();
        assert_eq!(read_anew() != first, is_noted);
        served.unmount();
    }
}

/// A time that no tree can note once ended the thread that served it, and its callers waited.
#[test]
fn times_past_both_ends_are_set_to_the_nearest() {
    if !can_mount("times_past_both_ends_are_set_to_the_nearest") {
        return;
    }
    let place = Place::new();
    for (given, noted) in [(i64::MIN, -(1 << 31)), (i64::MAX, (1 << 34) - (1 << 31) - 1)] {
        let served = place.serve(&[]);
        let path = served.path("file");
        fs::write(&path, "x").unwrap();
        let time = Timespec { tv_sec: given, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::empty()).unwrap();
        // The kernel shows what it was given for as long as it knows the file.
        served.unmount();
        let served = place.serve(&[]);
        assert_eq!(fs::metadata(served.path("file")).unwrap().mtime(), noted);
        served.unmount();
    }
}

/// What others copy whole files for.
#[test]
fn a_change_of_a_large_file_of_a_parent_takes_what_was_changed() {
    if !can_mount("a_change_of_a_large_file_of_a_parent_takes_what_was_changed") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let content: Vec<u8> = (0..64_u32 << 20).map(|n| (n / 4096) as u8 | 1).collect();
    fs::write(served.path("large"), &content).unwrap();
    served.unmount();
    snapshot(&place, "web");

    let taken = || place.store().usage_of("web").unwrap().allocated_bytes;
    let before = taken();
    let served = place.serve(&[]);
    // Zeros are written ahead for the commits that follow, so one takes more and the next ones nothing.
    let mut at_most = 0;
    let mut expect_grown = |what: &str| {
        place.ask("web").flush().unwrap();
        at_most += 64 << 10;
        let grown = taken() - before;
        assert!(grown <= at_most, "with {what}, all took {grown} bytes");
    };
    let file = File::options().write(true).open(served.path("large")).unwrap();
    file.write_all_at(&[7; 4096], 1 << 20).unwrap();
    file.sync_all().unwrap();
    expect_grown("4 KiB written");
    fs::set_permissions(served.path("large"), fs::Permissions::from_mode(0o600)).unwrap();
    expect_grown("new permissions");
    std::os::unix::fs::chown(served.path("large"), Some(5), Some(6)).unwrap();
    expect_grown("a new owner");
    fs::hard_link(served.path("large"), served.path("linked")).unwrap();
    expect_grown("a new name");
    fs::rename(served.path("large"), served.path("moved")).unwrap();
    expect_grown("another name");
    drop(file);
    let found = fs::read(served.path("linked")).unwrap();
    assert!(found[1 << 20..(1 << 20) + 4096].iter().all(|&byte| byte == 7));
    assert!(found[..1 << 20] == content[..1 << 20], "what stands before it is the parent's");
    served.unmount();
    place.check();
}

/// fuser 0.18 negates the seconds of a time; those of the first one cannot be.
#[test]
fn the_first_and_the_last_time_there_are_do_no_harm() {
    if !can_mount("the_first_and_the_last_time_there_are_do_no_harm") {
        return;
    }
    let place = Place::new();
    for (seconds, kept) in
        [(i64::MIN, -(1 << 31)), (i64::MIN + 1, -(1 << 31)), (i64::MAX, (1 << 34) - (1 << 31) - 1)]
    {
        let served = place.serve(&[]);
        let path = served.path("file");
        fs::write(&path, "sap").unwrap();
        let time = Timespec { tv_sec: seconds, tv_nsec: 999_999_999 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::empty()).unwrap();
        served.unmount();
        // Mounted anew: until then the kernel shows what it was given.
        let served = place.serve(&[]);
        let metadata = fs::metadata(served.path("file")).unwrap();
        assert_eq!((metadata.atime(), metadata.mtime()), (kept, kept), "{seconds}");
        served.unmount();
    }
    place.check();
}

#[test]
fn the_kernel_reads_ahead_as_far_as_one_message_carries() {
    if !can_mount("the_kernel_reads_ahead_as_far_as_one_message_carries") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let device = fs::metadata(&served.directory).unwrap().dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let known = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    assert_eq!(fs::read_to_string(known).unwrap(), "1024\n");
    served.unmount();
}

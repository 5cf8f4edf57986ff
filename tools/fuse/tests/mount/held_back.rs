//! What the kernel holds back of files that are open: copies have it, and it takes room.

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::thread;

use rustix::fs::SeekFrom::{Data, Hole};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::harness::{Place, can_mount, shell};

/// More than there are workers: none of them is left where each waits for what the kernel holds back.
const SEEKERS: u64 = 40;

fn create(path: &Path) -> File {
    File::options().create_new(true).read(true).write(true).open(path).unwrap()
}

fn seek(file: &File, from: rustix::fs::SeekFrom) -> Option<u64> {
    match rustix::fs::seek(file, from) {
        Ok(found) => Some(found),
        Err(error) => {
            assert_eq!(error, rustix::io::Errno::NXIO);
            None
        }
    }
}

/// `cp` and `tar` leave holes out: what another program had just written was lost in copies.
#[test]
fn what_was_written_and_is_held_back_is_no_hole() {
    if !can_mount("what_was_written_and_is_held_back_is_no_hole") {
        return;
    }
    let place = Place::new();
    for (name, options) in
        [("many", &[][..]), ("one", &["threads=1"]), ("limited", &["quota=67108864"])]
    {
        let served = place.serve_as(name, "mnt", options);
        let sparse = |number: u64| {
            let path = served.path(&format!("sparse-{number}"));
            let file = create(&path);
            file.set_len(1 << 20).unwrap();
            file.sync_all().unwrap();
            file.write_all_at(&[b'D'; 64 << 10], (number + 1) << 12).unwrap();
            (path, file)
        };
        thread::scope(|scope| {
            for number in 0..SEEKERS {
                scope.spawn(move || {
                    let (path, file) = sparse(number);
                    // Whatever leads to it, or does not any more.
                    if number % 2 == 0 {
                        fs::remove_file(path).unwrap();
                    }
                    let begin = (number + 1) << 12;
                    assert_eq!(seek(&file, Data(0)), Some(begin));
                    assert_eq!(seek(&file, Hole(begin)), Some(begin + (64 << 10)));
                    assert_eq!(seek(&file, Data(begin + (64 << 10))), None);
                    file.write_all_at(b"more", 1 << 20).unwrap();
                    assert_eq!(seek(&file, Data(begin + (64 << 10))), Some(1 << 20));
                    assert_eq!(seek(&file, Hole(1 << 20)), Some((1 << 20) + 4));
                });
            }
        });
        let (path, file) = sparse(SEEKERS);
        shell(&served.directory, &format!("cp --sparse=auto sparse-{SEEKERS} copy"));
        assert!(fs::read(path).unwrap() == fs::read(served.path("copy")).unwrap());
        drop(file);
        served.unmount();
        place.check();
    }
}

/// Who watches a directory is told the names of what is opened there, and this one led past the permissions
/// of all others.
#[test]
fn the_name_by_which_the_server_opens_a_file_leads_nowhere_for_others() {
    if !can_mount("the_name_by_which_the_server_opens_a_file_leads_nowhere_for_others") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let file = create(&served.path("file"));
    file.write_all_at(b"data", 0).unwrap();
    let watcher = inotify::init(CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watcher, &served.directory, WatchFlags::OPEN).unwrap();
    for _ in 0..3 {
        assert_eq!(seek(&file, Data(0)), Some(0));
    }
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watcher, &mut buffer);
    let mut seen = 0;
    while let Ok(event) = events.next() {
        let name = event.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("sapwood-file-"), "{name}");
        let error = File::open(served.path(&name)).unwrap_err();
        assert_ne!(error.raw_os_error(), None);
        seen += 1;
    }
    assert_eq!(seen, 3, "else there is nothing to be told");
    drop(file);
    served.unmount();
    place.check();
}

/// Nobody knows then, and no hole is told that may be none.
#[test]
fn where_the_server_does_not_see_its_mount_all_is_data() {
    if !can_mount("where_the_server_does_not_see_its_mount_all_is_data") {
        return;
    }
    let place = Place::new();
    let below = place.serve_as("below", "mnt", &[]);
    let file = create(&below.path("sparse"));
    file.set_len(1 << 20).unwrap();
    file.write_all_at(b"data", 5000).unwrap();
    let above = place.serve_as("above", "mnt", &[]);
    assert_eq!(seek(&file, Data(0)), Some(0));
    assert_eq!(seek(&file, Hole(0)), Some(1 << 20));
    assert_eq!(seek(&file, Data(1 << 20)), None);
    above.unmount();
    drop(file);
    below.unmount();
    place.check();
}

/// It took none as long as it was open, and `tar` takes what takes no room for one hole.
#[test]
fn an_open_file_takes_the_room_of_what_was_written() {
    if !can_mount("an_open_file_takes_the_room_of_what_was_written") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let file = create(&served.path("log"));
    let room = || fs::metadata(served.path("log")).unwrap().blocks() * 512;
    assert!(room() > 0, "of the first pages nobody knows");
    for kib in [64, 128] {
        file.write_all_at(&vec![7; kib << 10], 0).unwrap();
        file.sync_all().unwrap();
        assert_eq!(room(), (kib as u64) << 10);
    }
    fs::write(served.path("small"), "sap").unwrap();
    let held_back = create(&served.path("held back"));
    held_back.write_all_at(&[9; 300_000], 0).unwrap();
    shell(&served.directory, "tar -S -cf ../all.tar log small 'held back'");
    shell(
        &place.path(""),
        "mkdir out && tar -C out -xf all.tar && diff -r mnt out && rm -r out all.tar",
    );
    drop((file, held_back));
    served.unmount();
    place.check();
}

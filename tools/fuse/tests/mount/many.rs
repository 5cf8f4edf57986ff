//! Many processes at once.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{Place, can_mount, shell, wait_for};

const PROCESSES: usize = 6;
const FILES: usize = 150;

#[test]
fn processes_work_beside_each_other() {
    if !can_mount("processes_work_beside_each_other") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let script = format!(
        "i=0; while [ $i -lt {FILES} ]; do
           echo $ME-$i > shared-$ME-$i; mkdir -p deep/$i; echo $ME >> deep/$i/$ME
           mv shared-$ME-$i moved-$ME-$i; ln moved-$ME-$i linked-$ME-$i; rm moved-$ME-$i
           [ \"$(cat linked-$ME-$i)\" = $ME-$i ]; i=$((i+1))
         done"
    );
    let children: Vec<_> = (0..PROCESSES)
        .map(|me| {
            let mut command = Command::new("sh");
            command.arg("-ec").arg(&script).env("ME", me.to_string());
            command.current_dir(&served.directory).stdin(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let expect = |directory: &std::path::Path| {
        let count = fs::read_dir(directory).unwrap().count();
        assert_eq!(count, PROCESSES * FILES + 1);
        let deep = shell(directory, "cat deep/*/* | sort | uniq -c | awk '{print $1, $2}'");
        let expected: String = (0..PROCESSES).map(|me| format!("{FILES} {me}\n")).collect();
        assert_eq!(deep, expected);
    };
    expect(&served.directory);
    served.unmount();
    let served = place.serve(&[]);
    expect(&served.directory);
    served.unmount();
    place.check();
}

/// The kernel forgets many files at once; those without a name must go then, and no others.
#[test]
fn forgotten_files_are_freed_and_others_found_again() {
    if !can_mount("forgotten_files_are_freed_and_others_found_again") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    for round in 0..3 {
        shell(
            &served.directory,
            "i=0; while [ $i -lt 300 ]; do echo $i > kept-$i; echo $i > gone-$i; i=$((i+1)); done
             ls -l > /dev/null; rm gone-*; sync .; echo 2 > /proc/sys/vm/drop_caches
             [ $(ls | wc -l) = 300 ]; for i in 0 150 299; do [ $(cat kept-$i) = $i ]; done",
        );
        let inode =
            std::os::unix::fs::MetadataExt::ino(&fs::metadata(served.path("kept-7")).unwrap());
        // Numbers of files that went are used again, so they stay small.
        assert!(inode < 700, "round {round}: inode {inode}");
    }
    served.unmount();
    place.check();
}

/// What the kernel has forgotten the server has too: its memory stays, whatever came and went.
#[test]
fn memory_stays_while_files_come_and_go() {
    if !can_mount("memory_stays_while_files_come_and_go") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let files = || {
        let room = rustix::fs::statvfs(&served.directory).unwrap();
        room.f_files - room.f_ffree
    };
    let resident = || {
        let status = format!("/proc/{}/status", served.process().as_raw_nonzero());
        let status = fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let come_and_go = |round: u64| {
        let folder = served.path(&format!("round-{round}"));
        fs::create_dir(&folder).unwrap();
        for n in 0..4000 {
            let path = folder.join(n.to_string());
            fs::File::create(&path).unwrap();
            if n % 2 == 0 {
                fs::remove_file(&path).unwrap();
            }
        }
        // The other half is forgotten while it has a name, and asked for again.
        fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
        fs::remove_dir_all(&folder).unwrap();
        rustix::fs::fsync(fs::File::open(&served.directory).unwrap()).unwrap();
        // A mention that was not given back would keep a file that has no name.
        wait_for("files without a name to go", || files() == 1);
    };
    (0..3).for_each(come_and_go);
    let before = resident();
    (3..13).for_each(come_and_go);
    let after = resident();
    // 40,000 files came and went in between.
    assert!(after < before + 4096, "{before} KiB before, {after} KiB after");
    served.unmount();
    place.check();
}

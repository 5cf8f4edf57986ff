//! Many processes at once.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{Place, can_mount, shell};

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

//! Many processes at once.

use std::fs;
use std::process::{Command, Stdio};

use sapwood::Annotations;
use sapwood::files::{FilesView, Inode, ReadFiles};

use crate::harness::{Place, can_mount, has_program, shell, wait_for};

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

/// Appends numbered lines of its own, each with one call.
const APPENDER: &str = r#"
import os, sys
path, me = sys.argv[1], sys.argv[2]
file = os.open(path, os.O_WRONLY | os.O_APPEND)
for number in range(20000):
    line = f"{me} {number} {'x' * (number * 37 % 300)}\n".encode()
    assert os.write(file, line) == len(line)
    if number % 5000 == 0:
        os.fsync(file)
"#;

/// How many lines of each appender stand in `text`: all up to there, in order, none torn but the last.
fn appended(text: &[u8]) -> Vec<usize> {
    let mut counts = vec![0; PROCESSES];
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        // The one that is just written may be there in part.
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let line = std::str::from_utf8(line).unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let (me, number): (usize, usize) = (words[0].parse().unwrap(), words[1].parse().unwrap());
        assert_eq!(number, counts[me], "of {me}");
        assert_eq!(words[2], "x".repeat(number * 37 % 300));
        counts[me] += 1;
    }
    counts
}

#[test]
fn lines_that_processes_append_are_whole_and_in_order_in_snapshots_too() {
    let test = "lines_that_processes_append_are_whole_and_in_order_in_snapshots_too";
    if !can_mount(test) || !has_program(test, "python3") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let file = served.path("log");
    fs::write(&file, "").unwrap();
    let mut children: Vec<_> = (0..PROCESSES)
        .map(|me| {
            let mut command = Command::new("python3");
            command.args(["-c", APPENDER]).arg(&file).arg(me.to_string()).spawn().unwrap()
        })
        .collect();
    let mut layers = Vec::new();
    let mut is_over = false;
    while !is_over {
        is_over = children.iter_mut().all(|child| child.try_wait().unwrap().is_some());
        // What is appended while the snapshot is taken the kernel hands over in its own order.
        let before = fs::metadata(&file).unwrap().len() as usize;
        layers.push((before, place.ask("web").snapshot(&Annotations::default()).unwrap()));
    }
    assert!(children.into_iter().all(|mut child| child.wait().unwrap().success()));
    assert_eq!(appended(&fs::read(&file).unwrap()), [20000; PROCESSES]);
    served.unmount();
    let store = place.store();
    let mut before = vec![0; PROCESSES];
    for (length, layer) in layers {
        let view = FilesView::open(store.snapshot_of(&layer.to_string()).unwrap()).unwrap();
        let inode = view.lookup(Inode::ROOT, b"log").unwrap();
        let mut text = vec![0; view.attributes(inode).unwrap().size as usize];
        view.read(inode, 0, &mut text).unwrap();
        let counts = appended(&text[..length]);
        assert!(counts.iter().zip(&before).all(|(now, before)| now >= before));
        before = counts;
    }
    assert_eq!(before, [20000; PROCESSES]);
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

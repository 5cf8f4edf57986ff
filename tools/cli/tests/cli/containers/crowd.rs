//! Fifty containers that run at once, each with a mount and a process that serves it.

#[path = "../../../../container/tests/container/each.rs"]
mod numbers;

use std::fs::{self, File};

use rustix::fs::{Advice, fadvise};
use sapwood::files::{Files, FilesOptions, Paths};
use sapwood::{Annotations, Store, StoreOptions};

use super::{left_of, place, server, status, text, wait_for};
use crate::support::Place;

const CONTAINERS: usize = 50;
/// So many are started, asked and stopped at a time.
const AT_ONCE: usize = 4;

const LARGE_BYTES: usize = 32 << 20;

// What a process that serves a mount may take.
const MEMORY_BYTES_MAX: u64 = 16 << 20;
const DESCRIPTORS_MAX: usize = 64;
const THREADS_MAX: u64 = 24;

#[test]
fn fifty_containers_run_at_once_and_leave_nothing() {
    let Some(place) = place("fifty_containers_run_at_once_and_leave_nothing") else { return };
    let image = with_large_file(&place);
    let names: Vec<String> = (0..CONTAINERS).map(|number| format!("c{number}")).collect();
    each(&names, |name| {
        let line = format!("echo {name} > /own; exec sleep 1000");
        let words = ["run", "-d", "-u", "0", "--name", name, "large:1", "sh", "-c", &line];
        assert_eq!(text(place.ok(&words)), format!("{name}\n"));
    });
    let listed = text(place.ok(&["ps"]));
    assert_eq!(listed.matches("running").count(), CONTAINERS, "{listed}");
    each(&names, |name| {
        let line = "cat /own; echo more > /own-more; ps | grep -c 'slee[p] 1000'";
        let said = text(place.ok(&["exec", name, "sh", "-c", line]));
        assert_eq!(said, format!("{name}\n1\n"), "its own file, and its own processes");
    });

    // What one has read from the disk, none reads again: they have one map of one file.
    let file = File::open(image).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    let read = |name: &str| {
        let before = disk_reads(&place, name);
        let sum = text(place.ok(&["exec", name, "sh", "-c", "cat /data/large | wc -c"]));
        assert_eq!(sum.trim(), LARGE_BYTES.to_string());
        disk_reads(&place, name) - before
    };
    let first = read("c0");
    for name in ["c1", "c25", "c49"] {
        let further = read(name);
        // Where the store is in memory, the first read none either.
        assert!(further <= first / 8, "{first} bytes from the disk, then {further} again");
    }
    let (mut most, mut all) = (0, 0);
    for name in &names {
        let taken = taken(&place, name);
        assert!(taken.memory_bytes <= MEMORY_BYTES_MAX, "{name}: {} bytes", taken.memory_bytes);
        assert!(taken.descriptors <= DESCRIPTORS_MAX, "{name}: {} open", taken.descriptors);
        assert!(taken.threads <= THREADS_MAX, "{name}: {} threads", taken.threads);
        most = most.max(taken.memory_bytes);
        all += taken.memory_bytes;
    }
    println!("a server: {most} bytes of its own memory at most, {} in the mean", all / 50);

    each(&names, |name| drop(place.ok(&["stop", "-t", "0", name])));
    // The last act of a server, to end, is behind what `stop` waits for.
    wait_for("the end of all servers", || left_of(&place).is_empty());
    for name in &names {
        assert_eq!(status(&place, name), "exited");
        assert_eq!(text(place.ok(&["cat", &format!("{name}:/own")])), format!("{name}\n"));
    }
    let words: Vec<&str> =
        [&["rm"], &*names.iter().map(String::as_str).collect::<Vec<_>>()].concat();
    place.ok(&words);
    let containers = fs::read_dir(place.store().join("containers")).unwrap().count();
    assert_eq!(containers, 0);
    place.ok(&["check"]);
}

/// An image with a file that is read as a whole; where its layer is.
fn with_large_file(place: &Place) -> std::path::PathBuf {
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    let files =
        Files::open(store.fork("base:1", "work").unwrap(), FilesOptions::default()).unwrap();
    Paths::new(&files).create_dir("/data").unwrap();
    Paths::new(&files).write("/data/large", &crate::support::pattern(7, LARGE_BYTES)).unwrap();
    let snapshot = files.snapshot(&Annotations::default()).unwrap();
    files.close().unwrap();
    store.tag("work@1", "large:1", sapwood::Replace::Refuse).unwrap();
    store.remove("work").unwrap();
    place.store().join(format!("layers/{}.layer", snapshot.layer_id()))
}

fn each(names: &[String], work: impl Fn(&str) + Sync) {
    numbers::each(names.len(), AT_ONCE, |number| work(&names[number]));
}

/// What the process that serves a container has had from the disk so far, in bytes.
fn disk_reads(place: &Place, name: &str) -> u64 {
    field(place, name, "io", "read_bytes:")
}

struct Taken {
    memory_bytes: u64,
    descriptors: usize,
    threads: u64,
}

fn taken(place: &Place, name: &str) -> Taken {
    let process = server(place, name).as_raw_nonzero();
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    Taken {
        memory_bytes: field(place, name, "status", "RssAnon:") * 1024,
        descriptors,
        threads: field(place, name, "status", "Threads:"),
    }
}

fn field(place: &Place, name: &str, file: &str, key: &str) -> u64 {
    let process = server(place, name).as_raw_nonzero();
    let text = fs::read_to_string(format!("/proc/{process}/{file}")).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(key)).expect("a field");
    value.split_whitespace().next().unwrap().parse().unwrap()
}

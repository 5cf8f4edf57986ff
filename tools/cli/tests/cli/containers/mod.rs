//! Containers by the command.

mod attacks;
mod crashes;
mod crowd;
mod full;
mod life;
mod options;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Pid;
use sapwood::files::{Files, FilesOptions, NewFile, Paths};
use sapwood::{Annotations, Replace, Store, StoreOptions};
use sapwood_container::{RunFolder, Runtime};
use sapwood_oci::{Configuration, publish};
use serde_json::json;

use crate::support::{Place, Said, skip};

const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];
const APPLETS: [&str; 20] = [
    "cat", "dd", "echo", "env", "id", "kill", "ls", "grep", "mkdir", "mv", "ps", "pwd", "rm", "sh",
    "sleep", "stty", "test", "touch", "true", "wc",
];

/// A place with the image `base:1`, where this machine can run containers; else the test says so
/// loudly.
pub fn place(test: &str) -> Option<Place> {
    place_in(test, Place::with_store)
}

/// As [`place`], in a store as `make` makes it.
pub fn place_in(test: &str, make: fn() -> Place) -> Option<Place> {
    if let Some(why) = missing() {
        skip(test, why);
        return None;
    }
    let busybox = busybox().expect("it is not missing");
    let place = make();
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    let files = Files::open(store.create_tree("make").unwrap(), FilesOptions::default()).unwrap();
    let paths = Paths::new(&files);
    let bin = paths.create_dir("/bin").unwrap().inode;
    let program = files.create(bin, b"busybox", &NewFile::regular(0o755)).unwrap().inode;
    files.write(program, 0, &busybox).unwrap();
    for applet in APPLETS {
        files.symlink(bin, applet.as_bytes(), b"busybox", 0, 0).unwrap();
    }
    paths.create_dir_all("/etc/old/deep").unwrap();
    paths.write("/etc/old/deep/file", b"old").unwrap();
    paths.write("/etc/passwd", b"root:x:0:0::/root:/bin/sh\nwww:x:33:33::/:/bin/sh\n").unwrap();
    files.snapshot(&Annotations::default()).unwrap();
    files.close().unwrap();
    let configuration = json!({
        "architecture": "amd64", "os": "linux",
        "config": { "Cmd": ["sh", "-c", "echo of the image; id -u"], "Env": ["A=image"],
            "User": "www", "StopSignal": "INT" },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    let configuration = Configuration::from_value(&configuration).unwrap();
    publish(&store, Some("make@1"), &configuration, "base:1", Replace::Refuse).unwrap();
    store.remove("make").unwrap();
    Some(place)
}

/// What this machine lacks to run containers.
pub fn missing() -> Option<&'static str> {
    match () {
        () if !rustix::process::geteuid().is_root() => Some("not root"),
        () if !Path::new("/dev/fuse").exists() => Some("no /dev/fuse"),
        () if runtime().is_err() => Some("no OCI runtime"),
        () if busybox().is_none() => Some("no busybox"),
        () => None,
    }
}

/// The program of all applets, where there is one.
pub fn busybox() -> Option<Vec<u8>> {
    BUSYBOX.iter().find_map(|path| fs::read(path).ok())
}

/// The runtime that these tests are about.
fn runtime() -> sapwood::Result<Runtime> {
    Runtime::find(std::env::var("SAPWOOD_RUNTIME").ok().as_deref())
}

pub fn expect(said: &Said, code: i32, text: &str) {
    assert_eq!(said.code, code, "{}", said.stderr);
    assert!(said.stderr.contains(text), "{}", said.stderr);
}

pub fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// The process that serves a container which was started with nobody to listen.
pub fn server(place: &Place, name: &str) -> Pid {
    let store = place.store().display().to_string();
    let serves = |process: &u32| {
        let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
        words.contains(&store.as_bytes())
            && words.contains(&b"--ready".as_slice())
            && words.contains(&name.as_bytes())
    };
    let found = processes().into_iter().find(serves).expect("a process that serves it");
    Pid::from_raw(found.try_into().unwrap()).unwrap()
}

/// All processes of this machine.
pub fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect()
}

/// Where what runs over trees of a store has what it needs.
pub fn run_folder(place: &Place) -> PathBuf {
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    RunFolder::make(&store).unwrap().path().to_owned()
}

/// The processes that have to do with a store, as they were called.
pub fn processes_of(place: &Place) -> Vec<String> {
    let words = |process| {
        let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).replace('\0', " ")
    };
    let (store, run) = (place.store(), run_folder(place));
    let is_of = |words: &String| {
        [&store, &run].into_iter().any(|folder| words.contains(folder.to_str().unwrap()))
    };
    processes().into_iter().map(words).filter(is_of).collect()
}

/// What of a container still is on this machine besides its volume and its record: mounts, processes,
/// what its runtime remembers.
pub fn left_of(place: &Place) -> Vec<String> {
    let (store, run) = (place.store(), run_folder(place));
    let store = store.to_str().unwrap();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let is_of = |line: &&str| line.contains(store) || line.contains(run.to_str().unwrap());
    let mut left = processes_of(place);
    left.extend(mounts.lines().filter(is_of).map(str::to_owned));
    left.extend(run.exists().then(|| run.display().to_string()));
    for socket in fs::read_dir(format!("{store}/mounts")).into_iter().flatten() {
        left.push(socket.unwrap().path().display().to_string());
    }
    for container in fs::read_dir(format!("{store}/containers")).into_iter().flatten() {
        for entry in fs::read_dir(container.unwrap().path()).into_iter().flatten() {
            let path = entry.unwrap().path();
            let is_kept = ["record.json", "output"].iter().any(|kept| path.ends_with(kept));
            left.extend((!is_kept).then(|| path.display().to_string()));
        }
    }
    left
}

/// A command that goes on while the test does.
pub fn spawn(place: &Place, words: &[&str]) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("sapwood"));
    command.args(words).env("SAPWOOD_STORE", place.store()).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

pub fn status(place: &Place, name: &str) -> String {
    let listed = place.json(&["ps", "-a"], 0);
    let containers = listed["containers"].as_array().unwrap();
    let found = containers.iter().find(|container| container["name"] == name);
    found.map_or("none".to_owned(), |found| found["status"].as_str().unwrap().to_owned())
}

pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what} did not happen in 30 s");
}

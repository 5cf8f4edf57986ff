//! `run`, `start`, `exec`, `ps`, `stop`, `logs`, `commit`, and `diff` of a container.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sapwood::files::{Files, FilesOptions, NewFile, Paths};
use sapwood::{Annotations, Replace, Store, StoreOptions};
use sapwood_container::Runtime;
use sapwood_oci::{Configuration, Image, publish};
use serde_json::json;

use super::support::{Place, Said};

const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];
const APPLETS: [&str; 16] = [
    "cat", "echo", "env", "id", "kill", "ls", "mkdir", "mv", "ps", "pwd", "rm", "sh", "sleep",
    "test", "touch", "true",
];

/// A place with the image `base:1`, where this machine can run containers; else the test says so
/// loudly.
pub fn place(test: &str) -> Option<Place> {
    let busybox = BUSYBOX.iter().find_map(|path| fs::read(path).ok());
    let why = match () {
        () if !rustix::process::geteuid().is_root() => "not root",
        () if !Path::new("/dev/fuse").exists() => "no /dev/fuse",
        () if Runtime::find(None).is_err() => "no OCI runtime",
        () if busybox.is_none() => "no busybox",
        () => "",
    };
    let Some(busybox) = busybox.filter(|_| why.is_empty()) else {
        eprintln!("SKIPPED {test}: {why}");
        return None;
    };
    let place = Place::with_store();
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

fn expect(said: &Said, code: i32, text: &str) {
    assert_eq!(said.code, code, "{}", said.stderr);
    assert!(said.stderr.contains(text), "{}", said.stderr);
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// A command that goes on while the test does.
fn spawn(place: &Place, words: &[&str]) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("sapwood"));
    command.args(words).env("SAPWOOD_STORE", place.store()).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn status(place: &Place, name: &str) -> String {
    let listed = place.json(&["ps", "-a"], 0);
    let containers = listed["containers"].as_array().unwrap();
    let found = containers.iter().find(|container| container["name"] == name);
    found.map_or("none".to_owned(), |found| found["status"].as_str().unwrap().to_owned())
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what} did not happen in 30 s");
}

#[test]
fn a_run_is_what_the_image_says_unless_told_otherwise() {
    let Some(place) = place("a_run_is_what_the_image_says_unless_told_otherwise") else { return };
    let before = place.ok(&["ls"]);
    assert_eq!(text(place.ok(&["run", "--rm", "base:1"])), "of the image\n33\n");
    assert_eq!(place.ok(&["ls"]), before, "--rm leaves nothing");
    fs::write(place.path("variables"), "# none\nB=file\nC=file\n").unwrap();
    let words = [
        "run",
        "--rm",
        "-e",
        "C=word",
        "-e",
        "NOT_SET",
        "--env-file",
        "variables",
        "-w",
        "/new",
        "-u",
        "0",
        "base:1",
        "sh",
        "-c",
        "echo $A $B $C $NOT_SET; pwd; id -u; exit 7",
    ];
    let said = place.run(&words);
    assert_eq!((said.code, text(said.stdout).as_str()), (7, "image file word\n/new\n0\n"));
    let said = place.run(&["run", "--rm", "--entrypoint", "echo", "base:1", "-n", "x"]);
    assert_eq!((said.code, text(said.stdout).as_str()), (0, "x"));
    expect(&place.run(&["run", "--rm", "base:1", "nothing"]), 127, "nothing");
    expect(&place.run(&["run", "--rm", "base:1", "/etc/passwd"]), 126, "permission denied");
    expect(&place.run(&["run", "--rm", "nowhere:1"]), 125, "nowhere:1");
    expect(&place.run(&["run", "--rm", "-u", "no\nbody", "base:1"]), 125, "no\\nbody");
    expect(&place.run(&["run", "--rm", "--runtime", "docker", "base:1"]), 125, "runc, crun, youki");
    let input = place.feed(&["run", "--rm", "base:1", "cat"], b"through\nand through");
    assert_eq!(input.stdout, b"through\nand through");

    fs::create_dir(place.path("host")).unwrap();
    fs::write(place.path("host/file"), "host").unwrap();
    let volume = format!("{}:/data/here", place.path("host").display());
    let line = "cat /data/here/file; echo out > /data/here/out";
    let run = |volume: &str| {
        place.run(&["run", "--rm", "-u", "0", "-v", volume, "base:1", "sh", "-c", line])
    };
    assert_eq!(run(&format!("{volume}:ro")).code, 1);
    assert_eq!(run(&volume).code, 0);
    assert_eq!(fs::read_to_string(place.path("host/out")).unwrap(), "out\n");
    let words = ["run", "--rm", "--network=none", "base:1", "ls", "/sys/class/net"];
    assert_eq!(text(place.ok(&words)), "lo\n");
    assert_eq!(place.ok(&["ls"]), before);
    place.ok(&["check", "--data"]);
}

#[test]
fn a_container_stays_is_listed_compared_committed_and_started_again() {
    let test = "a_container_stays_is_listed_compared_committed_and_started_again";
    let Some(place) = place(test) else { return };
    let line = "cd /etc; mkdir made; echo new > made/file; rm -r old; echo more >> passwd; mv passwd moved; exit 3";
    let said = place.run(&["run", "-u", "0", "--name", "web", "base:1", "sh", "-c", line]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    expect(&place.run(&["run", "--name", "web", "base:1"]), 125, "web");
    let listed = text(place.ok(&["ps", "-a"]));
    assert!(listed.contains("web") && listed.contains("exited (3)"), "{listed}");
    assert!(!text(place.ok(&["ps"])).contains("web"));

    let said = place.run(&["diff", "web"]);
    let expected =
        "C /etc\nA /etc/made\nA /etc/made/file\nA /etc/moved\nD /etc/old\nD /etc/passwd\n";
    assert_eq!((said.code, text(said.stdout).as_str()), (1, expected));
    expect(&place.run(&["diff", "base:1"]), 8, "no record");

    let words = [
        "commit",
        "web",
        "web:2",
        "-c",
        "CMD [\"cat\", \"/etc/made/file\"]",
        "-c",
        "USER 0",
        "-m",
        "with a file",
        "-a",
        "somebody",
    ];
    place.ok(&words);
    expect(&place.run(&["commit", "web", "web:2"]), 9, "web:2");
    expect(&place.run(&["commit", "web", "web:3", "-c", "RUN x"]), 2, "RUN");
    assert_eq!(text(place.ok(&["run", "--rm", "web:2"])), "new\n");
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    let image = Image::open(&store, "web:2").unwrap();
    let value = image.configuration().to_value();
    assert_eq!(
        (&value["config"]["Env"], &value["author"]),
        (&json!(["A=image"]), &json!("somebody"))
    );
    let step = &value["history"].as_array().unwrap()[0];
    assert_eq!((&step["comment"], &step["author"]), (&json!("with a file"), &json!("somebody")));
    assert_eq!(image.layers(&store).unwrap().len(), 2);
    for layer in image.layers(&store).unwrap() {
        assert!(store.layer(layer.id).unwrap().digest.is_some(), "sealed");
    }

    // What cannot be an image leaves no layer: a tag does not take the place of a volume.
    let snapshots = store.kept_snapshots().unwrap().len();
    expect(&place.run(&["commit", "web", "web", "--force"]), 9, "web");
    assert_eq!(store.kept_snapshots().unwrap().len(), snapshots);

    // What is in a container is still there when it runs again.
    let again = place.run(&["start", "web"]);
    assert_eq!((again.code, again.stderr.contains("made")), (3, true), "{}", again.stderr);
    place.ok(&["rm", "web"]);
    assert_eq!(status(&place, "web"), "none");
    assert!(!place.store().join("containers/web").exists());
    place.ok(&["check", "--data"]);
}

#[test]
fn a_detached_container_is_reached_and_stopped() {
    let Some(place) = place("a_detached_container_is_reached_and_stopped") else { return };
    let line =
        "trap 'echo asked; exit 4' INT; echo ready; : > /tmp-file; while :; do sleep 0.05; done";
    let words =
        ["run", "-d", "-u", "0", "-e", "B=run", "--name", "web", "base:1", "sh", "-c", line];
    assert_eq!(text(place.ok(&words)), "web\n");
    assert!(text(place.ok(&["ps"])).contains("running"));
    let said = place.run(&[
        "exec",
        "-e",
        "C=exec",
        "-w",
        "/etc",
        "web",
        "sh",
        "-c",
        "echo $A $B $C; pwd; exit 6",
    ]);
    assert_eq!(
        (said.code, text(said.stdout).as_str()),
        (6, "image run exec\n/etc\n"),
        "{}",
        said.stderr
    );
    assert_eq!(text(place.ok(&["exec", "-u", "www", "web", "id", "-u"])), "33\n");
    expect(&place.run(&["exec", "web", "nothing"]), 127, "nothing");
    wait_for("the file", || place.run(&["exec", "web", "test", "-e", "/tmp-file"]).code == 0);
    assert_eq!(text(place.run(&["diff", "web"]).stdout), "A /tmp-file\n", "while it runs");
    place.ok(&["commit", "web", "web:2"]);
    assert_eq!(place.run(&["run", "--rm", "web:2", "test", "-e", "/tmp-file"]).code, 0);
    expect(&place.run(&["rm", "web"]), 4, "which runs");
    expect(&place.run(&["start", "web"]), 125, "which runs");
    place.ok(&["stop", "web"]);
    assert_eq!(text(place.ok(&["logs", "web"])), "ready\nasked\n");
    assert!(text(place.ok(&["ps", "-a"])).contains("exited (4)"));
    expect(&place.run(&["exec", "web", "true"]), 125, "does not run");
    expect(&place.run(&["stop", "web"]), 2, "does not run");
    // What does not come to run is told to whoever asked.
    expect(&place.run(&["run", "-d", "base:1", "nothing"]), 127, "nothing");
    place.ok(&["rm", "web"]);
    place.ok(&["check", "--data"]);
}

#[test]
fn signals_reach_the_process() {
    let Some(place) = place("signals_reach_the_process") else { return };
    let line = "trap 'exit 9' TERM; : > /ready; while :; do sleep 0.05; done";
    let mut child = spawn(&place, &["run", "-u", "0", "--name", "web", "base:1", "sh", "-c", line]);
    wait_for("the start", || place.run(&["exec", "web", "test", "-e", "/ready"]).code == 0);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

/// The command is killed: nothing of the container goes on, what was committed is there, and the
/// record says what happened.
#[test]
fn a_killed_run_leaves_a_volume_and_nothing_that_runs() {
    let Some(place) = place("a_killed_run_leaves_a_volume_and_nothing_that_runs") else { return };
    let line = "echo kept > /kept; : > /ready; while :; do sleep 0.05; done";
    let mut child = spawn(&place, &["run", "-u", "0", "--name", "web", "base:1", "sh", "-c", line]);
    wait_for("the start", || place.run(&["exec", "web", "test", "-e", "/ready"]).code == 0);
    place.ok(&["flush", "web"]);
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    let rootfs = place.store().join("containers/web/rootfs");
    let rootfs = rootfs.to_str().unwrap();
    let is_mounted = || fs::read_to_string("/proc/self/mounts").unwrap().contains(rootfs);
    wait_for("the end of the mount", || !is_mounted());
    wait_for("the end of the container", || {
        let state = place.store().join("containers/web/state");
        let runtimes = fs::read_dir(state).into_iter().flatten();
        let mut left = runtimes.flat_map(|runtime| fs::read_dir(runtime.unwrap().path()).unwrap());
        left.next().is_none()
    });
    assert_eq!(status(&place, "web"), "killed");
    assert_eq!(text(place.ok(&["cat", "web:/kept"])), "kept\n");
    assert!(text(place.run(&["diff", "web"]).stdout).contains("A /kept"));
    let mut again = spawn(&place, &["start", "web"]);
    wait_for("another start", || place.run(&["exec", "web", "true"]).code == 0);
    place.ok(&["stop", "-t", "0", "web"]);
    again.wait().unwrap();
    place.ok(&["rm", "web"]);
    place.ok(&["check", "--data"]);
}

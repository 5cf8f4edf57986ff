//! What a run can be told beside its command.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{expect, left_of, place, spawn, status, text, wait_for};
use crate::support::skip;

#[test]
fn a_tree_that_is_read_only_has_mounts_that_are_not() {
    let Some(place) = place("a_tree_that_is_read_only_has_mounts_that_are_not") else { return };
    let line =
        "! touch /x 2>/dev/null && echo in > /scratch/file && cat /scratch/file && ls -ld /scratch
        dd if=/dev/zero of=/scratch/large bs=1k count=128 2>/dev/null || echo full";
    let words = [
        "run",
        "--rm",
        "-u",
        "0",
        "--read-only",
        "--tmpfs",
        "/scratch:size=64K,mode=750",
        "base:1",
        "sh",
        "-c",
        line,
    ];
    let said = text(place.ok(&words));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines[0], lines[2]), ("in", "full"), "{said}");
    assert!(lines[1].starts_with("drwxr-x---"), "{said}");
    expect(&place.run(&["run", "--tmpfs", "scratch", "base:1"]), 125, "absolute");
    assert_eq!(left_of(&place), [] as [String; 0]);
}

/// Where an image has an entrypoint, arguments begin with what looks like options of `run`: one of them
/// mounted a directory of the host, and the program saw none of it.
#[test]
fn what_stands_behind_an_image_or_a_container_is_for_the_program() {
    let test = "what_stands_behind_an_image_or_a_container_is_for_the_program";
    let Some(place) = place(test) else { return };
    let words = ["-v", "/etc:/x", "-d", "--name", "other", "--", "--json", "-t"];
    let run = [&["run", "--name", "web", "--entrypoint", "echo", "base:1"], &words[..]].concat();
    assert_eq!(text(place.ok(&run)), format!("{}\n", words.join(" ")));
    assert_eq!(status(&place, "other"), "none");
    place.ok(&["rm", "web"]);
    place.ok(&["run", "-d", "--name", "web", "base:1", "sleep", "1000"]);
    let exec = [&["exec", "web", "echo"], &words[..]].concat();
    assert_eq!(text(place.ok(&exec)), format!("{}\n", words.join(" ")));
    // The words of this command end with the container.
    expect(&place.run(&["exec", "web", "-t", "echo"]), 127, "-t");
    place.ok(&["rm", "-f", "web"]);
}

/// A process that gives up the group it runs as is out of it, and past permissions that keep that group out,
/// unless it is among the further ones.
#[test]
fn the_group_of_a_process_is_among_its_further_ones() {
    let Some(place) = place("the_group_of_a_process_is_among_its_further_ones") else { return };
    let groups = |user: &str| {
        let said = text(place.ok(&[
            "run",
            "--rm",
            "-u",
            user,
            "base:1",
            "grep",
            "Groups",
            "/proc/self/status",
        ]));
        said.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(groups("1234:1235"), ["1235"]);
    assert_eq!(groups("0"), ["0"]);
}

#[test]
fn a_process_that_takes_more_memory_than_it_may_is_killed() {
    let test = "a_process_that_takes_more_memory_than_it_may_is_killed";
    let Some(place) = place(test) else { return };
    let of_new_kind = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !Path::new("/sys/fs/cgroup/memory").exists() && !of_new_kind.contains("memory") {
        return skip(test, "no groups that count memory");
    }
    let run = |memory: &str| {
        let fill = ["dd", "if=/dev/zero", "of=/dev/shm/large", "bs=1M", "count=48"];
        place.run(&[&["run", "--rm", "-u", "0", "-m", memory, "base:1"], &fill[..]].concat()).code
    };
    assert_eq!((run("16M"), run("1G")), (137, 0));
    expect(&place.run(&["run", "-m", "much", "base:1"]), 125, "much");
}

#[test]
fn what_cannot_be_mounted_is_told_before_anything_runs() {
    let Some(place) = place("what_cannot_be_mounted_is_told_before_anything_runs") else { return };
    let before = place.ok(&["ls"]);
    fs::create_dir(place.path("host")).unwrap();
    fs::write(place.path("host/file"), "of the host\n").unwrap();
    let run =
        |volume: &str, path: &str| place.run(&["run", "--rm", "-v", volume, "base:1", "cat", path]);
    let said = run("host/../host:/data:ro", "/data/file");
    assert_eq!((said.code, text(said.stdout).as_str()), (0, "of the host\n"), "{}", said.stderr);
    // In a directory that the tree has: what is below is hidden.
    let said = run("./host:/etc", "/etc/file");
    assert_eq!((said.code, text(said.stdout).as_str()), (0, "of the host\n"), "{}", said.stderr);
    expect(&run("missing:/data", "/data"), 125, "missing");
    expect(&run("host/file:/etc", "/etc"), 125, "/etc");
    expect(&run("host:/etc/passwd", "/etc/passwd"), 125, "/etc/passwd");
    expect(&run("host:/", "/"), 125, "\"/\"");
    expect(&run("host:data", "/data"), 125, "HOST:DIR");
    expect(&run("data:/data", "/data"), 125, "volumes by name are not kept");
    expect(&place.run(&["run", "-p", "80:80", "base:1"]), 125, "ports are not published");
    assert_eq!(left_of(&place), [] as [String; 0]);
    assert_eq!(place.ok(&["ls"]), before);
}

/// The runtime was told the path from the working directory, and looked for it in another one.
#[test]
fn the_path_of_the_store_may_begin_where_the_command_does() {
    let Some(place) = place("the_path_of_the_store_may_begin_where_the_command_does") else {
        return;
    };
    let run = |store: &str, words: &[&str]| {
        place.ok(&[&["--store", store, "run", "-u", "0"], words].concat())
    };
    assert_eq!(text(run("store", &["--rm", "base:1", "echo", "hi"])), "hi\n");
    run("./store", &["-d", "--name", "web", "base:1", "sleep", "1000"]);
    assert_eq!(text(place.ok(&["--store", "store", "exec", "web", "id", "-u"])), "0\n");
    // What holds the name is told, and not only that it is held.
    fs::write(place.path("file"), "").unwrap();
    expect(&place.run(&["cp", "file", "web:/file"]), 4, "a container that runs; `exec web` works");
    place.ok(&["--store", "store", "rm", "-f", "web"]);
    fs::create_dir(place.path("context")).unwrap();
    let build = "FROM base:1\nUSER 0\nRUN --mount=type=cache,target=/kept echo built > /made\n";
    fs::write(place.path("context/Containerfile"), build).unwrap();
    place.ok(&["--store", "store/../store", "build", "-t", "made:1", "context"]);
    assert_eq!(place.ok(&["cat", "made:1:/made"]), b"built\n");
    // Nobody else looks into any folder that all this made.
    let mode = |path: &str| fs::metadata(place.store().join(path)).unwrap().mode() & 0o7777;
    for folder in ["", "layers", "names", "containers", "mounts", "build-caches"] {
        assert_eq!(mode(folder), 0o700, "{folder}");
    }
}

#[test]
fn a_container_that_runs_is_removed_by_force() {
    let Some(place) = place("a_container_that_runs_is_removed_by_force") else { return };
    let before = place.ok(&["ls"]);
    place.ok(&["run", "-d", "--name", "web", "base:1", "sleep", "1000"]);
    expect(&place.run(&["rm", "web"]), 4, "which runs");
    place.ok(&["rm", "--force", "web"]);
    let mut child = spawn(&place, &["run", "--rm", "--name", "gone", "base:1", "sleep", "1000"]);
    wait_for("the start", || place.run(&["exec", "gone", "true"]).code == 0);
    place.ok(&["rm", "-f", "gone"]);
    assert_eq!(child.wait().unwrap().code(), Some(137));
    assert_eq!(status(&place, "web"), "none");
    assert_eq!(left_of(&place), [] as [String; 0]);
    assert_eq!(place.ok(&["ls"]), before);
}

#[test]
fn what_a_container_says_is_followed_to_its_end() {
    let Some(place) = place("what_a_container_says_is_followed_to_its_end") else { return };
    let line = "echo first; while [ ! -e /go ]; do sleep 0.05; done; echo last";
    place.ok(&["run", "-d", "-u", "0", "--name", "web", "base:1", "sh", "-c", line]);
    let mut follower = Command::new(assert_cmd::cargo::cargo_bin("sapwood"))
        .args(["logs", "--follow", "web"])
        .env("SAPWOOD_STORE", place.store())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = follower.stdout.take().unwrap();
    let mut first = [0; 6];
    said.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first\n");
    place.ok(&["exec", "web", "touch", "/go"]);
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "last\n");
    assert!(follower.wait().unwrap().success());
}

/// The process has a terminal of its own, which is as large as the one outside, also when that
/// changes; what is typed reaches it, `^C` as a signal.
#[test]
fn a_terminal_is_passed_on() {
    let Some(place) = place("a_terminal_is_passed_on") else { return };
    let outside = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&outside).unwrap();
    unlockpt(&outside).unwrap();
    let resize = |outside: &dyn AsFd, ws_row, ws_col| {
        tcsetwinsize(outside, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    };
    resize(&outside, 20, 70);
    let path = ptsname(&outside, Vec::new()).unwrap().into_string().unwrap();
    let open = || fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let line = "trap 'echo size $(stty size)' WINCH; trap 'echo asked; exit 5' INT
        echo size $(stty size); while :; do sleep 0.05; done";
    let mut child = Command::new("setsid")
        .args(["--ctty", "--wait"])
        .arg(assert_cmd::cargo::cargo_bin("sapwood"))
        .args(["run", "-it", "--rm", "base:1", "sh", "-c", line])
        .env("SAPWOOD_STORE", place.store())
        .stdin(open())
        .stdout(open())
        .stderr(open())
        .spawn()
        .unwrap();
    let mut outside = fs::File::from(outside);
    let mut said = String::new();
    let mut read_until = |outside: &mut fs::File, wanted: &str| {
        while !said.contains(wanted) {
            let mut bytes = [0; 256];
            let length = outside.read(&mut bytes).expect(&said);
            said.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    };
    read_until(&mut outside, "size 20 70");
    resize(&outside, 33, 99);
    read_until(&mut outside, "size 33 99");
    outside.write_all(b"\x03").unwrap();
    read_until(&mut outside, "asked");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

/// Typed as everybody types it first, with a terminal behind it and none asked for: the runtime was stopped
/// where it read from that, and nothing but `kill -9` ended it.
#[test]
fn at_a_terminal_a_process_without_one_runs_and_reads_what_is_typed_where_asked_to() {
    let Some(place) = place("at_a_terminal_a_process_without_one_runs") else { return };
    let at_a_terminal = |words: &[&str]| {
        let outside =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&outside).unwrap();
        unlockpt(&outside).unwrap();
        let path = ptsname(&outside, Vec::new()).unwrap().into_string().unwrap();
        let open = || fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut outside = fs::File::from(outside);
        outside.write_all(b"typed\n").unwrap();
        let (input, keep) = (open(), open());
        let said = Command::new("setsid")
            .args(["--ctty", "--wait", "timeout", "--foreground", "--signal=KILL", "60"])
            .arg(assert_cmd::cargo::cargo_bin("sapwood"))
            .args(words)
            .env("SAPWOOD_STORE", place.store())
            .stdin(input)
            .output()
            .unwrap();
        drop(keep);
        (said.status.code(), String::from_utf8(said.stdout).unwrap())
    };
    let line = "read -r line; echo \"read: $line\"";
    let run = ["run", "--rm", "base:1", "sh", "-c", line];
    assert_eq!(at_a_terminal(&run), (Some(0), "read: \n".to_owned()));
    let run = ["run", "-i", "--rm", "base:1", "sh", "-c", line];
    assert_eq!(at_a_terminal(&run), (Some(0), "read: typed\n".to_owned()));
    place.ok(&["run", "-d", "--name", "web", "base:1", "sleep", "600"]);
    let exec = ["exec", "-i", "web", "sh", "-c", line];
    assert_eq!(at_a_terminal(&exec), (Some(0), "read: typed\n".to_owned()));
    assert_eq!(at_a_terminal(&["exec", "web", "echo", "x"]), (Some(0), "x\n".to_owned()));
    place.ok(&["rm", "-f", "web"]);
}

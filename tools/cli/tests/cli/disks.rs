//! Disk images in and out: of pipes and devices, onto devices and files that are there.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::support::{Place, files_in, pattern, skip};

#[test]
fn a_pipe_is_streamed_and_a_character_device_is_no_image() {
    let place = Place::empty();
    for words in [["import", "/dev/zero", "x"], ["import", "-", "x"]] {
        // Standard input is `/dev/null` here, as where it was closed.
        let said = Command::new(env!("CARGO_BIN_EXE_sapwood"))
            .arg("--store")
            .arg(place.store())
            .args(words)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(2), "{words:?}: {told}");
        assert!(told.contains("character device"), "{words:?}: {told}");
        assert!(!place.store().exists());
    }
    let image = pattern(1, (1 << 20) + 100);
    assert_eq!(place.feed(&["import", "/dev/fd/0", "piped"], &image).code, 0);
    assert!(place.ok(&["read", "piped"]) == image);
    let pipe = place.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let writer = std::thread::spawn({
        let (pipe, image) = (pipe.clone(), image.clone());
        move || fs::write(pipe, image).unwrap()
    });
    place.ok(&["import", "pipe", "named"]);
    writer.join().unwrap();
    assert!(place.ok(&["read", "named"]) == image);
}

#[test]
fn an_export_over_a_file_leaves_its_permissions() {
    let place = Place::with_fork();
    let file = place.path("out.img");
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(place.run(&["export", "vm", "out.img"]).code, 9);
    place.ok(&["export", "vm", "out.img", "--force"]);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    assert!(fs::read(&file).unwrap() == place.ok(&["read", "vm"]));
    // What cannot be replaced is not said to be.
    for path in ["/dev/null", "."] {
        for words in [&["export", "vm", path][..], &["export", "vm", path, "--force"]] {
            let said = place.run(words);
            assert_eq!(said.code, 2, "{words:?}: {}", said.stderr);
            assert!(!said.stderr.contains("--force"), "{words:?}: {}", said.stderr);
        }
    }
}

/// A loop device over a file, until dropped.
struct Loop(String);

impl Loop {
    fn over(file: &std::path::Path) -> Option<Loop> {
        let said = Command::new("losetup").args(["-f", "--show"]).arg(file).output().ok()?;
        let device = String::from_utf8(said.stdout).unwrap().trim().to_owned();
        (said.status.success() && !device.is_empty()).then_some(Loop(device))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

#[test]
fn an_export_onto_a_block_device_is_whole_or_refused_before_it_begins() {
    let place = Place::with_store();
    let backing = place.path("device");
    fs::write(&backing, vec![0xff; 4 << 20]).unwrap();
    let device = if geteuid().is_root() { Loop::over(&backing) } else { None };
    let Some(device) = device else {
        return skip("an_export_onto_a_block_device", "no loop devices here");
    };
    let read = || {
        let mut bytes = Vec::new();
        fs::File::open(&device.0).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    // Data, a hole, data, and a hole up to an end within a block.
    let size = (2 << 20) + 700;
    place.ok(&["create", "vm", &size.to_string()]);
    place.feed(&["write", "vm"], &pattern(1, 5000));
    place.feed(&["write", "vm", "--offset", "1M"], &pattern(2, 9000));
    place.ok(&["create", "large", "5M"]);
    assert_eq!(place.run(&["export", "vm", &device.0]).code, 9);
    let said = place.run(&["export", "large", &device.0, "--force"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("has room for 4194304 bytes"), "{}", said.stderr);
    assert!(read().iter().all(|byte| *byte == 0xff), "nothing was written");
    place.ok(&["export", "vm", &device.0, "--force"]);
    let written = read();
    assert!(written[..size] == place.ok(&["read", "vm"]));
    assert!(written[size..].iter().all(|byte| *byte == 0xff), "past the disk all is as it was");
}

/// What it had made stayed, and nothing said how to be rid of it.
#[test]
fn an_import_that_a_signal_ends_says_what_frees_its_space() {
    let place = Place::with_store();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sapwood"));
    command.arg("--store").arg(place.store()).args(["import", "-", "endless:1"]);
    let mut child =
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&pattern(1, 1 << 20)).unwrap();
    let layers = place.store().join("layers");
    while files_in(&layers, ".layer").is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it waits for its input");
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let said = child.wait_with_output().unwrap();
    assert_eq!(said.status.code(), Some(130));
    let told = String::from_utf8(said.stderr).unwrap();
    assert!(told.contains("`gc` gives back"), "{told}");
    place.ok(&["gc"]);
    assert!(files_in(&layers, "").is_empty());
}

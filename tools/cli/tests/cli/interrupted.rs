//! A signal in the middle of things: what was being made is gone, and the exit code says why.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::support::{Place, pattern};

/// How often a command may end before the signal reaches it.
const TRIES_MAX: usize = 50;

/// Runs a command and sends `signal` once something whose name begins with `prefix` is in
/// `folder`; the exit code, or none where it had ended before.
fn interrupt(mut command: Command, folder: &Path, prefix: &str, signal: Signal) -> Option<i32> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = || {
        std::fs::read_dir(folder)
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(prefix))
    };
    while !begun() {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), signal).unwrap();
    let code = child.wait().unwrap().code().expect("it ends by itself");
    (code != 0).then_some(code)
}

fn sapwood(place: &Place) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sapwood"));
    command.arg("--store").arg(place.store()).current_dir(place.path("."));
    command
}

#[test]
fn an_export_that_a_signal_ends_leaves_nothing() {
    let place = Place::with_store();
    std::fs::write(place.path("base.img"), pattern(3, 64 << 20)).unwrap();
    place.ok(&["import", "base.img", "base:1"]);
    let folder = place.path("out");
    std::fs::create_dir(&folder).unwrap();
    for _ in 0..TRIES_MAX {
        let mut command = sapwood(&place);
        command.args(["export", "base:1", "out/copy.img"]);
        match interrupt(command, &folder, ".sapwood-", Signal::TERM) {
            Some(code) => {
                assert_eq!(code, 143);
                assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
                place.ok(&["check"]);
                return;
            }
            // It was faster: what it made is whole.
            None => std::fs::remove_file(folder.join("copy.img")).unwrap(),
        }
    }
    panic!("no export was interrupted in {TRIES_MAX} tries");
}

#[test]
fn a_tour_that_a_signal_ends_leaves_nothing() {
    let place = Place::empty();
    std::fs::write(place.path("disk.img"), pattern(5, 32 << 20)).unwrap();
    let temporary = place.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = sapwood(&place);
    command.env("TMPDIR", &temporary).args(["tour", "disk.img"]);
    assert_eq!(interrupt(command, &temporary, "sapwood-tour-", Signal::INT), Some(130));
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}

//! Handles of files, which outlast what the kernel remembers of them.

use std::process::Command;

use crate::harness::{Place, can_mount, has_program, run, wait_for};

const HANDLES: &str = include_str!("handles.py");
/// A thousand files come and go in each.
const ROUNDS: &str = "12";

#[test]
fn a_handle_leads_to_its_file_and_to_none_that_has_its_number_later() {
    let test = "a_handle_leads_to_its_file_and_to_none_that_has_its_number_later";
    if !can_mount(test) || !has_program(test, "python3") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let said =
        run(Command::new("python3").args(["-c", HANDLES]).arg(&served.directory).arg(ROUNDS));
    let reused: u64 = said.trim().parse().unwrap();
    assert!(reused > 1000, "numbers are given again: {reused}");
    // Whatever came, was asked for and was forgotten: the root alone is held.
    wait_for("files without a name to go", || {
        rustix::fs::fsync(std::fs::File::open(&served.directory).unwrap()).unwrap();
        let room = rustix::fs::statvfs(&served.directory).unwrap();
        room.f_files - room.f_ffree == 1
    });
    served.unmount();
    place.check();
}

//! What the kernel's own filesystems say of some two thousand calls, and what a mount says.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::harness::{Place, can_mount, has_program, run};

const CALLS: &str = include_str!("posix.py");

fn calls_on(directory: &Path) -> Vec<String> {
    let said = run(Command::new("python3").arg("-c").arg(CALLS).arg(directory));
    said.lines().map(str::to_owned).collect()
}

#[test]
fn a_mount_says_what_the_kernels_filesystems_say() {
    let test = "a_mount_says_what_the_kernels_filesystems_say";
    if !can_mount(test) || !has_program(test, "python3") {
        return;
    }
    let place = Place::new();
    // Another user has to reach both.
    fs::set_permissions(place.path(""), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(place.path("beside")).unwrap();
    let expected = calls_on(&place.path("beside"));
    let served = place.serve(&["everybody", "devices", "suid"]);
    let found = calls_on(&served.directory);
    let mut section = "";
    let mut differences = Vec::new();
    for (found, expected) in found.iter().zip(&expected) {
        if expected.starts_with("==") {
            section = expected;
        }
        if found != expected {
            differences.push(format!("{section}: {found}\n    instead of: {expected}"));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(found.len(), expected.len());
    println!("{} answers", found.len());
    served.unmount();
    place.check();
}

//! What of other programs is here.

use std::process::Command;

/// Whether a program is installed.
pub fn has(program: &str) -> bool {
    let look = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    look.is_ok_and(|output| output.status.success())
}

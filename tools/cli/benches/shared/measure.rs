//! How the benches take times.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a command that must end well.
pub fn timed(command: &mut Command) -> Duration {
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output().expect("to start");
    let time = began.elapsed();
    let (status, said) = (output.status, String::from_utf8_lossy(&output.stderr));
    assert!(status.success(), "{command:?}: {status}: {said}");
    time
}

/// The one in the middle.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

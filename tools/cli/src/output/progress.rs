//! Progress of long work, on standard error and on terminals only.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar or a spinner; gone from the terminal once it is dropped.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for `total` bytes, a spinner where that is not known, nothing where `hidden`.
    pub fn new(what: impl Into<Cow<'static, str>>, total: Option<u64>, hidden: bool) -> Progress {
        // indicatif draws nothing on what is not a terminal.
        let target =
            if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let template = match total {
            Some(_) => "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "{msg} {spinner} {bytes} {bytes_per_sec}",
        };
        let bar = ProgressBar::with_draw_target(total, target)
            .with_style(ProgressStyle::with_template(template).expect("a template of our own"))
            .with_message(what);
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Progress { bar }
    }

    /// Moves to `done` bytes.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Moves on by some bytes.
    pub fn add(&self, more: u64) {
        self.bar.inc(more);
    }

    /// Moves to `done` bytes of `total`, for work that finds out how much there is.
    pub fn set_of(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

//! Commits at an interval, for those who want to lose no more than so much time of work.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::medium::fork_generation;

/// A thread that commits a tree again and again, as long as this lives. Dropping it waits for a commit
/// that is under way.
#[derive(Debug)]
pub struct Interval {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
    /// Where the thread runs: a forked child has none to wait for.
    process: u32,
}

#[derive(Debug, Default)]
struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

impl Interval {
    /// Calls `commit` every `interval`, until there is nothing left to commit.
    pub fn start(
        interval: Duration,
        commit: impl Fn() -> Option<()> + Send + 'static,
    ) -> Result<Interval> {
        let stop = Arc::new(Stop::default());
        let asked = Arc::clone(&stop);
        let work = move || {
            loop {
                let mut stopped = asked.asked.lock();
                if !*stopped {
                    asked.changed.wait_for(&mut stopped, interval);
                }
                if *stopped {
                    return;
                }
                drop(stopped);
                if commit().is_none() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("sapwood-commit".to_owned()).spawn(work);
        let thread = thread.map_err(|error| Error::io("start the thread that commits", error))?;
        Ok(Interval { stop, thread: Some(thread), process: fork_generation() })
    }
}

impl Drop for Interval {
    fn drop(&mut self) {
        if self.process != fork_generation() {
            return;
        }
        *self.stop.asked.lock() = true;
        self.stop.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked without the panic having been told.
            let _ = thread.join();
        }
    }
}

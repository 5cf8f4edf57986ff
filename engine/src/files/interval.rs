//! Commits at an interval, for those who want to lose no more than so much time of work.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::live::Core;
use crate::error::{Error, Result};

/// A thread that commits a tree again and again, as long as it lives.
#[derive(Debug)]
pub struct Interval {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

impl Interval {
    /// Commits `core` every `interval`.
    ///
    /// A commit that fails is not lost: a full host is tried again, and all else poisons the
    /// volume, which the next operation tells.
    pub fn start(core: &Arc<Core>, interval: Duration) -> Result<Interval> {
        let core: Weak<Core> = Arc::downgrade(core);
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
                let Some(core) = core.upgrade() else { return };
                let _ = core.flush();
            }
        };
        let thread = std::thread::Builder::new().name("sapwood-commit".to_owned()).spawn(work);
        let thread = thread.map_err(|error| Error::io("start the thread that commits", error))?;
        Ok(Interval { stop, thread: Some(thread) })
    }

    /// Stops, and waits for a commit that is under way.
    pub fn stop(mut self) {
        self.ask();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked without the panic having been told.
            let _ = thread.join();
        }
    }

    fn ask(&self) {
        *self.stop.asked.lock() = true;
        self.stop.changed.notify_all();
    }
}

impl Drop for Interval {
    fn drop(&mut self) {
        self.ask();
    }
}

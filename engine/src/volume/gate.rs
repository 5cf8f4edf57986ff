//! Batches and commits: a commit cuts only between batches.

use std::thread::ThreadId;

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, ErrorKind, Result};

/// Counts open batches; a cut waits for them and holds new ones back meanwhile.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    open: usize,
    cutting: bool,
    /// The threads with batches of several calls open, to refuse a cut that would wait for itself.
    holders: Vec<ThreadId>,
}

/// An open batch.
#[derive(Debug)]
pub struct Pass<'a> {
    gate: &'a Gate,
    holder: Option<ThreadId>,
}

/// A cut: no batch is open while it lives.
#[derive(Debug)]
pub struct Cut<'a> {
    gate: &'a Gate,
}

impl Gate {
    /// Opens the batch of a single call.
    pub fn enter(&self) -> Pass<'_> {
        let mut state = self.state.lock();
        // A thread that holds a batch is let through: the cut waits for it anyway.
        while state.cutting && !state.holders.contains(&std::thread::current().id()) {
            self.changed.wait(&mut state);
        }
        state.open += 1;
        Pass { gate: self, holder: None }
    }

    /// Opens a batch of several calls of this thread.
    pub fn enter_batch(&self) -> Pass<'_> {
        let mut pass = self.enter();
        let thread = std::thread::current().id();
        self.state.lock().holders.push(thread);
        pass.holder = Some(thread);
        pass
    }

    /// An error where this thread holds a batch open: waiting for it would never end.
    pub fn refuse_own_batch(&self, operation: &str) -> Result<()> {
        if self.state.lock().holders.contains(&std::thread::current().id()) {
            return Err(Error::new(ErrorKind::InvalidInput, operation).about(
                "batch",
                "one open in this thread",
                "none: end the batch first",
            ));
        }
        Ok(())
    }

    /// Waits until no batch is open, and keeps it so.
    pub fn cut(&self) -> Cut<'_> {
        let mut state = self.state.lock();
        while state.cutting {
            self.changed.wait(&mut state);
        }
        state.cutting = true;
        while state.open > 0 {
            self.changed.wait(&mut state);
        }
        Cut { gate: self }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        state.open -= 1;
        if let Some(thread) = self.holder
            && let Some(at) = state.holders.iter().position(|&holder| holder == thread)
        {
            state.holders.swap_remove(at);
        }
        if state.open == 0 {
            self.gate.changed.notify_all();
        }
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        self.gate.state.lock().cutting = false;
        self.gate.changed.notify_all();
    }
}

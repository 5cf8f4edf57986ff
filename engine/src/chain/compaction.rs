//! Merging levels beside the path of snapshots.

use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};

use super::counters::IndexCounts;
use super::level::Level;
use super::view::View;
use crate::threads;

/// Shared by a view and those put on top of it.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    state: Mutex<State>,
    idle: Condvar,
    pub(super) counts: IndexCounts,
}

#[derive(Debug, Default)]
struct State {
    /// The newest view: what is worth compacting.
    latest: Weak<View>,
    running: bool,
}

/// Levels of one view, and those that a later view can have in place of them.
struct Replaced {
    old: Vec<Arc<Level>>,
    new: Vec<Arc<Level>>,
}

impl Compaction {
    /// Compacts `view` on another thread, unless a newer one comes first.
    pub(super) fn start(self: &Arc<Compaction>, view: &Arc<View>) {
        let mut state = self.state.lock();
        state.latest = Arc::downgrade(view);
        let was_running = std::mem::replace(&mut state.running, true);
        drop(state);
        if !was_running {
            let compaction = Arc::clone(self);
            threads::spawn(move || compaction.run());
        }
    }

    /// Waits until nothing is compacted any more.
    pub(super) fn wait(&self) {
        let mut state = self.state.lock();
        while state.running {
            self.idle.wait(&mut state);
        }
    }

    /// One view after another, until the latest has nothing left to merge.
    fn run(&self) {
        let mut done: Option<Replaced> = None;
        while let Some(view) = self.next() {
            let levels = match &done {
                Some(replaced) => replaced.applied_to(view.levels()),
                None => view.levels().to_vec(),
            };
            match view.compact(levels) {
                Ok(new) => done = Some(Replaced { old: view.levels().to_vec(), new }),
                Err(_) => {
                    self.counts.count_merge_failure();
                    break;
                }
            }
        }
        self.state.lock().running = false;
        self.idle.notify_all();
    }

    fn next(&self) -> Option<Arc<View>> {
        let mut state = self.state.lock();
        let view = std::mem::take(&mut state.latest).upgrade();
        if view.is_none() {
            // Set here, under the lock: a view that comes later starts anew.
            state.running = false;
        }
        view
    }
}

impl Replaced {
    fn applied_to(&self, levels: &[Arc<Level>]) -> Vec<Arc<Level>> {
        let Some(above) = levels.len().checked_sub(self.old.len()) else {
            return levels.to_vec();
        };
        let same = levels[above..].iter().zip(&self.old).all(|(a, b)| Arc::ptr_eq(a, b));
        if !same {
            return levels.to_vec();
        }
        levels[..above].iter().chain(&self.new).cloned().collect()
    }
}

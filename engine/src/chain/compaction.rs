//! Merging levels beside the path of snapshots, and what became of index files.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};

use super::level::Level;
use super::view::View;

/// What became of the indexes of the views of one lineage; for people and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexCounters {
    /// Index files written.
    pub written: u64,
    /// Index files that could not be written: a full disk, a store that is read-only. The
    /// views work all the same, and the next one to open merges again.
    pub write_failures: u64,
    /// Index files that were damaged or stale when they were opened, and left alone.
    pub unusable: u64,
    /// Views that were made anew from the layers because an index proved wrong in use.
    pub rebuilt: u64,
    /// Merges beside a snapshot that failed; the view went on with more levels.
    pub merge_failures: u64,
}

/// Shared by a view and those put on top of it.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    state: Mutex<State>,
    idle: Condvar,
    written: AtomicU64,
    write_failures: AtomicU64,
    unusable: AtomicU64,
    rebuilt: AtomicU64,
    merge_failures: AtomicU64,
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
        if !state.running {
            state.running = true;
            let compaction = Arc::clone(self);
            rayon::spawn(move || compaction.run());
        }
    }

    /// Waits until nothing is compacted any more.
    pub(super) fn wait(&self) {
        let mut state = self.state.lock();
        while state.running {
            self.idle.wait(&mut state);
        }
    }

    pub(super) fn counters(&self) -> IndexCounters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IndexCounters {
            written: get(&self.written),
            write_failures: get(&self.write_failures),
            unusable: get(&self.unusable),
            rebuilt: get(&self.rebuilt),
            merge_failures: get(&self.merge_failures),
        }
    }

    pub(super) fn count_written(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_write_failure(&self) {
        self.write_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_unusable(&self) {
        self.unusable.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_rebuilt(&self) {
        self.rebuilt.fetch_add(1, Ordering::Relaxed);
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
                    self.merge_failures.fetch_add(1, Ordering::Relaxed);
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

//! What became of index files, and of merges.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// What is counted of one lineage, by any thread.
#[derive(Debug, Default)]
pub(super) struct IndexCounts {
    written: AtomicU64,
    write_failures: AtomicU64,
    unusable: AtomicU64,
    rebuilt: AtomicU64,
    merge_failures: AtomicU64,
}

impl IndexCounts {
    /// As numbers.
    pub(super) fn get(&self) -> IndexCounters {
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

    pub(super) fn count_merge_failure(&self) {
        self.merge_failures.fetch_add(1, Ordering::Relaxed);
    }
}

//! The advisory locks of a file in memory, as `flock` and `F_OFD_SETLK` have them: held by a
//! handle, not by a thread or a process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use super::{LockMode, LockWait};

/// Who holds a lock: one open handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LockHolder(u64);

impl LockHolder {
    /// Another handle than any before.
    pub(crate) fn new() -> LockHolder {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        LockHolder(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The locks of one file.
#[derive(Debug, Default)]
pub(crate) struct FileLock {
    holders: Mutex<Holders>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct Holders {
    exclusive: Option<LockHolder>,
    shared: BTreeSet<LockHolder>,
    bytes: BTreeMap<u64, LockHolder>,
}

impl Holders {
    fn release(&mut self, holder: LockHolder) {
        self.shared.remove(&holder);
        self.exclusive = self.exclusive.filter(|other| *other != holder);
    }

    fn take(&mut self, holder: LockHolder, mode: LockMode) -> bool {
        match mode {
            LockMode::Shared if self.exclusive.is_none() => self.shared.insert(holder),
            LockMode::Exclusive if self.exclusive.is_none() && self.shared.is_empty() => {
                self.exclusive = Some(holder);
                true
            }
            _ => false,
        }
    }
}

impl FileLock {
    /// Takes the lock, giving back first what `holder` has of it, as the kernel does:
    /// a conversion that fails leaves the holder without any lock.
    pub(crate) fn lock(&self, holder: LockHolder, mode: LockMode, wait: LockWait) -> bool {
        let mut holders = self.holders.lock();
        holders.release(holder);
        self.released.notify_all();
        loop {
            if holders.take(holder, mode) {
                return true;
            }
            if wait == LockWait::Try {
                return false;
            }
            self.released.wait(&mut holders);
        }
    }

    /// Takes the lock of one byte.
    pub(crate) fn lock_byte(&self, holder: LockHolder, offset: u64, wait: LockWait) -> bool {
        let mut holders = self.holders.lock();
        loop {
            if *holders.bytes.entry(offset).or_insert(holder) == holder {
                return true;
            }
            if wait == LockWait::Try {
                return false;
            }
            self.released.wait(&mut holders);
        }
    }

    /// Gives back all that `holder` has: its handle is closed.
    pub(crate) fn close(&self, holder: LockHolder) {
        let mut holders = self.holders.lock();
        holders.release(holder);
        holders.bytes.retain(|_, other| *other != holder);
        self.released.notify_all();
    }

    /// Gives back what `holder` has of the file's own lock.
    pub(crate) fn unlock(&self, holder: LockHolder) {
        self.holders.lock().release(holder);
        self.released.notify_all();
    }
}

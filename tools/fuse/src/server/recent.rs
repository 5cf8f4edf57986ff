//! Files whose time of access was found to be good lately, so that not each read has to look.

use std::sync::atomic::{AtomicU64, Ordering};

use sapwood::files::Inode;

/// How many files are remembered; one that falls into the place of another takes it.
const PLACES: usize = 4096;
/// How long, in seconds: long for a read, short beside the day after which a time is renewed.
const SECONDS_MAX: u32 = 600;

/// What is remembered: for each place the file and the second, in one word.
#[derive(Debug)]
pub(super) struct Recent {
    places: Box<[AtomicU64]>,
}

impl Recent {
    pub(super) fn new() -> Recent {
        Recent { places: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Whether nothing has to be noted of a read of `inode` in second `now`.
    pub(super) fn has(&self, inode: Inode, now: i64) -> bool {
        let word = self.place(inode).load(Ordering::Relaxed);
        let (found, since) = ((word >> 32) as u32, word as u32);
        found == inode.0 && (now as u32).wrapping_sub(since) < SECONDS_MAX
    }

    /// The time of access of `inode` was good in second `now`.
    pub(super) fn note(&self, inode: Inode, now: i64) {
        let word = u64::from(inode.0) << 32 | u64::from(now as u32);
        self.place(inode).store(word, Ordering::Relaxed);
    }

    /// The file has changed: the next read has to look.
    pub(super) fn forget(&self, inode: Inode) {
        self.place(inode).store(0, Ordering::Relaxed);
    }

    fn place(&self, inode: Inode) -> &AtomicU64 {
        &self.places[inode.0 as usize % PLACES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_remembered_until_it_changes_or_time_passes() {
        let recent = Recent::new();
        let (file, other) = (Inode(5), Inode(5 + PLACES as u32));
        assert!(!recent.has(file, 1000));
        recent.note(file, 1000);
        assert!(recent.has(file, 1000 + i64::from(SECONDS_MAX) - 1));
        assert!(!recent.has(file, 1000 + i64::from(SECONDS_MAX)));
        assert!(!recent.has(file, 999), "a clock that was set back");
        assert!(!recent.has(other, 1000));
        recent.note(other, 1000);
        assert!(!recent.has(file, 1000));
        recent.forget(other);
        assert!(!recent.has(other, 1000));
    }
}

//! Waiting until all that the kernel writes back has arrived.
//!
//! `syncfs` on a FUSE mount puts what is dirty into the kernel's background queue, and newer
//! kernels return before it was served: they do not trust a server to end. That queue is first
//! in, first out, and a read of what is not cached goes through it too. So who has to know that
//! all arrived reads a file that is there for nothing else, one page for each worker of the
//! server. Once every worker is in such a read, none of them has an earlier write left to do.
//!
//! Nor do those kernels see to it that `syncfs` hands over all: under pressure they leave the rest of a
//! file for later. So it is called again, until a call brings nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fuser::{FileAttr, FileType, INodeNo};
use parking_lot::{Condvar, Mutex};
use rustix::fs::Advice;

use crate::attributes::of_nothing;

/// The name begins so, and is longer than any that a tree can hold.
const NAME: &[u8] = b"sapwood-barrier-";
const NAME_BYTES: usize = 300;
/// Far behind the numbers of files.
const FIRST_NUMBER: u64 = 1 << 63;
/// From the page of one worker to that of the next: the largest page of any machine.
const STRIDE_BYTES: u64 = 64 << 10;
/// How long a worker waits for the others: one that is in a long commit comes too late, and the
/// asker tries again.
const WAIT: Duration = Duration::from_millis(200);
/// How often: a minute.
const ATTEMPTS_MAX: usize = 300;

/// How often `syncfs` is called at most. Others may go on writing, and what they write is not waited for:
/// each call hands over thousands of pages of each file, and what was there before this began is gone by then.
const CALLS_MAX: usize = 64;

/// What each page of the file begins with: how many writes there were before all workers met, and one
/// more; this where they did not.
const NOT_MET: u64 = 0;
/// How much of a page says so.
const CONTENT_BYTES: usize = size_of::<u64>();

/// Where the workers of a server meet.
#[derive(Debug)]
pub struct Barrier {
    workers: usize,
    files: AtomicU64,
    writes: AtomicU64,
    meeting: Mutex<Meeting>,
    has_met: Condvar,
}

#[derive(Debug, Default)]
struct Meeting {
    number: u64,
    /// How many there were when the workers met last.
    writes: u64,
    waiting: usize,
}

impl Barrier {
    /// The barrier of so many workers.
    pub fn new(workers: usize) -> Barrier {
        let (files, writes) = (AtomicU64::new(0), AtomicU64::new(0));
        Barrier { workers, files, writes, meeting: Mutex::default(), has_met: Condvar::new() }
    }

    /// Notes that a write came.
    pub fn write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits in a worker for all others; what a page of `length` bytes holds then.
    pub fn page(&self, length: usize) -> Vec<u8> {
        let mut page = self.meet().to_le_bytes().to_vec();
        page.resize(length, 0);
        page
    }

    /// A file to be read, if this is its name: a new one each time, so that nothing is cached.
    pub fn lookup(&self, name: &[u8]) -> Option<FileAttr> {
        let is_ours = name.len() == NAME_BYTES && name.starts_with(NAME);
        let number = || FIRST_NUMBER + self.files.fetch_add(1, Ordering::Relaxed);
        is_ours.then(|| self.file(INodeNo(number())))
    }

    /// The attributes of such a file.
    pub fn attributes(&self, number: INodeNo) -> Option<FileAttr> {
        (number.0 >= FIRST_NUMBER).then(|| self.file(number))
    }

    fn meet(&self) -> u64 {
        let mut meeting = self.meeting.lock();
        meeting.waiting += 1;
        if meeting.waiting == self.workers {
            meeting.waiting = 0;
            meeting.number += 1;
            meeting.writes = self.writes.load(Ordering::Relaxed);
            self.has_met.notify_all();
            return meeting.writes + 1;
        }
        let ours = meeting.number;
        self.has_met.wait_while_for(&mut meeting, |meeting| meeting.number == ours, WAIT);
        if meeting.number == ours {
            meeting.waiting -= 1;
            return NOT_MET;
        }
        meeting.writes + 1
    }

    fn file(&self, number: INodeNo) -> FileAttr {
        let size = self.workers as u64 * STRIDE_BYTES;
        // Whoever can reach the root may wait.
        let (kind, perm, nlink) = (FileType::RegularFile, 0o444, 1);
        FileAttr { ino: number, size, kind, perm, nlink, ..of_nothing() }
    }
}

/// Has the kernel hand over what it keeps back of the mount on `directory`, and waits until it has
/// arrived.
pub fn write_back(directory: &Path) -> io::Result<()> {
    let mount = File::open(directory)?;
    let mut writes = None;
    for _ in 0..CALLS_MAX {
        rustix::fs::syncfs(&mount)?;
        let before = writes.replace(pass(directory)?);
        if before == writes {
            break;
        }
    }
    Ok(())
}

/// Waits until all that was in the kernel's queue of a mount is served; how many writes that made in
/// all.
fn pass(directory: &Path) -> io::Result<u64> {
    let mut name = NAME.to_vec();
    name.resize(NAME_BYTES, b'-');
    let path = directory.join(std::str::from_utf8(&name).expect("plain letters"));
    for _ in 0..ATTEMPTS_MAX {
        let file = File::open(&path)?;
        // Of each page a message of its own.
        rustix::fs::fadvise(&file, 0, None, Advice::Random)?;
        let places = (0..file.metadata()?.len()).step_by(STRIDE_BYTES as usize);
        let met = read_at_once(&file, places)?;
        if met != NOT_MET {
            return Ok(met);
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the mount's server is busy"))
}

/// Reads at all places at the same time; what is there where the workers met.
fn read_at_once(file: &File, places: impl Iterator<Item = u64>) -> io::Result<u64> {
    let read = |place| {
        let mut content = [0; CONTENT_BYTES];
        file.read_exact_at(&mut content, place).map(|()| u64::from_le_bytes(content))
    };
    thread::scope(|scope| {
        let readers: Vec<_> = places.map(|place| scope.spawn(move || read(place))).collect();
        let mut met = NOT_MET;
        for reader in readers {
            met = met.max(reader.join().expect("a reader does not panic")?);
        }
        Ok(met)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_meet_when_all_are_there_and_not_before() {
        let barrier = Barrier::new(3);
        assert_eq!(barrier.meet(), NOT_MET);
        // One that comes too late on a busy machine sends all away, to come again.
        for round in 1..=50 {
            thread::scope(|scope| {
                (0..3).for_each(|_| drop(scope.spawn(|| while barrier.meet() == NOT_MET {})));
            });
            assert_eq!(barrier.meeting.lock().number, round);
            assert_eq!(barrier.meeting.lock().writes, round - 1, "those before they met");
            barrier.write();
        }
    }

    #[test]
    fn names_of_a_tree_are_no_barrier() {
        let barrier = Barrier::new(1);
        assert!(barrier.lookup(NAME).is_none());
        let mut name = NAME.to_vec();
        name.resize(NAME_BYTES, b'x');
        let (one, other) = (barrier.lookup(&name).unwrap(), barrier.lookup(&name).unwrap());
        assert_ne!(one.ino, other.ino);
        assert_eq!(barrier.attributes(one.ino), Some(one));
        assert_eq!(barrier.attributes(INodeNo(1 << 40)), None);
    }
}

//! Waiting until all that the kernel writes back has arrived.
//!
//! `syncfs` on a FUSE mount puts what is dirty into the kernel's background queue, and newer
//! kernels return before it was served: they do not trust a server to end. That queue is first
//! in, first out, and a read of what is not cached goes through it too. So who has to know that
//! all arrived reads a file that is there for nothing else, one page for each worker of the
//! server. Once every worker is in such a read, none of them has an earlier write left to do.
//!
//! Nor do those kernels see to it that one `syncfs` hands over all: they write as many pages as were dirty
//! when it began, and others who go on writing use that up. But they take files in the order in which they
//! became dirty, and go on from where they stopped. So the asker makes such a file dirty itself, and
//! calls again until that has arrived: each file that was dirty before has had its turn then,
//! however many write meanwhile. A turn leaves out pages whose older content is still on its way, and one of
//! the kernel's own in the background may begin in mid-file and end there, with the file behind all others
//! then, but the next begins in front. And a turn ends after what the kernel thinks is written in half a second,
//! on a busy machine some MiB. So there are several rounds, each with a mark: after the first nothing old
//! is on its way, and the others are turns enough for files of which hundreds of MiB wait. What goes beyond that
//! beside writers who never pause is promised by `fsync` of the file alone, for which the kernel waits.
//!
//! With a quota the kernel gathers no writes, a mark arrives at once, and what is written through maps alone
//! is left to a call for each round.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fuser::{FileAttr, FileType, INodeNo};
use parking_lot::{Condvar, Mutex};
use rustix::fs::{Advice, AtFlags, Mode, OFlags, StatxFlags, statx};

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

/// How many marks follow each other. With three, one snapshot in some tens missed a page of a file of 64 MiB
/// that was written over and over on a busy machine.
const ROUNDS: usize = 5;
/// How often `syncfs` is called for a mark at most. Each call gets past one file at least, and as a rule past
/// as many pages as there are; who has so many endless writers is told.
const CALLS_MAX: usize = 1000;

/// What each page of the file holds: whether all workers met.
const MET: u8 = 1;
const NOT_MET: u8 = 0;

/// Where the workers of a server meet.
#[derive(Debug)]
pub struct Barrier {
    workers: usize,
    files: AtomicU64,
    meeting: Mutex<Meeting>,
    has_met: Condvar,
    /// The files that were written into, until the kernel forgets them.
    marks: Mutex<HashSet<u64>>,
}

#[derive(Debug, Default)]
struct Meeting {
    number: u64,
    waiting: usize,
}

impl Barrier {
    /// The barrier of so many workers.
    pub fn new(workers: usize) -> Barrier {
        Barrier {
            workers,
            files: AtomicU64::new(0),
            meeting: Mutex::default(),
            has_met: Condvar::new(),
            marks: Mutex::default(),
        }
    }

    /// Waits in a worker for all others; what a page of `length` bytes holds then.
    pub fn page(&self, length: usize) -> Vec<u8> {
        vec![if self.meet() { MET } else { NOT_MET }; length]
    }

    /// Notes that a write into a file has arrived, if it is such a file.
    pub fn mark(&self, number: INodeNo) -> bool {
        let is_ours = number.0 >= FIRST_NUMBER;
        if is_ours {
            self.marks.lock().insert(number.0);
        }
        is_ours
    }

    /// The kernel has forgotten a file.
    pub fn forget(&self, number: INodeNo) {
        if number.0 >= FIRST_NUMBER {
            self.marks.lock().remove(&number.0);
        }
    }

    /// A file to be read or marked, if this is its name: a new one each time, so that nothing is cached.
    pub fn lookup(&self, name: &[u8]) -> Option<FileAttr> {
        let is_ours = name.len() == NAME_BYTES && name.starts_with(NAME);
        let number = || FIRST_NUMBER + self.files.fetch_add(1, Ordering::Relaxed);
        is_ours.then(|| self.file(INodeNo(number())))
    }

    /// The attributes of such a file.
    pub fn attributes(&self, number: INodeNo) -> Option<FileAttr> {
        (number.0 >= FIRST_NUMBER).then(|| self.file(number))
    }

    /// Whether all came.
    fn meet(&self) -> bool {
        let mut meeting = self.meeting.lock();
        meeting.waiting += 1;
        if meeting.waiting == self.workers {
            meeting.waiting = 0;
            meeting.number += 1;
            self.has_met.notify_all();
            return true;
        }
        let ours = meeting.number;
        self.has_met.wait_while_for(&mut meeting, |meeting| meeting.number == ours, WAIT);
        if meeting.number == ours {
            meeting.waiting -= 1;
            return false;
        }
        true
    }

    fn file(&self, number: INodeNo) -> FileAttr {
        let size = self.workers as u64 * STRIDE_BYTES;
        // A file takes no room before what was written into it has arrived.
        let blocks = self.marks.lock().contains(&number.0).into();
        // Whoever can reach the root may wait.
        let (kind, perm, nlink) = (FileType::RegularFile, 0o666, 1);
        FileAttr { ino: number, size, blocks, kind, perm, nlink, ..of_nothing() }
    }
}

/// Has the kernel hand over what it keeps back of the mount whose root this is, and waits until it has
/// arrived; how often it had to be asked.
pub fn write_back(mount: &File) -> io::Result<usize> {
    let mut calls = 0;
    for _ in 0..ROUNDS {
        let mark = mark(mount)?;
        let before = calls;
        while calls == before || !has_arrived(&mark)? {
            if calls - before == CALLS_MAX {
                return Err(busy("others write more than the kernel hands over"));
            }
            rustix::fs::syncfs(mount)?;
            pass(mount)?;
            calls += 1;
        }
    }
    Ok(calls)
}

/// A file that is dirty as the last of all.
fn mark(mount: &File) -> io::Result<File> {
    let file = open(mount, OFlags::RDWR)?;
    // Past the end, where nothing has to be read first.
    file.write_all_at(&[0], file.metadata()?.len())?;
    Ok(file)
}

/// Whether a mark has arrived, as the server says and not the kernel.
fn has_arrived(mark: &File) -> io::Result<bool> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    Ok(statx(mark, "", flags, StatxFlags::BLOCKS)?.stx_blocks > 0)
}

/// Waits until all that was in the kernel's queue of a mount is served.
fn pass(mount: &File) -> io::Result<()> {
    for _ in 0..ATTEMPTS_MAX {
        let file = open(mount, OFlags::RDONLY)?;
        // Of each page a message of its own.
        rustix::fs::fadvise(&file, 0, None, Advice::Random)?;
        let places = (0..file.metadata()?.len()).step_by(STRIDE_BYTES as usize);
        if read_at_once(&file, places)? {
            return Ok(());
        }
    }
    Err(busy("the mount's server is busy"))
}

/// Each time another file.
fn open(mount: &File, access: OFlags) -> io::Result<File> {
    let mut name = NAME.to_vec();
    name.resize(NAME_BYTES, b'-');
    let opened = rustix::fs::openat(mount, name, access | OFlags::CLOEXEC, Mode::empty());
    Ok(File::from(opened?))
}

/// Reads at all places at the same time; whether the workers met.
fn read_at_once(file: &File, places: impl Iterator<Item = u64>) -> io::Result<bool> {
    let read = |place| {
        let mut content = [NOT_MET];
        file.read_exact_at(&mut content, place).map(|()| content == [MET])
    };
    thread::scope(|scope| {
        let readers: Vec<_> = places.map(|place| scope.spawn(move || read(place))).collect();
        let mut have_met = false;
        for reader in readers {
            have_met |= reader.join().expect("a reader does not panic")?;
        }
        Ok(have_met)
    })
}

fn busy(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_meet_when_all_are_there_and_not_before() {
        let barrier = Barrier::new(3);
        assert!(!barrier.meet());
        // One that comes too late on a busy machine sends all away, to come again.
        for round in 1..=50 {
            thread::scope(|scope| {
                (0..3).for_each(|_| drop(scope.spawn(|| while !barrier.meet() {})));
            });
            assert_eq!(barrier.meeting.lock().number, round);
        }
    }

    #[test]
    fn a_mark_takes_room_once_it_has_arrived_and_until_it_is_forgotten() {
        let barrier = Barrier::new(1);
        let name = [NAME, &[b'-'; NAME_BYTES - NAME.len()]].concat();
        let (one, other) = (barrier.lookup(&name).unwrap().ino, barrier.lookup(&name).unwrap().ino);
        let blocks = |number| barrier.attributes(number).unwrap().blocks;
        assert_eq!((blocks(one), blocks(other)), (0, 0));
        assert!(barrier.mark(one));
        assert_eq!((blocks(one), blocks(other)), (1, 0));
        barrier.forget(one);
        assert!(barrier.marks.lock().is_empty());
        assert!(!barrier.mark(INodeNo(7)), "a file of the tree");
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

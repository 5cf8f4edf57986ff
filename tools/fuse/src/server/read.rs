//! Reading: content, where it is, and when it was read.

use std::io;
use std::sync::Arc;
use std::thread;

use fuser::{Errno, INodeNo, OpenFlags, ReplyLseek};
use rustix::io::Errno as Wanting;
use sapwood::files::{Inode, Seek, SetAttributes, Time};

use super::buffer::with_buffer;
use super::{Answer, Server};
use crate::errno::told;
use crate::held_back::HeldBack;
use crate::options::{AccessTimes, Reporter};
use crate::raw::sync_file_range;
use crate::tree::Tree;

/// How old the noted time of access may be before a read renews it, as `relatime` has it.
const ACCESS_SECONDS_MAX: i64 = 24 * 3600;

/// `O_NOATIME` and the two of `lseek`, the same on every architecture that Linux has FUSE for.
const O_NOATIME: i32 = 0o1_000_000;
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

impl Server {
    /// Reads at most `length` bytes and gives them to `with`.
    pub(super) fn read(
        &self,
        number: INodeNo,
        offset: u64,
        length: u32,
        flags: OpenFlags,
        with: impl FnOnce(Answer<&[u8]>),
    ) {
        if self.shown(number).is_some() {
            return with(Ok(&[]));
        }
        let number = match self.inode(number) {
            Ok(number) => number,
            Err(error) => return with(Err(error)),
        };
        if flags.0 & O_NOATIME == 0 {
            self.note_access(number);
        }
        let mut with = Some(with);
        with_buffer(length as usize, |buffer| {
            let read = self.tree.reader().read_with(number, offset, buffer, &mut |data| {
                if let Some(with) = with.take() {
                    with(Ok(data));
                }
            });
            if let (Err(error), Some(with)) = (read, with.take()) {
                with(Err(self.fail(&error)));
            }
        });
    }

    /// Finds data or a hole. Of what can be written a thread of its own does, which first has the kernel
    /// hand over what it holds back of the file: a worker that waited for that may be missed.
    ///
    /// Where the server may not open the file or does not see the mount, the kernel is told that nobody
    /// knows: from then on it takes the files of this mount for data up to their ends.
    pub(super) fn seek(&self, number: INodeNo, offset: i64, whence: i32, reply: ReplyLseek) {
        let file = match self.inode(number) {
            Ok(file) => file,
            Err(error) => return reply.error(error),
        };
        let report = Arc::clone(&self.options.report);
        let (tree, held_back) = (self.tree.clone(), Arc::clone(&self.held_back));
        let answer = move || {
            let answer = match &tree {
                Tree::View(_) => Ok(()),
                Tree::Live(_) => hand_over(&held_back, number, &report),
            };
            let answer = answer.and_then(|()| find(&tree, file, offset, whence, &report));
            // The mount may end as soon as it is answered, and the files with it.
            drop((tree, held_back));
            match answer {
                Ok(found) => reply.offset(found),
                Err(error) => reply.error(error),
            }
        };
        if matches!(self.tree, Tree::View(_)) {
            return answer();
        }
        let started = thread::Builder::new().name("sapwood-seek".into()).spawn(answer);
        if let Err(error) = started {
            // Its caller is answered with an error when the reply is dropped.
            (self.options.report)(&format!("seek in inode {number}: {error}"));
        }
    }

    /// Notes that a file is read, where the time noted is not newer than its last change, or a
    /// day old. Reads that the kernel answers from its cache are not seen, and need not be: the
    /// one that filled the cache was.
    pub(super) fn note_access(&self, number: Inode) {
        let (AccessTimes::Relative, Tree::Live(files)) = (self.options.access_times, &self.tree)
        else {
            return;
        };
        let now = Time::now();
        if self.recent.has(number, now.seconds) {
            return;
        }
        let Ok(noted) = self.tree.reader().attributes(number) else { return };
        self.recent.note(number, now.seconds);
        let is_old = noted.accessed <= noted.modified
            || noted.accessed <= noted.changed
            || now.seconds - noted.accessed.seconds >= ACCESS_SECONDS_MAX;
        if !is_old {
            return;
        }
        let set = SetAttributes {
            accessed: Some(now),
            changed: Some(noted.changed),
            ..SetAttributes::default()
        };
        if let Err(error) = files.set_attributes(number, &set) {
            // The read itself is served all the same.
            (self.options.report)(&format!("note the access to inode {number}: {error}"));
        }
    }
}

/// Has the kernel hand over what it holds back of a file.
fn hand_over(held_back: &HeldBack, number: INodeNo, report: &Reporter) -> Answer<()> {
    let failed = |error: io::Error| {
        report(&format!("seek in inode {number}: {error}"));
        error.raw_os_error().map_or(Errno::EIO, Errno::from_i32)
    };
    match held_back.open(number) {
        Ok(file) => sync_file_range(file).map_err(failed),
        Err(error @ (Wanting::MFILE | Wanting::NFILE | Wanting::NOMEM)) => {
            Err(failed(error.into()))
        }
        Err(error) => {
            report(&format!("holes are told as data from now on: open inode {number}: {error}"));
            Err(Errno::ENOSYS)
        }
    }
}

fn find(tree: &Tree, file: Inode, offset: i64, whence: i32, report: &Reporter) -> Answer<i64> {
    let seek = match whence {
        SEEK_DATA => Seek::Data,
        SEEK_HOLE => Seek::Hole,
        _ => return Err(Errno::EINVAL),
    };
    let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
    let found = tree.reader().seek(file, offset, seek).map_err(|error| told(&error, report))?;
    found.and_then(|found| i64::try_from(found).ok()).ok_or(Errno::ENXIO)
}

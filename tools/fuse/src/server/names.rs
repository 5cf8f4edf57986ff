//! Names: finding and listing them, and how long the kernel keeps what they lead to.

use std::ops::ControlFlow;

use fuser::{Errno, FileAttr, INodeNo, ReplyDirectory, ReplyDirectoryPlus};
use sapwood::files::{Entry, FileKind, Inode};

use super::{Answer, Server, Told};
use crate::attributes::{self as convert, file_type};
use crate::kernel::KEPT;

/// Where a directory's own two names stand, then the mount points that the tree lacks; the names
/// of a tree begin at 256.
const COOKIE_OF_SELF: u64 = 1;
const COOKIE_OF_PARENT: u64 = 2;
const COOKIE_OF_POINTS: u64 = 3;
const COOKIE_OF_TREE: u64 = 256;

impl Server {
    /// Finds a name; `None` where there is none. The file is held until the kernel forgets it.
    pub(super) fn lookup(&self, directory: INodeNo, name: &[u8]) -> Answer<Option<Told>> {
        if let Some(told) = self.lookup_point(directory, name) {
            return Ok(told);
        }
        let directory = self.inode(directory)?;
        // The kernel asks for `.` of any file to open it by a handle that it was given before.
        let found = match name {
            b"." => Ok(directory),
            _ => self.tree.reader().lookup(directory, name),
        };
        let found = match found {
            Err(error) if error.kind() == sapwood::ErrorKind::NotFound => return Ok(None),
            found => self.engine(found)?,
        };
        self.tell_and_hold(found).map(Some)
    }

    /// The attributes of a file that the kernel will know from now on.
    pub(super) fn tell_and_hold(&self, found: Inode) -> Answer<Told> {
        // Held first: a file that was held while it was there stays.
        self.hold(found);
        match self.tree.reader().attributes(found) {
            Ok(attributes) => Ok(self.told(&attributes)),
            Err(error) => {
                self.forget(self.points.number(found), 1);
                match error.kind() {
                    sapwood::ErrorKind::NotFound => Err(Errno::ESTALE),
                    _ => Err(self.fail(&error)),
                }
            }
        }
    }

    /// The kernel has let go of `count` mentions of a file.
    pub(super) fn forget(&self, number: INodeNo, count: u64) {
        // Those that became real stay held.
        let Some(number) = convert::inode(number) else { return };
        if let Err(error) = self.tree.release(number, count) {
            // Nobody waits for an answer to this.
            (self.options.report)(&format!("let go of inode {number}: {error}"));
        }
        self.room.may_have_grown();
    }

    /// Fills a listing, from behind the name at `after` on.
    pub(super) fn list(
        &self,
        directory: INodeNo,
        after: u64,
        reply: &mut ReplyDirectory,
    ) -> Answer<()> {
        for (cookie, name, told) in self.beside_the_tree(directory, after)? {
            let FileAttr { ino, kind, .. } = told.attributes;
            if reply.add(ino, cookie, kind, as_os_str(&name)) {
                return Ok(());
            }
        }
        let Ok(directory) = self.inode(directory) else { return Ok(()) };
        if after == 0 {
            self.note_access(directory);
        }
        let mut each = |entry: Entry<'_>| {
            let number = self.points.number(entry.inode);
            let kind = file_type(entry.kind);
            match reply.add(number, entry.cookie, kind, as_os_str(entry.name)) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        self.engine(self.tree.reader().entries(directory, from_cookie(after), &mut each))
    }

    /// Fills a listing that carries the attributes of each file; each is held.
    pub(super) fn list_with_attributes(
        &self,
        directory: INodeNo,
        after: u64,
        reply: &mut ReplyDirectoryPlus,
    ) -> Answer<()> {
        // The kernel does not count a directory's own two names as mentions.
        for (cookie, name, told) in self.beside_the_tree(directory, after)? {
            if add_plus(reply, cookie, &name, &told) {
                return Ok(());
            }
        }
        let Ok(directory) = self.inode(directory) else { return Ok(()) };
        if after == 0 {
            self.note_access(directory);
        }
        let mut failed = Ok(());
        let mut is_empty = true;
        let mut each = |entry: Entry<'_>| match self.tell_and_hold(entry.inode) {
            // A name that went while the directory was listed.
            Err(error) if error.code() == Errno::ESTALE.code() => ControlFlow::Continue(()),
            Err(error) => {
                failed = Err(error);
                ControlFlow::Break(())
            }
            Ok(told) => {
                if add_plus(reply, entry.cookie, entry.name, &told) {
                    self.forget(told.attributes.ino, 1);
                    return ControlFlow::Break(());
                }
                is_empty = false;
                ControlFlow::Continue(())
            }
        };
        let shown = self.tree.reader().entries(directory, from_cookie(after), &mut each);
        // What is in the reply is held, so the reply has to go out: the error comes again at the
        // next call, which begins behind it.
        if is_empty {
            self.engine(shown)?;
            return failed;
        }
        Ok(())
    }

    /// What a listing begins with: the directory's own names, and mount points that the tree lacks.
    fn beside_the_tree(&self, directory: INodeNo, after: u64) -> Answer<Vec<(u64, Vec<u8>, Told)>> {
        let mut listed = Vec::new();
        if after >= COOKIE_OF_TREE {
            return Ok(listed);
        }
        let parent = match self.points.shown(directory) {
            Some(_) => self.points.parent(directory).unwrap_or(INodeNo::ROOT),
            None => {
                let parent = self.tree.reader().lookup(self.inode(directory)?, b"..");
                self.points.number(self.engine(parent)?)
            }
        };
        let own_names: [(u64, INodeNo, &[u8]); 2] =
            [(COOKIE_OF_SELF, directory, b"."), (COOKIE_OF_PARENT, parent, b"..")];
        for (cookie, number, name) in own_names {
            if cookie > after {
                listed.push((cookie, name.to_vec(), self.attributes(number)?));
            }
        }
        for (rank, name, number) in self.points.in_directory(directory) {
            let cookie = COOKIE_OF_POINTS + rank;
            // One that becomes real meanwhile is among the names of the tree.
            if let (true, Some(told)) = (cookie > after, self.shown(number)) {
                listed.push((cookie, name.to_vec(), told));
            }
        }
        Ok(listed)
    }

    /// A name that is only shown, or is looked for in a directory that is: then it is all there is.
    fn lookup_point(&self, directory: INodeNo, name: &[u8]) -> Option<Option<Told>> {
        if let Some(number) = self.points.lookup(directory, name) {
            return self.shown(number).map(Some);
        }
        let shown = self.shown(directory)?;
        Some((name == b".").then_some(shown))
    }

    /// Holds a file for the kernel; those that were only shown once are held as long as the mount.
    fn hold(&self, found: Inode) {
        if self.points.number(found).0 == u64::from(found.0) {
            self.tree.hold(found);
        }
    }

    /// Where a symlink leads.
    pub(super) fn read_link(&self, number: INodeNo) -> Answer<Vec<u8>> {
        let number = self.inode(number)?;
        let target = self.engine(self.tree.reader().read_link(number))?;
        self.note_access(number);
        Ok(target)
    }

    /// The kind of a file.
    pub(super) fn kind(&self, number: Inode) -> Answer<FileKind> {
        Ok(self.engine(self.tree.reader().attributes(number))?.kind)
    }
}

fn add_plus(reply: &mut ReplyDirectoryPlus, cookie: u64, name: &[u8], told: &Told) -> bool {
    let number = told.attributes.ino;
    reply.add(number, cookie, as_os_str(name), &KEPT, &told.attributes, told.generation)
}

/// What the tree knows the place by: what a listing begins with is not among its entries.
fn from_cookie(after: u64) -> u64 {
    if after < COOKIE_OF_TREE { 0 } else { after }
}

fn as_os_str(name: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name)
}

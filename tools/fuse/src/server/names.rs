//! Names: finding and listing them, and how long the kernel keeps what they lead to.

use std::ops::ControlFlow;

use fuser::{Errno, FileType, INodeNo, ReplyDirectory, ReplyDirectoryPlus};
use sapwood::files::{Entry, FileKind, Inode};

use super::{Answer, Server, Told, inode};
use crate::attributes::file_type;
use crate::kernel::KEPT;

/// Where a directory's own two names stand; those of its files begin at 256.
const COOKIE_OF_SELF: u64 = 1;
const COOKIE_OF_PARENT: u64 = 2;

impl Server {
    /// Finds a name; `None` where there is none. The file is held until the kernel forgets it.
    pub(super) fn lookup(&self, directory: INodeNo, name: &[u8]) -> Answer<Option<Told>> {
        let directory = inode(directory)?;
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
        self.tree.hold(found);
        match self.tree.reader().attributes(found) {
            Ok(attributes) => Ok(self.told(&attributes)),
            Err(error) => {
                self.forget(INodeNo(found.0.into()), 1);
                match error.kind() {
                    sapwood::ErrorKind::NotFound => Err(Errno::ESTALE),
                    _ => Err(self.fail(&error)),
                }
            }
        }
    }

    /// The kernel has let go of `count` mentions of a file.
    pub(super) fn forget(&self, number: INodeNo, count: u64) {
        let Ok(number) = inode(number) else { return };
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
        let directory = inode(directory)?;
        if after == 0 {
            self.note_access(directory);
        }
        for (cookie, name) in own_names(after) {
            let number = self.engine(self.tree.reader().lookup(directory, name))?;
            if reply.add(number.into_number(), cookie, FileType::Directory, as_os_str(name)) {
                return Ok(());
            }
        }
        let mut each = |entry: Entry<'_>| {
            let number = entry.inode.into_number();
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
        let directory = inode(directory)?;
        if after == 0 {
            self.note_access(directory);
        }
        for (cookie, name) in own_names(after) {
            // The kernel does not count these two as mentions.
            let number = self.engine(self.tree.reader().lookup(directory, name))?;
            let own = self.told(&self.engine(self.tree.reader().attributes(number))?);
            if add_plus(reply, cookie, name, &own) {
                return Ok(());
            }
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

    /// Where a symlink leads.
    pub(super) fn read_link(&self, number: INodeNo) -> Answer<Vec<u8>> {
        let number = inode(number)?;
        let target = self.engine(self.tree.reader().read_link(number))?;
        self.note_access(number);
        Ok(target)
    }

    /// The kind of a file.
    pub(super) fn kind(&self, number: Inode) -> Answer<FileKind> {
        Ok(self.engine(self.tree.reader().attributes(number))?.kind)
    }
}

/// A number as the kernel has it.
pub(super) trait IntoNumber {
    fn into_number(self) -> INodeNo;
}

impl IntoNumber for Inode {
    fn into_number(self) -> INodeNo {
        INodeNo(self.0.into())
    }
}

fn add_plus(reply: &mut ReplyDirectoryPlus, cookie: u64, name: &[u8], told: &Told) -> bool {
    let number = told.attributes.ino;
    reply.add(number, cookie, as_os_str(name), &KEPT, &told.attributes, told.generation)
}

fn own_names(after: u64) -> impl Iterator<Item = (u64, &'static [u8])> {
    let names: [(u64, &[u8]); 2] = [(COOKIE_OF_SELF, b"."), (COOKIE_OF_PARENT, b"..")];
    names.into_iter().filter(move |(cookie, _)| *cookie > after)
}

/// What the tree knows the place by: the two own names are not among its entries.
fn from_cookie(after: u64) -> u64 {
    if after <= COOKIE_OF_PARENT { 0 } else { after }
}

fn as_os_str(name: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name)
}

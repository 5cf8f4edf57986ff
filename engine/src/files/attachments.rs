//! Attachments: files that belong to a tree and stand in none of its directories.
//!
//! They stand in a directory of their own, which has no name and is its own parent; the first page
//! says which it is. So they go where the tree goes, one commit has them with it, and no walk,
//! export or comparison meets them.

use super::live::Files;
use super::operation::Editor;
use super::paths::read_whole;
use super::types::{FileKind, Inode, NewFile, kind_of};
use super::view::ReadFiles;
use crate::error::{Error, ErrorKind, Result};
use crate::format::files::InodeRecord;
use crate::format::files::entry::NamePlace;

/// The content of an attachment; `None` where the tree has none of that name.
pub fn attachment(files: &dyn ReadFiles, name: &[u8]) -> Result<Option<Vec<u8>>> {
    match find_attachment(files, name)? {
        Some(inode) => read_whole(files, inode).map(Some),
        None => Ok(None),
    }
}

/// The file of an attachment, to read piece by piece; `None` where the tree has none of that name.
pub fn find_attachment(files: &dyn ReadFiles, name: &[u8]) -> Result<Option<Inode>> {
    let Some(directory) = files.attachments()? else { return Ok(None) };
    match files.lookup(directory, name) {
        Ok(inode) => Ok(Some(inode)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Files {
    /// The directory of the attachments, made where there is none. What may stand in it are regular
    /// files of one name each; they are made, written, listed and removed as others are.
    pub fn make_attachments(&self) -> Result<Inode> {
        if let Some(directory) = self.attachments()? {
            return Ok(directory);
        }
        self.core.operate("make the directory of attachments", |operation| {
            operation.change(|editor| editor.make_attachments())
        })
    }

    /// Makes an attachment hold `content`, and nothing else: made where it is not there. A commit or a
    /// snapshot has all of it, or what was there before; on a full host as [`Paths::write`](super::Paths::write).
    pub fn attach(&self, name: &[u8], content: &[u8]) -> Result<()> {
        self.put(self.make_attachments()?, name, &NewFile::regular(0o600), content)
    }
}

impl Editor<'_, '_> {
    fn make_attachments(&mut self) -> Result<Inode> {
        // Another thread may have been faster.
        if let Some(directory) = self.change.superblock().attachments() {
            return Ok(directory);
        }
        let (inode, generation) = self.allocate_inode()?;
        let now = self.now;
        let record = InodeRecord {
            mode: FileKind::Directory.mode_bits() | 0o700,
            flags: Default::default(),
            owner: 0,
            group: 0,
            links: 2,
            generation,
            device: 0,
            size: 0,
            accessed: now,
            modified: now,
            changed: now,
            created: now,
            name: NamePlace { directory: inode.0, cookie: 0 },
        };
        self.put_record(inode, &record)?;
        let superblock = self.change.superblock_mut();
        superblock.inodes += 1;
        superblock.attachments = inode.0;
        Ok(inode)
    }

    /// That a file of this kind may be made in the directory.
    pub(super) fn expect_may_hold(&self, directory: Inode, kind: FileKind) -> Result<()> {
        if self.is_attachments(directory) && kind != FileKind::Regular {
            let (found, expected) = ("another kind", "a regular file");
            return Err(Error::invalid(self.operation, "attachment", found, expected));
        }
        Ok(())
    }

    /// That a file may have a name in the directory besides those it has: an attachment has one.
    pub(super) fn expect_may_be_linked(
        &self,
        record: &InodeRecord,
        directory: Inode,
    ) -> Result<()> {
        if record.links == 0 {
            return self.expect_may_hold(directory, kind_of(record)?);
        }
        let is_one = self.is_attachments(Inode(record.name.directory));
        match is_one || self.is_attachments(directory) {
            true => Err(Error::new(ErrorKind::NotPermitted, "link an attachment")),
            false => Ok(()),
        }
    }

    /// That a name does not move between the attachments and the directories of the tree.
    pub(super) fn expect_no_crossing(&self, from: Inode, to: Inode) -> Result<()> {
        match self.is_attachments(from) == self.is_attachments(to) {
            true => Ok(()),
            false => {
                let (found, expected) = ("both an attachment and none", "one of them");
                Err(Error::invalid(self.operation, "file", found, expected))
            }
        }
    }

    /// Whether this is the directory of the attachments.
    pub(super) fn is_attachments(&self, inode: Inode) -> bool {
        self.change.superblock().attachments() == Some(inode)
    }
}

//! The files of a snapshot: read only.

use std::ops::ControlFlow;

use super::load::{expect_tree, read_superblock};
use super::occupied::Occupied;
use super::read::Reader;
use super::tree::{PageCache, Pages};
use super::types::{Attributes, Entry, FileKind, Inode, Seek, Statistics};
use crate::chain::Snapshot;
use crate::error::{Error, Result};
use crate::format::files::Superblock;

/// How much of the metadata is kept in memory.
const CACHE_BYTES: u64 = 32 << 20;

/// What can be read of a tree of files, live or frozen. From many threads at once.
pub trait ReadFiles: std::fmt::Debug + Send + Sync {
    /// The size of a block in bytes: what data and holes are told apart by.
    fn block_bytes(&self) -> u64;

    /// The file that a name in a directory leads to; `.` and `..` too.
    ///
    /// Errors: [`NotFound`](crate::ErrorKind::NotFound),
    /// [`NotADirectory`](crate::ErrorKind::NotADirectory),
    /// [`NameTooLong`](crate::ErrorKind::NameTooLong).
    fn lookup(&self, directory: Inode, name: &[u8]) -> Result<Inode> {
        Ok(self.lookup_kind(directory, name)?.0)
    }

    /// As [`lookup`](Self::lookup), with the kind of file that the name says it leads to.
    fn lookup_kind(&self, directory: Inode, name: &[u8]) -> Result<(Inode, FileKind)>;

    /// The attributes of a file.
    fn attributes(&self, inode: Inode) -> Result<Attributes>;

    /// Fills `buffer` from byte `offset` of a file on; how many bytes, fewer only at its end.
    ///
    /// Errors: [`IsADirectory`](crate::ErrorKind::IsADirectory);
    /// [`Corrupt`](crate::ErrorKind::Corrupt) where a block does not verify.
    fn read(&self, inode: Inode, offset: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Shows `show` what [`read`](Self::read) would put into `buffer`: where it lies, if all of it is
    /// the content of blocks beside each other in a frozen layer, else in `buffer`. Meanwhile nobody
    /// changes the file: `show` must not wait for such a change. It may read whatever it likes; of a live
    /// tree it changes nothing and commits nothing, which is refused with
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), as either could wait for `show` itself.
    ///
    /// Errors: as [`read`](Self::read); `show` is not called then.
    fn read_with(
        &self,
        inode: Inode,
        offset: u64,
        buffer: &mut [u8],
        show: &mut dyn FnMut(&[u8]),
    ) -> Result<()>;

    /// The target of a symlink.
    fn read_link(&self, inode: Inode) -> Result<Vec<u8>>;

    /// Shows the names of a directory behind the one at `after` (0: all), without `.` and `..`, in
    /// an order that stays, until `each` has enough. Names that come or go meanwhile are seen or
    /// not, each other one once.
    fn entries(
        &self,
        directory: Inode,
        after: u64,
        each: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<()>;

    /// The value of an extended attribute.
    ///
    /// Errors: [`NoAttribute`](crate::ErrorKind::NoAttribute).
    fn extended_attribute(&self, inode: Inode, name: &[u8]) -> Result<Vec<u8>>;

    /// The names of a file's extended attributes, sorted.
    fn extended_attribute_names(&self, inode: Inode) -> Result<Vec<Vec<u8>>>;

    /// Where, from `offset` on, the next data or hole is; `None` past the end, and where no data
    /// follows.
    fn seek(&self, inode: Inode, offset: u64, seek: Seek) -> Result<Option<u64>>;

    /// The directory of the attachments, `None` where there is none: see
    /// [`Files::make_attachments`](super::Files::make_attachments).
    fn attachments(&self) -> Result<Option<Inode>>;

    /// What the tree holds in all.
    fn statistics(&self) -> Result<Statistics>;
}

/// The files of a snapshot.
#[derive(Debug)]
pub struct FilesView {
    snapshot: Snapshot,
    superblock: Superblock,
    cache: PageCache,
    occupied: Occupied,
}

impl FilesView {
    /// The tree that a snapshot holds.
    ///
    /// Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) where it is a disk, or holds no tree;
    /// [`Corrupt`](crate::ErrorKind::Corrupt).
    pub fn open(snapshot: Snapshot) -> Result<FilesView> {
        expect_tree(snapshot.kind())?;
        let Some(superblock) = read_superblock(&snapshot)? else {
            let operation = "open a tree of files";
            return Err(Error::invalid(operation, "snapshot", "nothing in it", "a tree of files"));
        };
        let cache = PageCache::new(CACHE_BYTES);
        Ok(FilesView { snapshot, superblock, cache, occupied: Occupied::new() })
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        let (superblock, cache) = (&self.superblock, &self.cache);
        let pages = Pages { superblock, changed: None, cache, blocks: &self.snapshot };
        Reader { pages, occupied: &self.occupied }
    }
}

impl ReadFiles for FilesView {
    fn block_bytes(&self) -> u64 {
        self.snapshot.block_size().bytes()
    }

    fn lookup_kind(&self, directory: Inode, name: &[u8]) -> Result<(Inode, FileKind)> {
        self.reader().lookup(directory, name)
    }

    fn attributes(&self, inode: Inode) -> Result<Attributes> {
        self.reader().attributes(inode)
    }

    fn read(&self, inode: Inode, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let plan = self.reader().plan(inode, offset, buffer.len())?;
        plan.read(&self.snapshot, inode, offset, buffer)
    }

    fn read_with(
        &self,
        inode: Inode,
        offset: u64,
        buffer: &mut [u8],
        show: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let plan = self.reader().plan(inode, offset, buffer.len())?;
        plan.read_with(&self.snapshot, inode, offset, buffer, show)
    }

    fn read_link(&self, inode: Inode) -> Result<Vec<u8>> {
        self.reader().read_link(inode)
    }

    fn entries(
        &self,
        directory: Inode,
        mut after: u64,
        each: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        while let ControlFlow::Continue(Some(next)) =
            self.reader().entries(directory, after)?.show(each)
        {
            after = next;
        }
        Ok(())
    }

    fn extended_attribute(&self, inode: Inode, name: &[u8]) -> Result<Vec<u8>> {
        self.reader().extended_attribute(inode, name)
    }

    fn extended_attribute_names(&self, inode: Inode) -> Result<Vec<Vec<u8>>> {
        self.reader().extended_attribute_names(inode)
    }

    fn seek(&self, inode: Inode, offset: u64, seek: Seek) -> Result<Option<u64>> {
        self.reader().seek(inode, offset, seek)
    }

    fn attachments(&self) -> Result<Option<Inode>> {
        Ok(self.superblock.attachments())
    }

    fn statistics(&self) -> Result<Statistics> {
        Ok(self.reader().statistics())
    }
}

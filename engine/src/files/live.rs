//! The files of a volume: opened, read, committed.

use std::ops::{ControlFlow, Deref};
use std::sync::Arc;

use super::core::{Core, Showing};
use super::interval::Interval;
use super::options::FilesOptions;
use super::types::{Attributes, Entry, FileKind, Inode, Seek, Statistics};
use super::view::ReadFiles;
use crate::chain::Snapshot;
use crate::error::{Error, Result};
use crate::format::Annotations;
use crate::volume::Volume;

/// The files of a volume. Cheap to clone; all methods take `&self`, from many threads at once.
///
/// What was done is seen at once and durable once [`Files::flush`] has returned: one commit has
/// data and metadata, and each operation whole or not at all.
#[derive(Clone, Debug)]
pub struct Files {
    pub(super) core: Arc<Handles>,
}

/// What all handles hold: with the last one the thread that commits ends, and then what is behind them.
#[derive(Debug)]
pub(super) struct Handles {
    /// First: the thread is waited for when nobody else keeps what it commits.
    core: Arc<Core>,
    interval: Option<Interval>,
}

impl Deref for Handles {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl Files {
    /// The files of a volume, to read and write. An empty tree is given its root directory.
    /// Files without a name that nobody closed before the volume was are freed.
    ///
    /// Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) for a disk;
    /// [`Corrupt`](crate::ErrorKind::Corrupt).
    pub fn open(volume: Volume, options: FilesOptions) -> Result<Files> {
        let core = Core::open(volume, options)?;
        core.free_orphans()?;
        let start = |interval| {
            let core = Arc::downgrade(&core);
            // A commit that fails is not lost: a full host is tried again, and all else poisons the
            // volume, which the next operation tells.
            Interval::start(interval, move || core.upgrade().map(|core| drop(core.flush())))
        };
        let interval = options.commit_interval.map(start).transpose()?;
        Ok(Files { core: Arc::new(Handles { core, interval }) })
    }

    /// The volume whose blocks these files are. What is written into it directly is lost on the
    /// files or worse: use it to ask, not to write.
    pub fn volume(&self) -> &Volume {
        &self.core.volume
    }

    /// Makes all that was done before the call durable: data and metadata, one commit.
    ///
    /// Errors: as [`Volume::flush`].
    pub fn flush(&self) -> Result<()> {
        self.core.flush()
    }

    /// Freezes the tree as it is now into a snapshot, durably, and goes on above it. Others may
    /// read and write meanwhile; each of their operations is in the snapshot whole or not at all.
    ///
    /// Errors: as [`Volume::snapshot`].
    pub fn snapshot(&self, annotations: &Annotations) -> Result<Snapshot> {
        self.core.refuse_while_showing("take a snapshot of a tree of files")?;
        let done = self.core.volume.snapshot(annotations);
        self.core.settle(done)
    }

    /// How many bytes of its own file the volume takes, what waits in memory included: data, and pages of
    /// names, inodes and inline contents that were changed since they were last written. A page that takes
    /// another's place counts beside it until the commit that replaces it, as all does that is dropped.
    pub fn occupied_bytes(&self) -> u64 {
        let changed = self.core.tree.read().changed_bytes() as u64;
        self.core.volume.occupied_bytes() + changed
    }

    /// Commits, and leaves the volume so that opening it has nothing to replay.
    ///
    /// Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) where another handle on these
    /// files is left; as [`Volume::close`].
    pub fn close(self) -> Result<()> {
        let core = self.into_core("close a tree of files")?;
        // The volume asks nobody any more: what is held back is written first.
        core.tree.write().write_out(&core.volume.batch(), &core.cache)?;
        core.volume.close()
    }

    /// Gives up what was not committed since the newest snapshot, and leaves nothing of it.
    ///
    /// Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) where another handle on these
    /// files is left; as [`Volume::abandon`].
    pub fn abandon(self) -> Result<()> {
        self.into_core("give up a tree of files")?.volume.abandon()
    }

    /// What is behind the last handle. Where it is not the last, commits at an interval go on.
    fn into_core(self, operation: &str) -> Result<Core> {
        let core = Arc::into_inner(self.core).and_then(|handles| {
            let Handles { core, interval } = handles;
            // The thread holds on to the core while it commits.
            drop(interval);
            Arc::into_inner(core)
        });
        core.ok_or_else(|| {
            let (found, expected) = ("other handles on them", "the last one");
            Error::invalid(operation, "files", found, expected)
        })
    }
}

impl ReadFiles for Files {
    fn block_bytes(&self) -> u64 {
        self.core.volume.block_size().bytes()
    }

    fn lookup_kind(&self, directory: Inode, name: &[u8]) -> Result<(Inode, FileKind)> {
        self.core.look(|reader| reader.lookup(directory, name))
    }

    fn attributes(&self, inode: Inode) -> Result<Attributes> {
        self.core.look(|reader| reader.attributes(inode))
    }

    fn read(&self, inode: Inode, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        // Held until the blocks are read: nobody cuts the file off meanwhile.
        let _content = self.core.content_to_read(inode)?;
        self.core.read_content(inode, offset, buffer)
    }

    fn read_with(
        &self,
        inode: Inode,
        offset: u64,
        buffer: &mut [u8],
        show: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        // Held until all is shown: what is lent stays what the file holds, so nothing collects it.
        let _content = self.core.content_to_read(inode)?;
        let plan = self.core.look(|reader| reader.plan(inode, offset, buffer.len()))?;
        let _showing = Showing::of(&self.core);
        plan.read_with(&self.core.volume, inode, offset, buffer, show)
    }

    fn read_link(&self, inode: Inode) -> Result<Vec<u8>> {
        self.core.look(|reader| reader.read_link(inode))
    }

    fn entries(
        &self,
        directory: Inode,
        mut after: u64,
        each: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        loop {
            let batch = self.core.look(|reader| reader.entries(directory, after))?;
            match batch.show(each) {
                ControlFlow::Continue(Some(next)) => after = next,
                _ => return Ok(()),
            }
        }
    }

    fn extended_attribute(&self, inode: Inode, name: &[u8]) -> Result<Vec<u8>> {
        self.core.look(|reader| reader.extended_attribute(inode, name))
    }

    fn extended_attribute_names(&self, inode: Inode) -> Result<Vec<Vec<u8>>> {
        self.core.look(|reader| reader.extended_attribute_names(inode))
    }

    fn seek(&self, inode: Inode, offset: u64, seek: Seek) -> Result<Option<u64>> {
        let _content = self.core.content_to_read(inode)?;
        self.core.look(|reader| reader.seek(inode, offset, seek))
    }

    fn attachments(&self) -> Result<Option<Inode>> {
        self.core.look(|reader| Ok(reader.pages.superblock.attachments()))
    }

    fn statistics(&self) -> Result<Statistics> {
        self.core.look(|reader| Ok(reader.statistics()))
    }
}

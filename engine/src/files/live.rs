//! The files of a volume: opened, read, committed.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::blocks::{Blocks, first_block};
use super::interval::Interval;
use super::occupied::Occupied;
use super::operation::Operation;
use super::read::Reader;
use super::tree::{Change, PageCache, Tree};
use super::types::{Attributes, Entry, FileKind, Inode, Seek, Statistics};
use super::view::{ReadFiles, expect_tree};
use crate::chain::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Annotations;
use crate::format::files::entry::NamePlace;
use crate::format::files::{InodeFlags, InodeRecord, ItemKind, Key, Superblock, Time};
use crate::units::{BlockAddress, LayerId};
use crate::volume::{Batch, BeforeCut, Volume};

/// How many locks the contents of files are spread over.
const STRIPES: usize = 256;

/// How a tree of files keeps its metadata, and what a new one begins with.
#[derive(Clone, Copy, Debug)]
pub struct FilesOptions {
    /// How much unchanged metadata is kept in memory, in bytes.
    pub cache_bytes: u64,
    /// How much changed metadata waits in memory for the next commit at most, in bytes; what is
    /// more goes into the volume's blocks, uncommitted.
    pub changed_bytes_max: usize,
    /// Owner and group of the root directory of a new tree.
    pub root_owner: (u32, u32),
    /// Permissions of the root directory of a new tree.
    pub root_permissions: u16,
    /// What time it is.
    pub clock: fn() -> Time,
    /// How long what was done may wait for a commit; none: until somebody flushes.
    pub commit_interval: Option<Duration>,
}

impl Default for FilesOptions {
    fn default() -> FilesOptions {
        FilesOptions {
            cache_bytes: 32 << 20,
            changed_bytes_max: 8 << 20,
            root_owner: (0, 0),
            root_permissions: 0o755,
            clock: Time::now,
            commit_interval: None,
        }
    }
}

/// The files of a volume. Cheap to clone; all methods take `&self`, from many threads at once.
///
/// What was done is seen at once and durable once [`Files::flush`] has returned: one commit has
/// data and metadata, and each operation whole or not at all.
#[derive(Clone, Debug)]
pub struct Files {
    pub(super) core: Arc<Core>,
}

/// What all handles share. Locks are taken in this order: the volume's gate (by a batch), the
/// contents of files in the order of their locks, the tree; `held` alone.
#[derive(Debug)]
pub(super) struct Core {
    pub volume: Volume,
    pub options: FilesOptions,
    pub tree: RwLock<Tree>,
    pub cache: PageCache,
    pub occupied: Occupied,
    contents: Vec<RwLock<()>>,
    /// How often each file is held open. Those without a name go when nobody holds them.
    pub held: Mutex<HashMap<u32, u64>>,
    interval: Mutex<Option<Interval>>,
    /// A [`Poison`].
    poison: AtomicU8,
}

impl Files {
    /// The files of a volume, to read and write. An empty tree is given its root directory.
    /// Files without a name that nobody closed before the volume was are freed.
    ///
    /// Errors: [`ErrorKind::InvalidInput`] for a disk; [`ErrorKind::Corrupt`].
    pub fn open(volume: Volume, options: FilesOptions) -> Result<Files> {
        expect_tree(volume.kind())?;
        let cache = PageCache::new(options.cache_bytes);
        let tree = load(&volume, &options, &cache)?;
        let core = Arc::new(Core {
            volume,
            options,
            tree: RwLock::new(tree),
            cache,
            occupied: Occupied::new(),
            contents: (0..STRIPES).map(|_| RwLock::default()).collect(),
            held: Mutex::default(),
            interval: Mutex::default(),
            poison: AtomicU8::new(Poison::None as u8),
        });
        let above: Weak<dyn BeforeCut> = Arc::downgrade(&(Arc::clone(&core) as _));
        core.volume.ask_before_cuts(above);
        let files = Files { core };
        files.free_orphans()?;
        if let Some(interval) = options.commit_interval {
            *files.core.interval.lock() = Some(Interval::start(&files.core, interval)?);
        }
        Ok(files)
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
        let done = self.core.volume.snapshot(annotations);
        self.core.settle(done)
    }

    /// Commits, and leaves the volume so that opening it has nothing to replay.
    ///
    /// Errors: [`ErrorKind::InvalidInput`] where another handle on these files is left; as
    /// [`Volume::close`].
    pub fn close(self) -> Result<()> {
        let interval = self.core.interval.lock().take();
        if let Some(interval) = interval {
            interval.stop();
        }
        let Some(core) = Arc::into_inner(self.core) else {
            let (found, expected) = ("other handles on them", "the last one");
            return Err(Error::invalid("close a tree of files", "files", found, expected));
        };
        // The volume asks nobody any more: what is held back is written first.
        core.tree.write().write_out(&core.volume.batch(), &core.cache)?;
        core.volume.close()
    }
}

impl Core {
    /// Looks at the tree as it is now.
    pub fn look<T>(&self, read: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        if self.poison.load(Ordering::Acquire) == Poison::Noticed as u8 {
            self.reload()?;
        }
        let tree = self.tree.read();
        let pages = tree.pages(&self.cache, &self.volume);
        read(&Reader { pages, occupied: &self.occupied })
    }

    pub fn flush(&self) -> Result<()> {
        let done = self.volume.flush();
        self.settle(done)
    }

    /// Reads a file. The caller holds its content's lock.
    pub fn read_content(&self, inode: Inode, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let plan = self.look(|reader| reader.plan(inode, offset, buffer.len()))?;
        plan.read(&self.volume, inode, offset, buffer)
    }

    /// Does an operation in a batch of its own: a commit has it whole or not at all. Where the
    /// host is full, free space is looked for once, and the operation tried again.
    pub fn operate<T>(
        &self,
        name: &'static str,
        attempt: impl Fn(&Operation<'_>) -> Result<T>,
    ) -> Result<T> {
        let checked = self.volume.check_writable(name);
        self.settle(checked)?;
        let once = || attempt(&Operation { core: self, batch: self.volume.batch(), name });
        let done = match once() {
            Err(error) if error.kind() == ErrorKind::NoSpace && self.volume.find_room()? => once(),
            done => done,
        };
        self.settle(done)
    }

    /// The lock on the content of a file, to change it.
    pub fn content(&self, inode: Inode) -> &RwLock<()> {
        &self.contents[inode.0 as usize % STRIPES]
    }

    /// The place of that lock: two are taken in this order.
    pub fn content_place(inode: Inode) -> usize {
        inode.0 as usize % STRIPES
    }

    /// After an error that poisoned the volume, what was done since its last durable commit can
    /// never become durable: it goes, and reads show what the volume does.
    fn settle<T>(&self, done: Result<T>) -> Result<T> {
        if done.is_err() && self.volume.check_writable("look").is_err() {
            let _ = self.poison.compare_exchange(
                Poison::None as u8,
                Poison::Noticed as u8,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
        }
        done
    }

    /// Loads the tree of a poisoned volume as that shows it; where it cannot be read now, it is
    /// tried again with the next look.
    fn reload(&self) -> Result<()> {
        let mut tree = self.tree.write();
        if self.poison.load(Ordering::Acquire) != Poison::Noticed as u8 {
            return Ok(());
        }
        // Written out or not: what is here is newer than what the volume shows.
        self.cache.clear();
        self.occupied.clear();
        // Where nothing was ever committed, what is shown is an empty tree.
        *tree = load(&self.volume, &self.options, &self.cache)?;
        tree.forget_changes();
        self.poison.store(Poison::Settled as u8, Ordering::Release);
        Ok(())
    }
}

/// What became of a tree whose volume was poisoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Poison {
    None,
    /// The tree in memory is newer than what can ever be durable.
    Noticed,
    /// The tree is as the volume shows it.
    Settled,
}

impl BeforeCut for Core {
    fn before_cut(&self, batch: &Batch<'_>) -> Result<()> {
        self.tree.write().write_out(batch, &self.cache)
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
        let _content = self.core.content(inode).read();
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
        let _content = self.core.content(inode).read();
        let plan = self.core.look(|reader| reader.plan(inode, offset, buffer.len()))?;
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
        let _content = self.core.content(inode).read();
        self.core.look(|reader| reader.seek(inode, offset, seek))
    }

    fn attachments(&self) -> Result<Option<Inode>> {
        self.core.look(|reader| Ok(reader.pages.superblock.attachments()))
    }

    fn statistics(&self) -> Result<Statistics> {
        self.core.look(|reader| Ok(reader.statistics()))
    }
}

/// The first page, or none where nothing was ever written into a tree.
pub(super) fn read_superblock(blocks: &dyn Blocks) -> Result<Option<Superblock>> {
    let mut page = vec![0; blocks.block_size().bytes_usize()];
    blocks.read(BlockAddress(0), 0, &mut page)?;
    if crate::format::fields::first_nonzero(&page).is_none() {
        // A tree that lost its first page still has others.
        for extent in blocks.extents(BlockAddress(0), first_block(2)) {
            if matches!(extent?.target, crate::chain::ViewTarget::Data { .. }) {
                let expected = "the head of a file tree";
                return Err(Error::corrupt(
                    "open a tree of files",
                    "first page",
                    "zeros",
                    expected,
                ));
            }
        }
        return Ok(None);
    }
    Superblock::decode(&page, blocks.block_size()).map(Some)
}

/// The tree of a volume, or a new one where there is none.
fn load(volume: &Volume, options: &FilesOptions, cache: &PageCache) -> Result<Tree> {
    let page_bytes = volume.block_size().bytes_usize();
    if let Some(superblock) = read_superblock(volume)? {
        if superblock.read_only_compatible != 0 {
            let found = format!("{:#x}", superblock.read_only_compatible);
            return Err(Error::new(ErrorKind::Unsupported, "open a tree of files to write").about(
                "read-only compatible features",
                found,
                "none",
            ));
        }
        return Ok(Tree::new(superblock, page_bytes));
    }
    let mut name_key = [0; 32];
    name_key[..16].copy_from_slice(&LayerId::random()?.0);
    name_key[16..].copy_from_slice(&LayerId::random()?.0);
    let superblock = Superblock::of_new_tree(volume.layer_id(), name_key);
    let mut tree = Tree::create(superblock, page_bytes);
    let now = (options.clock)();
    let root = InodeRecord {
        mode: FileKind::Directory.mode_bits() | options.root_permissions & 0o7777,
        flags: InodeFlags::default(),
        owner: options.root_owner.0,
        group: options.root_owner.1,
        links: 2,
        generation: 1,
        device: 0,
        size: 0,
        accessed: now,
        modified: now,
        changed: now,
        created: now,
        name: NamePlace { directory: Inode::ROOT.0, cookie: 0 },
    };
    tree.transaction(cache, volume, |change: &mut Change<'_>| {
        change.superblock_mut().inodes = 1;
        change.put(Key::new(ItemKind::Inode, Inode::ROOT.0, 0), &root.encode())
    })?;
    volume.note_change_above();
    Ok(tree)
}

//! What all handles on the files of a volume share.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::load::{expect_tree, load};
use super::occupied::Occupied;
use super::options::FilesOptions;
use super::read::Reader;
use super::tree::{PageCache, Tree};
use super::types::Inode;
use crate::error::{Error, Result};
use crate::volume::{Batch, BeforeCut, Volume};

/// How many locks the contents of files are spread over.
const STRIPES: usize = 256;

/// What all handles share. Locks are taken in this order: the volume's gate (by a batch), the
/// contents of files in the order of their locks, the tree, `held`.
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
    /// A [`Poison`].
    poison: AtomicU8,
}

impl Core {
    /// What handles on the files of `volume` share.
    pub fn open(volume: Volume, options: FilesOptions) -> Result<Arc<Core>> {
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
            poison: AtomicU8::new(Poison::None as u8),
        });
        let above: Weak<dyn BeforeCut> = Arc::downgrade(&(Arc::clone(&core) as _));
        core.volume.ask_before_cuts(above);
        Ok(core)
    }

    /// The lock on the content of a file, to read it. A thread that is shown content of this tree has one
    /// already: it gets another, though a writer may wait for both.
    pub fn content_to_read(&self, inode: Inode) -> Result<RwLockReadGuard<'_, ()>> {
        self.volume.check_process("read a file")?;
        Ok(match Showing::is_of(self) {
            true => self.content(inode).read_recursive(),
            false => self.content(inode).read(),
        })
    }

    /// Refuses what would wait for a lock that this thread has while it is shown content.
    pub fn refuse_while_showing(&self, operation: &str) -> Result<()> {
        match Showing::is_of(self) {
            true => {
                let (found, expected) = ("one that is shown content", "one that is not");
                Err(Error::invalid(operation, "thread", found, expected))
            }
            false => Ok(()),
        }
    }

    /// Looks at the tree as it is now.
    pub fn look<T>(&self, read: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        self.volume.check_process("look at a tree of files")?;
        if self.poison.load(Ordering::Acquire) == Poison::Noticed as u8 {
            self.reload()?;
        }
        let tree = self.tree.read();
        let pages = tree.pages(&self.cache, &self.volume);
        read(&Reader { pages, occupied: &self.occupied })
    }

    pub fn flush(&self) -> Result<()> {
        self.refuse_while_showing("commit a tree of files")?;
        let done = self.volume.flush();
        self.settle(done)
    }

    /// Reads a file. The caller holds its content's lock.
    pub fn read_content(&self, inode: Inode, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let plan = self.look(|reader| reader.plan(inode, offset, buffer.len()))?;
        plan.read(&self.volume, inode, offset, buffer)
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
    pub fn settle<T>(&self, done: Result<T>) -> Result<T> {
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

thread_local! {
    /// The trees of which this thread is shown content.
    static SHOWN: RefCell<Vec<*const Core>> = const { RefCell::new(Vec::new()) };
}

/// While this lives, this thread is shown content of a tree, and has a lock on it.
pub(super) struct Showing;

impl Showing {
    pub fn of(core: &Core) -> Showing {
        SHOWN.with_borrow_mut(|shown| shown.push(core));
        Showing
    }

    fn is_of(core: &Core) -> bool {
        SHOWN.with_borrow(|shown| shown.contains(&std::ptr::from_ref(core)))
    }
}

impl Drop for Showing {
    fn drop(&mut self) {
        let _ = SHOWN.with_borrow_mut(Vec::pop);
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

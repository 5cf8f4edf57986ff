//! What all handles on the files of a volume share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use super::load::{expect_tree, load};
use super::occupied::Occupied;
use super::options::FilesOptions;
use super::read::Reader;
use super::tree::{PageCache, Tree};
use super::types::Inode;
use crate::error::Result;
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

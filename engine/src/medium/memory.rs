//! A [`Host`] in memory: nothing of it outlives the process.

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::hash::BuildHasher;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::flock::{FileLock, LockHolder};
use super::names::NameTree;
use super::sparse::SparseBytes;
use super::{FileFacts, FileIdentity, Host, LockMode, LockWait, Map, Medium, OpenMode};

/// A tree of files in memory, for embedders that want a store without a disk. Syncs
/// promise nothing, and there are no maps.
#[derive(Debug)]
pub struct MemoryHost {
    names: Mutex<NameTree<Arc<MemoryFile>>>,
    device: u64,
    next_inode: AtomicU64,
}

#[derive(Debug)]
struct MemoryFile {
    identity: FileIdentity,
    links: AtomicU64,
    content: RwLock<SparseBytes>,
    lock: FileLock,
}

impl MemoryHost {
    /// A host that holds its root folder only.
    pub fn new() -> MemoryHost {
        MemoryHost {
            names: Mutex::default(),
            // Two hosts of one process must not take each other's files for their own.
            device: RandomState::new().hash_one(0),
            next_inode: AtomicU64::new(1),
        }
    }

    fn new_file(&self) -> Arc<MemoryFile> {
        let inode = self.next_inode.fetch_add(1, Ordering::Relaxed);
        Arc::new(MemoryFile {
            identity: FileIdentity { device: self.device, inode },
            links: AtomicU64::new(1),
            content: RwLock::default(),
            lock: FileLock::default(),
        })
    }
}

impl Default for MemoryHost {
    fn default() -> MemoryHost {
        MemoryHost::new()
    }
}

impl Host for MemoryHost {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn Medium>> {
        let mut names = self.names.lock();
        let found = match mode {
            OpenMode::CreateNew => None,
            OpenMode::OpenOrCreate => names.file(path).ok().cloned(),
            OpenMode::Read | OpenMode::ReadWrite => Some(names.file(path)?.clone()),
        };
        let file = match found {
            Some(file) => file,
            None => {
                let file = self.new_file();
                names.create(path, file.clone())?;
                file
            }
        };
        Ok(Arc::new(MemoryMedium {
            file,
            writable: mode != OpenMode::Read,
            holder: LockHolder::new(),
        }))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.names.lock().create_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if let Some(replaced) = self.names.lock().rename(from, to)? {
            replaced.links.fetch_sub(1, Ordering::AcqRel);
        }
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.names.lock().rename_new(from, to)
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        let linked = self.names.lock().link(file, name)?;
        linked.links.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.names.lock().remove(path)?.links.fetch_sub(1, Ordering::AcqRel);
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.names.lock().expect_folder(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.names.lock().list(path)
    }

    fn facts(&self, path: &Path) -> io::Result<FileFacts> {
        Ok(self.names.lock().file(path)?.facts())
    }

    fn display_path(&self, path: &Path) -> PathBuf {
        Path::new("memory:").join(path)
    }
}

impl MemoryFile {
    fn facts(&self) -> FileFacts {
        let content = self.content.read();
        FileFacts {
            identity: self.identity,
            length: content.length(),
            allocated_bytes: content.allocated_bytes(),
            links: self.links.load(Ordering::Acquire),
        }
    }
}

/// An open file of a [`MemoryHost`].
#[derive(Debug)]
pub struct MemoryMedium {
    file: Arc<MemoryFile>,
    writable: bool,
    holder: LockHolder,
}

impl MemoryMedium {
    fn change(&self, change: impl FnOnce(&mut SparseBytes) -> io::Result<()>) -> io::Result<()> {
        match self.writable {
            true => change(&mut self.file.content.write()),
            false => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }
}

impl Medium for MemoryMedium {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.content.read().read(offset, buffer)
    }

    fn read_uncached_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(|content| content.write(offset, bytes))
    }

    fn write_vectored_at(&self, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        self.change(|content| {
            let mut offset = offset;
            for slice in slices {
                content.write(offset, slice)?;
                offset += slice.len() as u64;
            }
            Ok(())
        })
    }

    fn start_writeback(&self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        self.change(|content| content.allocate(offset, length))
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.change(|content| content.set_length(length))
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.change(|content| content.punch(offset, length))
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<(u64, u64)>> {
        Ok(self.file.content.read().next_data(offset))
    }

    fn map(&self, _offset: u64, _length: u64) -> io::Result<Option<Map>> {
        Ok(None)
    }

    fn lock(&self, mode: LockMode, wait: LockWait) -> io::Result<bool> {
        Ok(self.file.lock.lock(self.holder, mode, wait))
    }

    fn lock_byte(&self, offset: u64, wait: LockWait) -> io::Result<bool> {
        match self.writable {
            true => Ok(self.file.lock.lock_byte(self.holder, offset, wait)),
            false => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.lock.unlock(self.holder);
        Ok(())
    }

    fn facts(&self) -> io::Result<FileFacts> {
        Ok(self.file.facts())
    }
}

impl Drop for MemoryMedium {
    fn drop(&mut self) {
        self.file.lock.close(self.holder);
    }
}

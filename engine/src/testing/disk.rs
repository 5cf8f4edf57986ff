//! A disk in memory that records every operation, dies and loses power.
//!
//! What a process sees is the host's cache: every operation done so far. What a
//! power cut leaves is worked out from the log: see [`CrashDisk::states_at`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::image::{Change, FileNumber, Image, Naming, Operation, Written};
use super::settle::durable_content;
use crate::medium::flock::{FileLock, LockHolder};
use crate::medium::sparse::SparseBytes;
use crate::medium::{FileFacts, FileIdentity, Host, LockMode, LockWait, Map, Medium, OpenMode};

/// A machine with one disk. Processes on it see it through [`CrashDisk::host`].
#[derive(Debug)]
pub struct CrashDisk {
    state: Mutex<State>,
}

struct State {
    /// Stands for the disk in identities of files: no two share one.
    device: u64,
    /// What is durable before the first entry of the log.
    base: Image,
    log: Vec<Operation>,
    /// What processes see: the base with the whole log applied.
    cache: Image,
    /// What the device holds of files that a failed sync has parted from the cache.
    devices: BTreeMap<FileNumber, SparseBytes>,
    locks: BTreeMap<FileNumber, Arc<FileLock>>,
    next_file: u64,
    /// Goes up when the processes are killed: handles of another life are dead.
    life: u64,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} operations, {} files, life {}",
            self.log.len(),
            self.cache.files.len(),
            self.life
        )
    }
}

static NEXT_DEVICE: AtomicU64 = AtomicU64::new(1);

impl CrashDisk {
    /// A disk that holds its root folder only.
    pub fn new() -> Arc<CrashDisk> {
        CrashDisk::holding(Image::default())
    }

    /// A disk on which `image` is durable.
    pub(super) fn holding(image: Image) -> Arc<CrashDisk> {
        // A file without a byte stands among the names only.
        let named = image.names.files().map(|(_, file)| file.0);
        let next_file = named.chain(image.files.keys().map(|file| file.0)).max().unwrap_or(0) + 1;
        Arc::new(CrashDisk {
            state: Mutex::new(State {
                device: NEXT_DEVICE.fetch_add(1, Ordering::Relaxed),
                cache: image.clone(),
                base: image,
                log: Vec::new(),
                devices: BTreeMap::new(),
                locks: BTreeMap::new(),
                next_file,
                life: 0,
            }),
        })
    }

    /// The disk as a process sees it that starts now.
    pub fn host(self: &Arc<Self>) -> Arc<CrashHost> {
        let life = self.state.lock().life;
        Arc::new(CrashHost { disk: self.clone(), life })
    }

    /// Kills every process (`kill -9`): their handles fail, their locks are free,
    /// the cache keeps what they wrote.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        state.life += 1;
        state.locks.clear();
    }

    /// How many operations are recorded: the point that has just been reached.
    pub fn log_len(&self) -> usize {
        self.state.lock().log.len()
    }

    /// The operations from `start` on, one a line, for people.
    pub fn describe_log(&self, start: usize) -> String {
        let state = self.state.lock();
        let lines = state.log.iter().enumerate().skip(start);
        lines.map(|(index, operation)| format!("{index}: {operation}\n")).collect()
    }

    /// The machine as it was when the first `point` operations were done: every process
    /// is killed there, and what was not durable is not durable still.
    pub fn killed_at(&self, point: usize) -> Arc<CrashDisk> {
        let state = self.state.lock();
        let disk = CrashDisk::holding(state.base.clone());
        let mut copy = disk.state.lock();
        copy.next_file = state.next_file;
        for operation in &state.log[..point] {
            copy.repeat(operation.clone());
        }
        drop(copy);
        disk
    }

    /// What `look` says of what was durable at first, and of the operations recorded since.
    pub(super) fn recorded<T>(&self, look: impl FnOnce(&Image, &[Operation]) -> T) -> T {
        let state = self.state.lock();
        look(&state.base, &state.log)
    }

    /// What the host does when it cannot write a file back: it reports the failure
    /// once, to a sync, and forgets the writes. The cache serves them on; the device
    /// does not have them, and no later sync will bring them there.
    pub fn lose_unsynced(&self, file: FileIdentity) {
        self.state.lock().lose_unsynced(FileNumber(file.inode));
    }

    fn change<T>(
        &self,
        life: u64,
        change: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state.lock();
        match state.life == life {
            true => change(&mut state),
            false => Err(io::Error::other("the process of this handle was killed")),
        }
    }
}

impl State {
    fn change_file(&mut self, file: FileNumber, change: Change) -> io::Result<()> {
        change.apply(self.cache.content(file))?;
        if let Some(device) = self.devices.get_mut(&file) {
            // What is written from now on can reach the device again.
            change.apply(device)?;
        }
        self.log.push(Operation::Change(file, change));
        Ok(())
    }

    fn lose_unsynced(&mut self, file: FileNumber) {
        let device = durable_content(&self.base, &self.log, file);
        self.devices.insert(file, device);
        self.log.push(Operation::LoseUnsynced(file));
    }

    fn repeat(&mut self, operation: Operation) {
        match operation {
            Operation::Change(file, change) => {
                self.change_file(file, change).expect("it was possible before");
            }
            Operation::LoseUnsynced(file) => self.lose_unsynced(file),
            Operation::Naming(naming) => {
                self.cache.name(&naming);
                self.log.push(Operation::Naming(naming));
            }
            Operation::DropCache(file) => self.drop_cache(file).expect("it was possible before"),
            durable @ (Operation::Sync(_) | Operation::SyncFolder(_)) => self.log.push(durable),
        }
    }

    fn read_device(&self, file: FileNumber, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let cached = self.cache.view(file);
        match self.devices.get(&file) {
            Some(device) => lengthened(device, cached.length())?.read(offset, buffer),
            None => cached.read(offset, buffer),
        }
    }

    fn drop_cache(&mut self, file: FileNumber) -> io::Result<()> {
        if let Some(device) = self.devices.get(&file) {
            let content = lengthened(device, self.cache.view(file).length())?;
            *self.cache.content(file) = content;
        }
        self.log.push(Operation::DropCache(file));
        Ok(())
    }

    fn facts(&self, file: FileNumber) -> FileFacts {
        let content = self.cache.view(file);
        FileFacts {
            identity: FileIdentity { device: self.device, inode: file.0 },
            length: content.length(),
            allocated_bytes: content.allocated_bytes(),
            links: self.cache.links(file),
        }
    }
}

/// What the device gives of a file that the host takes to be `length` bytes long.
fn lengthened(device: &SparseBytes, length: u64) -> io::Result<SparseBytes> {
    let mut content = device.clone();
    content.set_length(length)?;
    Ok(content)
}

/// The disk as one process sees it, until it is killed.
#[derive(Debug)]
pub struct CrashHost {
    disk: Arc<CrashDisk>,
    life: u64,
}

impl CrashHost {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.disk.change(self.life, change)
    }
}

impl Host for CrashHost {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn Medium>> {
        let (file, lock) = self.change(|state| {
            let found = match mode {
                OpenMode::CreateNew => None,
                OpenMode::OpenOrCreate => state.cache.names.file(path).ok().copied(),
                OpenMode::Read | OpenMode::ReadWrite => Some(*state.cache.names.file(path)?),
            };
            let file = match found {
                Some(file) => file,
                None => {
                    let file = FileNumber(state.next_file);
                    state.cache.names.create(path, file)?;
                    state.next_file += 1;
                    let path = path.to_owned();
                    state.log.push(Operation::Naming(Naming::Create { path, file }));
                    file
                }
            };
            Ok((file, state.locks.entry(file).or_default().clone()))
        })?;
        Ok(Arc::new(CrashMedium {
            disk: self.disk.clone(),
            life: self.life,
            file,
            writable: mode != OpenMode::Read,
            lock,
            holder: LockHolder::new(),
        }))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            state.cache.names.create_folder(path)?;
            state.log.push(Operation::Naming(Naming::CreateFolder { path: path.to_owned() }));
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| {
            state.cache.names.rename(from, to)?;
            state.log_rename(from, to)
        })
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| {
            state.cache.names.rename_new(from, to)?;
            state.log_rename(from, to)
        })
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        self.change(|state| {
            let file = state.cache.names.link(file, name)?;
            let path = name.to_owned();
            // To the folder it is a new entry, whether the file has others or not.
            state.log.push(Operation::Naming(Naming::Create { path, file }));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            let file = state.cache.names.remove(path)?;
            state.log.push(Operation::Naming(Naming::Remove { path: path.to_owned(), file }));
            Ok(())
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            state.cache.names.expect_folder(path)?;
            state.log.push(Operation::SyncFolder(path.to_owned()));
            Ok(())
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.change(|state| state.cache.names.list(path))
    }

    fn facts(&self, path: &Path) -> io::Result<FileFacts> {
        self.change(|state| Ok(state.facts(*state.cache.names.file(path)?)))
    }

    fn display_path(&self, path: &Path) -> PathBuf {
        Path::new("disk:").join(path)
    }
}

impl State {
    fn log_rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let file = *self.cache.names.file(to)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        self.log.push(Operation::Naming(Naming::Rename { from, to, file }));
        Ok(())
    }
}

/// An open file of a [`CrashHost`].
struct CrashMedium {
    disk: Arc<CrashDisk>,
    life: u64,
    file: FileNumber,
    writable: bool,
    lock: Arc<FileLock>,
    holder: LockHolder,
}

impl fmt::Debug for CrashMedium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {} of a disk that records", self.file.0)
    }
}

impl CrashMedium {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.disk.change(self.life, change)
    }

    fn change_file(&self, change: Change) -> io::Result<()> {
        match self.writable {
            true => self.change(|state| state.change_file(self.file, change)),
            false => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > i64::MAX as u64) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.change_file(Change::Write(Written::new(offset, bytes)))
    }
}

impl Medium for CrashMedium {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.change(|state| state.cache.view(self.file).read(offset, buffer))
    }

    fn read_uncached_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.change(|state| state.read_device(self.file, offset, buffer))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write(offset, bytes)
    }

    fn write_vectored_at(&self, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.write(offset, &bytes)
    }

    fn start_writeback(&self, _offset: u64, _length: u64) -> io::Result<()> {
        self.change(|_| Ok(()))
    }

    fn sync(&self) -> io::Result<()> {
        self.change(|state| {
            state.log.push(Operation::Sync(self.file));
            Ok(())
        })
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.change(|state| state.drop_cache(self.file))
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        self.change_file(Change::Allocate { offset, length })
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.change_file(Change::SetLength(length))
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.change_file(Change::Punch { offset, length })
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<(u64, u64)>> {
        self.change(|state| Ok(state.cache.view(self.file).next_data(offset)))
    }

    fn map(&self, _offset: u64, _length: u64) -> io::Result<Option<Map>> {
        self.change(|_| Ok(None))
    }

    fn lock(&self, mode: LockMode, wait: LockWait) -> io::Result<bool> {
        self.change(|_| Ok(()))?;
        let taken = self.lock.lock(self.holder, mode, wait);
        self.change(|_| Ok(taken))
    }

    fn lock_byte(&self, offset: u64, wait: LockWait) -> io::Result<bool> {
        if !self.writable {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        self.change(|_| Ok(()))?;
        let taken = self.lock.lock_byte(self.holder, offset, wait);
        self.change(|_| Ok(taken))
    }

    fn unlock(&self) -> io::Result<()> {
        self.lock.unlock(self.holder);
        self.change(|_| Ok(()))
    }

    fn facts(&self) -> io::Result<FileFacts> {
        self.change(|state| Ok(state.facts(self.file)))
    }
}

impl Drop for CrashMedium {
    fn drop(&mut self) {
        self.lock.close(self.holder);
    }
}

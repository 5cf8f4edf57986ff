//! The seam for all I/O of the engine: files on a host, or doubles in memory.
//!
//! A [`Host`] is a directory tree with names, a [`Medium`] is one open file.
//! The engine asks nothing of either that a POSIX host cannot give; what it
//! assumes of them when power fails is written down in `docs/MEDIA.md`.

#[cfg(test)]
pub(crate) mod contract;
mod file;
pub(crate) mod flock;
mod folder;
mod memory;
pub(crate) mod names;
pub(crate) mod sparse;
mod work;

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub use crate::raw::{Map, fork_generation, install_guard};
pub use file::FileMedium;
pub use folder::{FileHost, Network, create_private_folders};
pub use memory::{MemoryHost, MemoryMedium};
pub use work::WorkFolder;

use crate::error::{Error, ErrorKind};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading only; the file must be there.
    Read,
    /// For reading and writing; the file must be there.
    ReadWrite,
    /// For reading and writing; the file must not be there yet.
    CreateNew,
    /// For reading and writing; made where it is not there (lock files).
    OpenOrCreate,
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Together with other shared holders.
    Shared,
    /// Alone.
    Exclusive,
}

/// Whether a call waits for a lock that somebody else holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    /// Answer at once.
    Try,
    /// Wait until it is free.
    Block,
}

/// Which file this is, whatever its name: equal for two handles of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The device, or the host, that holds it.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// What the host knows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// The file's identity.
    pub identity: FileIdentity,
    /// The length in bytes.
    pub length: u64,
    /// The bytes that the host has allocated for it.
    pub allocated_bytes: u64,
    /// How many names it has; 0 once it is unlinked.
    pub links: u64,
}

/// One open file: positioned reads and writes, no cursor. Closing it (the last
/// handle dropped) gives back its locks.
pub trait Medium: Send + Sync + fmt::Debug {
    /// Fills `buffer` from `offset`; [`io::ErrorKind::UnexpectedEof`] past the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// As `read_at`, from the device and not from the host's cache.
    fn read_uncached_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, extending the file where needed.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Writes all of `slices`, one after another, from `offset` on.
    fn write_vectored_at(&self, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()>;

    /// Asks the host to begin writing a range to the device; promises nothing.
    fn start_writeback(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Makes all that was written, and the length, durable (`fdatasync`).
    fn sync(&self) -> io::Result<()>;

    /// Forgets what the host's cache holds of the file and is clean.
    fn drop_cache(&self) -> io::Result<()>;

    /// Backs a range with space and extends the file to hold it. A host that
    /// cannot reserve extends only; bytes not written before read as zeros.
    fn allocate(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Sets the length; the engine only ever extends with it.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Gives the space of a range back to the host; it reads as zeros, the length
    /// stays. [`io::ErrorKind::Unsupported`] where the host cannot.
    fn punch(&self, offset: u64, length: u64) -> io::Result<()>;

    /// The first range at or after `offset` that may hold data, as `start..end`;
    /// `None` where only a hole follows. A host that cannot tell answers with all that follows.
    fn next_data(&self, offset: u64) -> io::Result<Option<(u64, u64)>>;

    /// Maps `length` bytes from `offset` (a multiple of 4 KiB) for reading. The range may reach past the
    /// end; such bytes must not be touched before the file holds them. `None`
    /// where the medium has no maps, or the process can have none: callers then read.
    fn map(&self, offset: u64, length: u64) -> io::Result<Option<Map>>;

    /// Takes the advisory lock of the file (`flock`), replacing one held through this handle.
    /// `false` where `wait` is [`LockWait::Try`] and somebody else holds it.
    fn lock(&self, mode: LockMode, wait: LockWait) -> io::Result<bool>;

    /// Takes the byte at `offset` of the file alone, until this handle is closed: a lock beside that
    /// of the file, as `F_OFD_SETLK` has it. The byte need not be there; the handle must be open for
    /// writing. `false` where `wait` is [`LockWait::Try`] and another handle has it.
    fn lock_byte(&self, offset: u64, wait: LockWait) -> io::Result<bool>;

    /// Gives the lock of the file back.
    fn unlock(&self) -> io::Result<()>;

    /// Identity, length, allocation and link count.
    fn facts(&self) -> io::Result<FileFacts>;
}

/// A tree of named files. Paths are relative to its root, in normal form.
pub trait Host: Send + Sync + fmt::Debug {
    /// Opens a file, without waiting for anybody; what is no regular file is
    /// [`io::ErrorKind::InvalidData`].
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn Medium>>;

    /// Makes a folder; its parent must be there.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Renames a file, replacing another of the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file; [`io::ErrorKind::AlreadyExists`] where the new name is taken.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file one more name; [`io::ErrorKind::AlreadyExists`] where that is taken,
    /// [`io::ErrorKind::Unsupported`] where the host knows one name for a file only.
    fn link(&self, file: &Path, name: &Path) -> io::Result<()>;

    /// Removes a file's name, or an empty folder that stands in the place of one.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable (`fsync` of the directory).
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<std::ffi::OsString>>;

    /// What the host knows of the file of a name.
    fn facts(&self, path: &Path) -> io::Result<FileFacts>;

    /// The path as people should read it in messages.
    fn display_path(&self, path: &Path) -> std::path::PathBuf;
}

/// As [`Error::of_reading`], of a file of `host` that cannot be opened.
///
/// That a file may not be read is about it alone where its folder lets us look at it; where the
/// folder keeps us out, so are all others, and nothing is known of any.
pub(crate) fn failed_to_open(
    operation: impl Into<String>,
    host: &dyn Host,
    path: &Path,
    source: io::Error,
) -> Error {
    let is_refused = source.kind() == io::ErrorKind::PermissionDenied;
    let error = Error::of_reading(operation, source).in_file(host.display_path(path));
    match is_refused && host.facts(path).is_ok() {
        true => error.with_kind(ErrorKind::Unreadable),
        false => error,
    }
}

//! Directories that stay from build to build, which `RUN --mount=type=cache` mounts.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sapwood::{Error, ErrorKind, Result, Store};
use sapwood_oci::{KEPT_DIRECTORIES, allocated_bytes};

/// How much of the digest of an id names its folder.
const FOLDER_DIGITS: usize = 32;

/// Who may use a directory beside others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Several use it at once.
    Shared,
    /// Who comes second gets another one.
    Private,
    /// Who comes second waits.
    Locked,
}

/// A directory, which stays as long as this is held.
pub struct Kept {
    /// Where it is.
    pub path: PathBuf,
    _lock: File,
}

/// What was removed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemovedDirectories {
    /// How many.
    pub count: u64,
    /// What the host had allocated for them.
    pub freed_bytes: u64,
}

/// The directory of this id, made where it is missing: then with these permissions and this owner.
pub fn keep(
    store: &Store,
    id: &str,
    sharing: Sharing,
    permissions: u32,
    (user, group): (u32, u32),
) -> Result<Kept> {
    let all = store.path().join(KEPT_DIRECTORIES);
    let folder = all.join(&blake3::hash(id.as_bytes()).to_hex()[..FOLDER_DIGITS]);
    let failed = |error| Error::io("make a directory that stays", error).in_file(&folder);
    let operation = match sharing {
        Sharing::Shared => FlockOperation::LockShared,
        Sharing::Locked => FlockOperation::LockExclusive,
        Sharing::Private => FlockOperation::NonBlockingLockExclusive,
    };
    for number in 0.. {
        let path = folder.join(number.to_string());
        let locked = loop {
            fs::create_dir_all(&folder).map_err(failed)?;
            match lock(&path, operation) {
                // It was removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                locked => break locked.map_err(failed)?,
            }
        };
        let Some(lock) = locked else { continue };
        if !path.try_exists().map_err(failed)? {
            fs::create_dir(&path).map_err(failed)?;
            fs::set_permissions(&path, Permissions::from_mode(permissions)).map_err(failed)?;
            chown(&path, Some(user), Some(group)).map_err(failed)?;
        }
        return Ok(Kept { path, _lock: lock });
    }
    Err(Error::new(ErrorKind::NoSpace, "make a directory that stays: all numbers are taken"))
}

/// Removes the directories that programs of builds keep for the next one, but for those that are in
/// use.
pub fn remove_kept_directories(store: &Store, dry_run: bool) -> Result<RemovedDirectories> {
    let mut removed = RemovedDirectories::default();
    let all = store.path().join(KEPT_DIRECTORIES);
    for folder in directories(&all)? {
        for path in directories(&folder)? {
            let failed = |error| Error::io("remove a directory of builds", error).in_file(&path);
            let locked = match lock(&path, FlockOperation::NonBlockingLockExclusive) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                locked => locked.map_err(failed)?,
            };
            let Some(_lock) = locked else { continue };
            removed.count += 1;
            removed.freed_bytes += allocated_bytes(&path)?;
            if !dry_run {
                fs::remove_dir_all(&path).map_err(failed)?;
                fs::remove_file(lock_of(&path)).map_err(failed)?;
            }
        }
        if !dry_run {
            // Another one is in use, or was made just now.
            let _ = fs::remove_dir(&folder);
        }
    }
    Ok(removed)
}

fn lock_of(directory: &Path) -> PathBuf {
    directory.with_extension("lock")
}

/// The lock of a directory; none where somebody else has it.
///
/// Errors: [`NotFound`](io::ErrorKind::NotFound) where whoever had it before removed it.
fn lock(directory: &Path, operation: FlockOperation) -> io::Result<Option<File>> {
    let path = lock_of(directory);
    let file = File::create(&path)?;
    match flock(&file, operation) {
        Err(Errno::WOULDBLOCK) => return Ok(None),
        locked => locked?,
    }
    match fs::metadata(&path)?.ino() == file.metadata()?.ino() {
        true => Ok(Some(file)),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// The directories in a directory, which may be missing.
fn directories(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::io("list directories of builds", error).in_file(folder);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut directories = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            directories.push(entry.path());
        }
    }
    Ok(directories)
}

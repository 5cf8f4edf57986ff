//! Directories that stay from build to build, which `RUN --mount=type=cache` mounts.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sapwood::medium::create_private_folders;
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
        loop {
            let Some(held) = lock_in(&folder, &path, operation).map_err(failed)? else { break };
            if path.try_exists().map_err(failed)? {
                held.set_modified(SystemTime::now()).map_err(failed)?;
                return Ok(Kept { path, _lock: held });
            }
            drop(held);
            // One makes it; others who come now wait, or look again.
            let alone = FlockOperation::NonBlockingLockExclusive;
            if let Some(_alone) = lock_in(&folder, &path, alone).map_err(failed)?
                && !path.try_exists().map_err(failed)?
            {
                make(&path, permissions, (user, group)).map_err(failed)?;
            }
        }
    }
    Err(Error::new(ErrorKind::NoSpace, "make a directory that stays: all numbers are taken"))
}

/// Makes a directory that is there only with its permissions and its owner.
fn make(path: &Path, permissions: u32, (user, group): (u32, u32)) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    match fs::remove_dir(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // Whoever made it was killed.
        _ => fs::create_dir(&unfinished)?,
    }
    chown(&unfinished, Some(user), Some(group))?;
    fs::set_permissions(&unfinished, Permissions::from_mode(permissions))?;
    fs::rename(&unfinished, path)
}

/// Removes the directories that programs of builds keep for the next one, but for those that are in
/// use, and those used since `used_before`, in nanoseconds since 1970 UTC.
pub fn remove_kept_directories(
    store: &Store,
    used_before: Option<i64>,
    dry_run: bool,
) -> Result<RemovedDirectories> {
    let mut removed = RemovedDirectories::default();
    let all = store.path().join(KEPT_DIRECTORIES);
    for folder in directories(&all)? {
        for path in directories(&folder)? {
            let failed = |error| Error::io("remove a directory of builds", error).in_file(&path);
            if let Some(before) = used_before
                && last_used(&path).map_err(failed)?.is_none_or(|used| used >= before)
            {
                continue;
            }
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

/// When a directory was used last, in nanoseconds since 1970 UTC, as its lock says. None where it is
/// gone.
fn last_used(directory: &Path) -> io::Result<Option<i64>> {
    match fs::metadata(lock_of(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(|lock| Some(lock.mtime() * 1_000_000_000 + lock.mtime_nsec())),
    }
}

fn lock_of(directory: &Path) -> PathBuf {
    directory.with_extension("lock")
}

/// The lock of a directory in a folder, which is made; none where somebody else has it.
fn lock_in(folder: &Path, path: &Path, operation: FlockOperation) -> io::Result<Option<File>> {
    loop {
        create_private_folders(folder)?;
        match lock(path, operation) {
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            locked => return locked,
        }
    }
}

/// The lock of a directory; none where somebody else has it.
///
/// Errors: [`NotFound`](io::ErrorKind::NotFound) where whoever had it before removed it.
fn lock(directory: &Path, operation: FlockOperation) -> io::Result<Option<File>> {
    let path = lock_of(directory);
    let file = File::options().write(true).create(true).truncate(false).open(&path)?;
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};
    use std::sync::{Barrier, Mutex};
    use std::thread;

    use rustix::process::{getegid, geteuid};
    use sapwood::StoreOptions;
    use sapwood_oci::{Class, usage};

    use super::*;

    const AT_ONCE: usize = 8;

    fn owner() -> (u32, u32) {
        (geteuid().as_raw(), getegid().as_raw())
    }

    fn used_bytes(store: &Store) -> u64 {
        let mut classes = usage(store, &BTreeSet::new()).unwrap().classes.into_iter();
        classes.find(|class| class.class == Class::BuildDirectories).unwrap().bytes
    }

    /// Each of two that came first took the directory for missing, and one failed to make it.
    #[test]
    fn a_directory_that_is_shared_is_made_once_by_those_who_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
        for round in 0..50 {
            let (begin, end) = (Barrier::new(AT_ONCE), Barrier::new(AT_ONCE));
            let paths = Mutex::new(HashSet::new());
            thread::scope(|scope| {
                for _ in 0..AT_ONCE {
                    scope.spawn(|| {
                        begin.wait();
                        let kept =
                            keep(&store, &round.to_string(), Sharing::Shared, 0o710, owner());
                        // They use it all at once.
                        end.wait();
                        paths.lock().unwrap().insert(kept.unwrap().path);
                    });
                }
            });
            let paths = paths.into_inner().unwrap();
            assert_eq!(paths.len(), 1);
            for path in paths {
                assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o710);
            }
        }
    }

    /// It stayed without its permissions and its owner for all builds to come.
    #[test]
    fn a_directory_that_was_not_finished_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
        let path = keep(&store, "x", Sharing::Locked, 0o700, owner()).unwrap().path;
        fs::rename(&path, path.with_extension("new")).unwrap();
        fs::set_permissions(path.with_extension("new"), Permissions::from_mode(0o755)).unwrap();
        let kept = keep(&store, "x", Sharing::Private, 0o700, owner()).unwrap();
        assert_eq!((&kept.path, kept.path.with_extension("new").exists()), (&path, false));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        let second = keep(&store, "x", Sharing::Private, 0o700, owner()).unwrap();
        assert!(second.path.ends_with("1"));
        let removed = remove_kept_directories(&store, None, false).unwrap();
        assert_eq!((removed.count, path.exists()), (0, true));
        drop((kept, second));
        assert!(used_bytes(&store) > 0);
        // Who only looks does not use them.
        let begun = last_used(&path).unwrap().unwrap();
        assert_eq!(remove_kept_directories(&store, None, true).unwrap().count, 2);
        assert_eq!(remove_kept_directories(&store, Some(begun), false).unwrap().count, 0);
        assert_eq!(remove_kept_directories(&store, Some(begun + 1), true).unwrap().count, 1);
        assert_eq!(remove_kept_directories(&store, None, false).unwrap().count, 2);
        // The folder that they all were in belongs to none of them.
        assert_eq!(used_bytes(&store), 0);
    }
}

//! Directories that stay from build to build, which `RUN --mount=type=cache` mounts.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sapwood::medium::{OpenMode, WorkFolder};
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
    /// It, opened.
    pub directory: Arc<File>,
    _lock: File,
}

/// What puts files into the directory at a path.
pub type Fill<'a> = dyn Fn(&Path) -> Result<()> + 'a;

/// What a directory is when it is made.
#[derive(Clone, Copy, Default)]
pub struct New<'a> {
    /// What is put into it, with the attributes that it gets; none for nothing.
    pub fill: Option<&'a Fill<'a>>,
    /// Its permissions; those that it gets by what is put into it, or 0755.
    pub permissions: Option<u32>,
    /// Whose it is; the user and the group that it gets by what is put into it, or root.
    pub owner: (Option<u32>, Option<u32>),
}

/// What was removed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemovedDirectories {
    /// How many.
    pub count: u64,
    /// What the host had allocated for them.
    pub freed_bytes: u64,
}

/// The directory of this id, made where it is missing.
pub fn keep(store: &Store, id: &str, sharing: Sharing, new: &New<'_>) -> Result<Kept> {
    let digits = &blake3::hash(id.as_bytes()).to_hex()[..FOLDER_DIGITS];
    let operation = match sharing {
        Sharing::Shared => FlockOperation::LockShared,
        Sharing::Locked => FlockOperation::LockExclusive,
        Sharing::Private => FlockOperation::NonBlockingLockExclusive,
    };
    for number in 0.. {
        let name = OsString::from(number.to_string());
        loop {
            let Some((folder, held)) = lock_in(store, digits, &name, operation)? else { break };
            // It is the owner's who was asked for.
            if let Some(found) = folder.shared(&name)? {
                let used = held.set_modified(SystemTime::now());
                used.map_err(|error| failed(&folder, &name, error))?;
                return Ok(Kept { directory: Arc::new(found.into_file()), _lock: held });
            }
            drop(held);
            // One makes it; others who come now wait, or look again.
            let alone = FlockOperation::NonBlockingLockExclusive;
            if let Some((folder, _alone)) = lock_in(store, digits, &name, alone)?
                && folder.shared(&name)?.is_none()
            {
                make(&folder, &name, new)?;
            }
        }
    }
    Err(Error::new(ErrorKind::NoSpace, "make a directory that stays: all numbers are taken"))
}

/// Makes a directory that is there only with all that it is to be.
fn make(folder: &WorkFolder, name: &OsStr, new: &New<'_>) -> Result<()> {
    let unfinished = Path::new(name).with_extension("new");
    // Whoever made it was killed.
    folder.remove_tree(&unfinished)?;
    let made = folder.make_private(&unfinished)?;
    let made = made.as_file();
    let (mut permissions, (mut user, mut group)) = (new.permissions, new.owner);
    match new.fill {
        // By its descriptor: what has its name is not looked up again.
        Some(fill) => fill(&Path::new("/proc/self/fd").join(made.as_raw_fd().to_string()))?,
        None => {
            permissions = permissions.or(Some(0o755));
            (user, group) = (user.or(Some(0)), group.or(Some(0)));
        }
    }
    let permissions = permissions.map(Permissions::from_mode);
    fchown(made, user, group)
        .and_then(|()| permissions.map_or(Ok(()), |permissions| made.set_permissions(permissions)))
        .map_err(|error| failed(folder, name, error))?;
    folder.rename(&unfinished, name)
}

/// Removes the directories that programs of builds keep for the next one, but for those that are in
/// use, and those used since `used_before`, in nanoseconds since 1970 UTC.
pub fn remove_kept_directories(
    store: &Store,
    used_before: Option<i64>,
    dry_run: bool,
) -> Result<RemovedDirectories> {
    let mut removed = RemovedDirectories::default();
    let store = WorkFolder::open(store.path())?;
    let Some(all) = store.map_or(Ok(None), |store| store.private(KEPT_DIRECTORIES))? else {
        return Ok(removed);
    };
    for id in all.folders()? {
        let Some(folder) = all.private(&id)? else { continue };
        for name in folder.folders()? {
            if let Some(before) = used_before
                && last_used(&folder, &name)?.is_none_or(|used| used >= before)
            {
                continue;
            }
            let alone = FlockOperation::NonBlockingLockExclusive;
            let Locked::Held(_lock) = lock(&folder, &name, alone)? else { continue };
            removed.count += 1;
            removed.freed_bytes += allocated_bytes(&folder.path().join(&name))?;
            if !dry_run {
                folder.remove_tree(&name)?;
                folder.remove_file(lock_of(&name))?;
            }
        }
        if !dry_run {
            // Another one is in use, or was made just now.
            let _ = all.remove_empty(&id);
        }
    }
    Ok(removed)
}

/// When a directory was used last, in nanoseconds since 1970 UTC, as its lock says. None where it is
/// gone.
fn last_used(folder: &WorkFolder, name: &OsStr) -> Result<Option<i64>> {
    let Some(lock) = folder.node(lock_of(name))? else { return Ok(None) };
    let found = lock.metadata().map_err(|error| failed(folder, name, error))?;
    Ok(Some(found.mtime() * 1_000_000_000 + found.mtime_nsec()))
}

fn lock_of(directory: &OsStr) -> OsString {
    Path::new(directory).with_extension("lock").into()
}

/// The lock of a directory in the folder of an id, which is made; none where somebody else has it.
fn lock_in(
    store: &Store,
    digits: &str,
    name: &OsStr,
    operation: FlockOperation,
) -> Result<Option<(WorkFolder, File)>> {
    let missing = || Error::new(ErrorKind::NotFound, "open a store").in_file(store.path());
    let store = WorkFolder::open(store.path())?.ok_or_else(missing)?;
    let all = store.make_private(KEPT_DIRECTORIES)?;
    loop {
        let folder = all.make_private(digits)?;
        match lock(&folder, name, operation)? {
            Locked::Held(lock) => return Ok(Some((folder, lock))),
            Locked::Taken => return Ok(None),
            Locked::Gone => {}
        }
    }
}

/// What came of asking for a lock.
enum Locked {
    Held(File),
    /// Somebody else has it.
    Taken,
    /// Whoever had it before removed it.
    Gone,
}

/// The lock of a directory.
fn lock(folder: &WorkFolder, directory: &OsStr, operation: FlockOperation) -> Result<Locked> {
    let name = lock_of(directory);
    let file = match folder.file(&name, OpenMode::OpenOrCreate) {
        // The folder, too.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Locked::Gone),
        file => file?,
    };
    match flock(&file, operation) {
        Err(Errno::WOULDBLOCK) => return Ok(Locked::Taken),
        locked => locked.map_err(|error| failed(folder, directory, error.into()))?,
    }
    match folder.has(&name, &file)? {
        true => Ok(Locked::Held(file)),
        false => Ok(Locked::Gone),
    }
}

fn failed(folder: &WorkFolder, name: &OsStr, error: io::Error) -> Error {
    Error::io("keep a directory", error).in_file(folder.path().join(name))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::sync::{Barrier, Mutex};
    use std::thread;

    use rustix::process::{getegid, geteuid};
    use sapwood::StoreOptions;
    use sapwood_oci::{Class, usage};

    use super::*;

    const AT_ONCE: usize = 8;

    /// A directory of whoever runs the test.
    fn new(permissions: u32) -> New<'static> {
        let owner = (Some(geteuid().as_raw()), Some(getegid().as_raw()));
        New { fill: None, permissions: Some(permissions), owner }
    }

    /// Where it is.
    fn path(kept: &Kept) -> PathBuf {
        fs::read_link(format!("/proc/self/fd/{}", kept.directory.as_raw_fd())).unwrap()
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
                        let kept = keep(&store, &round.to_string(), Sharing::Shared, &new(0o710));
                        // They use it all at once.
                        end.wait();
                        paths.lock().unwrap().insert(path(&kept.unwrap()));
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
        let path = path(&keep(&store, "x", Sharing::Locked, &new(0o700)).unwrap());
        fs::rename(&path, path.with_extension("new")).unwrap();
        fs::set_permissions(path.with_extension("new"), Permissions::from_mode(0o755)).unwrap();
        let kept = keep(&store, "x", Sharing::Private, &new(0o700)).unwrap();
        assert_eq!((self::path(&kept), path.with_extension("new").exists()), (path.clone(), false));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        let second = keep(&store, "x", Sharing::Private, &new(0o700)).unwrap();
        assert!(self::path(&second).ends_with("1"));
        let removed = remove_kept_directories(&store, None, false).unwrap();
        assert_eq!((removed.count, path.exists()), (0, true));
        drop((kept, second));
        assert!(used_bytes(&store) > 0);
        // Who only looks does not use them.
        let of_id = WorkFolder::open(path.parent().unwrap()).unwrap().unwrap();
        let begun = last_used(&of_id, path.file_name().unwrap()).unwrap().unwrap();
        assert_eq!(remove_kept_directories(&store, None, true).unwrap().count, 2);
        assert_eq!(remove_kept_directories(&store, Some(begun), false).unwrap().count, 0);
        assert_eq!(remove_kept_directories(&store, Some(begun + 1), true).unwrap().count, 1);
        assert_eq!(remove_kept_directories(&store, None, false).unwrap().count, 2);
        // The folder that they all were in belongs to none of them.
        assert_eq!(used_bytes(&store), 0);
    }

    /// A link in the place of one was mounted for the program of a build, or removed with what it led to.
    #[test]
    fn a_link_in_the_place_of_a_directory_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir_all(outside.join("deep")).unwrap();
        let kept = path(&keep(&store, "x", Sharing::Shared, &new(0o755)).unwrap());
        fs::remove_dir(&kept).unwrap();
        symlink(&outside, &kept).unwrap();
        let refused = keep(&store, "x", Sharing::Shared, &new(0o755)).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::NotPermitted);
        assert_eq!(remove_kept_directories(&store, None, false).unwrap().count, 0);
        let of_id = kept.parent().unwrap();
        fs::remove_dir_all(of_id).unwrap();
        symlink(&outside, of_id).unwrap();
        assert!(keep(&store, "x", Sharing::Shared, &new(0o755)).is_err());
        assert_eq!(remove_kept_directories(&store, None, false).unwrap().count, 0);
        assert!(outside.join("deep").is_dir());
    }
}

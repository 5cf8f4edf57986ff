//! The folder of a container in its store, and who has it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::geteuid;
use sapwood::medium::WorkFolder;
use sapwood::store::Name;
use sapwood::{Error, ErrorKind, Result, Store};
use sapwood_fuse::{Durability, control_folder};

use crate::place::Place;
use crate::run_folder::RunFolder;

/// The folder of a store for its containers. What is in it is believed: it is private.
const CONTAINERS: &str = "containers";
/// What a container said when nobody listened, in its folder.
pub const OUTPUT: &str = "output";

/// Who looks whether somebody has a folder is done before that.
const LOOKING: Duration = Duration::from_millis(1);

/// The folder of a container, which nobody else uses while this lives. Given back when the process
/// ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    folder: WorkFolder,
}

/// The folder of all containers; `None` where there never was one.
pub fn all(store: &Store) -> Result<Option<WorkFolder>> {
    WorkFolder::open(store.path())?.map_or(Ok(None), |store| store.private(CONTAINERS))
}

/// As [`all`]; made where there is none.
pub fn make_all(store: &Store) -> Result<WorkFolder> {
    let missing = || Error::new(ErrorKind::NotFound, "open a store").in_file(store.path());
    WorkFolder::open(store.path())?.ok_or_else(missing)?.make_private(CONTAINERS)
}

/// The folder of one; `None` where there is none.
pub fn of(store: &Store, name: &Name) -> Result<Option<WorkFolder>> {
    all(store)?.map_or(Ok(None), |all| all.private(name.escaped()))
}

/// As [`of`], where the containers are this user's: those of others are beside volumes of whoever shares the
/// store, and have them locked while they run.
pub fn of_own(store: &Store, name: &Name) -> Result<Option<WorkFolder>> {
    let Some(root) = WorkFolder::open(store.path())? else { return Ok(None) };
    let Some(node) = root.node(CONTAINERS)? else { return Ok(None) };
    let found = node.metadata().map_err(|error| {
        Error::io("look at containers", error).in_file(root.path().join(CONTAINERS))
    })?;
    match found.uid() == geteuid().as_raw() {
        true => of(store, name),
        false => Ok(None),
    }
}

/// Where a container runs.
pub fn place(run: &RunFolder, store: &Store, name: &Name, durability: Durability) -> Place {
    Place {
        // By this `umount` finds the server.
        source: format!("{}:{name}", store.path().display()),
        durability,
        control: Some(control_folder(store.path(), name)),
        ..run.container(name.escaped())
    }
}

impl Lock {
    /// Takes the folder of a container, which is made.
    ///
    /// Errors: [`ErrorKind::Locked`] where somebody has it: the container runs.
    pub fn take(store: &Store, name: &Name) -> Result<Lock> {
        Lock::take_if_free(&make_all(store)?, name.escaped())?.ok_or_else(|| {
            let error = Error::new(ErrorKind::Locked, "lock a container");
            error.about("container", format!("{name}, which runs"), "one that does not")
        })
    }

    /// Takes the folder of this name in that of all containers, which is made; none where somebody has it.
    pub fn take_if_free(all: &WorkFolder, name: impl AsRef<OsStr>) -> Result<Option<Lock>> {
        let name = name.as_ref();
        loop {
            let folder = all.make_private(name)?;
            let failed =
                |error: io::Error| Error::io("lock a container", error).in_file(folder.path());
            match flock(folder.as_file(), FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) if is_held(folder.as_file()).map_err(failed)? => {
                    return Ok(None);
                }
                Err(Errno::WOULDBLOCK) => {
                    thread::sleep(LOOKING);
                    continue;
                }
                locked => locked.map_err(|error| failed(error.into()))?,
            }
            // Whoever had it before may have removed it.
            if all.has(name, folder.as_file())? {
                return Ok(Some(Lock { folder }));
            }
        }
    }

    /// Whether somebody has a folder.
    pub fn is_taken(folder: &WorkFolder) -> Result<bool> {
        is_held(folder.as_file())
            .map_err(|error| Error::io("look at a container", error).in_file(folder.path()))
    }

    /// The folder.
    pub fn folder(&self) -> &WorkFolder {
        &self.folder
    }
}

/// Whether somebody has a folder, other than to look whether somebody has it.
fn is_held(opened: &File) -> io::Result<bool> {
    match flock(opened, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Ok(true),
        locked => {
            locked?;
            flock(opened, FlockOperation::Unlock)?;
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container was said to run, and did not start, while somebody listed all of them.
    #[test]
    fn who_only_looks_keeps_nobody_from_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let all = WorkFolder::open(folder.path()).unwrap().unwrap();
        let one = all.make_private("one").unwrap();
        flock(one.as_file(), FlockOperation::LockShared).unwrap();
        let looks = all.private("one").unwrap().unwrap();
        assert!(!Lock::is_taken(&looks).unwrap());
        thread::scope(|scope| {
            let taken = scope.spawn(|| Lock::take_if_free(&all, "one").unwrap());
            thread::sleep(Duration::from_millis(20));
            drop(one);
            assert!(taken.join().unwrap().is_some());
        });
        let lock = Lock::take_if_free(&all, "one").unwrap();
        assert!(Lock::is_taken(&looks).unwrap());
        assert!(Lock::take_if_free(&all, "one").unwrap().is_none());
        drop(lock);
        assert!(!Lock::is_taken(&looks).unwrap());
    }
}

//! The folder of a container in its store, and who has it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sapwood::medium::create_private_folders;
use sapwood::store::Name;
use sapwood::{Error, ErrorKind, Result, Store};
use sapwood_fuse::{Durability, control_folder};

use crate::place::Place;

/// The folder of a store for its containers.
const CONTAINERS: &str = "containers";

/// Who looks whether somebody has a folder is done before that.
const LOOKING: Duration = Duration::from_millis(1);

/// The folder of a container, which nobody else uses while this lives. Given back when the process
/// ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _folder: File,
}

/// The folder of all containers.
pub fn all(store: &Store) -> PathBuf {
    store.path().join(CONTAINERS)
}

/// The folder of one.
pub fn of(store: &Store, name: &Name) -> PathBuf {
    all(store).join(name.escaped())
}

/// Where what a container says goes when nobody listens.
pub fn output(store: &Store, name: &Name) -> PathBuf {
    of(store, name).join("output")
}

/// Where a container runs.
pub fn place(store: &Store, name: &Name, durability: Durability) -> Place {
    Place {
        folder: of(store, name),
        // By this `umount` finds the server.
        source: format!("{}:{name}", store.path().display()),
        durability,
        room_of: Some(store.path().to_owned()),
        control: Some(control_folder(store.path(), name)),
    }
}

impl Lock {
    /// Takes the folder, which is made.
    ///
    /// Errors: [`ErrorKind::Locked`] where somebody has it: the container runs.
    pub fn take(folder: &Path, name: &Name) -> Result<Lock> {
        Lock::take_if_free(folder)?.ok_or_else(|| {
            let error = Error::new(ErrorKind::Locked, "lock a container");
            error.about("container", format!("{name}, which runs"), "one that does not")
        })
    }

    /// Takes the folder, which is made; none where somebody has it.
    pub fn take_if_free(folder: &Path) -> Result<Option<Lock>> {
        let failed = |error: io::Error| Error::io("lock a container", error).in_file(folder);
        loop {
            create_private_folders(folder).map_err(failed)?;
            let opened = match File::open(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(failed)?,
            };
            match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) if is_held(&opened).map_err(failed)? => return Ok(None),
                Err(Errno::WOULDBLOCK) => {
                    thread::sleep(LOOKING);
                    continue;
                }
                locked => locked.map_err(|error| failed(error.into()))?,
            }
            // Whoever had it before may have removed it.
            if is_same(&opened, folder).map_err(failed)? {
                return Ok(Some(Lock { _folder: opened }));
            }
        }
    }

    /// Whether somebody has the folder.
    pub fn is_taken(folder: &Path) -> Result<bool> {
        let failed = |error: io::Error| Error::io("look at a container", error).in_file(folder);
        let opened = match File::open(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(failed)?,
        };
        is_held(&opened).map_err(failed)
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

fn is_same(opened: &File, folder: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let number = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => Ok(number(found?) == number(opened.metadata()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container was said to run, and did not start, while somebody listed all of them.
    #[test]
    fn who_only_looks_keeps_nobody_from_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let looks = File::open(folder.path()).unwrap();
        flock(&looks, FlockOperation::LockShared).unwrap();
        assert!(!Lock::is_taken(folder.path()).unwrap());
        thread::scope(|scope| {
            let taken = scope.spawn(|| Lock::take_if_free(folder.path()).unwrap());
            thread::sleep(Duration::from_millis(20));
            drop(looks);
            assert!(taken.join().unwrap().is_some());
        });
        let lock = Lock::take_if_free(folder.path()).unwrap();
        assert!(Lock::is_taken(folder.path()).unwrap());
        assert!(Lock::take_if_free(folder.path()).unwrap().is_none());
        drop(lock);
        assert!(!Lock::is_taken(folder.path()).unwrap());
    }
}

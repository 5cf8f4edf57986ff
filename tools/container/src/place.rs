//! Where on the host a container is while it runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use sapwood::ErrorKind;
use sapwood::Result;
use sapwood::medium::create_private_folders;
use sapwood_fuse::{Durability, Unmount, detach};

/// A folder for what a running container needs, and how its tree is served.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder, which is made. What this crate puts there is gone when the container has ended. Nobody
    /// else may be able to write to it, or to one that it is in.
    pub folder: PathBuf,
    /// What the list of mounts names as the source of the tree.
    pub source: String,
    /// What a sync inside the container does.
    pub durability: Durability,
    /// A folder on the filesystem that holds the store: its free space is what `df` shows.
    pub room_of: Option<PathBuf>,
    /// Where the mount listens for those who ask for commits and snapshots.
    pub control: Option<PathBuf>,
    /// It and those above it that go with it, the innermost first, where nothing else is in them.
    pub(crate) go_when_empty: Vec<PathBuf>,
}

impl Place {
    /// A place in `folder` for what may be lost: nothing is durable before the files are flushed.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Place {
        let folder = folder.into();
        Place {
            source: folder.display().to_string(),
            folder,
            durability: Durability::OnUnmount,
            room_of: None,
            control: None,
            go_when_empty: Vec::new(),
        }
    }

    /// Makes the folder.
    pub fn make(&self) -> Result<()> {
        loop {
            match create_private_folders(&self.folder) {
                // The last one in those above it has just gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                made => {
                    let failed = |error| sapwood::Error::io("make a folder", error);
                    return made.map_err(|error| failed(error).in_file(&self.folder));
                }
            }
        }
    }

    /// Takes the folder away, where the container has ended and no tree is mounted there any more.
    pub fn remove(&self) -> Result<()> {
        let trees = self.trees();
        entries(&trees)?.iter().try_for_each(|tree| remove(tree, fs::remove_dir))?;
        remove(&trees, fs::remove_dir)?;
        self.remove_if_empty()
    }

    /// Where the tree is mounted.
    pub fn rootfs(&self) -> PathBuf {
        self.folder.join("rootfs")
    }

    /// Where whoever runs something here mounts other trees, each in a folder of its own.
    pub fn trees(&self) -> PathBuf {
        self.folder.join("trees")
    }

    /// A filesystem in memory: what a runtime is told names secrets.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.folder.join("bundle")
    }

    /// What runtimes remember, each in a folder of its name.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// What the runtime says.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Where the runtime notes the number of the process, once it runs.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.bundle().join("pid")
    }

    /// Files that must reach no disk.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.bundle().join("secrets")
    }

    /// What of other trees is mounted in this one.
    pub(crate) fn sources(&self) -> PathBuf {
        self.folder.join("sources")
    }

    /// Takes away all that a container needed while it ran, mounts included. What is not there
    /// is fine.
    pub(crate) fn clear(&self) -> Result<()> {
        let mut mounted = vec![self.rootfs(), self.bundle()];
        mounted.extend(entries(&self.sources())?);
        mounted.iter().try_for_each(|mounted| detach_if_mounted(mounted))?;
        remove_empty(&self.rootfs())?;
        // Nothing is mounted there any more, or the call before would have failed.
        for folder in [self.bundle(), self.sources(), self.state()] {
            remove(&folder, fs::remove_dir_all)?;
        }
        remove(&self.log(), fs::remove_file)?;
        self.remove_if_empty()
    }

    fn remove_if_empty(&self) -> Result<()> {
        for folder in &self.go_when_empty {
            match fs::remove_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(|error| {
                    sapwood::Error::io("clear up after a container", error).in_file(folder)
                })?,
            }
        }
        Ok(())
    }
}

pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| sapwood::Error::io("list a folder", error).in_file(folder);
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => {
            let entries = entries.map_err(failed)?;
            entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect()
        }
    }
}

pub(crate) fn detach_if_mounted(path: &Path) -> Result<()> {
    if !may_be_mounted(path) {
        return Ok(());
    }
    match detach(path, Unmount::Detach) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        detached => detached,
    }
}

/// Whether something is mounted on a path, as far as can be told: nothing need be there.
fn may_be_mounted(path: &Path) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match statx(CWD, path, flags, StatxFlags::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => false,
        // As of a mount whose server is gone.
        Err(_) => true,
        Ok(found) => found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
    }
}

/// Removes a folder in which nothing is but what a runtime made to mount on, when the tree was no
/// longer there: empty folders and files. Whatever else is there stays, and is an error.
fn remove_empty(folder: &Path) -> Result<()> {
    for path in entries(folder)? {
        let failed = |error| sapwood::Error::io("clear up after a container", error).in_file(&path);
        let found = fs::symlink_metadata(&path).map_err(failed)?;
        match found.is_dir() {
            true => remove_empty(&path)?,
            false if found.is_file() && found.len() == 0 => {
                fs::remove_file(&path).map_err(failed)?
            }
            false => {}
        }
    }
    remove(folder, fs::remove_dir)
}

pub(crate) fn remove(path: &Path, by: fn(PathBuf) -> io::Result<()>) -> Result<()> {
    match by(path.to_owned()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed
            .map_err(|error| sapwood::Error::io("clear up after a container", error).in_file(path)),
    }
}

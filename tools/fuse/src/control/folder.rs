//! The folder of a mount's socket, for those who may use the store.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, chownat};
use rustix::process::geteuid;
use sapwood::medium::WorkFolder;
use sapwood::{Error, ErrorKind, Result};

use super::SOCKET;

/// The folder of a store for its layers: whoever was let in there by hand shares the store.
const LAYERS: &str = "layers";
/// Of a folder: its owner's alone.
const PRIVATE: u32 = 0o700;
const GROUP_WRITES: u32 = 0o020;
/// Permissions of a folder that are handed on: all, with those of who gets what is made in it.
const HANDED_ON: u32 = 0o2777;
/// Of a socket: whoever may write to it may ask.
const SOCKET_OF_OWNER: u32 = 0o600;
const SOCKET_OF_GROUP: u32 = 0o660;

/// Who may ask a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Askers {
    /// Who serves it.
    Owner,
    /// A group, too: its number.
    Group(u32),
}

/// The folder of a mount's socket, opened without following a link that somebody put into the store.
#[derive(Debug)]
pub struct SocketFolder {
    /// That of all mounts of the store.
    above: WorkFolder,
    folder: WorkFolder,
}

impl SocketFolder {
    /// That at `path`, which is `mounts/NAME` in a store. `None` where there is none.
    pub fn find(path: &Path) -> Result<Option<SocketFolder>> {
        let [store, mounts, name] = parts(path)?;
        let Some(store) = WorkFolder::open(store)? else { return Ok(None) };
        let Some(above) = store.shared(mounts)? else { return Ok(None) };
        let folder = above.shared(name)?;
        Ok(folder.map(|folder| SocketFolder { above, folder }))
    }

    /// Makes that at `path`, with what is missing above it. Where a group was let into the store's layers,
    /// it is let in here, or the first to mount would be the only one who ever could.
    pub fn make(path: &Path) -> Result<(SocketFolder, Askers)> {
        let [store, mounts, name] = parts(path)?;
        let missing = || Error::new(ErrorKind::NotFound, "open a store").in_file(store);
        let store = WorkFolder::open(store)?.ok_or_else(missing)?;
        let layers = store.shared(LAYERS)?.map(|layers| layers.facts()).transpose()?;
        let layers = layers.filter(|layers| layers.mode() & GROUP_WRITES != 0);
        let make = |above: &WorkFolder, name: &OsStr| loop {
            let is_new = above.make(name)?;
            // Whoever mounted it before takes it away when that has ended.
            let Some(made) = above.shared(name)? else { continue };
            if let (true, Some(layers)) = (is_new, &layers) {
                share(made.as_file(), layers)
                    .map_err(|error| Error::io("share a folder", error).in_file(made.path()))?;
            }
            return Ok::<_, Error>(made);
        };
        let above = make(&store, mounts)?;
        let folder = make(&above, name)?;
        let askers = layers.map_or(Askers::Owner, |layers| Askers::Group(layers.gid()));
        Ok((SocketFolder { above, folder }, askers))
    }

    /// A path of the socket that is short, and leads there whatever becomes of the folder's name.
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", self.folder.as_file().as_raw_fd()))
    }

    /// Does something with a path that leads to the socket which is there, and not by a link to another
    /// one. `None` where there is none.
    pub fn with_socket<T>(&self, act: impl FnOnce(&Path) -> io::Result<T>) -> Result<Option<T>> {
        let Some(node) = self.folder.node(SOCKET)? else { return Ok(None) };
        let path = self.folder.path().join(SOCKET);
        let acted = match node.metadata() {
            Ok(found) if !found.file_type().is_socket() => {
                let error = Error::new(ErrorKind::NotPermitted, "ask a mount").in_file(path);
                return Err(error.about("file", "something else", "a socket"));
            }
            found => found.and_then(|_| act(&proc_path(&node))),
        };
        acted.map(Some).map_err(|error| Error::io("ask a mount", error).in_file(path))
    }

    /// Lets those who may ask come to the socket, which this process has just made.
    pub fn open_to(&self, askers: Askers) -> Result<()> {
        let failed = |error| {
            Error::io("open a socket to others", error).in_file(self.folder.path().join(SOCKET))
        };
        let Some(node) = self.folder.node(SOCKET)? else {
            return Err(failed(io::ErrorKind::NotFound.into()));
        };
        let found = node.metadata().map_err(failed)?;
        // Who shares the folder may have put something else in its place.
        if !found.file_type().is_socket() || found.uid() != geteuid().as_raw() {
            return Err(failed(io::ErrorKind::PermissionDenied.into()));
        }
        let permissions = match askers {
            Askers::Owner => SOCKET_OF_OWNER,
            Askers::Group(group) => {
                let group = Some(Gid::from_raw(group));
                chownat(&node, "", None, group, AtFlags::EMPTY_PATH)
                    .map_err(|error| failed(error.into()))?;
                SOCKET_OF_GROUP
            }
        };
        fs::set_permissions(proc_path(&node), Permissions::from_mode(permissions)).map_err(failed)
    }

    /// Removes the socket.
    pub fn remove_socket(&self) -> Result<()> {
        self.folder.remove_file(SOCKET)
    }

    /// Removes it with the socket in it.
    pub fn remove(self) -> Result<()> {
        self.remove_socket()?;
        self.above.remove_empty(self.folder.path().file_name().unwrap_or_default())
    }
}

/// The path of a store, the name of the folder of its mounts, and that of one in it.
fn parts(path: &Path) -> Result<[&OsStr; 3]> {
    let name = path.file_name();
    let above = path.parent().and_then(|above| Some((above.parent()?, above.file_name()?)));
    match (above, name) {
        (Some((store, mounts)), Some(name)) => Ok([store.as_os_str(), mounts, name]),
        _ => {
            let found = path.display();
            Err(Error::invalid("find a mount", "folder", found, "one in a store's of mounts"))
        }
    }
}

/// Gives a folder the group and the permissions of that of the layers.
fn share(folder: &fs::File, layers: &fs::Metadata) -> io::Result<()> {
    // In this order: never open to the group that it had before.
    fchown(folder, None, Some(layers.gid()))?;
    folder.set_permissions(Permissions::from_mode(layers.mode() & HANDED_ON | PRIVATE))
}

/// A path that leads to an open file, and nowhere else.
fn proc_path(node: &fs::File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", node.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    /// Who shared a store put a link in the place of a socket that root had made, and root gave what it led to
    /// to the group.
    #[test]
    fn what_stands_in_the_place_of_a_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        fs::write(&outside, "").unwrap();
        fs::set_permissions(&outside, Permissions::from_mode(0o604)).unwrap();
        let path = folder.path().join("mounts/web");
        let (made, askers) = SocketFolder::make(&path).unwrap();
        assert_eq!(askers, Askers::Owner);
        let connect =
            |found: &SocketFolder| found.with_socket(|socket| UnixStream::connect(socket));
        assert!(connect(&made).unwrap().is_none());

        symlink(&outside, path.join(SOCKET)).unwrap();
        made.open_to(askers).unwrap_err();
        assert_eq!((mode(&outside), connect(&made).is_err()), (0o604, true));
        made.remove_socket().unwrap();
        fs::hard_link(&outside, path.join(SOCKET)).unwrap();
        made.open_to(askers).unwrap_err();
        assert_eq!((mode(&outside), connect(&made).is_err()), (0o604, true));
        made.remove_socket().unwrap();
        // Nor is a socket that a link leads to another's.
        let elsewhere = UnixListener::bind(folder.path().join("elsewhere")).unwrap();
        symlink(folder.path().join("elsewhere"), path.join(SOCKET)).unwrap();
        assert_eq!(connect(&made).unwrap_err().kind(), ErrorKind::NotPermitted);
        made.remove_socket().unwrap();
        drop(elsewhere);

        let _listener = UnixListener::bind(made.socket()).unwrap();
        made.open_to(askers).unwrap();
        assert_eq!(mode(&path.join(SOCKET)), SOCKET_OF_OWNER);
        let found = SocketFolder::find(&path).unwrap().unwrap();
        connect(&found).unwrap().unwrap();
        found.remove().unwrap();
        assert!(SocketFolder::find(&path).unwrap().is_none() && mode(&outside) == 0o604);
    }
}

//! A [`Host`] on a directory of a Linux host.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use super::file::{FileMedium, facts_of};
use super::names::inside_root;
use super::{FileFacts, Host, Medium, OpenMode};
use crate::error::{Error, ErrorKind, Result};

/// What to do with a directory on a network filesystem, whose locks and syncs
/// promise less than this engine needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Refuse it: [`ErrorKind::Unsupported`].
    Refuse,
    /// Use it all the same.
    Allow,
}

/// The network filesystems known by the magic number of `statfs`. A FUSE mount
/// does not tell what is behind it, and is taken for local.
const NETWORK_FILESYSTEMS: [(u32, &str); 9] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
];

/// Folders of a store are their owner's alone: who can read its files reads all of every tree in it,
/// whatever the permissions are there.
pub(super) const FOLDER_PERMISSIONS: u32 = 0o700;

/// A directory of the host. Every path given is walked from its descriptor, so
/// that renaming the directory, or changing the working directory, changes nothing.
#[derive(Debug)]
pub struct FileHost {
    root: OwnedFd,
    path: PathBuf,
}

impl FileHost {
    /// Opens the directory at `path`, which must be there.
    pub fn open_root(path: impl AsRef<Path>, network: Network) -> Result<FileHost> {
        let path = path.as_ref();
        let open = || rustix::fs::open(path, FOLDER, Mode::empty());
        let host_says = |error: Errno| Error::io("open the directory", error.into()).in_file(path);
        let root = retry_on_intr(open).map_err(host_says)?;
        if network == Network::Refuse {
            let facts = retry_on_intr(|| rustix::fs::fstatfs(&root)).map_err(host_says)?;
            let magic = facts.f_type as u32;
            if let Some((_, name)) = NETWORK_FILESYSTEMS.iter().find(|known| known.0 == magic) {
                return Err(Error::new(ErrorKind::Unsupported, "open the directory")
                    .in_file(path)
                    .about("filesystem", name, "a local one, or an option that allows this one"));
            }
        }
        // What stands beside the store's files is found by this path, whatever becomes of the working
        // directory, and by programs that have another one.
        let path = std::path::absolute(path)
            .map_err(|error| Error::io("open the directory", error).in_file(path))?;
        Ok(FileHost { root, path })
    }

    /// Makes the directory at `path` with those above it that are missing, durably,
    /// and opens it: nobody but its owner may look into it. One that is there already is opened, and
    /// keeps its permissions.
    pub fn create_root(path: impl AsRef<Path>, network: Network) -> Result<FileHost> {
        let path = path.as_ref();
        let host_says = |error: io::Error| Error::io("make the directory", error).in_file(path);
        let missing: Vec<&Path> = path
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
            .collect();
        if let Some(parent) = path.parent().filter(|_| !missing.is_empty()) {
            std::fs::create_dir_all(parent).map_err(host_says)?;
        }
        match DirBuilder::new().mode(FOLDER_PERMISSIONS).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            made => made.map_err(host_says)?,
        }
        for folder in missing {
            let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = File::open(parent.unwrap_or(Path::new("."))).map_err(host_says)?;
            // The library's own would ask once more where it is interrupted.
            rustix::fs::fsync(&parent).map_err(|error| host_says(error.into()))?;
        }
        FileHost::open_root(path, network)
    }

    fn open_folder(&self, path: &Path) -> io::Result<OwnedFd> {
        let path = inside(path)?;
        // A link in its place could lead to where others keep what looks like files of a store that may go.
        let flags = FOLDER | OFlags::NOFOLLOW;
        Ok(retry_on_intr(|| rustix::fs::openat(&self.root, path, flags, Mode::empty()))?)
    }
}

/// Makes the folder at `path` with those above it that are missing, each for its owner alone: for what
/// others keep beside the files of a store.
pub fn create_private_folders(path: impl AsRef<Path>) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_PERMISSIONS).create(path)
}

pub(super) const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

pub(super) fn flags_of(mode: OpenMode) -> OFlags {
    match mode {
        OpenMode::Read => OFlags::RDONLY,
        OpenMode::ReadWrite => OFlags::RDWR,
        OpenMode::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        OpenMode::OpenOrCreate => OFlags::RDWR | OFlags::CREATE,
    }
}

/// The names in an open folder.
pub(super) fn names_in(folder: OwnedFd) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::new(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(std::ffi::OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

/// As the host takes it: the root itself is the empty path, which the host calls `.`.
fn inside(path: &Path) -> io::Result<&Path> {
    let path = inside_root(path)?;
    Ok(if path.as_os_str().is_empty() { Path::new(".") } else { path })
}

impl Host for FileHost {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn Medium>> {
        let path = inside(path)?;
        // To open a FIFO in the place of a file would else wait for somebody who writes into it.
        let flags = flags_of(mode) | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let permissions = Mode::from_raw_mode(0o666);
        let open = || rustix::fs::openat(&self.root, path, flags, permissions);
        let file = retry_on_intr(open)?;
        let mode = retry_on_intr(|| rustix::fs::fstat(&file))?.st_mode;
        match FileType::from_raw_mode(mode) {
            FileType::RegularFile => Ok(Arc::new(FileMedium::new(File::from(file)))),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file")),
        }
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let (path, permissions) = (inside(path)?, Mode::from_raw_mode(FOLDER_PERMISSIONS));
        Ok(retry_on_intr(|| rustix::fs::mkdirat(&self.root, path, permissions))?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (inside(from)?, inside(to)?);
        Ok(retry_on_intr(|| rustix::fs::renameat(&self.root, from, &self.root, to))?)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (inside(from)?, inside(to)?);
        let flags = RenameFlags::NOREPLACE;
        let rename = || rustix::fs::renameat_with(&self.root, from, &self.root, to, flags);
        match retry_on_intr(rename) {
            Err(Errno::INVAL | Errno::NOSYS) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the filesystem cannot rename without replacing",
            )),
            done => Ok(done?),
        }
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        let (file, name) = (inside(file)?, inside(name)?);
        let link = || rustix::fs::linkat(&self.root, file, &self.root, name, AtFlags::empty());
        match retry_on_intr(link) {
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the filesystem cannot give a file a second name",
            )),
            done => Ok(done?),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = inside(path)?;
        let remove = |flags| retry_on_intr(|| rustix::fs::unlinkat(&self.root, path, flags));
        match remove(AtFlags::empty()) {
            // One that somebody put in the place of a file.
            Err(Errno::ISDIR) => Ok(remove(AtFlags::REMOVEDIR)?),
            done => Ok(done?),
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.open_folder(path)?)?)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        loop {
            match names_in(self.open_folder(path)?) {
                Err(Errno::INTR) => {}
                names => return Ok(names?),
            }
        }
    }

    fn facts(&self, path: &Path) -> io::Result<FileFacts> {
        let path = inside(path)?;
        let look = || rustix::fs::statat(&self.root, path, AtFlags::SYMLINK_NOFOLLOW);
        Ok(facts_of(&retry_on_intr(look)?))
    }

    fn display_path(&self, path: &Path) -> PathBuf {
        self.path.join(path)
    }
}

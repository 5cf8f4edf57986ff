//! Folders for what others keep beside the files of a store.
//!
//! Whoever may write to a store's folder can put anything there: a link that leads out of it, a FIFO, a folder
//! of his own. So these folders are walked by descriptors, one name at a time and never through a link, and a
//! private one counts only where it is this process's user's and nobody else could put anything into it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::geteuid;

use super::OpenMode;
use super::folder::{FOLDER, FOLDER_PERMISSIONS, flags_of, names_in};
use crate::error::{Error, ErrorKind, Result};

/// Permissions of a folder by which others than its owner put something into it.
const OTHERS_WRITE: u32 = 0o022;

/// So deep a tree is removed where it lies, with a descriptor for each level. What is deeper is moved up first.
const DEPTH_MAX: usize = 64;

/// A folder, known by its descriptor: what becomes of its name meanwhile changes nothing.
///
/// All names that it is asked for are single ones.
#[derive(Debug)]
pub struct WorkFolder {
    folder: File,
    path: PathBuf,
}

impl WorkFolder {
    /// The folder at a path that the caller was given: whoever it belongs to, and by links, too. `None` where
    /// nothing is.
    pub fn open(path: impl AsRef<Path>) -> Result<Option<WorkFolder>> {
        let path = path.as_ref();
        match retry_on_intr(|| rustix::fs::open(path, FOLDER, Mode::empty())) {
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(Error::io(OPEN, error.into()).in_file(path)),
            Ok(folder) => Ok(Some(WorkFolder { folder: folder.into(), path: path.to_owned() })),
        }
    }

    /// The folder of this name, which others may own and write to. `None` where nothing is.
    ///
    /// Errors: [`ErrorKind::NotPermitted`] for a link, what is no folder, and one that does not let this process in.
    pub fn shared(&self, name: impl AsRef<OsStr>) -> Result<Option<WorkFolder>> {
        let name = plain(name.as_ref())?;
        let path = self.path.join(name);
        let flags = FOLDER | OFlags::NOFOLLOW;
        match retry_on_intr(|| rustix::fs::openat(&self.folder, name, flags, Mode::empty())) {
            Ok(folder) => Ok(Some(WorkFolder { folder: folder.into(), path })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(refused(path, "a link or a file", "a folder")),
            Err(error @ Errno::ACCESS) => match fs::symlink_metadata(&path) {
                Ok(found) => Err(Error::io(OPEN, error.into())
                    .with_kind(ErrorKind::NotPermitted)
                    .in_file(path)
                    .about("owner", owner_of(&found), "one that lets this process in")),
                Err(_) => Err(Error::io(OPEN, error.into()).in_file(path)),
            },
            Err(error) => Err(Error::io(OPEN, error.into()).in_file(path)),
        }
    }

    /// The folder of this name, into which nobody else can have put anything. `None` where nothing is.
    ///
    /// Errors: [`ErrorKind::NotPermitted`] for another user's, one that others may write to, a link, or what is no
    /// folder.
    pub fn private(&self, name: impl AsRef<OsStr>) -> Result<Option<WorkFolder>> {
        let Some(found) = self.shared(name)? else { return Ok(None) };
        let facts = found.facts()?;
        let user = geteuid().as_raw();
        if facts.uid() == user && facts.mode() & OTHERS_WRITE == 0 {
            return Ok(Some(found));
        }
        let expected = format!("user {user}'s, to which nobody else may write");
        Err(refused(found.path, owner_of(&facts), expected))
    }

    /// As [`private`](WorkFolder::private); made where nothing is.
    pub fn make_private(&self, name: impl AsRef<OsStr>) -> Result<WorkFolder> {
        let name = name.as_ref();
        loop {
            if let Some(found) = self.private(name)? {
                return Ok(found);
            }
            self.make(name)?;
        }
    }

    /// The folder of this name, which is made, whoever made it before.
    pub fn make_shared(&self, name: impl AsRef<OsStr>) -> Result<WorkFolder> {
        let name = name.as_ref();
        loop {
            if let Some(found) = self.shared(name)? {
                return Ok(found);
            }
            self.make(name)?;
        }
    }

    /// Makes a folder for its owner alone; whether nothing was there.
    pub fn make(&self, name: impl AsRef<OsStr>) -> Result<bool> {
        let name = plain(name.as_ref())?;
        let permissions = Mode::from_raw_mode(FOLDER_PERMISSIONS);
        match retry_on_intr(|| rustix::fs::mkdirat(&self.folder, name, permissions)) {
            Err(Errno::EXIST) => Ok(false),
            made => made.map(|()| true).map_err(|error| self.failed("make a folder", name, error)),
        }
    }

    /// Opens a file, without waiting for anybody.
    ///
    /// Errors: [`ErrorKind::NotFound`]; [`ErrorKind::NotPermitted`] for a link, or what is no regular file.
    pub fn file(&self, name: impl AsRef<OsStr>, mode: OpenMode) -> Result<File> {
        let name = plain(name.as_ref())?;
        let flags = flags_of(mode) | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let permissions = Mode::from_raw_mode(0o666);
        let open = || rustix::fs::openat(&self.folder, name, flags, permissions);
        let not_regular =
            |found| refused_as("file", self.path.join(name), found, "a regular file".to_owned());
        let opened = match retry_on_intr(open) {
            Err(Errno::LOOP) => return Err(not_regular("a link")),
            // A socket, and a FIFO that nobody reads; a folder.
            Err(Errno::NXIO | Errno::ISDIR) => return Err(not_regular("something else")),
            opened => opened.map_err(|error| self.failed("open a file", name, error))?,
        };
        let found = retry_on_intr(|| rustix::fs::fstat(&opened))
            .map_err(|error| self.failed("open a file", name, error))?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => Ok(opened.into()),
            _ => Err(not_regular("something else")),
        }
    }

    /// Opens a file to write at its end, made where it is missing.
    ///
    /// Errors: as [`file`](WorkFolder::file).
    pub fn append(&self, name: impl AsRef<OsStr>) -> Result<File> {
        let name = name.as_ref();
        let file = self.file(name, OpenMode::OpenOrCreate)?;
        rustix::fs::fcntl_setfl(&file, OFlags::APPEND)
            .map_err(|error| self.failed("open a file", Path::new(name), error))?;
        Ok(file)
    }

    /// Gives a file this content: another process, or the next after a crash, sees what was there before, or this.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let aside = format!("{name}.tmp");
        self.remove_file(&aside)?;
        let failed = |error| Error::io("write a file", error).in_file(self.path.join(&aside));
        let written = self.file(&aside, OpenMode::CreateNew)?.write_all(bytes).map_err(failed);
        written.and_then(|()| self.rename(&aside, name)).inspect_err(|_| {
            // Why it failed is what counts. What stays is taken away by the next one.
            let _ = self.remove_file(&aside);
        })
    }

    /// Gives what has a name another one, replacing what has that.
    pub fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> Result<()> {
        let (from, to) = (plain(from.as_ref())?, plain(to.as_ref())?);
        retry_on_intr(|| rustix::fs::renameat(&self.folder, from, &self.folder, to))
            .map_err(|error| self.failed("rename", from, error))
    }

    /// Removes a name that leads to no folder; that it is gone is fine.
    pub fn remove_file(&self, name: impl AsRef<OsStr>) -> Result<()> {
        self.unlink(name.as_ref(), AtFlags::empty())
    }

    /// Removes a folder in which nothing is; that it is gone is fine.
    pub fn remove_empty(&self, name: impl AsRef<OsStr>) -> Result<()> {
        self.unlink(name.as_ref(), AtFlags::REMOVEDIR)
    }

    /// Removes what has a name, a folder with all that is in it. Links are removed and not followed; that it is
    /// gone is fine.
    ///
    /// Errors: where something is mounted on it, or in it: nothing of that goes.
    pub fn remove_tree(&self, name: impl AsRef<OsStr>) -> Result<()> {
        let name = plain(name.as_ref())?;
        remove_tree(&self.folder, name).map_err(|error| match error {
            Errno::XDEV => {
                self.failed("remove a tree", name, error).about("tree", "a mount in it", "none")
            }
            _ => self.failed("remove a tree", name, error),
        })
    }

    /// The names in it, in no order.
    pub fn names(&self) -> Result<Vec<OsString>> {
        let listed = retry_on_intr(|| names_in(self.reopened()?));
        listed.map_err(|error| Error::io("list a folder", error.into()).in_file(&self.path))
    }

    /// The names of folders in it, in no order: of what is there itself, and not what links lead to.
    pub fn folders(&self) -> Result<Vec<OsString>> {
        let mut folders = self.names()?;
        folders.retain(|name| {
            let look = || rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW);
            // What cannot be looked at is gone, or nothing that could be opened.
            retry_on_intr(look).is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_dir())
        });
        Ok(folders)
    }

    /// What has this name, a link itself, to be looked at: it is not opened. `None` where nothing has.
    pub fn node(&self, name: impl AsRef<OsStr>) -> Result<Option<File>> {
        let name = plain(name.as_ref())?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match retry_on_intr(|| rustix::fs::openat(&self.folder, name, flags, Mode::empty())) {
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed("look at a file", name, error)),
            Ok(node) => Ok(Some(node.into())),
        }
    }

    /// Whether an open file or folder is what has this name: it may have been removed, and made anew.
    pub fn has(&self, name: impl AsRef<OsStr>, opened: &File) -> Result<bool> {
        let name = name.as_ref();
        let Some(node) = self.node(name)? else { return Ok(false) };
        let number = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
        let is_same = number(&node).and_then(|node| Ok(node == number(opened)?));
        is_same.map_err(|error| Error::io("look at a file", error).in_file(self.path.join(name)))
    }

    /// What the host knows of it.
    pub fn facts(&self) -> Result<fs::Metadata> {
        self.folder.metadata().map_err(|error| Error::io(OPEN, error).in_file(&self.path))
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its descriptor.
    pub fn as_file(&self) -> &File {
        &self.folder
    }

    /// As [`as_file`](WorkFolder::as_file), to be kept.
    pub fn into_file(self) -> File {
        self.folder
    }

    /// Another descriptor, with a place in the list of names of its own.
    fn reopened(&self) -> rustix::io::Result<rustix::fd::OwnedFd> {
        rustix::fs::openat(&self.folder, ".", FOLDER, Mode::empty())
    }

    fn unlink(&self, name: &OsStr, flags: AtFlags) -> Result<()> {
        let name = plain(name)?;
        match retry_on_intr(|| rustix::fs::unlinkat(&self.folder, name, flags)) {
            Err(Errno::NOENT) => Ok(()),
            removed => removed.map_err(|error| self.failed("remove", name, error)),
        }
    }

    fn failed(&self, operation: &str, name: &Path, error: Errno) -> Error {
        Error::io(operation, error.into()).in_file(self.path.join(name))
    }
}

impl AsFd for WorkFolder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

const OPEN: &str = "open a folder beside a store's files";

fn refused(path: PathBuf, found: impl ToString, expected: impl ToString) -> Error {
    refused_as("folder", path, &found.to_string(), expected.to_string())
}

fn refused_as(field: &'static str, path: PathBuf, found: &str, expected: String) -> Error {
    Error::new(ErrorKind::NotPermitted, "use what lies beside a store's files")
        .in_file(path)
        .about(field, found, expected)
}

fn owner_of(found: &fs::Metadata) -> String {
    format!("user {}'s with permissions {:04o}", found.uid(), found.mode() & 0o7777)
}

/// A name, and no path.
fn plain(name: &OsStr) -> Result<&Path> {
    let path = Path::new(name);
    match path.file_name() == Some(name) {
        true => Ok(path),
        false => Err(Error::invalid(OPEN, "name", format!("{name:?}"), "a single one")),
    }
}

/// A folder of a tree that is being removed.
struct Level {
    folder: rustix::fd::OwnedFd,
    /// What it is called in the one above.
    name: OsString,
    /// What is in it still.
    left: Vec<OsString>,
}

fn remove_tree(above: &File, name: &Path) -> rustix::io::Result<()> {
    let unlink = |folder: BorrowedFd<'_>, name: &OsStr, flags| match retry_on_intr(|| {
        rustix::fs::unlinkat(folder, name, flags)
    }) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    };
    let mut levels: Vec<Level> = Vec::new();
    let mut moved = 0_u64;
    let mut next = Some(name.as_os_str().to_owned());
    loop {
        let folder = levels.last().map_or(above.as_fd(), |level| level.folder.as_fd());
        if let Some(name) = next.take() {
            match unlink(folder, &name, AtFlags::empty()) {
                // As Linux and as POSIX have it for folders.
                Err(Errno::ISDIR | Errno::PERM) if levels.len() < DEPTH_MAX => {
                    if let Some(level) = open_level(folder, name)? {
                        levels.push(level);
                    }
                }
                Err(Errno::ISDIR | Errno::PERM) => {
                    let top = levels.first().expect("it is deep").folder.as_fd();
                    let aside = loop {
                        let aside = OsString::from(format!("removed-{moved}"));
                        moved += 1;
                        let flags = RenameFlags::NOREPLACE;
                        match rustix::fs::renameat_with(folder, &name, top, &aside, flags) {
                            Err(Errno::EXIST | Errno::INTR) => {}
                            renamed => break renamed.map(|()| aside)?,
                        }
                    };
                    levels[0].left.push(aside);
                }
                removed => removed?,
            }
        } else if let Some(done) = levels.pop() {
            let folder = levels.last().map_or(above.as_fd(), |level| level.folder.as_fd());
            unlink(folder, &done.name, AtFlags::REMOVEDIR)?;
        }
        next = match levels.last_mut() {
            Some(level) => level.left.pop(),
            None => return Ok(()),
        };
    }
}

/// A folder in another one, on which nothing is mounted. `None` where it is gone.
fn open_level(above: BorrowedFd<'_>, name: OsString) -> rustix::io::Result<Option<Level>> {
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let open = || rustix::fs::openat2(above, &name, FOLDER, Mode::empty(), resolve);
    let folder = match retry_on_intr(open) {
        Err(Errno::NOENT) => return Ok(None),
        folder => folder?,
    };
    let again = rustix::fs::openat(&folder, ".", FOLDER, Mode::empty())?;
    Ok(Some(Level { left: names_in(again)?, folder, name }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
        result.unwrap_err().kind()
    }

    /// A link `build-caches` had all directories removed of what it led to, and `record.tmp` what root owned
    /// written over.
    #[test]
    fn no_link_leads_out_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir_all(outside.join("deep")).unwrap();
        fs::write(outside.join("file"), "precious").unwrap();
        fs::create_dir_all(folder.path().join("store/tree/deep")).unwrap();
        let store = WorkFolder::open(folder.path().join("store")).unwrap().unwrap();
        for name in ["link", "tree/link", "tree/deep/link"] {
            symlink(&outside, store.path().join(name)).unwrap();
        }
        symlink(outside.join("file"), store.path().join("name")).unwrap();
        symlink(outside.join("file"), store.path().join("name.tmp")).unwrap();
        symlink(outside.join("new"), store.path().join("new")).unwrap();

        assert_eq!(kind(store.private("link")), ErrorKind::NotPermitted);
        assert_eq!(kind(store.make_private("link")), ErrorKind::NotPermitted);
        assert_eq!(kind(store.make_shared("link")), ErrorKind::NotPermitted);
        for mode in [OpenMode::Read, OpenMode::ReadWrite, OpenMode::OpenOrCreate] {
            assert_eq!(kind(store.file("name", mode)), ErrorKind::NotPermitted, "{mode:?}");
            assert_eq!(kind(store.file("new", mode)), ErrorKind::NotPermitted, "{mode:?}");
        }
        for name in ["../outside", "link/file", "..", ".", ""] {
            assert_eq!(kind(store.file(name, OpenMode::Read)), ErrorKind::InvalidInput, "{name}");
            assert_eq!(kind(store.remove_tree(name)), ErrorKind::InvalidInput, "{name}");
        }
        store.replace("name", b"written").unwrap();
        assert_eq!(fs::read(store.path().join("name")).unwrap(), b"written");
        store.remove_tree("tree").unwrap();
        store.remove_tree("link").unwrap();
        store.remove_tree("gone").unwrap();
        let mut left = store.names().unwrap();
        left.sort();
        assert_eq!(left, ["name", "new"]);
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"precious");
        assert!(outside.join("deep").is_dir() && !outside.join("new").exists());
    }

    #[test]
    fn what_is_no_regular_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let work = WorkFolder::open(folder.path()).unwrap().unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        rustix::fs::mkfifoat(&work, "fifo", Mode::RWXU).unwrap();
        for name in ["folder", "fifo"] {
            assert_eq!(kind(work.file(name, OpenMode::Read)), ErrorKind::NotPermitted, "{name}");
        }
        assert_eq!(kind(work.file("none", OpenMode::Read)), ErrorKind::NotFound);
        assert!(WorkFolder::open(folder.path().join("none")).unwrap().is_none());
    }

    /// Root mounted trees of a container in a folder that somebody else had made.
    #[test]
    fn a_folder_that_others_could_write_to_is_not_private() {
        let folder = tempfile::tempdir().unwrap();
        let work = WorkFolder::open(folder.path()).unwrap().unwrap();
        assert!(work.private("own").unwrap().is_none());
        let own = work.make_private("own").unwrap();
        assert_eq!(own.facts().unwrap().mode() & 0o777, 0o700);
        assert!(work.has("own", own.as_file()).unwrap());
        for (permissions, is_private) in [(0o755, true), (0o770, false), (0o702, false)] {
            fs::set_permissions(own.path(), fs::Permissions::from_mode(permissions)).unwrap();
            let found = work.private("own");
            assert_eq!(found.is_ok(), is_private, "{permissions:o}");
            let Err(error) = found else { continue };
            assert_eq!(error.kind(), ErrorKind::NotPermitted);
            let told = error.to_string();
            assert!(told.contains(&format!("{permissions:04o}, expected user")), "{told}");
            assert!(work.make_private("own").is_err() && work.shared("own").unwrap().is_some());
        }
        if geteuid().is_root() {
            fs::set_permissions(own.path(), fs::Permissions::from_mode(0o700)).unwrap();
            chown(own.path(), Some(65534), None).unwrap();
            let told = work.private("own").unwrap_err().to_string();
            assert!(told.contains("user 65534's with permissions 0700"), "{told}");
        }
        fs::remove_dir(own.path()).unwrap();
        assert!(!work.has("own", own.as_file()).unwrap());
    }

    /// A deep tree took a descriptor for each level.
    #[test]
    fn a_tree_goes_however_deep_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let work = WorkFolder::open(folder.path()).unwrap().unwrap();
        let mut at = work.make_private("tree").unwrap();
        for name in ["removed-0", "removed-1"] {
            at.file(name, OpenMode::CreateNew).unwrap();
        }
        for _ in 0..4 * DEPTH_MAX {
            at.file("file", OpenMode::CreateNew).unwrap();
            at.make("beside").unwrap();
            at = at.make_private("deeper").unwrap();
        }
        drop(at);
        work.remove_tree("tree").unwrap();
        assert_eq!(work.names().unwrap(), [] as [&str; 0]);
    }
}

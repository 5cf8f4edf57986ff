//! Files of the host as they are, looked at without following anything.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use sapwood::files::Time;
use sapwood::{Error, ErrorKind, Result};

use crate::tar::{Attribute, Member, MemberKind};

/// What every error about a file of the host begins with.
const OPERATION: &str = "read a directory";

/// Which file of the host it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The number of its filesystem.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

impl Identity {
    fn of(stat: &Stat) -> Identity {
        Identity { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// A file of the host, without its content.
#[derive(Clone, Debug)]
pub struct HostFile {
    /// What the host says of it; its name is the last one of its path.
    pub member: Member,
    /// Which file it is.
    pub identity: Identity,
    /// How many names it has.
    pub links: u64,
    /// Whether the host stores less of it than its size.
    pub is_sparse: bool,
    /// What tells of changes.
    pub state: State,
}

/// What is another one after a change of a file, of its content or its attributes. What is stored
/// through a map counts when the host writes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    size: i64,
    changed: Time,
}

impl State {
    fn of(stat: &Stat) -> State {
        State { size: stat.st_size, changed: time(stat.st_ctime, stat.st_ctime_nsec) }
    }
}

/// That a file that is open still is as it was.
///
/// Errors: [`Stale`](ErrorKind::Stale).
pub fn expect_unchanged(fd: impl AsFd, state: State, path: &Path) -> Result<()> {
    let stat = rustix::fs::fstat(fd).map_err(|errno| failed(errno, path))?;
    if State::of(&stat) == state { Ok(()) } else { Err(changed(path)) }
}

/// A directory of the host that is held open: what is in it is found by names, never by paths.
#[derive(Debug)]
pub struct HostDirectory {
    fd: OwnedFd,
    /// Where it was found, for errors.
    path: PathBuf,
}

impl HostDirectory {
    /// The directory that the caller names; a symlink to it is followed.
    pub fn open(path: &Path) -> Result<HostDirectory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed(e, path))?;
        Ok(HostDirectory { fd, path: path.to_owned() })
    }

    /// The path of a name in it, for errors.
    pub fn path_of(&self, name: &CStr) -> PathBuf {
        self.path.join(OsStr::from_bytes(name.to_bytes()))
    }

    /// Its own attributes.
    pub fn file(&self) -> Result<HostFile> {
        let fail = |errno| failed(errno, &self.path);
        let stat = rustix::fs::fstat(&self.fd).map_err(fail)?;
        let mut file = host_file(&stat, MemberKind::Directory, b"");
        file.member.attributes = attributes(&Fd(self.fd.as_fd())).map_err(fail)?;
        Ok(file)
    }

    /// Which directory it is, and what tells of names that come or go.
    pub fn state(&self) -> Result<(Identity, State)> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|errno| failed(errno, &self.path))?;
        Ok((Identity::of(&stat), State::of(&stat)))
    }

    /// That it still is as it was.
    ///
    /// Errors: [`Stale`](ErrorKind::Stale).
    pub fn expect_unchanged(&self, seen: (Identity, State)) -> Result<()> {
        if self.state()? == seen { Ok(()) } else { Err(changed(&self.path)) }
    }

    /// The names in it, sorted, without `.` and `..`.
    pub fn names(&self) -> Result<Vec<CString>> {
        let fail = |errno| failed(errno, &self.path);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What a name in it is. Attributes of what can be opened come with [`HostDirectory::open_file`]
    /// and [`HostDirectory::file`].
    pub fn look(&self, name: &CStr) -> Result<HostFile> {
        let fail = |errno| failed(errno, &self.path_of(name));
        let stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => MemberKind::File,
            FileType::Directory => MemberKind::Directory,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&self.fd, name, Vec::new()).map_err(fail)?;
                MemberKind::Symlink(target.into_bytes())
            }
            FileType::CharacterDevice => MemberKind::CharDevice(major, minor),
            FileType::BlockDevice => MemberKind::BlockDevice(major, minor),
            FileType::Fifo => MemberKind::Fifo,
            FileType::Socket => MemberKind::Socket,
            FileType::Unknown => {
                let found = format!("mode {:o}", stat.st_mode);
                let error = Error::invalid(OPERATION, "kind", found, "one that is known");
                return Err(error.in_file(self.path_of(name)));
            }
        };
        let is_opened = matches!(kind, MemberKind::File | MemberKind::Directory);
        let mut file = host_file(&stat, kind, name.to_bytes());
        if !is_opened {
            file.member.attributes = attributes(&self.by_path(name)).map_err(fail)?;
        }
        Ok(file)
    }

    /// Opens a directory in it.
    pub fn enter(&self, name: &CStr) -> Result<HostDirectory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.path_of(name);
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(HostDirectory { fd, path }),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(changed(&path)),
            Err(errno) => Err(failed(errno, &path)),
        }
    }

    /// Opens a directory below it, by a path in which no symlink is followed.
    ///
    /// Errors: [`Stale`](ErrorKind::Stale) where a symlink, or anything else, is on the way.
    pub fn below(&self, path: &Path) -> Result<HostDirectory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let shown = self.path.join(path);
        let inside = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match rustix::fs::openat2(&self.fd, inside, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(HostDirectory { fd, path: shown }),
            Err(Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Err(changed(&shown)),
            Err(errno) => Err(failed(errno, &shown)),
        }
    }

    /// Opens a regular file in it, the one that was looked at; gives its attributes as they are now.
    pub fn open_file(&self, name: &CStr, expected: Identity) -> Result<(OwnedFd, HostFile)> {
        let path = self.path_of(name);
        let fail = |errno: Errno| Error::io("read a file", io::Error::from(errno)).in_file(&path);
        // It may have been replaced by a pipe: that must not block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let open = |more| {
            rustix::fs::openat(&self.fd, name, flags | OFlags::CLOEXEC | more, Mode::empty())
        };
        let fd = match open(OFlags::NOATIME) {
            // Only the owner may ask for it.
            Err(Errno::PERM) => open(OFlags::empty()),
            opened => opened,
        };
        let fd = match fd {
            Err(Errno::LOOP | Errno::NXIO) => return Err(changed(&path)),
            fd => fd.map_err(fail)?,
        };
        let stat = rustix::fs::fstat(&fd).map_err(fail)?;
        let mut file = host_file(&stat, MemberKind::File, name.to_bytes());
        let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_regular || file.identity != expected {
            return Err(changed(&path));
        }
        file.member.attributes = attributes(&Fd(fd.as_fd())).map_err(fail)?;
        Ok((fd, file))
    }

    /// Neither pipes nor symlinks can be opened to ask for their attributes, and no call takes a
    /// directory and a name: this path leads through the open directory.
    fn by_path(&self, name: &CStr) -> ByPath {
        let mut path = format!("/proc/self/fd/{}/", self.fd.as_raw_fd()).into_bytes();
        path.extend(name.to_bytes());
        ByPath(PathBuf::from(OsStr::from_bytes(&path)))
    }
}

/// A file of the host became another one while it was looked at.
pub fn changed(path: &Path) -> Error {
    Error::new(ErrorKind::Stale, "read a directory: it changed meanwhile").in_file(path)
}

/// What the host said about `path`.
pub fn failed(errno: Errno, path: &Path) -> Error {
    Error::io(OPERATION, io::Error::from(errno)).in_file(path)
}

fn host_file(stat: &Stat, kind: MemberKind, name: &[u8]) -> HostFile {
    let mut member = Member::new(name, kind, (stat.st_mode & 0o7777) as u16);
    member.owner = stat.st_uid;
    member.group = stat.st_gid;
    member.modified = time(stat.st_mtime, stat.st_mtime_nsec);
    member.accessed = Some(time(stat.st_atime, stat.st_atime_nsec));
    if member.kind == MemberKind::File {
        member.size = stat.st_size as u64;
    }
    /// What `st_blocks` counts in.
    const STAT_BLOCK_BYTES: u64 = 512;
    let stored = stat.st_blocks as u64 * STAT_BLOCK_BYTES;
    HostFile {
        identity: Identity::of(stat),
        links: stat.st_nlink,
        is_sparse: stored < member.size,
        state: State::of(stat),
        member,
    }
}

fn time(seconds: i64, nanoseconds: impl TryInto<u32>) -> Time {
    Time { seconds, nanoseconds: nanoseconds.try_into().unwrap_or(0) }
}

/// A file whose extended attributes can be asked for.
trait Attributed {
    fn list(&self, buffer: &mut [u8]) -> rustix::io::Result<usize>;
    fn get(&self, name: &CStr, buffer: &mut [u8]) -> rustix::io::Result<usize>;
}

struct Fd<'a>(BorrowedFd<'a>);

impl Attributed for Fd<'_> {
    fn list(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::fs::flistxattr(self.0, buffer)
    }

    fn get(&self, name: &CStr, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::fs::fgetxattr(self.0, name, buffer)
    }
}

struct ByPath(PathBuf);

impl Attributed for ByPath {
    fn list(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::fs::llistxattr(&self.0, buffer)
    }

    fn get(&self, name: &CStr, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::fs::lgetxattr(&self.0, name, buffer)
    }
}

/// All extended attributes that the caller may see.
fn attributes(file: &dyn Attributed) -> rustix::io::Result<Vec<Attribute>> {
    let names = match whole(&|buffer| file.list(buffer)) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        names => names?,
    };
    let mut attributes = Vec::new();
    for name in names.split_inclusive(|&byte| byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        match whole(&|buffer| file.get(name, buffer)) {
            Ok(value) => attributes.push((name.to_bytes().to_vec(), value)),
            // Removed meanwhile: then the file does not have it.
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno),
        }
    }
    attributes.sort_unstable();
    Ok(attributes)
}

/// The most bytes that Linux lets a value, or the list of a file's names, have.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

/// A value of any length: asked for with a small buffer first, as most have none or a short one.
fn whole(ask: &dyn Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut first = [0; 256];
    match ask(&mut first) {
        Ok(length) => return Ok(first[..length].to_vec()),
        Err(Errno::RANGE) => {}
        Err(errno) => return Err(errno),
    }
    // Not by asking for the length first: it may grow in between.
    let mut buffer = vec![0; ATTRIBUTE_BYTES_MAX];
    let length = ask(&mut buffer)?;
    buffer.truncate(length);
    buffer.shrink_to_fit();
    Ok(buffer)
}

//! Files of the host made by open directory and single name, so that no path is ever followed.
//!
//! Whoever can write where the export goes may put symlinks and other directories in its way at
//! any moment. So every call takes a directory that is held open and one name in it, names are
//! made and never opened over what is there, and attributes go to what is open.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawMode, ResolveFlags, Timespec, Timestamps, Uid,
    XattrFlags,
};
use rustix::io::Errno;
use sapwood::files::Time;
use sapwood::{Error, ErrorKind, Result};

use crate::tar::{Member, MemberKind};

/// What every error about a file of the host begins with.
const OPERATION: &str = "export to a directory";
/// While a directory is being filled nobody else can get in.
const WHILE_FILLED: Mode = Mode::from_bits_retain(0o700);
/// While a file is being written nobody else can read it.
const WHILE_WRITTEN: Mode = Mode::from_bits_retain(0o600);

/// A directory of the host that is held open to make files in.
pub struct HostDirectory {
    fd: OwnedFd,
}

/// A file of the host that was just made, with what its attributes are set by.
pub struct MadeFile {
    file: File,
    /// Whether it is only a place and was not opened: symlinks, devices, pipes, sockets.
    is_place: bool,
}

/// Whose a file is to be, where the host does not decide.
pub type Owner = Option<(u32, u32)>;

impl HostDirectory {
    /// The directory that the caller names, made where it is missing; a symlink to it is followed.
    ///
    /// Errors: [`NotEmpty`](ErrorKind::NotEmpty) where there is something in it.
    pub fn open_empty(path: &Path) -> Result<HostDirectory> {
        match rustix::fs::mkdir(path, WHILE_FILLED) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno).in_file(path)),
        }
        let directory = HostDirectory::open(path)?;
        let names = rustix::fs::Dir::read_from(&directory.fd);
        let names = names.map_err(|errno| failed(errno).in_file(path))?;
        for name in names {
            let name = name.map_err(|errno| failed(errno).in_file(path))?;
            if name.file_name() != c"." && name.file_name() != c".." {
                return Err(Error::new(ErrorKind::NotEmpty, OPERATION).in_file(path));
            }
        }
        Ok(directory)
    }

    /// The directory that the caller names, with what is in it; a symlink to it is followed.
    pub fn open(path: &Path) -> Result<HostDirectory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty());
        Ok(HostDirectory { fd: fd.map_err(|errno| failed(errno).in_file(path))? })
    }

    /// Makes a directory and enters it.
    pub fn make_directory(&self, name: &[u8]) -> Result<HostDirectory> {
        let name = plain(name)?;
        rustix::fs::mkdirat(&self.fd, &name, WHILE_FILLED).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, &name, flags, Mode::empty()).map_err(failed)?;
        Ok(HostDirectory { fd })
    }

    /// Which directory of the host it is: device and number.
    pub fn identity(&self) -> Result<(u64, u64)> {
        identity(&self.fd)
    }

    /// Opens the directory that this one is in, if it is still the one with this identity.
    pub fn open_above(&self, expected: (u64, u64)) -> Result<HostDirectory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, "..", flags, Mode::empty()).map_err(failed)?;
        let above = HostDirectory { fd };
        if above.identity()? != expected {
            return Err(replaced());
        }
        Ok(above)
    }

    /// Makes a regular file, to be written.
    pub fn make_file(&self, name: &[u8]) -> Result<MadeFile> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, &plain(name)?, flags, WHILE_WRITTEN);
        Ok(MadeFile { file: File::from(fd.map_err(failed)?), is_place: false })
    }

    /// Makes a symlink, device, pipe or socket.
    pub fn make_other(&self, name: &[u8], kind: &MemberKind) -> Result<MadeFile> {
        let name = plain(name)?;
        let node = |kind, device| {
            rustix::fs::mknodat(&self.fd, &name, kind, WHILE_WRITTEN, device).map_err(failed)
        };
        match kind {
            MemberKind::Symlink(target) => {
                let target = OsStr::from_bytes(target);
                rustix::fs::symlinkat(target, &self.fd, &name).map_err(failed)?;
            }
            MemberKind::CharDevice(major, minor) => {
                node(FileType::CharacterDevice, rustix::fs::makedev(*major, *minor))?;
            }
            MemberKind::BlockDevice(major, minor) => {
                node(FileType::BlockDevice, rustix::fs::makedev(*major, *minor))?;
            }
            MemberKind::Fifo => node(FileType::Fifo, 0)?,
            MemberKind::Socket => node(FileType::Socket, 0)?,
            MemberKind::File | MemberKind::Directory | MemberKind::HardLink(_) => {
                unreachable!("these are made by calls of their own")
            }
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, &name, flags, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::fstat(&fd).map_err(failed)?;
        // Somebody who can write here may have put another file in its place.
        if FileType::from_raw_mode(stat.st_mode) != type_of(kind) {
            return Err(replaced());
        }
        Ok(MadeFile { file: File::from(fd), is_place: true })
    }

    /// Opens what stands at the end of a way of plain names that was made before, to link it.
    pub fn find(&self, way: &Path) -> Result<OwnedFd> {
        // The last name may be that of a symlink with several names: it is not followed.
        let name = way.file_name().ok_or_else(replaced)?;
        let place = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let at = |fd: &OwnedFd| rustix::fs::openat(fd, name, place, Mode::empty()).map_err(failed);
        let above = way.parent().filter(|above| !above.as_os_str().is_empty());
        let Some(above) = above else { return at(&self.fd) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let directory = rustix::fs::openat2(&self.fd, above, flags, Mode::empty(), resolve);
        at(&directory.map_err(failed)?)
    }

    /// Gives a file that was found the name `name` here.
    pub fn link(&self, file: &OwnedFd, name: &[u8]) -> Result<()> {
        // Linking what is open takes a privilege, the way through /proc does not.
        let (path, flags) = (path_of(file), AtFlags::SYMLINK_FOLLOW);
        rustix::fs::linkat(rustix::fs::CWD, &path, &self.fd, plain(name)?, flags).map_err(failed)
    }

    /// Gives the directory its attributes, once all is in it.
    pub fn set(&self, member: &Member, owner: Owner) -> Result<()> {
        set(&self.fd, member, owner)
    }
}

impl MadeFile {
    /// Writes bytes where they belong.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(|error| Error::io(OPERATION, error))
    }

    /// Gives the file its size, where a hole is at its end.
    pub fn set_size(&self, size: u64) -> Result<()> {
        self.file.set_len(size).map_err(|error| Error::io(OPERATION, error))
    }

    /// Which file of the host it is: device and number.
    pub fn identity(&self) -> Result<(u64, u64)> {
        identity(&self.file)
    }

    /// Gives the file its attributes, once its content is there.
    pub fn set(&self, member: &Member, owner: Owner) -> Result<()> {
        match self.is_place {
            false => set(&self.file, member, owner),
            true => set_place(&self.file, member, owner),
        }
    }
}

/// Which file of the host it is: device and number.
pub fn identity(file: impl AsFd) -> Result<(u64, u64)> {
    let stat = rustix::fs::fstat(file).map_err(failed)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Somebody changed the files of the export while it ran.
pub fn replaced() -> Error {
    Error::new(ErrorKind::Stale, "export to a directory: somebody else changes it")
}

/// Owner first, since a new one takes away set-id bits and capabilities; times last.
fn set(fd: impl AsFd + Copy, member: &Member, owner: Owner) -> Result<()> {
    if let Some((owner, group)) = owner {
        let (owner, group) = (Uid::from_raw(owner), Gid::from_raw(group));
        rustix::fs::fchown(fd, Some(owner), Some(group)).map_err(failed)?;
    }
    for (name, value) in &member.attributes {
        let set = rustix::fs::fsetxattr(fd, text(name)?, value, XattrFlags::empty());
        set.map_err(|errno| failed_attribute(errno, name))?;
    }
    let mode = Mode::from_raw_mode(RawMode::from(member.permissions));
    rustix::fs::fchmod(fd, mode).map_err(failed)?;
    rustix::fs::futimens(fd, &times(member)).map_err(failed)
}

/// The same for what cannot be opened: through the place that is held.
fn set_place(fd: impl AsFd + Copy, member: &Member, owner: Owner) -> Result<()> {
    let is_symlink = matches!(member.kind, MemberKind::Symlink(_));
    if let Some((owner, group)) = owner {
        let (owner, group) = (Uid::from_raw(owner), Gid::from_raw(group));
        rustix::fs::chownat(fd, "", Some(owner), Some(group), AtFlags::EMPTY_PATH)
            .map_err(failed)?;
    }
    for (name, value) in &member.attributes {
        // This path ends at the file itself, whatever it is.
        let set = rustix::fs::setxattr(path_of(fd), text(name)?, value, XattrFlags::empty());
        set.map_err(|errno| failed_attribute(errno, name))?;
    }
    if !is_symlink {
        let mode = Mode::from_raw_mode(RawMode::from(member.permissions));
        rustix::fs::chmod(path_of(fd), mode).map_err(failed)?;
    }
    rustix::fs::utimensat(fd, "", &times(member), AtFlags::EMPTY_PATH).map_err(failed)
}

fn type_of(kind: &MemberKind) -> FileType {
    match kind {
        MemberKind::Symlink(_) => FileType::Symlink,
        MemberKind::CharDevice(..) => FileType::CharacterDevice,
        MemberKind::BlockDevice(..) => FileType::BlockDevice,
        MemberKind::Fifo => FileType::Fifo,
        MemberKind::Socket => FileType::Socket,
        MemberKind::Directory => FileType::Directory,
        MemberKind::File | MemberKind::HardLink(_) => FileType::RegularFile,
    }
}

fn times(member: &Member) -> Timestamps {
    let spec = |time: Time| Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    Timestamps {
        last_access: spec(member.accessed.unwrap_or(member.modified)),
        last_modification: spec(member.modified),
    }
}

/// The path that leads to what is held open, and to nothing else.
fn path_of(fd: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

/// A name that leads nowhere but into the directory.
fn plain(name: &[u8]) -> Result<CString> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
        let found = name.escape_ascii();
        let error = Error::corrupt(OPERATION, "name", found, "one without a way in it");
        return Err(error);
    }
    text(name)
}

fn text(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes)
        .map_err(|_| Error::corrupt(OPERATION, "name", bytes.escape_ascii(), "no NUL in it"))
}

fn failed(errno: Errno) -> Error {
    let error = Error::io(OPERATION, io::Error::from(errno));
    match errno {
        Errno::PERM | Errno::ACCESS => error.with_kind(ErrorKind::NotPermitted),
        Errno::NOTDIR => error.with_kind(ErrorKind::NotADirectory),
        Errno::XDEV | Errno::LOOP | Errno::EXIST => error.with_kind(ErrorKind::Stale),
        _ => error,
    }
}

fn failed_attribute(errno: Errno, name: &[u8]) -> Error {
    let expected = "an attribute that the host takes";
    failed(errno).about("attribute", name.escape_ascii(), expected)
}

//! The kernel's side of a mount: made, found in the way, taken away.
//!
//! Root mounts by system call, everybody else through the set-user-id helper `fusermount3`, which
//! hands the device over a socket.

use std::ffi::CString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use sapwood::{Error, ErrorKind, Result};

use crate::options::{Audience, MountOptions};

const DEVICE: &str = "/dev/fuse";
const HELPER: &str = "fusermount3";
/// What it says where its caller may not do so: with the device, on the directory, with an option.
const REFUSALS: [&str; 3] = ["Permission denied", "not permitted", "user_allow_other"];
/// Where the helper looks for the number of the socket.
const HELPER_SOCKET: &str = "_FUSE_COMMFD";
/// What `/proc/mounts` shows as `fuse.sapwood`.
const SUBTYPE: &str = "sapwood";
const STDIN: &str = "0";

/// Whether a mount can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

/// Whether an unmount waits for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmount {
    /// An error while somebody is in it.
    WhenFree,
    /// It goes from its directory now, and ends when the last file is closed.
    Detach,
}

/// Mounts on `directory`, an existing one; the device that speaks with the kernel.
///
/// Errors: [`ErrorKind::Stale`] where a mount is in the way whose server has gone.
pub fn attach(directory: &Path, access: Access, options: &MountOptions) -> Result<OwnedFd> {
    let failed = |error: io::Error| Error::io("mount", error).in_file(directory);
    let mode = expect_directory(directory)?;
    let device = OpenOptions::new().read(true).write(true).open(DEVICE);
    match device {
        Ok(device) => match attach_as_root(&device, directory, mode, access, options) {
            Ok(()) => return Ok(device.into()),
            Err(Errno::PERM) => {}
            Err(error) => return Err(failed(error.into())),
        },
        // The helper may open what its caller may not.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(error) => return Err(Error::io("open the FUSE device", error).in_file(DEVICE)),
    }
    if options.set_user_id || options.devices {
        // The helper would leave them out and say nothing.
        let expected = "a mount by root";
        let found = "a mount by fusermount3, which has neither";
        return Err(Error::new(ErrorKind::NotPermitted, "mount").in_file(directory).about(
            "set-user-id bits or devices",
            found,
            expected,
        ));
    }
    attach_by_helper(directory, access, options).map_err(|error| {
        let said = error.to_string();
        let is_refused = REFUSALS.iter().any(|refusal| said.contains(refusal));
        let kind = if is_refused { ErrorKind::NotPermitted } else { ErrorKind::Io };
        failed(error).with_kind(kind)
    })
}

/// Takes the mount on `directory` away.
///
/// Errors: [`ErrorKind::Locked`] where somebody is in it; [`ErrorKind::NotFound`] where there is none.
pub fn detach(directory: &Path, how: Unmount) -> Result<()> {
    let flags = match how {
        Unmount::WhenFree => UnmountFlags::NOFOLLOW,
        Unmount::Detach => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    let done = match unmount(directory, flags) {
        Err(Errno::PERM) => return detach_by_helper(directory, how),
        done => done,
    };
    done.map_err(|error| {
        let kind = match error {
            Errno::BUSY => ErrorKind::Locked,
            Errno::INVAL => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        Error::io("unmount", error.into()).with_kind(kind).in_file(directory)
    })
}

/// Which filesystem it is, as the kernel numbers them while they are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilesystemNumber {
    /// The part that says what kind it is.
    pub major: u32,
    /// The part that says which of its kind.
    pub minor: u32,
}

impl FilesystemNumber {
    /// That of what an open directory belongs to. For a mount that sends no message to its server.
    pub fn of(directory: impl AsFd) -> io::Result<FilesystemNumber> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let found = statx(directory, "", flags, StatxFlags::TYPE)?;
        Ok(FilesystemNumber { major: found.stx_dev_major, minor: found.stx_dev_minor })
    }

    /// That of what stands on a directory.
    pub fn on(directory: &Path) -> io::Result<FilesystemNumber> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        FilesystemNumber::of(rustix::fs::open(directory, flags, Mode::empty())?)
    }
}

impl fmt::Display for FilesystemNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// The mode of the directory to mount on, for the kernel.
fn expect_directory(directory: &Path) -> Result<u32> {
    // What the kernel remembers of a directory it tells without asking its server; of the room on a
    // filesystem it always asks.
    let found = std::fs::metadata(directory)
        .and_then(|found| rustix::fs::statfs(directory).map(|_| found).map_err(io::Error::from));
    match found {
        Ok(metadata) if metadata.is_dir() => Ok(metadata.mode()),
        Ok(_) => Err(Error::new(ErrorKind::NotADirectory, "mount").in_file(directory)),
        Err(error) if error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()) => {
            Err(Error::new(ErrorKind::Stale, "mount").in_file(directory).about(
                "directory",
                "a mount whose server has gone",
                "a directory: unmount it first",
            ))
        }
        Err(error) => Err(Error::io("mount", error).in_file(directory)),
    }
}

fn attach_as_root(
    device: &File,
    directory: &Path,
    mode: u32,
    access: Access,
    options: &MountOptions,
) -> Result<(), Errno> {
    let mut flags = MountFlags::empty();
    for (is_set, flag) in [
        (access == Access::ReadOnly, MountFlags::RDONLY),
        (!options.set_user_id, MountFlags::NOSUID),
        (!options.devices, MountFlags::NODEV),
    ] {
        flags.set(flag, is_set);
    }
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    let mut data = format!(
        "fd={},rootmode={mode:o},user_id={},group_id={},default_permissions",
        device.as_raw_fd(),
        user.as_raw(),
        group.as_raw(),
    );
    if options.audience == Audience::Everybody {
        data.push_str(",allow_other");
    }
    let data = CString::new(data).map_err(|_| Errno::INVAL)?;
    let kind = format!("fuse.{SUBTYPE}");
    mount(options.source.as_str(), directory, kind, flags, data.as_c_str())
}

fn attach_by_helper(
    directory: &Path,
    access: Access,
    options: &MountOptions,
) -> io::Result<OwnedFd> {
    // A comma would begin another option.
    let source = options.source.replace('\\', "\\\\").replace(',', "\\,");
    let mut words = format!("default_permissions,subtype={SUBTYPE},fsname={source}");
    for (is_set, word) in [
        (access == Access::ReadOnly, ",ro"),
        (options.audience == Audience::Everybody, ",allow_other"),
    ] {
        if is_set {
            words.push_str(word);
        }
    }
    let (ours, theirs) = UnixStream::pair()?;
    let output = Command::new(HELPER)
        .arg("-o")
        .arg(words)
        .arg("--")
        .arg(directory)
        .env(HELPER_SOCKET, STDIN)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{HELPER}: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(said.trim().to_owned()));
    }
    receive_device(&ours)
}

/// The one descriptor that the helper sends.
fn receive_device(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
            && let Some(device) = descriptors.next()
        {
            return Ok(device);
        }
    }
    Err(io::Error::other(format!("{HELPER} sent no device")))
}

fn detach_by_helper(directory: &Path, how: Unmount) -> Result<()> {
    let flags = match how {
        Unmount::WhenFree => "-u",
        Unmount::Detach => "-uz",
    };
    let output = Command::new(HELPER)
        .arg(flags)
        .arg("--")
        .arg(directory)
        .output()
        .map_err(|error| Error::io("call fusermount3", error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let kind = if said.contains("busy") { ErrorKind::Locked } else { ErrorKind::Io };
    let error = io::Error::other(said.trim().to_owned());
    Err(Error::io("unmount", error).with_kind(kind).in_file(directory))
}

/// Bytes of a path for messages that leave the process.
pub fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

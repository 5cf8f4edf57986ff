//! Locks of single bytes of a file: `fcntl` with `F_OFD_SETLK`, which nothing safe offers.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Takes the byte at `offset` alone, for this open file; `false` where another one has it and
/// `wait` is not set. Closing the file gives it back. The byte need not exist.
pub fn lock_byte(file: &File, offset: u64, wait: bool) -> io::Result<bool> {
    let command = if wait { libc::F_OFD_SETLKW } else { libc::F_OFD_SETLK };
    let start = offset.try_into().map_err(io::Error::other)?;
    match change(file, command, libc::F_WRLCK, start, 1) {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EACCES) if !wait => Ok(false),
            _ => Err(error),
        },
    }
}

/// Gives back all bytes that this open file has taken, whoever else has a descriptor of it.
pub fn unlock_bytes(file: &File) -> io::Result<()> {
    // A length of none reaches to the end of all files.
    change(file, libc::F_OFD_SETLK, libc::F_UNLCK, 0, 0)
}

fn change(
    file: &File,
    command: libc::c_int,
    kind: libc::c_int,
    start: libc::off_t,
    length: libc::off_t,
) -> io::Result<()> {
    // SAFETY: a `flock` is plain integers, for which zeros are a value.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = kind as libc::c_short;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    range.l_start = start;
    range.l_len = length;
    loop {
        // SAFETY: the descriptor is kept open by `file`, and the pointer is to a whole `flock` that
        // outlives the call.
        let status = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const range) };
        if status == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINTR) {
            return Err(error);
        }
    }
}

//! Locks of single bytes of a file: `fcntl` with `F_OFD_SETLK`, which nothing safe offers.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Takes the byte at `offset` alone, for this open file; `false` where another one has it and
/// `wait` is not set. Closing the file gives it back. The byte need not exist.
pub fn lock_byte(file: &File, offset: u64, wait: bool) -> io::Result<bool> {
    let command = if wait { libc::F_OFD_SETLKW } else { libc::F_OFD_SETLK };
    // SAFETY: a `flock` is plain integers, for which zeros are a value.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = libc::F_WRLCK as libc::c_short;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    range.l_start = offset.try_into().map_err(io::Error::other)?;
    range.l_len = 1;
    loop {
        // SAFETY: the descriptor is kept open by `file`, and the pointer is to a whole `flock` that
        // outlives the call.
        let status = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const range) };
        if status == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN | libc::EACCES) if !wait => return Ok(false),
            _ => return Err(error),
        }
    }
}

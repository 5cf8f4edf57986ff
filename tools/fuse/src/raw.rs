//! The one system call that no library has in a safe form.

#![expect(unsafe_code, reason = "the fenced place: see the SAFETY note")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Has the kernel hand over all that it holds back of a file, and waits until it has arrived. Unlike
/// `fdatasync` it takes no lock of the file, which a caller of `lseek` holds.
///
/// Errors: what became of what was handed over, as `EIO` and `ENOSPC`.
pub fn sync_file_range(file: impl AsFd) -> io::Result<()> {
    const ALL: libc::c_uint = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    loop {
        // SAFETY: it takes a descriptor, which is open while it is borrowed, and numbers.
        let done = unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), 0, 0, ALL) };
        let error = match done {
            0 => return Ok(()),
            _ => io::Error::last_os_error(),
        };
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

//! Asking the kernel to begin writing a range of a file.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Starts write-back of the dirty pages in a range, without waiting for it.
pub fn start_writeback(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let offset = i64::try_from(offset).map_err(io::Error::other)?;
    let length = i64::try_from(length).map_err(io::Error::other)?;
    loop {
        // SAFETY: a system call on a descriptor that `file` keeps open; no memory is passed.
        let status = unsafe {
            libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE)
        };
        if status == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

//! Block devices to write an image onto.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags, fallocate};

use super::target::{Target, write_pieces};
use crate::error::{CliError, Result};

/// What a device makes zeros by itself ends at multiples of this, the largest sector.
const GRAIN_BYTES: u64 = 4096;

/// A block device. What an image does not hold is made zeros, by the device where it can; what lies
/// past the end of the image stays as it is.
pub struct DeviceTarget {
    file: File,
    path: PathBuf,
    written: u64,
}

impl DeviceTarget {
    /// Opens the device at `path` for an image of `size` bytes, where there is one, and where it may be
    /// written over.
    pub fn open(path: &Path, replace: bool, size: u64) -> Result<Option<DeviceTarget>> {
        // A device is mostly named by a symlink that leads to it.
        if !path.metadata().is_ok_and(|facts| facts.file_type().is_block_device()) {
            return Ok(None);
        }
        if !replace {
            return Err(CliError::FileExists(path.to_owned()));
        }
        // Exclusive: the kernel refuses one that is mounted, or part of another.
        let flags = OFlags::EXCL.bits() as i32;
        let mut file = OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(path)
            .map_err(CliError::file("open", path))?;
        let room = file.seek(SeekFrom::End(0)).map_err(CliError::file("find the end of", path))?;
        if size > room {
            return Err(CliError::usage(format!(
                "{} has room for {room} bytes, and the disk has {size}",
                path.display()
            )));
        }
        Ok(Some(DeviceTarget { file, path: path.to_owned(), written: 0 }))
    }

    fn zeros_until(&mut self, offset: u64) -> Result<()> {
        static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
        let aligned = offset / GRAIN_BYTES * GRAIN_BYTES;
        if self.written.is_multiple_of(GRAIN_BYTES) && self.written < aligned {
            let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
            // Where the device does not, they are written, and the error is that of writing.
            if fallocate(&self.file, flags, self.written, aligned - self.written).is_ok() {
                self.written = aligned;
            }
        }
        while self.written < offset {
            let length = (offset - self.written).min(ZEROS.len() as u64) as usize;
            self.put(&ZEROS[..length])?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let written = write_pieces(&self.file, self.written, bytes);
        written.map_err(CliError::file("write", &self.path))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl Target for DeviceTarget {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.zeros_until(offset)?;
        self.put(bytes)
    }

    fn finish(mut self: Box<Self>, size: u64) -> Result<()> {
        self.zeros_until(size)?;
        self.file.sync_all().map_err(CliError::file("make durable", &self.path))
    }
}

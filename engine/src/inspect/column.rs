//! A column of fixed-width integers in a file, read through a small window.

use super::file::InspectedFile;
use crate::error::Result;

/// How much of a column is held at a time, in bytes.
const WINDOW_BYTES: u64 = 4096;

/// A section of a file, read mostly in ascending order and never held whole.
#[derive(Debug)]
pub struct Column<'a> {
    file: &'a InspectedFile,
    offset: u64,
    bytes: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl<'a> Column<'a> {
    /// The `bytes` of `file` from `offset` on.
    pub fn new(file: &'a InspectedFile, offset: u64, bytes: u64) -> Column<'a> {
        Column { file, offset, bytes, window: Vec::new(), window_start: 0 }
    }

    /// Integer `index`, where integers are of 32 bits.
    pub fn u32_at(&mut self, index: u64) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(index * 4)?))
    }

    /// Integer `index`, where integers are of 64 bits.
    pub fn u64_at(&mut self, index: u64) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(index * 8)?))
    }

    /// The byte of the file at which entry `index` of `width` bytes lies.
    pub fn position(&self, index: u64, width: u64) -> u64 {
        self.offset + index * width
    }

    fn array<const N: usize>(&mut self, at: u64) -> Result<[u8; N]> {
        assert!(at + N as u64 <= self.bytes, "an index inside the column");
        let end = self.window_start + self.window.len() as u64;
        if at < self.window_start || at + N as u64 > end {
            self.window_start = at / WINDOW_BYTES * WINDOW_BYTES;
            let length = WINDOW_BYTES.min(self.bytes - self.window_start);
            self.window.clear();
            self.window.resize(length as usize, 0);
            self.file.read(self.offset + self.window_start, &mut self.window)?;
        }
        let start = (at - self.window_start) as usize;
        Ok(self.window[start..start + N].try_into().expect("N bytes"))
    }
}

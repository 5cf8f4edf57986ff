//! A read-only map of a range of a file.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

use super::guard::{self, Slot};

/// A read-only, shared map of a range of a file. Its bytes may change where the
/// file is written through other handles: the callers' protocol (INV-01, INV-03)
/// says which ranges are stable while somebody looks.
///
/// A page that the host cannot give (the file was cut by somebody else, the
/// device failed) kills the process, unless [`install_guard`](super::install_guard)
/// was called: then it reads as zeros and [`Map::faulted`] says so from then on.
///
/// Clones share the map. Each carries where its bytes lie, so that a read of one of
/// thousands of maps meets one cache line less.
#[derive(Clone)]
pub struct Map {
    start: *const u8,
    len: usize,
    slot: &'static Slot,
    /// Keeps the range mapped.
    _owner: Arc<Owner>,
}

struct Owner {
    /// Where the guard's handler finds this map. The range leaves the table in
    /// `drop`, before the fields are dropped and it is unmapped.
    slot: &'static Slot,
    _inner: memmap2::Mmap,
}

// SAFETY: a map only hands out shared slices of bytes that stay mapped for as long as its
// owner lives; the owner can be sent and shared.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps `length` bytes of `file` from `offset`, a multiple of 4 KiB. The range
    /// may reach past the end of the file; such bytes must not be touched.
    pub fn of_file(file: &File, offset: u64, length: u64) -> io::Result<Map> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        // SAFETY: the map is read-only and shared. No mapped file of ours ever
        // shrinks, and blocks that a reader can reach are not written (INV-01);
        // ranges past the end are not touched by contract. A file that a third
        // party cuts is what the signal guard is for.
        let inner = unsafe { memmap2::MmapOptions::new().offset(offset).len(length).map(file)? };
        let (start, len) = (inner.as_ptr(), inner.len());
        let slot = guard::register(start as usize, len);
        Ok(Map { start, len, slot, _owner: Arc::new(Owner { slot, _inner: inner }) })
    }

    /// The length of the map in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the map holds no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes `offset..offset + length` of the map.
    ///
    /// Whoever installed the guard asks [`Map::faulted`] after using them.
    ///
    /// # Panics
    ///
    /// Where the range does not lie in the map.
    #[inline]
    pub fn bytes(&self, offset: usize, length: usize) -> &[u8] {
        // SAFETY: `start` and `len` are those of the map that `_owner` keeps in place.
        let all = unsafe { std::slice::from_raw_parts(self.start, self.len) };
        &all[offset..offset + length]
    }

    /// Copies from the map into `buffer`.
    pub fn copy_to(&self, offset: usize, buffer: &mut [u8]) {
        buffer.copy_from_slice(self.bytes(offset, buffer.len()));
    }

    /// As [`Map::copy_to`]; `EIO` where the guard had to stand in for a page of this
    /// map, now or before: it does not remember which.
    pub fn try_copy(&self, offset: usize, buffer: &mut [u8]) -> io::Result<()> {
        self.copy_to(offset, buffer);
        match self.faulted() {
            false => Ok(()),
            true => Err(io::Error::from_raw_os_error(libc::EIO)),
        }
    }

    /// Whether the guard has put zeros in place of a page that the host could not
    /// give. It stays true for as long as the map lives.
    pub fn faulted(&self) -> bool {
        self.slot.faulted()
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map({} bytes)", self.len)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        guard::unregister(self.slot);
    }
}

//! A read-only map of a range of a file.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

use memmap2::Advice;

use super::guard::{self, Slot};

/// The most that a host is asked for in one call: hosts leave out what is longer than they read
/// ahead by themselves, which is this much or more.
const ASK_BYTES_MAX: usize = 128 << 10;

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
    owner: Arc<Owner>,
}

struct Owner {
    /// Where the guard's handler finds this map. The range leaves the table in
    /// `drop`, before the fields are dropped and it is unmapped.
    slot: &'static Slot,
    inner: memmap2::Mmap,
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
        Ok(Map { start, len, slot, owner: Arc::new(Owner { slot, inner }) })
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
        // SAFETY: `start` and `len` are those of the map that `owner` keeps in place.
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

    /// Tells the host that pages will be touched in no order: a fault brings in the one that it is
    /// about, and nothing around it. Advice: a host that does not take it is slower, not wrong.
    pub fn expect_no_order(&self) {
        let _ = self.owner.inner.advise(Advice::Random);
    }

    /// Asks the host to begin reading a range, or what of it the map holds, into memory. Advice as well:
    /// what fails is read, or fails again, when it is touched.
    pub fn will_need(&self, offset: usize, length: usize) {
        let end = self.len.min(offset.saturating_add(length));
        for start in (offset..end).step_by(ASK_BYTES_MAX) {
            let length = ASK_BYTES_MAX.min(end - start);
            let _ = self.owner.inner.advise_range(Advice::WillNeed, start, length);
        }
    }

    /// Brings a range into memory, so that somebody who cannot be told of a fault, as the kernel is when
    /// it copies, meets none. No where the host has lost it, or knows no such call (before Linux 5.14).
    pub fn bring_in(&self, offset: usize, length: usize) -> bool {
        length == 0 || self.owner.inner.advise_range(Advice::PopulateRead, offset, length).is_ok()
    }

    /// Whether the page of byte `offset` is in memory. A host says yes, too, where it does not tell:
    /// of files that belong to somebody else and may not be written.
    pub fn is_resident(&self, offset: usize) -> bool {
        if offset >= self.len {
            return true;
        }
        // SAFETY: a plain system call on Linux.
        let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let address = self.start as usize + offset;
        let page = (address - address % page_bytes) as *mut libc::c_void;
        let mut resident = 0_u8;
        // SAFETY: the host looks at no memory but its own, and writes the byte for one page.
        let status = unsafe { libc::mincore(page, 1, (&raw mut resident).cast()) };
        status != 0 || resident & 1 == 1
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_brings_in_one_page_and_what_is_asked_for_comes_by_itself() {
        const PAGE: usize = 64 << 10;
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![7; 64 * PAGE], 0).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let map = Map::of_file(&file, 0, 64 * PAGE as u64).unwrap();
        map.expect_no_order();
        if map.is_resident(0) {
            eprintln!("SKIPPED: the files of this host never leave its memory");
            return;
        }
        assert_eq!(map.bytes(20 * PAGE, 1), [7]);
        assert!(map.is_resident(20 * PAGE));
        assert!([19, 21, 40, 63].iter().all(|page| !map.is_resident(page * PAGE)));
        map.will_need(40 * PAGE, usize::MAX);
        let is_there = || [40, 50, 63].iter().all(|page| map.is_resident(page * PAGE));
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !is_there() && std::time::Instant::now() < patience {
            std::thread::yield_now();
        }
        assert!(is_there() && !map.is_resident(30 * PAGE));
    }
}

//! A host that is full once so many bytes are allocated.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::medium::{FileFacts, FileIdentity, Host, LockMode, LockWait, Map, Medium, OpenMode};
use crate::units::PAGE_BYTES;

/// A host in front of another one, with room for so many bytes. Writing and
/// allocating take room in units of 4 KiB, punching and unlinking give it back:
/// unlinking when the last handle is closed.
#[derive(Debug)]
pub struct CapacityHost {
    inner: Arc<dyn Host>,
    room: Arc<Mutex<Room>>,
}

#[derive(Debug)]
struct Room {
    capacity: u64,
    files: BTreeMap<(u64, u64), Usage>,
}

#[derive(Debug, Default)]
struct Usage {
    pages: BTreeSet<u64>,
    handles: u64,
}

fn key(identity: FileIdentity) -> (u64, u64) {
    (identity.device, identity.inode)
}

impl Room {
    fn used(&self) -> u64 {
        self.files.values().map(|usage| usage.pages.len() as u64 * PAGE_BYTES).sum()
    }

    /// Takes room for a range, or nothing at all.
    fn take(&mut self, file: FileIdentity, offset: u64, length: u64) -> io::Result<()> {
        let used = self.used();
        let pages = &mut self.files.entry(key(file)).or_default().pages;
        let end = offset.checked_add(length).ok_or(io::ErrorKind::FileTooLarge)?;
        let range = offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES).max(offset / PAGE_BYTES);
        let new = (range.end - range.start) - pages.range(range.clone()).count() as u64;
        if new.saturating_mul(PAGE_BYTES) > self.capacity.saturating_sub(used) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        pages.extend(range);
        Ok(())
    }

    fn give_back(&mut self, file: FileIdentity, offset: u64, length: u64) {
        let end = offset.saturating_add(length) / PAGE_BYTES;
        if let Some(usage) = self.files.get_mut(&key(file)) {
            usage.pages.retain(|page| *page < offset.div_ceil(PAGE_BYTES) || *page >= end);
        }
    }

    fn forget_unless_open(&mut self, file: FileIdentity) {
        if self.files.get(&key(file)).is_some_and(|usage| usage.handles == 0) {
            self.files.remove(&key(file));
        }
    }
}

impl CapacityHost {
    /// In front of `inner`, with room for `capacity` bytes. What is there already
    /// counts when it is first opened.
    pub fn new(inner: Arc<dyn Host>, capacity: u64) -> Arc<CapacityHost> {
        let room = Arc::new(Mutex::new(Room { capacity, files: BTreeMap::new() }));
        Arc::new(CapacityHost { inner, room })
    }

    /// Changes how many bytes there is room for, whatever is used.
    pub fn set_capacity(&self, capacity: u64) {
        self.room.lock().capacity = capacity;
    }

    /// How many bytes are used.
    pub fn used(&self) -> u64 {
        self.room.lock().used()
    }

    fn unlinked(&self, facts: io::Result<FileFacts>) {
        if let Ok(facts) = facts
            && facts.links <= 1
        {
            self.room.lock().forget_unless_open(facts.identity);
        }
    }
}

impl Host for CapacityHost {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn Medium>> {
        let inner = self.inner.open(path, mode)?;
        let identity = inner.facts()?.identity;
        let mut room = self.room.lock();
        if !room.files.contains_key(&key(identity)) {
            let capacity = std::mem::replace(&mut room.capacity, u64::MAX);
            let mut at = 0;
            while let Some((start, end)) = inner.next_data(at)? {
                room.take(identity, start, end - start)?;
                at = end;
            }
            room.capacity = capacity;
        }
        room.files.entry(key(identity)).or_default().handles += 1;
        Ok(Arc::new(CapacityMedium { inner, identity, room: self.room.clone() }))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.inner.create_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let replaced = self.inner.facts(to);
        self.inner.rename(from, to)?;
        self.unlinked(replaced);
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename_new(from, to)
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        self.inner.link(file, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.inner.facts(path);
        self.inner.remove(path)?;
        self.unlinked(removed);
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_folder(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.inner.list(path)
    }

    fn facts(&self, path: &Path) -> io::Result<FileFacts> {
        self.inner.facts(path)
    }

    fn display_path(&self, path: &Path) -> PathBuf {
        self.inner.display_path(path)
    }
}

/// An open file of a [`CapacityHost`].
#[derive(Debug)]
struct CapacityMedium {
    inner: Arc<dyn Medium>,
    identity: FileIdentity,
    room: Arc<Mutex<Room>>,
}

impl Medium for CapacityMedium {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, buffer)
    }

    fn read_uncached_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read_uncached_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.room.lock().take(self.identity, offset, bytes.len() as u64)?;
        self.inner.write_at(offset, bytes)
    }

    fn write_vectored_at(&self, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let length = slices.iter().map(|slice| slice.len() as u64).sum();
        self.room.lock().take(self.identity, offset, length)?;
        self.inner.write_vectored_at(offset, slices)
    }

    fn start_writeback(&self, offset: u64, length: u64) -> io::Result<()> {
        self.inner.start_writeback(offset, length)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.inner.drop_cache()
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        if let Err(error) = self.room.lock().take(self.identity, offset, length) {
            // As ext4 does: it stops where the room ends, and the file is as long as that.
            let reached = offset + length / 2 + 1000;
            if reached > self.inner.facts()?.length {
                self.inner.set_length(reached)?;
            }
            return Err(error);
        }
        self.inner.allocate(offset, length)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.inner.set_length(length)?;
        self.room.lock().give_back(self.identity, length, u64::MAX);
        Ok(())
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.inner.punch(offset, length)?;
        self.room.lock().give_back(self.identity, offset, length);
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<(u64, u64)>> {
        self.inner.next_data(offset)
    }

    fn map(&self, offset: u64, length: u64) -> io::Result<Option<Map>> {
        self.inner.map(offset, length)
    }

    fn lock(&self, mode: LockMode, wait: LockWait) -> io::Result<bool> {
        self.inner.lock(mode, wait)
    }

    fn lock_byte(&self, offset: u64, wait: LockWait) -> io::Result<bool> {
        self.inner.lock_byte(offset, wait)
    }

    fn unlock(&self) -> io::Result<()> {
        self.inner.unlock()
    }

    fn facts(&self) -> io::Result<FileFacts> {
        self.inner.facts()
    }
}

impl Drop for CapacityMedium {
    fn drop(&mut self) {
        let linked = self.inner.facts().is_ok_and(|facts| facts.links > 0);
        let mut room = self.room.lock();
        if let Some(usage) = room.files.get_mut(&key(self.identity)) {
            usage.handles -= 1;
        }
        if !linked {
            room.forget_unless_open(self.identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::MemoryHost;

    #[test]
    fn a_host_with_room_keeps_the_contract() {
        crate::medium::contract::check(&*CapacityHost::new(Arc::new(MemoryHost::new()), 1 << 30));
    }

    #[test]
    fn room_is_taken_and_given_back() {
        let inner = Arc::new(MemoryHost::new());
        let there = inner.open(Path::new("there"), OpenMode::CreateNew).unwrap();
        there.write_at(0, &[1; 4096]).unwrap();
        let host = CapacityHost::new(inner, 4 * 4096);
        let full =
            |result: io::Result<()>| result.unwrap_err().raw_os_error() == Some(libc::ENOSPC);

        let (a, b) = (Path::new("a"), Path::new("b"));
        drop(host.open(Path::new("there"), OpenMode::Read).unwrap());
        assert_eq!(host.used(), 4096);
        let file = host.open(a, OpenMode::CreateNew).unwrap();
        file.allocate(0, 2 * 4096).unwrap();
        file.write_at(4000, &[2; 200]).unwrap();
        assert_eq!(host.used(), 3 * 4096, "what is allocated takes no more room");
        let other = host.open(b, OpenMode::CreateNew).unwrap();
        other.write_at(100, &[3; 1]).unwrap();
        assert!(full(other.write_at(4095, &[3; 2])));
        assert!(full(file.allocate(0, 3 * 4096)));
        file.punch(0, 4096 + 4095).unwrap();
        assert_eq!(host.used(), 3 * 4096, "half a page is not given back");
        other.write_at(4095, &[3; 2]).unwrap();
        assert!(full(file.write_at(0, &[1])));

        host.rename(a, b).unwrap();
        assert_eq!(host.used(), 4 * 4096, "replaced, and open still");
        drop(other);
        assert_eq!(host.used(), 2 * 4096);
        drop(file);
        assert_eq!(host.used(), 2 * 4096);
        host.remove(b).unwrap();
        assert_eq!(host.used(), 4096);
        host.set_capacity(0);
        let file = host.open(a, OpenMode::CreateNew).unwrap();
        assert!(full(file.write_at(0, &[1])));
    }
}

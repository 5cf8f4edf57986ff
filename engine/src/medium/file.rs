//! A [`Medium`] on an open file of a Linux host.

use std::fs::File;
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use rustix::fs::{Advice, FallocateFlags, FlockOperation, Mode, OFlags, SeekFrom};
use rustix::io::{Errno, retry_on_intr};

use super::{FileFacts, FileIdentity, LockMode, LockWait, Map, Medium};
use crate::raw;

/// What direct reads have to be aligned to in place, length and memory: the
/// largest sector there is, which is also the page.
const DIRECT_ALIGNMENT: usize = 4096;

/// The most that one direct read takes: bounds the aligned copy.
const DIRECT_BYTES_MAX: usize = 1 << 20;

/// The slices that one vectored write takes (the kernel's own limit).
const SLICES_MAX: usize = 1024;

/// The most that is handed to the host in one write. What it is given at once it takes into larger pieces
/// of memory, and a virtual machine may have to ask its own host for those first: writes of 4 MiB were
/// seen at a third of the speed of these.
const WRITE_BYTES_MAX: usize = 256 << 10;

/// An open file. Interrupted calls are made again and short ones are continued,
/// except for `sync`: the kernel forgets a failed one, so it is asked once.
#[derive(Debug)]
pub struct FileMedium {
    file: File,
    /// The same file opened past the host's cache; `None` where the host refuses.
    direct: OnceLock<Option<File>>,
    /// In which process, as forks count, a lock was last asked for; none was as long as it is not set.
    locked_in: OnceLock<u32>,
}

impl FileMedium {
    pub(super) fn new(file: File) -> FileMedium {
        FileMedium { file, direct: OnceLock::new(), locked_in: OnceLock::new() }
    }

    /// The second descriptor, opened through the first: the name may lead elsewhere by now.
    fn direct(&self) -> Option<&File> {
        use std::os::fd::AsRawFd;
        let open = || {
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
            let opened = retry_on_intr(|| rustix::fs::open(&path, flags, Mode::empty()));
            opened.ok().map(File::from)
        };
        self.direct.get_or_init(open).as_ref()
    }

    /// Drops the cached pages of a range, then reads: what is clean comes from the device.
    fn read_behind_dropped_cache(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let length = NonZeroU64::new(buffer.len() as u64);
        let forget = || rustix::fs::fadvise(&self.file, offset, length, Advice::DontNeed);
        retry_on_intr(forget)?;
        self.file.read_exact_at(buffer, offset)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.facts()?.length)
    }

    fn note_lock(&self) {
        self.locked_in.get_or_init(raw::fork_generation);
    }
}

impl Drop for FileMedium {
    /// Gives the locks back in words. Closing alone does not while another thread is starting a
    /// program: its child has all descriptors until it becomes that program, and the locks with them.
    /// A forked child that closes its copy leaves them to the parent.
    fn drop(&mut self) {
        if self.locked_in.get().is_some_and(|&process| process == raw::fork_generation()) {
            // What fails here is done by the close that follows.
            let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
            let _ = raw::unlock_bytes(&self.file);
        }
    }
}

/// How many of the slices one write takes; 0 where the first is too long for one.
fn slices_of_one_write(slices: &[IoSlice<'_>]) -> usize {
    let ends = slices.iter().scan(0, |end: &mut usize, slice| {
        *end += slice.len();
        Some(*end)
    });
    ends.take(SLICES_MAX).take_while(|end| *end <= WRITE_BYTES_MAX).count()
}

/// Reads by way of an aligned copy. `Ok(false)` where the host does not take direct reads after all.
fn read_direct(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
    let alignment = DIRECT_ALIGNMENT as u64;
    let mut memory = vec![0; buffer.len().min(DIRECT_BYTES_MAX) + 3 * DIRECT_ALIGNMENT];
    let start = memory.as_ptr().align_offset(DIRECT_ALIGNMENT);
    let mut filled = 0;
    while filled < buffer.len() {
        let from = offset + filled as u64;
        let aligned = from - from % alignment;
        let skipped = (from - aligned) as usize;
        let wanted = (buffer.len() - filled).min(DIRECT_BYTES_MAX);
        let bytes = (skipped + wanted).next_multiple_of(DIRECT_ALIGNMENT);
        let window = &mut memory[start..start + bytes];
        let got = match retry_on_intr(|| rustix::io::pread(file, &mut *window, aligned)) {
            Ok(got) => got,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if got <= skipped {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let usable = (got - skipped).min(wanted);
        buffer[filled..filled + usable].copy_from_slice(&window[skipped..skipped + usable]);
        filled += usable;
    }
    Ok(true)
}

impl Medium for FileMedium {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn read_uncached_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if let Some(direct) = self.direct()
            && read_direct(direct, offset, buffer)?
        {
            return Ok(());
        }
        self.read_behind_dropped_cache(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        for (index, piece) in bytes.chunks(WRITE_BYTES_MAX).enumerate() {
            self.file.write_all_at(piece, offset + (index * WRITE_BYTES_MAX) as u64)?;
        }
        Ok(())
    }

    fn write_vectored_at(&self, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let mut rest: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let mut rest = &mut rest[..];
        let mut offset = offset;
        // Empty slices at the front would read as a write of nothing.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let batch = match slices_of_one_write(rest) {
                0 => &[IoSlice::new(&rest[0][..WRITE_BYTES_MAX])][..],
                count => &rest[..count],
            };
            let written = retry_on_intr(|| rustix::io::pwritev(&self.file, batch, offset))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            offset += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    fn start_writeback(&self, offset: u64, length: u64) -> io::Result<()> {
        raw::start_writeback(&self.file, offset, length)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.file)?)
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed))?)
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        let reserve = || rustix::fs::fallocate(&self.file, FallocateFlags::empty(), offset, length);
        match retry_on_intr(reserve) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let end = offset.checked_add(length).ok_or(io::ErrorKind::FileTooLarge)?;
                match end > self.length()? {
                    true => self.set_length(end),
                    false => Ok(()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::ftruncate(&self.file, length))?)
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match retry_on_intr(|| rustix::fs::fallocate(&self.file, flags, offset, length)) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<(u64, u64)>> {
        let seek = |to: SeekFrom| retry_on_intr(|| rustix::fs::seek(&self.file, to));
        match seek(SeekFrom::Data(offset)) {
            Ok(start) => Ok(Some((start, seek(SeekFrom::Hole(start))?))),
            Err(Errno::NXIO) => Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                let length = self.length()?;
                Ok((offset < length).then_some((offset, length)))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn map(&self, offset: u64, length: u64) -> io::Result<Option<Map>> {
        match Map::of_file(&self.file, offset, length) {
            // The process has no addresses left, or as many maps as it may have.
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => Ok(None),
            mapped => mapped.map(Some),
        }
    }

    fn lock(&self, mode: LockMode, wait: LockWait) -> io::Result<bool> {
        self.note_lock();
        let operation = match (mode, wait) {
            (LockMode::Shared, LockWait::Block) => FlockOperation::LockShared,
            (LockMode::Shared, LockWait::Try) => FlockOperation::NonBlockingLockShared,
            (LockMode::Exclusive, LockWait::Block) => FlockOperation::LockExclusive,
            (LockMode::Exclusive, LockWait::Try) => FlockOperation::NonBlockingLockExclusive,
        };
        match retry_on_intr(|| rustix::fs::flock(&self.file, operation)) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn lock_byte(&self, offset: u64, wait: LockWait) -> io::Result<bool> {
        self.note_lock();
        raw::lock_byte(&self.file, offset, wait == LockWait::Block)
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::flock(&self.file, FlockOperation::Unlock))?)
    }

    fn facts(&self) -> io::Result<FileFacts> {
        Ok(facts_of(&retry_on_intr(|| rustix::fs::fstat(&self.file))?))
    }
}

/// The facts in what the host says of a file. `st_blocks` counts 512 bytes on every Linux filesystem.
#[allow(
    clippy::unnecessary_cast,
    reason = "the fields of stat have other widths on other machines"
)]
pub(super) fn facts_of(stat: &rustix::fs::Stat) -> FileFacts {
    FileFacts {
        identity: FileIdentity { device: stat.st_dev as u64, inode: stat.st_ino as u64 },
        length: stat.st_size as u64,
        allocated_bytes: stat.st_blocks as u64 * 512,
        links: stat.st_nlink as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A volume that was closed and removed at once was "locked" by its own process: another thread
    /// was starting a program, and the child had not yet closed what it had got of the descriptors.
    #[test]
    fn locks_go_with_the_handle_though_a_copy_of_its_descriptor_lives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let open = || {
            let mut options = File::options();
            let options = options.read(true).write(true).create(true).truncate(false);
            FileMedium::new(options.open(&path).unwrap())
        };
        let held = open();
        assert!(held.lock(LockMode::Exclusive, LockWait::Try).unwrap());
        assert!(held.lock_byte(7, LockWait::Try).unwrap());
        // What a child has between fork and exec.
        let _copy = held.file.try_clone().unwrap();
        let next = open();
        assert!(!next.lock(LockMode::Exclusive, LockWait::Try).unwrap());
        assert!(!next.lock_byte(7, LockWait::Try).unwrap());
        drop(held);
        assert!(next.lock(LockMode::Exclusive, LockWait::Try).unwrap());
        assert!(next.lock_byte(7, LockWait::Try).unwrap());
    }
    /// A process may have as many maps as it was given, and a volume that met that bound while it froze
    /// dropped what was written.
    #[test]
    fn where_the_process_can_have_no_map_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [7; 4096]).unwrap();
        let file = FileMedium::new(File::open(&path).unwrap());
        assert!(file.map(0, 4096).unwrap().is_some());
        // More than there are addresses.
        assert!(file.map(0, 1 << 60).unwrap().is_none());
    }
}

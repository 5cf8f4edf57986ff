//! Batches: writes that a commit has whole or not at all.

use std::marker::PhantomData;
use std::sync::MutexGuard;

use super::Volume;
use super::clone::CloneSource;
use super::gate::Pass;
use super::write::Blank;
use crate::error::Result;
use crate::units::BlockAddress;

/// Writes that belong together. A commit or a snapshot waits until the batch is dropped before
/// it cuts, so that it holds all of them or none.
///
/// The thread that opened a batch must not flush the volume, snapshot or resize it: those calls
/// refuse it, and a batch does not go to another thread. Threads that help write through a reference
/// to the batch: a write through the volume itself waits while a commit does, and that waits for the
/// batch. A call of the batch that fails leaves what the calls before it did.
///
/// ```
/// # fn of(volume: &sapwood::Volume) -> sapwood::Result<()> {
/// let batch = volume.batch();
/// std::thread::scope(|scope| {
///     let helper = scope.spawn(|| batch.write_at(0, b"head"));
///     batch.write_at(1 << 20, b"tail")?;
///     helper.join().expect("a helper that does not panic")
/// })
/// # }
/// ```
///
/// ```compile_fail,E0277
/// # fn of(volume: &sapwood::Volume) {
/// let batch = volume.batch();
/// std::thread::scope(|scope| scope.spawn(move || drop(batch)).join().expect("not compiled"));
/// # }
/// ```
#[derive(Debug)]
pub struct Batch<'a> {
    volume: &'a Volume,
    /// None inside a cut, when no batch can be open.
    _pass: Option<Pass<'a>>,
    /// Shared between threads, but not sent: who opened it is refused what would wait for it.
    _of_thread: PhantomData<MutexGuard<'static, ()>>,
}

impl Volume {
    /// Opens a batch; waits while a commit cuts.
    pub fn batch(&self) -> Batch<'_> {
        // In a forked child, where all calls of it are refused, nobody may be left to open the gate.
        let pass = self.check_process("batch").is_ok().then(|| self.gate.enter_batch());
        Batch { volume: self, _pass: pass, _of_thread: PhantomData }
    }
}

impl<'a> Batch<'a> {
    /// What writes inside a cut: the cut itself keeps all other batches out.
    pub(super) fn inside_cut(volume: &'a Volume) -> Batch<'a> {
        Batch { volume, _pass: None, _of_thread: PhantomData }
    }
}

impl Batch<'_> {
    /// As [`Volume::write_at`].
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let (address, offset) = self.volume.split(offset);
        self.write_blocks(address, offset, data)
    }

    /// As [`Volume::write_blocks`].
    pub fn write_blocks(&self, address: BlockAddress, offset: u64, data: &[u8]) -> Result<()> {
        self.volume.check_process("write")?;
        self.volume.write_inner(address, offset, data)
    }

    /// As [`Volume::write_zeroes`].
    pub fn write_zeroes(&self, offset: u64, length: u64) -> Result<()> {
        let (address, offset) = self.volume.split(offset);
        self.write_zeroes_blocks(address, offset, length)
    }

    /// As [`Volume::write_zeroes_blocks`].
    pub fn write_zeroes_blocks(
        &self,
        address: BlockAddress,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        self.volume.check_process("write zeroes")?;
        self.volume.blank_inner("write zeroes", address, offset, length, Blank::Zero)
    }

    /// As [`Volume::clone_range`].
    pub fn clone_range(
        &self,
        source: CloneSource<'_>,
        from: u64,
        to: u64,
        length: u64,
    ) -> Result<()> {
        let (from, to, blocks) = self.volume.whole_blocks(from, to, length)?;
        self.clone_blocks(source, from, to, blocks)
    }

    /// As [`Volume::clone_blocks`].
    pub fn clone_blocks(
        &self,
        source: CloneSource<'_>,
        from: BlockAddress,
        to: BlockAddress,
        blocks: u64,
    ) -> Result<()> {
        self.volume.check_process("clone a range")?;
        self.volume.clone_inner(source, from, to, blocks)
    }

    /// As [`Volume::discard`].
    pub fn discard(&self, offset: u64, length: u64) -> Result<()> {
        let (address, offset) = self.volume.split(offset);
        self.discard_blocks(address, offset, length)
    }

    /// As [`Volume::discard_blocks`].
    pub fn discard_blocks(&self, address: BlockAddress, offset: u64, length: u64) -> Result<()> {
        self.volume.check_process("discard")?;
        self.volume.blank_inner("discard", address, offset, length, Blank::Discard)
    }
}

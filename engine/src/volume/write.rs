//! Writes, zeroes and discards: into the buffer or the pending map, and from a full buffer into the file.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{MutexGuard, RwLockWriteGuard};

use super::spill::{Progress, Spill};
use super::state::State;
use super::{STRIPES, Volume};
use crate::chain::ViewTarget;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Extent, Target};
use crate::layer::is_zero;
use crate::units::{BlockAddress, FileBlock};

/// How many bufferfuls may be on their way into the file at once.
const SPILLS_MAX: usize = 2;

/// What a range is made to read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blank {
    /// Zero extents everywhere.
    Zero,
    /// Holes where the parent has nothing, zero extents elsewhere.
    Discard,
}

impl Volume {
    /// Writes `data` at byte `offset` of a disk.
    ///
    /// Errors: [`ErrorKind::InvalidInput`] past the end; [`ErrorKind::NoSpace`] where the host is
    /// full (nothing committed is lost, and the call can be tried again); [`ErrorKind::Poisoned`]
    /// after an earlier failure.
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let (address, offset) = self.split(offset);
        self.write_blocks(address, offset, data)
    }

    /// As [`Volume::write_at`], from byte `offset` of the block at `address`.
    pub fn write_blocks(&self, address: BlockAddress, offset: u64, data: &[u8]) -> Result<()> {
        self.check_process("write")?;
        self.with_free_space_counted(|| {
            let _pass = self.gate.enter();
            self.write_inner(address, offset, data)
        })
    }

    /// Makes `length` bytes from `offset` read as zeros, without storing any; the parent is hidden.
    pub fn write_zeroes(&self, offset: u64, length: u64) -> Result<()> {
        let (address, offset) = self.split(offset);
        self.write_zeroes_blocks(address, offset, length)
    }

    /// As [`Volume::write_zeroes`], from byte `offset` of the block at `address`.
    pub fn write_zeroes_blocks(
        &self,
        address: BlockAddress,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        self.check_process("write zeroes")?;
        let _pass = self.gate.enter();
        self.blank_inner("write zeroes", address, offset, length, Blank::Zero)
    }

    /// Gives `length` bytes from `offset` up: they read as zeros, and whole blocks take no space. Those are
    /// given up on a full host, too.
    ///
    /// Once that is durable their space is there for what is written next, and goes back to the host with
    /// the next [`checkpoint`](Volume::checkpoint): after
    /// [`journal_records_max`](super::VolumeOptions::journal_records_max) commits at the latest, and with
    /// the [`flush`](Volume::flush) itself where an eighth of the file was dropped, and 16 MiB at least, and so
    /// much is free beyond what stays so for the next writes: a quarter of what is in use, and 16 MiB at least. A
    /// [`snapshot`](Volume::snapshot) keeps none of it.
    pub fn discard(&self, offset: u64, length: u64) -> Result<()> {
        let (address, offset) = self.split(offset);
        self.discard_blocks(address, offset, length)
    }

    /// As [`Volume::discard`], from byte `offset` of the block at `address`.
    pub fn discard_blocks(&self, address: BlockAddress, offset: u64, length: u64) -> Result<()> {
        self.check_process("discard")?;
        let _pass = self.gate.enter();
        self.blank_inner("discard", address, offset, length, Blank::Discard)
    }

    pub(super) fn write_inner(
        &self,
        address: BlockAddress,
        offset: u64,
        data: &[u8],
    ) -> Result<()> {
        self.check_range("write", address, offset, data.len() as u64)?;
        let size = self.block_size.bytes();
        let mut at = BlockAddress(address.0 + offset / size);
        let mut inside = (offset % size) as usize;
        let mut left = data;
        while !left.is_empty() {
            let length = left.len().min(size as usize - inside);
            let (part, rest) = left.split_at(length);
            let _stripe = self.stripe(at);
            if length == size as usize {
                self.put_block(at, part)?;
            } else {
                self.merge_block(at, inside, part)?;
            }
            left = rest;
            inside = 0;
            at = BlockAddress(at.0 + 1);
        }
        self.counts.bytes_written.fetch_add(data.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn blank_inner(
        &self,
        operation: &str,
        address: BlockAddress,
        offset: u64,
        length: u64,
        blank: Blank,
    ) -> Result<()> {
        self.check_range(operation, address, offset, length)?;
        if length == 0 {
            return Ok(());
        }
        let size = self.block_size.bytes();
        let zeros = vec![0; size as usize];
        let mut at = BlockAddress(address.0 + offset / size);
        let mut left = length;
        let inside = offset % size;
        if inside != 0 {
            let part = left.min(size - inside);
            let _stripe = self.stripe(at);
            self.merge_block(at, inside as usize, &zeros[..part as usize])?;
            left -= part;
            at = BlockAddress(at.0 + 1);
        }
        // The last block of a disk may reach past its end: all that is there of it is whole.
        let reaches_end = self.kind == crate::format::LayerKind::Disk
            && u128::from(at.0) * u128::from(size) + u128::from(left)
                == u128::from(self.size_bytes());
        let whole = if reaches_end { left.div_ceil(size) } else { left / size };
        if whole > 0 {
            let end = BlockAddress(at.0 + whole);
            let _stripes = self.all_stripes();
            self.blank_blocks(at, end, blank)?;
            left = left.saturating_sub(whole * size);
            at = end;
        }
        if left > 0 {
            let _stripe = self.stripe(at);
            self.merge_block(at, 0, &zeros[..left as usize])?;
        }
        Ok(())
    }

    /// Makes whole blocks read as zeros. The caller holds all stripes.
    pub(super) fn blank_blocks(
        &self,
        start: BlockAddress,
        end: BlockAddress,
        blank: Blank,
    ) -> Result<()> {
        match self.bound_pending() {
            // What gives room back needs none: the map waits for it.
            Err(error) if error.kind() == ErrorKind::NoSpace && blank == Blank::Discard => {}
            bounded => bounded?,
        }
        let mut guard = self.state_to_change("write zeroes or discard")?;
        let state = &mut *guard;
        let mut extents = Vec::new();
        match blank {
            Blank::Zero => {
                extents.push(Extent { start, length: end.0 - start.0, target: Target::Zero });
            }
            Blank::Discard => discard_extents(state, start, end, &mut extents)?,
        }
        state.buffer.remove(start, end);
        for extent in extents {
            state.insert_pending(extent, &self.epochs);
        }
        state.changes += 1;
        Ok(())
    }

    /// Puts one whole block. The caller holds its stripe.
    pub(super) fn put_block(&self, address: BlockAddress, data: &[u8]) -> Result<()> {
        let zero = self.options.detect_zeroes && is_zero(data);
        loop {
            if zero {
                self.bound_pending()?;
                let mut state = self.state_to_change("write")?;
                let end = BlockAddress(address.0 + 1);
                state.buffer.remove(address, end);
                let zero = Extent { start: address, length: 1, target: Target::Zero };
                state.insert_pending(zero, &self.epochs);
                state.changes += 1;
                drop(state);
                self.counts.zero_blocks.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            let mut state = self.state.write();
            state.check_poison("write")?;
            if state.buffer.get(address).is_some() {
                self.counts.buffer_hits.fetch_add(1, Ordering::Relaxed);
            }
            if state.buffer.put(address, data) {
                state.changes += 1;
                return Ok(());
            }
            self.make_room(state)?;
        }
    }

    /// Merges a part of a block with its verified old content. The caller holds its stripe.
    fn merge_block(&self, address: BlockAddress, offset: usize, part: &[u8]) -> Result<()> {
        let mut state = self.state.write();
        state.check_poison("write")?;
        if let Some(held) = state.buffer.get_mut(address) {
            held[offset..offset + part.len()].copy_from_slice(part);
            state.changes += 1;
            self.counts.buffer_hits.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        drop(state);
        let mut block = vec![0; self.block_size.bytes_usize()];
        self.read_raw(address, 0, &mut block)?;
        block[offset..offset + part.len()].copy_from_slice(part);
        self.put_block(address, &block)
    }

    /// The state, to change its maps: waits while a snapshot is frozen, since what the maps say
    /// of the parent is about to mean another one.
    pub(super) fn state_to_change(&self, operation: &str) -> Result<RwLockWriteGuard<'_, State>> {
        loop {
            let state = self.state.write();
            state.check_poison(operation)?;
            if !state.freezing {
                return Ok(state);
            }
            drop(state);
            let mut room = self.room.lock();
            if self.state.read().freezing {
                self.room_changed.wait(&mut room);
            }
        }
    }

    /// Writes a full buffer out, or waits until one that is on its way has arrived.
    fn make_room(&self, state: RwLockWriteGuard<'_, State>) -> Result<()> {
        if state.freezing || state.spills.len() >= SPILLS_MAX {
            if !state.freezing
                && let Some(spill) = state.spills.iter().find(|spill| spill.claim()).map(Arc::clone)
            {
                drop(state);
                return self.finish_spill(&spill);
            }
            // Looked at again under the lock of the condition, so that no wake-up is missed.
            drop(state);
            let mut room = self.room.lock();
            let state = self.state.read();
            let busy = state.freezing
                || state.spills.len() >= SPILLS_MAX
                    && !state.spills.iter().any(|spill| spill.progress() == Progress::Waiting);
            let wait = state.poison.is_none() && busy;
            drop(state);
            if wait {
                self.room_changed.wait(&mut room);
            }
            return Ok(());
        }
        self.spill_buffer(state)?;
        self.bound_pending()
    }

    /// Writes what is in the buffer into the file.
    pub(super) fn spill_buffer(&self, mut state: RwLockWriteGuard<'_, State>) -> Result<()> {
        let spill = self.start_spill(&mut state);
        drop(state);
        match spill.or_else(|error| self.fail(error))? {
            Some(spill) => self.finish_spill(&spill),
            None => Ok(()),
        }
    }

    /// Gives each block of the buffer a place and sets the buffer aside. What goes wrong may be a
    /// write: the caller gives the state back and lets it fail.
    pub(super) fn start_spill(&self, state: &mut State) -> Result<Option<Arc<Spill>>> {
        if state.buffer.is_empty() {
            state.buffer.take(Vec::new());
            return Ok(None);
        }
        let count = state.buffer.len() as u64;
        let top = Arc::clone(&state.top);
        let ranges = state.allocator.allocate(count, &self.epochs, &*top)?;
        self.count_zeros_ahead(&mut state.allocator);
        let spare = std::mem::take(&mut state.spare);
        let full = state.buffer.take(spare);
        let places: Vec<FileBlock> = ranges
            .iter()
            .flat_map(|range| (0..range.count).map(|index| FileBlock(range.first.0 + index)))
            .collect();
        let mut run: Option<Extent> = None;
        for (&(address, _), &place) in full.blocks.iter().zip(&places) {
            top.file.forget_verified(place);
            let target = Target::Data { source: crate::units::SourceIndex::OWN, block: place };
            let block = Extent { start: address, length: 1, target };
            match &mut run {
                Some(run) if run.continues_with(&block) => run.length += 1,
                _ => {
                    if let Some(run) = run.replace(block) {
                        state.insert_pending(run, &self.epochs);
                    }
                }
            }
        }
        if let Some(run) = run {
            state.insert_pending(run, &self.epochs);
        }
        state.spill_number += 1;
        let pin = self.epochs.pin_owned();
        let log2 = self.block_size.log2();
        let spill = Arc::new(Spill::new(state.spill_number, full, &places, log2, pin));
        state.spills.push(Arc::clone(&spill));
        let bytes = count << log2;
        self.counts.bytes_allocated.fetch_add(bytes, Ordering::Relaxed);
        Ok(Some(spill))
    }

    /// Writes a spill and takes it off the list; where the host is full it stays, to be tried again.
    pub(super) fn finish_spill(&self, spill: &Arc<Spill>) -> Result<()> {
        let top = Arc::clone(&self.state.read().top);
        let checksums = spill.checksums(&top);
        if let Err(error) = spill.write(&top) {
            spill.set_progress(Progress::Waiting);
            self.notify_room();
            return self.fail(error);
        }
        let mut state = self.state.write();
        let Some(at) = state.spills.iter().position(|held| held.number == spill.number) else {
            // Poisoned meanwhile: nothing refers to these blocks any more.
            return state.check_poison("write");
        };
        for (place, checksum) in checksums {
            state.checksums.set(crate::units::SourceIndex::OWN, place, checksum);
            top.file.mark_verified(place);
        }
        let held = state.spills.remove(at);
        state.spilled_bytes += (spill.len() as u64) << self.block_size.log2();
        if state.spare.capacity() == 0
            && let Some(bytes) = held.recycle()
        {
            state.spare = bytes;
        }
        drop(state);
        self.notify_room();
        Ok(())
    }

    /// Writes the pending map out as a run where it has reached its bound: before it takes more, so
    /// that what finds no room for that has changed nothing.
    pub(super) fn bound_pending(&self) -> Result<()> {
        if self.state.read().pending.map.len() < self.options.map_extents_max {
            return Ok(());
        }
        self.write_pending_ahead()
    }

    pub(super) fn stripe(&self, address: BlockAddress) -> MutexGuard<'_, ()> {
        self.stripes[address.0 as usize % STRIPES].lock()
    }

    pub(super) fn all_stripes(&self) -> Vec<MutexGuard<'_, ()>> {
        self.stripes.iter().map(|stripe| stripe.lock()).collect()
    }
}

/// What makes `[start, end)` read as zeros: holes where the parent has nothing (and none at all
/// where the top has nothing either), zero extents elsewhere.
pub(super) fn discard_extents(
    state: &State,
    start: BlockAddress,
    end: BlockAddress,
    extents: &mut Vec<Extent>,
) -> Result<()> {
    let mut at = start;
    while at < end {
        let span = state.view.find(at)?;
        let past = span.end.min(end);
        let length = past.0 - at.0;
        if span.target != ViewTarget::Hole {
            extents.push(Extent { start: at, length, target: Target::Zero });
        } else if state.mentions(at, past)? {
            extents.push(Extent { start: at, length, target: Target::Hole });
        }
        at = past;
    }
    Ok(())
}

/// That a count of blocks from `start` on stays inside the address space.
pub(super) fn end_of(operation: &str, start: BlockAddress, blocks: u64) -> Result<BlockAddress> {
    match start.0.checked_add(blocks) {
        Some(end) => Ok(BlockAddress(end)),
        None => Err(Error::new(ErrorKind::InvalidInput, operation).about(
            "range",
            format!("{blocks} blocks from {start}"),
            "inside the address space",
        )),
    }
}

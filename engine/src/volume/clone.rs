//! Sharing blocks: ranges of the volume, or of a snapshot of its store, under other addresses.

use std::sync::Arc;

use super::Volume;
use super::allocator::BlockRange;
use super::level::own_blocks;
use super::state::State;
use super::write::end_of;
use crate::chain::{Snapshot, View, ViewTarget};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Extent, Target};
use crate::format::{LayerKind, LayerState};
use crate::units::{BlockAddress, FileBlock, SourceIndex};

/// Where the blocks of a clone come from.
#[derive(Clone, Copy, Debug)]
pub enum CloneSource<'a> {
    /// The volume itself.
    Own,
    /// A snapshot of the same store.
    Snapshot(&'a Snapshot),
}

/// What a stretch of a clone becomes.
#[derive(Clone, Copy, Debug)]
enum Stretch {
    /// It reads as zeros.
    Blank,
    /// It shares blocks.
    Data(Target),
}

impl Volume {
    /// Makes `length` bytes at `to` hold what `source` holds at `from`, by sharing its blocks.
    ///
    /// All three must be multiples of the block size. Ranges of the volume itself may overlap. Of a
    /// snapshot the last block counts whole, though its disk may end in it: what follows are zeros.
    /// Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) where they are not, or a range
    /// ends past its disk, for a snapshot of another store or of a volume that is looked into, or where
    /// the block sizes differ. An error leaves all as it was.
    pub fn clone_range(
        &self,
        source: CloneSource<'_>,
        from: u64,
        to: u64,
        length: u64,
    ) -> Result<()> {
        let (from, to, blocks) = self.whole_blocks(from, to, length)?;
        self.clone_blocks(source, from, to, blocks)
    }

    /// The ranges of a clone in blocks.
    pub(super) fn whole_blocks(
        &self,
        from: u64,
        to: u64,
        length: u64,
    ) -> Result<(BlockAddress, BlockAddress, u64)> {
        let size = self.block_size.bytes();
        for (field, bytes) in [("from", from), ("to", to), ("length", length)] {
            if !bytes.is_multiple_of(size) {
                let expected = format!("a multiple of the block size {size}");
                return Err(Error::invalid("clone a range", field, bytes, expected));
            }
        }
        Ok((BlockAddress(from / size), BlockAddress(to / size), length / size))
    }

    /// As [`Volume::clone_range`], by block addresses.
    pub fn clone_blocks(
        &self,
        source: CloneSource<'_>,
        from: BlockAddress,
        to: BlockAddress,
        blocks: u64,
    ) -> Result<()> {
        self.check_process("clone a range")?;
        let _pass = self.gate.enter();
        self.clone_inner(source, from, to, blocks)
    }

    pub(super) fn clone_inner(
        &self,
        source: CloneSource<'_>,
        from: BlockAddress,
        to: BlockAddress,
        blocks: u64,
    ) -> Result<()> {
        let size = self.block_size.bytes();
        let bytes = blocks.saturating_mul(size);
        self.check_range("clone a range", to, 0, bytes)?;
        let from_end = end_of("clone a range", from, blocks)?;
        let to_end = end_of("clone a range", to, blocks)?;
        match source {
            CloneSource::Own => {
                self.check_range("clone a range", from, 0, bytes)?;
                if blocks == 0 {
                    return Ok(());
                }
                self.bound_pending()?;
                let _stripes = self.all_stripes();
                let mut guard = self.state_without(from, from_end)?;
                let state = &mut *guard;
                let stretches = own_stretches(state, from, from_end)?;
                self.put_stretches(state, from, to, to_end, &stretches)?;
            }
            CloneSource::Snapshot(snapshot) => {
                let snapshot = &self.lender(snapshot, from_end)?;
                if blocks == 0 {
                    return Ok(());
                }
                self.bound_pending()?;
                let _stripes = self.all_stripes();
                let mut guard = self.state_to_change("clone a range")?;
                let state = &mut *guard;
                let view = snapshot.view();
                let mut stretches = Vec::new();
                view_stretches(state, view, from, from_end, &mut stretches)?;
                self.put_stretches(state, from, to, to_end, &stretches)?;
                // Its lease keeps the blocks until the commit that records them is durable.
                state.held.push(snapshot.clone());
            }
        }
        Ok(())
    }

    /// A snapshot that lends its blocks up to `end`, by the store of this volume.
    ///
    /// Errors: those of [`Volume::clone_range`] that are about the snapshot.
    pub(crate) fn lender(&self, snapshot: &Snapshot, end: BlockAddress) -> Result<Snapshot> {
        check_snapshot(snapshot, end)?;
        let lender = match Arc::ptr_eq(snapshot.view().layers(), self.home.layers()) {
            true => snapshot.clone(),
            // By another handle on this store, or of another store, which has no such layer.
            false => self.home.open_snapshot(&snapshot.reference()).map_err(|error| match error
                .kind()
            {
                ErrorKind::NotFound => {
                    let (found, expected) = ("one of another store", "one of this store");
                    Error::invalid("clone a range", "snapshot", found, expected)
                }
                _ => error,
            })?,
        };
        if lender.block_size() != self.block_size {
            let (found, expected) = (lender.block_size().bytes(), self.block_size.bytes());
            return Err(Error::invalid("clone a range", "block size", found, expected));
        }
        Ok(lender)
    }

    /// The state, with no block of `[start, end)` in the buffer: each has its place.
    fn state_without(
        &self,
        start: BlockAddress,
        end: BlockAddress,
    ) -> Result<parking_lot::RwLockWriteGuard<'_, State>> {
        loop {
            let state = self.state_to_change("clone a range")?;
            if state.buffer.addresses(start, end).is_empty() {
                return Ok(state);
            }
            self.spill_buffer(state)?;
        }
    }

    fn put_stretches(
        &self,
        state: &mut State,
        from: BlockAddress,
        to: BlockAddress,
        to_end: BlockAddress,
        stretches: &[(BlockAddress, u64, Stretch)],
    ) -> Result<()> {
        let mut extents = Vec::new();
        for &(start, length, stretch) in stretches {
            let start = BlockAddress(to.0 + (start.0 - from.0));
            match stretch {
                Stretch::Data(target) => extents.push(Extent { start, length, target }),
                Stretch::Blank => {
                    let end = BlockAddress(start.0 + length);
                    super::write::discard_extents(state, start, end, &mut extents)?;
                }
            }
        }
        for extent in &extents {
            if let Some((first, count)) = own_blocks(extent) {
                state.allocator.share(BlockRange { first, count });
            }
        }
        state.buffer.remove(to, to_end);
        for extent in extents {
            state.insert_pending(extent, &self.epochs);
        }
        state.changes += 1;
        Ok(())
    }
}

/// That a snapshot can lend blocks: a frozen one, up to `end`.
fn check_snapshot(snapshot: &Snapshot, end: BlockAddress) -> Result<()> {
    let tip = snapshot.view().tip().map(|tip| tip.header());
    if tip.is_none_or(|header| header.state != LayerState::Frozen) {
        return Err(Error::invalid(
            "clone a range",
            "source",
            "a volume looked into",
            "a snapshot",
        ));
    }
    let past = snapshot.block_size().blocks_for(snapshot.size_bytes());
    if snapshot.kind() == LayerKind::Disk && end.0 > past {
        let expected = format!("at most {past}");
        return Err(Error::invalid("clone a range", "past-the-end block", end, expected));
    }
    Ok(())
}

/// What a range of the volume itself holds. Checksums that only runs hold are noted beside the
/// maps, where the new extents will ask for them.
fn own_stretches(
    state: &mut State,
    start: BlockAddress,
    end: BlockAddress,
) -> Result<Vec<(BlockAddress, u64, Stretch)>> {
    let mut stretches = Vec::new();
    let mut at = start;
    while at < end {
        let span = state.find(at)?;
        let past = span.end.min(end);
        let length = past.0 - at.0;
        match span.target {
            Some(Target::Zero) => stretches.push((at, length, Stretch::Blank)),
            Some(target @ Target::Data { source, block }) => {
                for index in 0..length {
                    let block = FileBlock(block.0 + index);
                    let on_its_way = source == SourceIndex::OWN
                        && state.spills.iter().any(|spill| spill.holds(block));
                    if !on_its_way {
                        let address = BlockAddress(at.0 + index);
                        let checksum = state.checksum(address, source, block)?;
                        state.checksums.set(source, block, checksum);
                    }
                }
                stretches.push((at, length, Stretch::Data(target)));
            }
            Some(Target::Hole) | None => {
                let view = Arc::clone(&state.view);
                view_stretches(state, &view, at, past, &mut stretches)?;
            }
        }
        at = past;
    }
    Ok(stretches)
}

/// What a range of a view holds, its data as blocks of sources of the volume.
fn view_stretches(
    state: &mut State,
    view: &View,
    start: BlockAddress,
    end: BlockAddress,
    stretches: &mut Vec<(BlockAddress, u64, Stretch)>,
) -> Result<()> {
    for extent in view.extents(start, end) {
        let extent = extent?;
        let ViewTarget::Data { .. } = extent.target else {
            stretches.push((extent.start, extent.length, Stretch::Blank));
            continue;
        };
        let Some(origin) = view.source_of(extent.start)? else {
            return Err(Error::corrupt("clone a range", "extent", "none", "a data extent"));
        };
        let source = state.source_index(&origin.layer);
        for index in 0..extent.length {
            let address = BlockAddress(extent.start.0 + index);
            let checksum = view.checksum(address)?.ok_or_else(|| {
                Error::corrupt("clone a range", "block checksum", "none", "that of a data block")
            })?;
            state.checksums.set(source, FileBlock(origin.block.0 + index), checksum);
        }
        let target = Target::Data { source, block: origin.block };
        stretches.push((extent.start, extent.length, Stretch::Data(target)));
    }
    Ok(())
}

//! Reads: what lies in memory is copied under the lock, what lies in files after it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Volume;
use super::state::State;
use super::top::{Source, Top};
use crate::chain::{ReadAt, ReadRequest, SharedBytes};
use crate::error::Result;
use crate::extent::Target;
use crate::units::{BlockAddress, FileBlock, SourceIndex};

/// How many reads are planned under one lock, which their writers wait for.
const REQUESTS_AT_ONCE: usize = 64;

/// What is left to do of a read once the lock is given back.
#[derive(Debug)]
struct Step {
    /// The part of the buffer.
    start: usize,
    length: usize,
    /// The first byte in the first block.
    offset: usize,
    from: From,
}

#[derive(Debug)]
enum From {
    /// Blocks of the top's file, or of another layer's.
    File(Blocks),
    /// What the parent says.
    Parent { address: BlockAddress },
}

/// Blocks that follow each other in a file, with the checksums of those that are not verified yet.
#[derive(Debug)]
struct Blocks {
    /// `None`: the top.
    source: Option<Source>,
    first: FileBlock,
    checksums: Vec<u32>,
}

impl Volume {
    /// Fills `buffer` from byte `offset` of a disk.
    ///
    /// Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) past the end;
    /// [`Corrupt`](crate::ErrorKind::Corrupt) where a block does not verify.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let (address, offset) = self.split(offset);
        self.read_blocks(address, offset, buffer)
    }

    /// As [`Volume::read_at`], from byte `offset` of the block at `address`.
    pub fn read_blocks(&self, address: BlockAddress, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check_process("read")?;
        let range = (address, offset, buffer.len() as u64);
        self.read_if(address, offset, buffer, |state| {
            self.check_inside("read", range, state.volume_bytes)
        })?;
        self.counts.bytes_read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// The whole block at `address` where it lies, verified, if it is one of the parent's: to keep
    /// until something else is written there. `None` where it has to be read.
    pub fn share_block(&self, address: BlockAddress) -> Result<Option<SharedBytes>> {
        self.check_process("read")?;
        let state = self.state.read();
        let own = state.buffer.get(address).is_some()
            || !matches!(state.find(address)?.target, Some(Target::Hole) | None);
        let view = Arc::clone(&state.view);
        drop(state);
        if own { Ok(None) } else { view.share(address) }
    }

    /// The `count` whole blocks from `address` on, verified, if all are the parent's and lie beside
    /// each other: to be used at once, before something else is written there. `None` where they
    /// have to be read.
    pub fn lend_blocks(&self, address: BlockAddress, count: u64) -> Result<Option<SharedBytes>> {
        self.check_process("read")?;
        let state = self.state.read();
        let end = BlockAddress(address.0.saturating_add(count));
        let is_parents = {
            let span = state.find(address)?;
            matches!(span.target, Some(Target::Hole) | None)
                && span.end >= end
                && match count > state.buffer.len() as u64 {
                    // Somebody may ask for more than there is.
                    true => state.buffer.addresses(address, end).is_empty(),
                    false => {
                        (address.0..end.0).all(|at| state.buffer.get(BlockAddress(at)).is_none())
                    }
                }
        };
        let view = Arc::clone(&state.view);
        drop(state);
        if is_parents { view.lend(address, count) } else { Ok(None) }
    }

    /// Reads many places; together they cost less than one by one. Each sees the volume as it is
    /// at some moment of the call.
    ///
    /// Errors are those of [`read_at`](Volume::read_at); some buffers may have been filled.
    pub fn read_many(&self, reads: &mut [ReadAt<'_>]) -> Result<()> {
        let requests = reads.iter_mut().map(|read| ReadRequest {
            address: BlockAddress(0),
            offset: read.offset,
            buffer: &mut *read.buffer,
        });
        self.read_blocks_many(&mut requests.collect::<Vec<_>>())
    }

    /// As [`Volume::read_many`], each from a byte of a block on.
    pub fn read_blocks_many(&self, requests: &mut [ReadRequest<'_>]) -> Result<()> {
        self.check_process("read")?;
        requests.chunks_mut(REQUESTS_AT_ONCE).try_for_each(|batch| self.read_batch(batch))
    }

    fn read_batch(&self, batch: &mut [ReadRequest<'_>]) -> Result<()> {
        let pin = self.epochs.pin();
        let state = self.state.read();
        let mut plans = Vec::with_capacity(batch.len());
        let mut bytes = 0;
        for ReadRequest { address, offset, buffer } in &mut *batch {
            let length = buffer.len() as u64;
            self.check_inside("read", (*address, *offset, length), state.volume_bytes)?;
            let (address, offset) = self.normalized(*address, *offset);
            plans.push(plan(&state, address, offset, buffer)?);
            bytes += length;
        }
        let (top, view) = (Arc::clone(&state.top), Arc::clone(&state.view));
        drop(state);
        let mut of_parent = Vec::new();
        for (request, steps) in batch.iter_mut().zip(plans) {
            let (mut rest, mut at) = (&mut *request.buffer, 0);
            for step in steps {
                let (part, after) = rest[step.start - at..].split_at_mut(step.length);
                (rest, at) = (after, step.start + step.length);
                match step.from {
                    From::Parent { address } => {
                        let offset = step.offset as u64;
                        of_parent.push(ReadRequest { address, offset, buffer: part });
                    }
                    From::File(blocks) => self.read_file(&top, &blocks, step.offset, part)?,
                }
            }
        }
        view.read_many(&mut of_parent)?;
        drop(pin);
        self.counts.bytes_read.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Reads without looking at the size: the last block of a disk may reach past it.
    pub(super) fn read_raw(
        &self,
        address: BlockAddress,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<()> {
        self.read_if(address, offset, buffer, |_| Ok(()))
    }

    /// Reads, if `check` finds nothing against it in the state that is read.
    fn read_if(
        &self,
        address: BlockAddress,
        offset: u64,
        buffer: &mut [u8],
        check: impl FnOnce(&State) -> Result<()>,
    ) -> Result<()> {
        // Pinned before the maps are looked at: what they name stays until the copy is done.
        let pin = self.epochs.pin();
        let state = self.state.read();
        check(&state)?;
        let (address, offset) = self.normalized(address, offset);
        let steps = plan(&state, address, offset, buffer)?;
        let top = Arc::clone(&state.top);
        let view = steps.iter().any(|step| matches!(step.from, From::Parent { .. }));
        let view = view.then(|| Arc::clone(&state.view));
        drop(state);
        for step in steps {
            let part = &mut buffer[step.start..step.start + step.length];
            match step.from {
                From::File(blocks) => self.read_file(&top, &blocks, step.offset, part)?,
                From::Parent { address } => {
                    let view = view.as_ref().expect("cloned above for such steps");
                    view.read(address, step.offset as u64, part)?;
                }
            }
        }
        drop(pin);
        Ok(())
    }

    fn read_file(&self, top: &Top, blocks: &Blocks, offset: usize, part: &mut [u8]) -> Result<()> {
        let layer;
        let file = match &blocks.source {
            None => &top.file,
            Some(source) => {
                layer = source.layer(&**self.home.layers())?;
                layer.file()
            }
        };
        let checksum = |index: u32| Ok(blocks.checksums[index as usize]);
        match part.len() < file.block_size().bytes_usize() {
            true => file.read(blocks.first, offset, part, || checksum(0)),
            false => file.read_run(blocks.first, part, |index| checksum(index as u32)),
        }
    }

    /// The block in which a read begins, and the byte in it.
    fn normalized(&self, address: BlockAddress, offset: u64) -> (BlockAddress, usize) {
        let size = self.block_size.bytes();
        (BlockAddress(address.0 + offset / size), (offset % size) as usize)
    }
}

/// Copies what lies in memory, and lists what is to be read from files: parts of one block, or
/// whole blocks that follow each other.
fn plan(
    state: &State,
    address: BlockAddress,
    offset: usize,
    buffer: &mut [u8],
) -> Result<Vec<Step>> {
    let size = state.top.block_size.bytes_usize();
    let mut steps: Vec<Step> = Vec::new();
    let (mut at, mut inside, mut start) = (address, offset, 0);
    while start < buffer.len() {
        let left = buffer.len() - start;
        let length = left.min(size - inside);
        if let Some(held) = state.buffer.get(at) {
            buffer[start..start + length].copy_from_slice(&held[inside..inside + length]);
            (at, inside, start) = (BlockAddress(at.0 + 1), 0, start + length);
            continue;
        }
        let span = state.find(at)?;
        // A part of a block stands alone; whole ones go together as far as the span holds.
        let mut blocks = 1;
        if length == size {
            let whole = ((left / size) as u64).min(span.end.0 - at.0);
            while blocks < whole
                && (state.buffer.is_empty()
                    || state.buffer.get(BlockAddress(at.0 + blocks)).is_none())
            {
                blocks += 1;
            }
        }
        let bytes = if length == size { blocks as usize * size } else { length };
        let part = &mut buffer[start..start + bytes];
        let from = match span.target {
            Some(Target::Zero) => {
                part.fill(0);
                None
            }
            Some(Target::Data { source: SourceIndex::OWN, block }) => {
                own(state, at, block, blocks, inside, part, start, &mut steps)?;
                None
            }
            Some(Target::Data { source, block }) => {
                let checksums = (0..blocks)
                    .map(|index| {
                        let block = FileBlock(block.0 + index);
                        state.checksum(BlockAddress(at.0 + index), source, block)
                    })
                    .collect::<Result<_>>()?;
                let source = state.source(source)?.clone();
                Some(From::File(Blocks { source: Some(source), first: block, checksums }))
            }
            Some(Target::Hole) | None => Some(From::Parent { address: at }),
        };
        if let Some(from) = from {
            steps.push(Step { start, length: bytes, offset: inside, from });
        }
        (at, inside, start) = (BlockAddress(at.0 + blocks), 0, start + bytes);
    }
    Ok(steps)
}

/// Blocks of the top: those on their way into the file are copied, the others listed.
#[expect(clippy::too_many_arguments, reason = "one step of the loop above, split for its length")]
fn own(
    state: &State,
    address: BlockAddress,
    block: FileBlock,
    blocks: u64,
    offset: usize,
    part: &mut [u8],
    start: usize,
    steps: &mut Vec<Step>,
) -> Result<()> {
    let each = part.len() / blocks as usize;
    let mut open: Option<Step> = None;
    for index in 0..blocks {
        let place = FileBlock(block.0 + index);
        let range = index as usize * each..(index as usize + 1) * each;
        if !state.spills.is_empty() && state.read_spilled(place, offset, &mut part[range.clone()]) {
            steps.extend(open.take());
            continue;
        }
        let checksum = if state.top.file.needs_checksum(place) {
            state.checksum(BlockAddress(address.0 + index), SourceIndex::OWN, place)?
        } else {
            0
        };
        match &mut open {
            Some(Step { length, from: From::File(blocks), .. }) => {
                *length += each;
                blocks.checksums.push(checksum);
            }
            _ => {
                let blocks = Blocks { source: None, first: place, checksums: vec![checksum] };
                let from = From::File(blocks);
                open = Some(Step { start: start + range.start, length: each, offset, from });
            }
        }
    }
    steps.extend(open);
    Ok(())
}

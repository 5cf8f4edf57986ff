//! A bufferful of blocks on its way into the file.

use std::io::IoSlice;
use std::sync::Arc;

use parking_lot::Mutex;

use super::allocator::SHORT_BYTES_MAX;
use super::buffer::Bufferful;
use super::epoch::OwnedPin;
use super::top::Top;
use crate::error::{Error, Result};
use crate::format::checksum;
use crate::units::FileBlock;

/// How many slices one vectored write takes: what hosts accept at once.
const SLICES_MAX: usize = 1024;

/// Blocks that have their place in the file and are not written there yet. Reads find them here.
#[derive(Debug)]
pub struct Spill {
    /// Grows with each spill of a volume.
    pub number: u64,
    bytes: Mutex<Arc<Vec<u8>>>,
    block_log2: u32,
    /// Place, slot: ascending by place.
    blocks: Vec<(FileBlock, u32)>,
    /// While this lives, no block of it that is dropped meanwhile is handed out again: a late
    /// write of it cannot hit what came after (INV-01).
    _pin: OwnedPin,
    progress: Mutex<Progress>,
}

/// How far a spill has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A thread is writing it.
    Writing,
    /// The host had no room; it is to be tried again.
    Waiting,
}

impl Spill {
    /// The blocks of `full`, each with its place, in the same order.
    pub fn new(
        number: u64,
        full: Bufferful,
        places: &[FileBlock],
        block_log2: u32,
        pin: OwnedPin,
    ) -> Spill {
        let mut blocks: Vec<_> =
            places.iter().zip(&full.blocks).map(|(&place, &(_, slot))| (place, slot)).collect();
        blocks.sort_unstable();
        Spill {
            number,
            bytes: Mutex::new(Arc::new(full.bytes)),
            block_log2,
            blocks,
            _pin: pin,
            progress: Mutex::new(Progress::Writing),
        }
    }

    /// Copies a part of `block`, if it is here.
    pub fn read(&self, block: FileBlock, offset: usize, buffer: &mut [u8]) -> bool {
        let Ok(at) = self.blocks.binary_search_by_key(&block, |&(place, _)| place) else {
            return false;
        };
        let start = ((self.blocks[at].1 as usize) << self.block_log2) + offset;
        let bytes = Arc::clone(&self.bytes.lock());
        buffer.copy_from_slice(&bytes[start..start + buffer.len()]);
        true
    }

    /// The checksum of each block, by place.
    pub fn checksums(&self, top: &Top) -> Vec<(FileBlock, u32)> {
        let bytes = Arc::clone(&self.bytes.lock());
        let of = |slot: u32| {
            let start = (slot as usize) << self.block_log2;
            &bytes[start..start + (1 << self.block_log2)]
        };
        self.blocks
            .iter()
            .map(|&(place, slot)| (place, checksum::of_block(top.id, place, of(slot))))
            .collect()
    }

    /// Writes all blocks, each stretch of the file with as few calls as there can be, and asks
    /// the host to begin with its write-back; a few are left to the sync that is about to come,
    /// which then writes them and the record in one piece.
    pub fn write(&self, top: &Top) -> Result<()> {
        let bytes = Arc::clone(&self.bytes.lock());
        let size = 1_usize << self.block_log2;
        for stretch in self.blocks.chunk_by(|a, b| a.0.0 + 1 == b.0.0) {
            let offset = stretch[0].0.byte_offset(top.block_size);
            let mut written = 0;
            let mut slices = Vec::new();
            for slots in stretch.chunk_by(|a, b| a.1 + 1 == b.1) {
                let start = slots[0].1 as usize * size;
                slices.push(IoSlice::new(&bytes[start..start + slots.len() * size]));
            }
            for slices in slices.chunks(SLICES_MAX) {
                let at = offset + written;
                top.medium.write_vectored_at(at, slices).map_err(|error| {
                    Error::io("write blocks", error).in_file(&top.path).at_offset(at)
                })?;
                written += slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
            }
            if (self.blocks.len() as u64) << self.block_log2 <= SHORT_BYTES_MAX {
                continue;
            }
            top.medium.start_writeback(offset, written).map_err(|error| {
                Error::io("begin to write back", error).in_file(&top.path).at_offset(offset)
            })?;
        }
        Ok(())
    }

    /// Whether `block` is one of them.
    pub fn holds(&self, block: FileBlock) -> bool {
        self.blocks.binary_search_by_key(&block, |&(place, _)| place).is_ok()
    }

    /// How many blocks.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        *self.progress.lock()
    }

    /// Notes how far it has come.
    pub fn set_progress(&self, progress: Progress) {
        *self.progress.lock() = progress;
    }

    /// Takes the write over where it waits to be tried again.
    pub fn claim(&self) -> bool {
        let mut progress = self.progress.lock();
        let claimed = *progress == Progress::Waiting;
        if claimed {
            *progress = Progress::Writing;
        }
        claimed
    }

    /// The bytes, to be used again, where nobody else looks at them.
    pub fn recycle(self: Arc<Spill>) -> Option<Vec<u8>> {
        let bytes = std::mem::take(&mut *self.bytes.lock());
        Arc::try_unwrap(bytes).ok()
    }
}

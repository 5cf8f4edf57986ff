//! What a layer holds of blocks that its volume had dropped or replaced by the time it was frozen.
//!
//! A snapshot does not wait for that to be given back: it happens with the next checkpoint or close,
//! and where it is much with the next flush, once that has done its work. What a crash, or a volume
//! that is dropped, leaves undone a collection finds.

use std::cmp::Reverse;
use std::sync::Arc;

use super::Volume;
use super::allocator::Allocator;
use crate::error::{ErrorKind, Result};
use crate::layer::{Layer, UNNAMED_BYTES_MIN, give_back, metadata_blocks};

/// How many layers are kept in mind at once: of more, a collection takes care.
const LAYERS_MAX: usize = 64;
/// How many stretches of one layer are punched at most, the longest ones, since somebody waits.
const STRETCHES_MAX: usize = 1024;
/// What part of a file, and how many bytes at least, are much.
const MUCH_DIVISOR: u64 = 8;
const MUCH_BYTES_MIN: u64 = 1 << 20;

/// A layer that was frozen, and has something to give back.
#[derive(Debug)]
pub(super) struct LeftBehind {
    layer: Arc<Layer>,
    /// About how much, in bytes.
    bytes: u64,
    /// When the volume went on: reads that began by then may still see any of its blocks (INV-01).
    epoch: u64,
}

impl LeftBehind {
    /// What `layer` holds that nothing names, where that is worth a sync; `allocator` is what was
    /// known of its file when it was frozen.
    pub fn of(layer: &Arc<Layer>, allocator: &Allocator, epoch: u64) -> Option<LeftBehind> {
        let header = layer.header();
        let metadata: u64 = metadata_blocks(header).map(|blocks| blocks.end - blocks.start).sum();
        let mapped: u64 = layer.runs().iter().map(|run| run.data_blocks()).sum();
        // Blocks of an older run that a newer one maps elsewhere count as mapped here, and not as in use
        // there; what a commit under way dropped is the other way round.
        let end = allocator.free_tail();
        let left =
            end.saturating_sub(metadata + mapped).max(end.saturating_sub(allocator.occupied()));
        let bytes = left << header.block_size.log2();
        (bytes >= UNNAMED_BYTES_MIN).then(|| LeftBehind { layer: Arc::clone(layer), bytes, epoch })
    }

    fn is_much(&self) -> bool {
        self.bytes >= (self.layer.header().file_bytes / MUCH_DIVISOR).max(MUCH_BYTES_MIN)
    }
}

impl Volume {
    /// Keeps in mind that a layer has something to give back.
    pub(super) fn note_left_behind(&self, left: LeftBehind) {
        let mut all = self.left_behind.lock();
        if all.len() < LAYERS_MAX {
            all.push(left);
        }
    }

    /// Whether there is more to give back than should wait for the next checkpoint.
    pub(super) fn has_left_much_behind(&self) -> bool {
        self.left_behind.lock().iter().any(LeftBehind::is_much)
    }

    /// Gives back what no read under way can see any more of layers that were frozen.
    pub(super) fn give_back_left_behind(&self) -> Result<()> {
        if self.left_behind.lock().is_empty() {
            return Ok(());
        }
        let current = {
            // Who moves the epoch on holds the allocator.
            let _state = self.state.write();
            self.epochs.advance();
            self.epochs.advance()
        };
        let due = |left: &mut LeftBehind| left.epoch + 2 <= current;
        let due: Vec<_> = self.left_behind.lock().extract_if(.., due).collect();
        for left in due {
            match self.give_back_of(&left.layer) {
                Ok(()) => {}
                // To be tried again, with the next checkpoint.
                Err(error)
                    if error.kind() == ErrorKind::NoSpace || error.is_for_want_of_descriptors() =>
                {
                    self.note_left_behind(LeftBehind { bytes: 0, ..left });
                }
                Err(error) => return self.fail(error),
            }
        }
        Ok(())
    }

    fn give_back_of(&self, layer: &Layer) -> Result<()> {
        // Whoever removed the snapshot may have collected it.
        let Some(file) = self.home.frozen_file(layer.header().layer)? else { return Ok(()) };
        let mut stretches = layer.unnamed(&[])?;
        stretches.sort_unstable_by_key(|blocks| Reverse(blocks.end - blocks.start));
        stretches.truncate(STRETCHES_MAX);
        let log2 = self.block_size.log2();
        let stretches =
            stretches.into_iter().map(|blocks| blocks.start << log2..blocks.end << log2);
        // A host that cannot punch keeps the space; slots that are being changed are a collection's.
        give_back(&*file.medium, &file.path, stretches).map(drop)
    }
}

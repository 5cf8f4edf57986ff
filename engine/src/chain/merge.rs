//! Merging neighbouring levels into one, on the heap.

use std::path::Path;
use std::sync::Arc;

use super::level::Level;
use super::slots::Slots;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{
    Extent, Holes, RunBuilder, RunOrigin, Target, joined, merge_over_run, overlay,
};
use crate::format::index::{IndexHead, IndexSlot, SLOTS_MAX, encode_slots, run_page};
use crate::format::page::Prelude;
use crate::format::{LayerRef, PageKind};
use crate::memory::filled;
use crate::raw::AlignedBytes;
use crate::units::{BlockAddress, BlockSize, SourceIndex};

type Extents<'a> = Box<dyn Iterator<Item = Result<Extent>> + 'a>;

/// A level that is being merged, and the number that its first slot has among all of them.
struct Part<'a> {
    level: &'a Level,
    first_slot: u32,
    /// How many layers lie above it in the merged stretch.
    layers_above: u64,
}

/// One level that says what `levels` (newest first, each the parent of the one before) say.
///
/// Slots that nothing leads to any more are left out.
pub(super) fn merge_levels(levels: &[Arc<Level>], block_size: BlockSize) -> Result<Level> {
    let (parts, layers) = number(levels)?;
    let all_slots: usize = levels.iter().map(|level| level.slots().len()).sum();
    let no_memory = |error| Error::io("merge the maps of a chain", error);
    let mut new_numbers = filled(all_slots, u32::MAX).map_err(no_memory)?;
    let mut kept_slots = Vec::new();
    let mut renumber = |source: SourceIndex| {
        let bad = || Error::corrupt("merge the maps of a chain", "source", source.0, all_slots);
        let number = new_numbers.get_mut(source.0 as usize).ok_or_else(bad)?;
        if *number == u32::MAX {
            *number = kept_slots.len() as u32;
            kept_slots.push(slot_of(&parts, source.0)?);
        }
        Ok(SourceIndex(*number))
    };
    let oldest = &parts[parts.len() - 1];
    let builder = match oldest.level.single_run() {
        // The oldest part, mostly the largest by far, is copied rather than merged.
        Some(run) => {
            let newer = overlaid(&parts[..parts.len() - 1])?;
            merge_over_run(newer, run, oldest.first_slot, Holes::Drop, renumber)?
        }
        None => {
            let mut builder = RunBuilder::without_checksums();
            for extent in joined(overlaid(&parts)?, Holes::Drop) {
                let mut extent = extent?;
                if let Target::Data { source, block } = extent.target {
                    extent.target = Target::Data { source: renumber(source)?, block };
                }
                builder.push(extent)?;
            }
            builder
        }
    };
    let tip = LayerRef { digest: None, ..*levels[0].tip() };
    let below = levels[levels.len() - 1].below().copied();
    let (table, slots_crc) = encode_slots(&kept_slots);
    let slots = kept_slots.len() as u32;
    let prelude = Prelude {
        kind: PageKind::Index,
        layer: tip.id,
        generation: tip.freeze_generation,
        place: run_page(slots),
    };
    let encoded = builder.finish(&prelude)?;
    let head = IndexHead { tip, below, layers, block_size, slots, slots_crc, run: encoded.piece };
    let origin = RunOrigin { path: Path::new("(merged in memory)").into(), offset: 0 };
    let run = encoded.open(PageKind::Index, tip.id, origin)?;
    let mut index_files: Vec<_> =
        levels.iter().flat_map(|level| level.index_files()).copied().collect();
    index_files.sort_unstable();
    index_files.dedup();
    let table = AlignedBytes::copy_of(&table).map_err(no_memory)?;
    let slots = Slots::of_index(&head, table.into());
    Ok(Level::of_index(head, slots, run, false, index_files))
}

fn number(levels: &[Arc<Level>]) -> Result<(Vec<Part<'_>>, u64)> {
    let mut parts = Vec::with_capacity(levels.len());
    let (mut first_slot, mut layers_above) = (0_u32, 0_u64);
    for level in levels {
        parts.push(Part { level, first_slot, layers_above });
        first_slot = u32::try_from(level.slots().len())
            .ok()
            .and_then(|slots| first_slot.checked_add(slots))
            .filter(|&slots| slots <= SLOTS_MAX)
            .ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "merge the maps of a chain").about(
                    "layers",
                    "more",
                    format!("at most {SLOTS_MAX} whose blocks are mapped"),
                )
            })?;
        layers_above = layers_above.saturating_add(level.layers());
    }
    Ok((parts, layers_above))
}

/// What all parts say together. The parts are split where their extents are halved, so
/// that those of a large part pass through few merges.
fn overlaid<'a>(parts: &[Part<'a>]) -> Result<Extents<'a>> {
    let [part, ..] = parts else { return Ok(Box::new(std::iter::empty())) };
    if parts.len() == 1 {
        let (first_slot, slots) = (part.first_slot, part.level.slots());
        return Ok(Box::new(part.level.extents_from(BlockAddress(0))?.map(move |extent| {
            let mut extent = extent?;
            if let Target::Data { source, block } = extent.target {
                // Past its own table it would lead to the layers of another part.
                if source.0 as usize >= slots.len() {
                    return Err(slots.beyond(source.0));
                }
                let source = SourceIndex(source.0 + first_slot);
                extent.target = Target::Data { source, block };
            }
            Ok(extent)
        })));
    }
    let all: u64 = parts.iter().map(|part| part.level.extents()).sum();
    let mut newer_extents = 0;
    let half = parts.iter().position(|part| {
        newer_extents += part.level.extents();
        newer_extents > all / 2
    });
    let split = half.unwrap_or(0).clamp(1, parts.len() - 1);
    Ok(Box::new(overlay(overlaid(&parts[..split])?, overlaid(&parts[split..])?)))
}

fn slot_of(parts: &[Part<'_>], number: u32) -> Result<IndexSlot> {
    let part = &parts[parts.partition_point(|part| part.first_slot <= number) - 1];
    let slot = part.level.slots().get(number - part.first_slot)?;
    let plain = |layer: LayerRef| LayerRef { digest: None, ..layer };
    Ok(IndexSlot {
        owner: plain(slot.owner),
        mapper: plain(slot.mapper),
        distance: slot.distance + part.layers_above,
    })
}

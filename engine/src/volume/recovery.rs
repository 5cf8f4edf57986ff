//! Opening a volume for writing: to exactly one committed state.
//!
//! The process before may have died before its sync, or after a failed one: the file is synced
//! first, and what decides is read from the device. What recovery shows a writer once is
//! durable before it is shown (INV-02).

use std::sync::Arc;

use super::allocator::Allocator;
use super::create::{JournalStart, NewVolume, Recovered, Start, first_block, make_top};
use super::home::{Home, LayerHandle};
use super::journal::Journal;
use super::options::{RecoveryReport, VolumeOptions};
use super::replay::{Device, Replayed, replay};
use super::top::Top;
use super::{BlockRange, Volume};
use crate::chain::View;
use crate::error::{Error, Result};
use crate::format::page::PageKind;
use crate::format::{FreeSpace, Header, LayerRef, LayerState, NameEntry};
use crate::layer::{HeaderSlots, mend_header, read_blob, read_header_uncached};
use crate::units::{BlockSize, LayerId, PAGE_BYTES};

impl Volume {
    /// Opens the volume that `entry` names; the caller has its lock.
    ///
    /// A top that was frozen gets a fresh one on it; one that is missing gets a fresh one on the
    /// parent that the name gives. The home takes one that was never synced for missing.
    ///
    /// Errors: [`Corrupt`](crate::ErrorKind::Corrupt) where the journal is broken other than at its
    /// very end, and where nothing of the header verifies.
    pub fn open(home: Arc<dyn Home>, entry: &NameEntry, options: VolumeOptions) -> Result<Volume> {
        let Some(handle) = home.open_layer(entry.top)? else {
            return Volume::on_parent(home, entry.parent, options);
        };
        let sync = handle.medium.sync();
        sync.map_err(|error| Error::io("sync a layer to recover it", error).in_file(&handle.path))?;
        let dropped = handle.medium.drop_cache();
        dropped.map_err(|error| {
            Error::io("drop the cache of a layer to recover it", error).in_file(&handle.path)
        })?;
        let length = length_of(&handle)?;
        let slots = read_header_uncached(&*handle.medium, &handle.path)?;
        let header = &slots.header;
        if header.layer != entry.top {
            return Err(Error::corrupt("open a volume", "layer id", header.layer, entry.top)
                .in_file(&handle.path)
                .at_offset(8));
        }
        if header.state == LayerState::Frozen {
            let reference = header.layer_ref();
            // Nobody stands on a slot that is behind; one that has what nobody here knows is not written.
            if !slots.slots_agree {
                let writable = header.expect_writable("mend a header slot");
                writable.map_err(|error| error.in_file(&handle.path))?;
                mend_header(&*handle.medium, &handle.path, header)?;
            }
            drop(handle);
            return Volume::on_parent(home, Some(reference), options);
        }
        let writable = header.expect_writable("open a volume for writing");
        writable.map_err(|error| error.in_file(&handle.path))?;
        if length < header.file_bytes {
            return Err(Error::corrupt("open a volume", "file length", length, header.file_bytes)
                .in_file(&handle.path)
                .at_offset(length));
        }
        let view = view_of(&home, header.parent.as_ref(), header.block_size)?;
        Volume::recover(home, handle, slots, length, view, options)
    }

    /// A fresh top on `parent`, durable before anything is written to it.
    fn on_parent(
        home: Arc<dyn Home>,
        parent: Option<LayerRef>,
        options: VolumeOptions,
    ) -> Result<Volume> {
        let shape = home.shape_of(parent.as_ref())?;
        let view = view_of(&home, parent.as_ref(), shape.block_size)?;
        let new = NewVolume {
            kind: shape.kind,
            block_size: shape.block_size,
            volume_bytes: shape.volume_bytes,
            parent,
            view,
        };
        let id = LayerId::random()?;
        let (handle, header) = make_top(&*home, id, &new)?;
        let _adding = home.adding()?;
        home.publish_top(id, parent.as_ref())?;
        let top = Top::new(id, new.block_size, parent, handle, options.read);
        let mut start = Start::fresh(top, new.view, header);
        start.recovered.report.fresh_top = true;
        Ok(Volume::assemble(home, options, start))
    }

    fn recover(
        home: Arc<dyn Home>,
        handle: LayerHandle,
        slots: HeaderSlots,
        length: u64,
        view: Arc<View>,
        options: VolumeOptions,
    ) -> Result<Volume> {
        let HeaderSlots { header, slots_agree } = slots;
        let size = header.block_size;
        let top = Top::new(header.layer, size, header.parent, handle, options.read);
        let device = Device {
            medium: &*top.medium,
            path: &top.path,
            block_size: size,
            uncached: true,
            length,
        };
        let replayed = replay(&top.file, &device, &header)?;
        if let Some(place) = replayed.torn {
            // Erased and durable before anything else is written: it must never come back.
            top.write(place, &[0; PAGE_BYTES as usize], "erase a torn record")?;
            top.sync("sync an erased record")?;
        }
        mend_header(&*top.medium, &top.path, &header)?;
        let report = RecoveryReport {
            replayed_records: replayed.records,
            torn_records: u64::from(replayed.torn.is_some()),
            slot_repaired: !slots_agree,
            fresh_top: false,
        };
        let length = top.end_on_a_block()?;
        let allocator = allocator_of(&top, &header, &replayed, length)?;
        let recovered = recovered_of(size, &header, replayed, allocator, report);
        Ok(Volume::assemble(home, options, Start { top, view, header, recovered }))
    }
}

fn recovered_of(
    size: BlockSize,
    header: &Header,
    replayed: Replayed,
    allocator: Allocator,
    report: RecoveryReport,
) -> Recovered {
    let pieces = replayed
        .pieces
        .iter()
        .map(|&(first, bytes)| BlockRange { first, count: size.blocks_for(bytes) });
    let journal = Journal {
        header: header.clone(),
        sequence: replayed.sequence,
        chain: replayed.chain,
        next: replayed.next,
        after_next: replayed.after_next,
        records: replayed.records,
        pieces: pieces.collect(),
        // The name led here; the first flush makes sure that it does so for good.
        names_durable: false,
        durable_changes: 0,
    };
    Recovered {
        level: replayed.level,
        sources: replayed.sources,
        sources_in_header: replayed.sources_in_header,
        allocator,
        journal: JournalStart { journal, volume_bytes: replayed.volume_bytes },
        report,
        checksums: replayed.checksums,
        piece_generation: replayed.piece_generation,
    }
}

/// The free space: as a clean close saved it, or unknown until it is counted.
fn allocator_of(top: &Top, header: &Header, replayed: &Replayed, length: u64) -> Result<Allocator> {
    let log2 = top.block_size.log2();
    let blocks = length >> log2;
    let first = first_block(top.block_size);
    if replayed.records == 0 && header.journal.sequence == 0 && header.runs.is_empty() {
        // Nothing was ever committed: only the slots and the places of the first records are in use.
        return Ok(Allocator::fresh(log2, first + 2, blocks.max(first + 2)));
    }
    if let Some(piece) = &header.free_space
        && replayed.records == 0
    {
        let what = (PageKind::FreeSpace, "free space");
        let identity = (header.layer, header.block_size);
        let body = read_blob(&*top.medium, &top.path, what, identity, piece)?;
        let base = piece.place.byte_offset(top.block_size) + PAGE_BYTES;
        let saved =
            FreeSpace::decode(&body).map_err(|error| error.shifted_by(base).in_file(&top.path))?;
        if saved.sequence == header.journal.sequence && saved.blocks <= blocks {
            return Ok(Allocator::saved(log2, &saved, blocks));
        }
    }
    Ok(Allocator::unknown(log2, blocks))
}

/// The view of what a top stands on.
pub(super) fn view_of(
    home: &Arc<dyn Home>,
    parent: Option<&LayerRef>,
    block_size: BlockSize,
) -> Result<Arc<View>> {
    match parent {
        // What an open layer stands on does not go.
        Some(parent) => View::open(Arc::clone(home.layers()), parent).map_err(Error::into_lost),
        None => Ok(View::empty(Arc::clone(home.layers()), block_size)),
    }
}

fn length_of(handle: &LayerHandle) -> Result<u64> {
    let facts = handle.medium.facts();
    let facts = facts.map_err(|error| Error::io("look at a layer", error).in_file(&handle.path))?;
    Ok(facts.length)
}

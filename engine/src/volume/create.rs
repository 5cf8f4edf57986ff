//! A fresh top: an empty layer on a snapshot, or on nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Condvar, Mutex, RwLock};

use super::allocator::Allocator;
use super::buffer::WriteBuffer;
use super::epoch::Epochs;
use super::home::{Home, LayerHandle};
use super::journal::Journal;
use super::level::Level;
use super::state::State;
use super::top::{Source, Top};
use super::{Counts, STRIPES, Volume};
use super::{RecoveryReport, VolumeOptions};
use crate::chain::View;
use crate::error::{Error, Result};
use crate::format::header::HEADER_BYTES;
use crate::format::{Features, Header, LayerKind, LayerRef, LayerState};
use crate::raw::fork_generation;
use crate::units::{BlockSize, FileBlock, LayerId, PAGE_BYTES};

/// What a new volume is to be.
#[derive(Clone, Debug)]
pub struct NewVolume {
    /// Disk or tree.
    pub kind: LayerKind,
    /// The size of a block.
    pub block_size: BlockSize,
    /// The size of a disk in bytes; 0 for a tree.
    pub volume_bytes: u64,
    /// The snapshot below, as it is recorded, and the view of it.
    pub parent: Option<LayerRef>,
    /// The view below: an empty one where there is no parent.
    pub view: Arc<View>,
}

impl Volume {
    /// Makes a volume with a fresh, empty top. Nothing is synced: the first flush makes durable
    /// what it needs. The caller has the volume's lock and writes its name.
    pub fn create(home: Arc<dyn Home>, new: NewVolume, options: VolumeOptions) -> Result<Volume> {
        let id = LayerId::random()?;
        let (handle, header) = make_top(&*home, id, &new)?;
        let top = Top::new(id, new.block_size, new.parent, handle, options.read);
        Ok(Volume::assemble(home, options, Start::fresh(top, new.view, header)))
    }

    pub(super) fn assemble(home: Arc<dyn Home>, options: VolumeOptions, start: Start) -> Volume {
        let Start { top, view, header, recovered } = start;
        let block_size = top.block_size;
        let Recovered {
            level,
            sources,
            sources_in_header,
            allocator,
            journal,
            report,
            checksums,
            piece_generation,
        } = recovered;
        let state = State {
            view,
            buffer: WriteBuffer::new(block_size, options.buffer_bytes),
            spills: Vec::new(),
            spill_number: 0,
            spilled_bytes: 0,
            synced_bytes: 0,
            spare: Vec::new(),
            pending: Level::default(),
            under_way: None,
            committed: level,
            checksums,
            sources_committed: sources.len(),
            sources_in_header,
            sources,
            allocator,
            held: Vec::new(),
            held_under_way: Vec::new(),
            volume_bytes: journal.volume_bytes,
            volume_bytes_committed: journal.volume_bytes,
            changes: 0,
            freezing: false,
            poison: None,
            top: Arc::new(top),
        };
        Volume {
            home,
            options,
            kind: header.kind,
            block_size,
            fork_generation: fork_generation(),
            recovery: report,
            gate: Default::default(),
            above: Default::default(),
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            checkpoint_lock: Mutex::new(()),
            journal: Mutex::new(journal.journal),
            fold_lock: Mutex::new(()),
            state: RwLock::new(state),
            epochs: Arc::new(Epochs::default()),
            left_behind: Mutex::default(),
            room: Mutex::new(()),
            room_changed: Condvar::new(),
            piece_generation: AtomicU64::new(piece_generation),
            counts: Counts::default(),
        }
    }
}

/// What a volume begins with.
#[derive(Debug)]
pub(super) struct Start {
    pub top: Top,
    pub view: Arc<View>,
    pub header: Header,
    pub recovered: Recovered,
}

/// What was found in an open layer.
#[derive(Debug)]
pub(super) struct Recovered {
    pub level: Level,
    pub sources: Vec<Source>,
    pub sources_in_header: usize,
    pub allocator: Allocator,
    pub journal: JournalStart,
    pub report: RecoveryReport,
    pub checksums: crate::extent::BlockChecksums,
    pub piece_generation: u64,
}

/// The journal, and the size that its last commit gave.
#[derive(Debug)]
pub(super) struct JournalStart {
    pub journal: Journal,
    pub volume_bytes: u64,
}

impl Start {
    /// The start of a layer that was just made.
    pub fn fresh(top: Top, view: Arc<View>, header: Header) -> Start {
        let first = first_block(top.block_size);
        let allocator = Allocator::fresh(top.block_size.log2(), first + 2, first + 2);
        let volume_bytes = header.volume_bytes;
        let journal = Journal::at_header(header.clone());
        let recovered = Recovered {
            level: Level::default(),
            sources: Vec::new(),
            sources_in_header: 0,
            allocator,
            journal: JournalStart { journal, volume_bytes },
            report: RecoveryReport::default(),
            checksums: Default::default(),
            piece_generation: header.piece_generation,
        };
        Start { top, view, header, recovered }
    }
}

/// The first block past the header slots.
pub(super) fn first_block(block_size: BlockSize) -> u64 {
    block_size.blocks_for(HEADER_BYTES)
}

/// Makes the file of a new top, with both slots; nothing is synced. Where it fails, no file is left.
pub(super) fn make_top(
    home: &dyn Home,
    id: LayerId,
    new: &NewVolume,
) -> Result<(LayerHandle, Header)> {
    let handle = home.create_layer(id)?;
    match write_fresh(&handle, id, new) {
        Ok(header) => Ok((handle, header)),
        Err(error) => {
            home.discard_layer(id)?;
            Err(error)
        }
    }
}

fn write_fresh(handle: &LayerHandle, id: LayerId, new: &NewVolume) -> Result<Header> {
    let first = first_block(new.block_size);
    let header = Header {
        layer: id,
        generation: 1,
        features: Features::default(),
        kind: new.kind,
        state: LayerState::Open,
        block_size: new.block_size,
        removed: false,
        thinned: false,
        volume_bytes: new.volume_bytes,
        file_bytes: (first + 2) << new.block_size.log2(),
        freeze_generation: 0,
        parent: new.parent,
        digest: None,
        journal: crate::format::Journal {
            sequence: 0,
            next: FileBlock(first),
            after_next: FileBlock(first + 1),
            durable_sequence: 0,
            chain: 0,
        },
        piece_generation: 1,
        sources: None,
        annotations: None,
        free_space: None,
        runs: Vec::new(),
    };
    let fail = |error| Error::io("write a new layer", error).in_file(&handle.path).at_offset(0);
    // Allocated, not only made longer: it reads as zeros until its bytes have arrived.
    handle.medium.allocate(0, header.file_bytes).map_err(fail)?;
    let mut slots = Vec::with_capacity(HEADER_BYTES as usize);
    slots.extend_from_slice(&header.encode(0));
    slots.extend_from_slice(&header.encode(1));
    debug_assert_eq!(slots.len() as u64, 2 * PAGE_BYTES);
    handle.medium.write_at(0, &slots).map_err(fail)?;
    Ok(header)
}

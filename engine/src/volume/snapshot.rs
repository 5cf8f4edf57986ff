//! Snapshots: the open layer is frozen, and a fresh one put on top.
//!
//! 1 wait for open batches and set the maps aside; writers go on in the buffer meanwhile.
//! 2 write blocks and run; sync. 3 slot `frozen`, sync, other slot. 4 the new top's file, made
//! before 3 so that a lack of room is found in time, as is the name of a fork that has none yet, and all
//! that 4 needs opened, since a process may be able to open no file more. 5 with the first flush of the new
//! top: its file synced, then the name (file aside, sync, rename, sync the folder); until then
//! the name leads to the frozen layer, and opening it makes a fresh top there.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Volume;
use super::allocator::{Allocator, BlockRange};
use super::commit::CutAside;
use super::create::{NewVolume, first_block, make_top};
use super::home::LayerHandle;
use super::journal::Journal;
use super::left_behind::LeftBehind;
use super::level::{Level, Part};
use super::top::{Source, Top};
use crate::chain::Snapshot;
use crate::error::{Error, Result};
use crate::extent::BlockChecksums;
use crate::format::{Annotations, Header, LayerState, PageKind};
use crate::layer::update_header;
use crate::medium::Medium;
use crate::units::{FileBlock, LayerId};

/// What is ready to be frozen.
struct Frozen {
    header: Header,
    /// The new top.
    next: (LayerId, LayerHandle, Header),
    /// The file of the layer, as others read it.
    file: Arc<dyn Medium>,
    /// Keeps collections away.
    adding: Box<dyn Any>,
}

impl Volume {
    /// Freezes what the volume holds now into a snapshot, durably, and goes on in a fresh layer.
    ///
    /// Until the next [`flush`](Volume::flush) the volume's name leads to the frozen layer, and the new top
    /// is no name's: what a [`Store`](crate::Store) tells of the name (`resolve`, `lineage`, `names`,
    /// `usage_of`) begins with the snapshot until then.
    ///
    /// What the frozen layer holds of blocks that were dropped or replaced before goes back to the host
    /// with the next [`checkpoint`](Volume::checkpoint) or [`close`](Volume::close), and where it is much
    /// with the next [`flush`](Volume::flush); where that does not come to it, as the volume is dropped or
    /// the process dies, with the next [collection](crate::Store::collect).
    ///
    /// Reads and writes of other threads go on; what they write after the call began may or may
    /// not be in the snapshot, each batch whole or not at all.
    ///
    /// Errors: [`NoSpace`](crate::ErrorKind::NoSpace): nothing happened, the volume goes on, and
    /// the call can be made again; so it is where the process can open no file more, whichever call
    /// of its own that meets, and, as
    /// [`NotPermitted`](crate::ErrorKind::NotPermitted), where the host lets none be made. Any other
    /// failure poisons the volume: reopen it, and it shows whether the snapshot was taken. From the
    /// first write of the header that says frozen, a lack of room too is such a failure, and told as
    /// [`Poisoned`](crate::ErrorKind::Poisoned).
    pub fn snapshot(&self, annotations: &Annotations) -> Result<Snapshot> {
        self.check_process("snapshot")?;
        self.gate.refuse_own_batch("snapshot")?;
        let annotations = annotations.encode()?;
        let _checkpoint = self.checkpoint_lock.lock();
        let mut journal = self.journal.lock();
        self.fold_pending_parts()?;
        let cut = self.cut_to_freeze()?;
        let mut fresh = Vec::new();
        let frozen = self.write_frozen(&journal, &cut, &annotations, &mut fresh);
        let frozen = frozen.and_then(|frozen| self.settle(&mut journal, &cut.top, frozen));
        let frozen = match frozen {
            Ok(frozen) => frozen,
            Err(error) => {
                // The maps join again, and the volume goes on as if nothing had been asked.
                self.release_all(fresh);
                self.rejoin();
                self.state.write().freezing = false;
                self.notify_room();
                return self.fail(error);
            }
        };
        let done = self.switch(&mut journal, &cut, frozen);
        self.state.write().freezing = false;
        self.notify_room();
        done.or_else(|error| self.fail_hard(error))
    }

    /// Sets all maps aside, and lets writers go on in the buffer alone.
    fn cut_to_freeze(&self) -> Result<CutAside> {
        let _cut = self.gate.cut();
        self.ask_above()?;
        let _fold = self.fold_lock.lock();
        let mut guard = self.state.write();
        let state = &mut *guard;
        state.check_poison("snapshot")?;
        let own = match self.start_spill(state) {
            Ok(own) => own,
            Err(error) => {
                drop(guard);
                return self.fail(error);
            }
        };
        state.freezing = true;
        Ok(CutAside::take(state, own))
    }

    /// Writes all that the frozen header names, and the file of the new top: what may find no room.
    fn write_frozen(
        &self,
        journal: &Journal,
        cut: &CutAside,
        annotations: &[u8],
        fresh: &mut Vec<BlockRange>,
    ) -> Result<(Header, (LayerId, LayerHandle, Header))> {
        self.finish_spills(cut)?;
        let top = &cut.top;
        let mut header = journal.header.clone();
        let mut parts = Vec::new();
        if !cut.level.map.is_empty() {
            parts.push(Part::Map(Arc::new(cut.level.map.clone())));
        }
        parts.extend(cut.level.parts.iter().cloned());
        parts.extend(self.state.write().committed.set_map_aside().iter().cloned());
        let folded = self.fold_committed(top, &parts, fresh)?;
        header.runs = folded.runs.iter().map(|run| run.piece_ref()).collect();
        let mut replaced = Vec::new();
        self.renew_sources(top, &mut header, &cut.sources, &mut replaced, fresh)?;
        header.annotations = match annotations {
            [] => None,
            body => Some(self.write_blob(top, PageKind::Annotations, body, fresh)?),
        };
        // The allocator may know of less: a host that had no room for all it was asked for may have made the
        // file longer all the same.
        header.file_bytes = top.end_on_a_block()?.max(self.file_bytes());
        self.punch_tail(top, header.file_bytes)?;
        header.free_space = None;
        header.journal = crate::format::Journal::default();
        header.state = LayerState::Frozen;
        header.volume_bytes = cut.volume_bytes;
        header.piece_generation = self.piece_generation.load(Ordering::SeqCst);
        header.generation += 1;
        header.freeze_generation = header.generation;
        let new = NewVolume {
            kind: self.kind,
            block_size: self.block_size,
            volume_bytes: cut.volume_bytes,
            parent: Some(header.layer_ref()),
            view: Arc::clone(&self.state.read().view),
        };
        let id = LayerId::random()?;
        let (handle, next) = make_top(&*self.home, id, &new)?;
        Ok((header, (id, handle, next)))
    }

    /// Makes durable what the frozen header names, and the name of a fork that was never flushed,
    /// whose own entry comes before what replaces it. The last step that may find no room.
    fn settle(
        &self,
        journal: &mut Journal,
        top: &Top,
        (header, next): (Header, (LayerId, LayerHandle, Header)),
    ) -> Result<Frozen> {
        self.sync_top(top, "sync a layer to freeze it")?;
        match self.get_ready(journal, top) {
            Ok((file, adding)) => Ok(Frozen { header, next, file, adding }),
            Err(error) => {
                self.home.discard_layer(next.0)?;
                Err(error)
            }
        }
    }

    /// The durable name, and what [`Volume::switch`] would have to open.
    fn get_ready(
        &self,
        journal: &mut Journal,
        top: &Top,
    ) -> Result<(Arc<dyn Medium>, Box<dyn Any>)> {
        if !journal.names_durable {
            self.home.sync_names()?;
            journal.names_durable = true;
        }
        Ok((self.home.layers().open_to_freeze(top.id)?, self.home.adding()?))
    }

    /// Makes the frozen header true, and the new top what the volume goes on in. Opens no file.
    fn switch(&self, journal: &mut Journal, cut: &CutAside, frozen: Frozen) -> Result<Snapshot> {
        let Frozen { header, next: (id, handle, next), file, adding } = frozen;
        let old = &cut.top;
        update_header(&*old.medium, &old.path, &header)?;
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        let reference = header.layer_ref();
        self.home.publish_top(id, Some(&reference))?;
        drop(adding);
        // From here on the volume is the new top, whatever else happens.
        let layer = self.home.layers().frozen_layer(&reference, file)?;
        let policy = self.options.read;
        let top = Top::new(id, self.block_size, Some(reference), handle, policy);
        let mut guard = self.state.write();
        let state = &mut *guard;
        state.check_poison("snapshot")?;
        let left = LeftBehind::of(&layer, &state.allocator, self.epochs.current());
        let view = state.view.on_top(layer)?;
        let first = first_block(self.block_size);
        state.allocator = Allocator::fresh(self.block_size.log2(), first + 2, first + 2);
        state.view = Arc::clone(&view);
        state.top = Arc::new(top);
        state.under_way = None;
        state.committed = Level::default();
        state.checksums = BlockChecksums::new();
        state.sources = Vec::<Source>::new();
        (state.sources_committed, state.sources_in_header) = (0, 0);
        state.synced_bytes = state.spilled_bytes;
        state.volume_bytes_committed = cut.volume_bytes;
        state.held.clear();
        state.held_under_way.clear();
        drop(guard);
        left.into_iter().for_each(|left| self.note_left_behind(left));
        self.piece_generation.store(next.piece_generation, Ordering::SeqCst);
        let names_durable = false;
        *journal =
            Journal { names_durable, durable_changes: cut.changes, ..Journal::at_header(next) };
        self.home.snapshot(view)
    }

    /// Gives back what the file holds past its last block in use, up to `end`. The length stays: no file that
    /// may be mapped ever shrinks.
    fn punch_tail(&self, top: &Top, end: u64) -> Result<()> {
        let first = FileBlock(self.state.read().allocator.free_tail());
        let offset = first.byte_offset(self.block_size);
        if offset == end {
            return Ok(());
        }
        let length = end - offset;
        match top.medium.punch(offset, length) {
            Err(error) if error.kind() != std::io::ErrorKind::Unsupported => {
                Err(Error::io("punch the free end of a layer", error)
                    .in_file(&top.path)
                    .at_offset(offset))
            }
            _ => Ok(()),
        }
    }
}

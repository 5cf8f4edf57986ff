//! Checkpoints: the committed map becomes a run that the header names; the journal begins anew.
//!
//! Run, sync, slot, sync, other slot. Commits go on meanwhile: what they add lies above the
//! parts that the checkpoint took.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Volume;
use super::ahead::fold_count;
use super::allocator::BlockRange;
use super::level::Part;
use super::top::Top;
use crate::error::Result;
use crate::extent::{Holes, Run};
use crate::format::header::{HEADER_BYTES, RUNS_MAX};
use crate::format::{Header, LayerRef, PageKind, PieceRef};
use crate::layer::update_header;

/// How many stretches one checkpoint gives back to the host at most.
const PUNCHES_MAX: usize = 256;

/// What a checkpoint has taken from the journal and the state.
#[derive(Debug)]
struct Taken {
    top: Arc<Top>,
    header: Header,
    parts: Vec<Part>,
    records: u64,
    pieces: Vec<BlockRange>,
    sources: Vec<LayerRef>,
}

/// A level after a fold.
#[derive(Debug)]
pub(super) struct Folded {
    /// All parts afterwards, runs only.
    pub runs: Vec<Arc<Run>>,
    /// The blocks of the runs that were folded.
    pub replaced: Vec<BlockRange>,
}

/// What a checkpoint leaves in the header besides the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// The volume goes on.
    Running,
    /// The volume is about to be closed: its free space is saved.
    Closed,
}

impl Volume {
    /// Makes the header name all that is committed, so that opening has nothing to replay.
    pub fn checkpoint(&self) -> Result<()> {
        self.check_process("checkpoint")?;
        let _checkpoint = self.checkpoint_lock.lock();
        self.checkpoint_locked(Leave::Running)
    }

    pub(super) fn checkpoint_locked(&self, leave: Leave) -> Result<()> {
        self.count_free_space()?;
        let taken = self.take_committed()?;
        let mut fresh = Vec::new();
        let done = self.write_checkpoint(&taken, leave, &mut fresh);
        if let Err(error) = done {
            self.release_all(fresh);
            // Nothing names what was written; the journal is as long as it was.
            let mut journal = self.journal.lock();
            journal.records += taken.records;
            journal.pieces.extend(taken.pieces);
            drop(journal);
            return self.fail(error);
        }
        self.counts.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.punch_free(&taken.top)?;
        self.give_back_left_behind()
    }

    fn take_committed(&self) -> Result<Taken> {
        let mut journal = self.journal.lock();
        let mut guard = self.state.write();
        let state = &mut *guard;
        state.check_poison("checkpoint")?;
        let mut header = journal.header.clone();
        header.volume_bytes = state.volume_bytes_committed;
        header.journal.sequence = journal.sequence;
        header.journal.durable_sequence = journal.sequence;
        header.journal.chain = journal.chain;
        header.journal.next = journal.next;
        header.journal.after_next = journal.after_next;
        let sources = &state.sources[..state.sources_committed];
        Ok(Taken {
            top: Arc::clone(&state.top),
            header,
            parts: state.committed.set_map_aside().to_vec(),
            records: std::mem::take(&mut journal.records),
            pieces: std::mem::take(&mut journal.pieces),
            sources: sources.iter().map(|source| source.reference).collect(),
        })
    }

    fn write_checkpoint(
        &self,
        taken: &Taken,
        leave: Leave,
        fresh: &mut Vec<BlockRange>,
    ) -> Result<()> {
        let top = &taken.top;
        let mut header = taken.header.clone();
        let mut replaced = taken.pieces.clone();
        let folded = self.fold_committed(top, &taken.parts, fresh)?;
        replaced.extend(&folded.replaced);
        header.runs = folded.runs.iter().map(|run| run.piece_ref()).collect();
        self.renew_sources(top, &mut header, &taken.sources, &mut replaced, fresh)?;
        replaced.extend(header.free_space.take().map(|piece| self.range_of(&piece)));
        if leave == Leave::Closed {
            let sequence = header.journal.sequence;
            header.free_space = Some(self.write_free_space(top, sequence, &replaced, fresh)?);
        }
        header.file_bytes = self.file_bytes();
        header.piece_generation = self.piece_generation.load(Ordering::SeqCst);
        // A header never names a length or a piece that was not synced before.
        self.sync_top(top, "sync a checkpoint")?;
        header.generation += 1;
        if let Err(error) = update_header(&*top.medium, &top.path, &header) {
            return self.fail_hard(error);
        }
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.counts.metadata_bytes.fetch_add(HEADER_BYTES, Ordering::Relaxed);
        let mut journal = self.journal.lock();
        let mut guard = self.state.write();
        let state = &mut *guard;
        state.check_poison("checkpoint")?;
        journal.header = header;
        // Commits may have put parts above those that were taken, never among them.
        let above = state.committed.parts.len() - taken.parts.len();
        let runs = folded.runs.into_iter().map(Part::Run);
        state.committed.parts.splice(above.., runs);
        for range in replaced {
            state.allocator.release_after_sync(range);
        }
        state.sources_in_header = taken.sources.len();
        state.prune_checksums();
        Ok(())
    }

    /// Folds the newest parts of a committed level: every map, and runs too close in size.
    pub(super) fn fold_committed(
        &self,
        top: &Top,
        parts: &[Part],
        fresh: &mut Vec<BlockRange>,
    ) -> Result<Folded> {
        let mut count = fold_count(parts);
        if parts.len() - count + 1 > RUNS_MAX / 2 {
            count = parts.len();
        }
        let runs_of = |parts: &[Part]| {
            let run = |part: &Part| match part {
                Part::Run(run) => Arc::clone(run),
                Part::Map(_) => unreachable!("every map is among the parts that are folded"),
            };
            parts.iter().map(run).collect::<Vec<_>>()
        };
        if matches!(&parts[..count], [] | [Part::Run(_)]) {
            let runs = runs_of(parts);
            return Ok(Folded { runs, replaced: Vec::new() });
        }
        let holes = if count == parts.len() { Holes::Drop } else { Holes::Keep };
        let builder = self.fold_parts(top, &parts[..count], holes)?;
        let replaced = parts[..count]
            .iter()
            .filter_map(|part| match part {
                Part::Run(run) => Some(self.range_of(&run.piece_ref())),
                Part::Map(_) => None,
            })
            .collect();
        let mut runs = runs_of(&parts[count..]);
        if builder.is_empty() {
            return Ok(Folded { runs, replaced });
        }
        let run = self.write_run(top, builder, fresh)?;
        self.counts.metadata_bytes.fetch_add(run.total_bytes(), Ordering::Relaxed);
        runs.insert(0, run);
        Ok(Folded { runs, replaced })
    }

    /// Writes the table of sources where it has changed since the header named one.
    pub(super) fn renew_sources(
        &self,
        top: &Top,
        header: &mut Header,
        sources: &[LayerRef],
        replaced: &mut Vec<BlockRange>,
        fresh: &mut Vec<BlockRange>,
    ) -> Result<()> {
        // The table only ever grows: as many entries as before are the same ones.
        if sources.len() == self.state.read().sources_in_header {
            return Ok(());
        }
        let body = crate::format::sources::encode(sources);
        replaced.extend(header.sources.take().map(|piece| self.range_of(&piece)));
        header.sources = Some(self.write_blob(top, PageKind::Sources, &body, fresh)?);
        Ok(())
    }

    /// The length that the file has.
    pub(super) fn file_bytes(&self) -> u64 {
        self.state.read().allocator.blocks() << self.block_size.log2()
    }

    fn write_free_space(
        &self,
        top: &Top,
        sequence: u64,
        replaced: &[BlockRange],
        fresh: &mut Vec<BlockRange>,
    ) -> Result<PieceRef> {
        // Its own blocks are among those in use: first the place, then the content. The length
        // allows for what the allocation itself may add.
        let spare = 1 << 10;
        let body = self.state.read().allocator.save(sequence, replaced).encode();
        let blocks =
            self.allocate_piece(top, crate::format::blob::piece_bytes(body.len() + spare), fresh)?;
        let body = self.state.read().allocator.save(sequence, replaced).encode();
        let generation = self.next_generation();
        let kind = PageKind::FreeSpace;
        let (bytes, piece) =
            crate::format::blob::encode(kind, top.id, generation, blocks.first, &body);
        assert!(self.range_of(&piece).count <= blocks.count, "the length allows for it");
        top.write_piece(&piece, &bytes)?;
        Ok(piece)
    }

    /// Gives free stretches back to the host: out of the allocator, punched, and back (INV-01).
    fn punch_free(&self, top: &Top) -> Result<()> {
        let ranges = self.state.write().allocator.take_punchable(PUNCHES_MAX, &self.epochs);
        let mut punched = true;
        for range in &ranges {
            let offset = range.first.byte_offset(self.block_size);
            let length = range.count << self.block_size.log2();
            match top.medium.punch(offset, length) {
                Ok(()) => {}
                // Space is a matter of economy: a host that cannot punch keeps it.
                Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
                    punched = false;
                    break;
                }
                Err(error) => {
                    self.state.write().allocator.put_punched(&ranges, false);
                    let error = crate::Error::io("punch free blocks", error).in_file(&top.path);
                    return self.fail(error.at_offset(offset));
                }
            }
        }
        self.state.write().allocator.put_punched(&ranges, punched);
        Ok(())
    }
}

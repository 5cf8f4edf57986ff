//! Commits: set the pending maps aside, write their blocks, write one record, one sync, acknowledge.
//!
//! The record holds the checksums of its data, so one barrier is enough; only what is larger
//! than 1 MiB is synced first, so that recovery never reads more than that to judge. Flushes
//! that wait for the lock meanwhile share the next commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Volume;
use super::allocator::BlockRange;
use super::journal::Journal;
use super::level::{Level, Part, own_blocks, pieces};
use super::spill::{Progress, Spill};
use super::state::State;
use super::top::Top;
use crate::error::{ErrorKind, Result};
use crate::extent::{Extent, ExtentMap, Lookup, Run, RunBuilder, Span, Target};
use crate::format::page::{PageKind, Prelude};
use crate::format::{LayerRef, PieceRef, Record, blob, sources};
use crate::units::{BlockAddress, FileBlock};

/// The most that recovery reads to judge the last commit, in bytes: what is larger is synced
/// before its record is written.
pub const UNSYNCED_BYTES_MAX: u64 = 1 << 20;
/// How many records' heads are worth a checkpoint before zeros are written ahead: as many blocks
/// as these would be, for two syncs more in some more commits. In a large file as many as the square
/// root of its blocks: what the heads take and what checkpoints write are about the same then.
const HEADS_MIN: u64 = 48;

/// What a commit has set aside.
#[derive(Debug)]
pub(super) struct CutAside {
    pub top: Arc<Top>,
    pub level: Arc<Level>,
    /// The last bufferful, which the cut started and nobody writes yet.
    pub own: Option<Arc<Spill>>,
    /// All that are on their way.
    pub spills: Vec<Arc<Spill>>,
    pub volume_bytes: u64,
    pub changes: u64,
    pub sources: Vec<LayerRef>,
    pub sources_committed: usize,
}

impl CutAside {
    /// Sets aside what is pending; `own` is the spill that the cut began.
    pub fn take(state: &mut State, own: Option<Arc<Spill>>) -> CutAside {
        let level = Arc::new(std::mem::take(&mut state.pending));
        let held = std::mem::take(&mut state.held);
        state.held_under_way.extend(held);
        state.under_way = Some(Arc::clone(&level));
        CutAside {
            top: Arc::clone(&state.top),
            level,
            own,
            spills: state.spills.clone(),
            volume_bytes: state.volume_bytes,
            changes: state.changes,
            sources: state.sources.iter().map(|source| source.reference).collect(),
            sources_committed: state.sources_committed,
        }
    }
}

/// A run that a commit names.
#[derive(Debug)]
struct CommitRun {
    run: Arc<Run>,
    blocks: BlockRange,
    /// It says what a map in memory says, which is applied in its place.
    map: Option<Arc<ExtentMap>>,
}

/// Where the newest changes of a commit are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newest {
    /// In the record's head.
    Inline,
    /// In the last of its runs.
    Run,
}

/// A commit that is ready to be recorded.
#[derive(Debug)]
struct Prepared {
    record: Record,
    runs: Vec<CommitRun>,
    newest: Newest,
    /// The bytes of all blocks that the record names.
    named_bytes: u64,
}

impl Volume {
    /// Makes all that was written before the call durable, atomically: one `fdatasync` where it
    /// is not more than 1 MiB.
    ///
    /// Errors: [`ErrorKind::NoSpace`] where the host is full (what is buffered stays; it can be
    /// tried again), and so where the process can open no file more, or, as
    /// [`ErrorKind::NotPermitted`], the host lets none be made; any other failure poisons the volume:
    /// reopen it.
    pub fn flush(&self) -> Result<()> {
        self.check_process("flush")?;
        self.gate.refuse_own_batch("flush")?;
        let wanted = {
            let state = self.state.read();
            state.check_poison("flush")?;
            state.changes
        };
        self.with_free_space_counted(|| {
            let mut journal = self.journal.lock();
            match journal.durable_changes >= wanted && journal.names_durable {
                true => Ok(()),
                false => self.commit(&mut journal),
            }
        })?;
        if self.has_left_much_behind() {
            self.give_back_left_behind()?;
        }
        if self.is_checkpoint_due() {
            match self.checkpoint() {
                // The commit stands. A checkpoint that finds no room is tried again with the next one.
                Err(error) if error.kind() == ErrorKind::NoSpace => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn is_checkpoint_due(&self) -> bool {
        let records = self.journal.lock().records;
        let state = self.state.read();
        records >= self.options.journal_records_max
            || state.committed.map.len() >= self.options.map_extents_max
            || state.allocator.has_much_to_give_back()
            || records >= state.allocator.blocks().isqrt().max(HEADS_MIN)
                && state.allocator.wants_heads_back()
    }

    /// One commit of all that is pending.
    pub(super) fn commit(&self, journal: &mut Journal) -> Result<()> {
        self.fold_pending_parts()?;
        let Some(cut) = self.cut_aside()? else {
            return self.commit_names(journal);
        };
        let mut fresh = Vec::new();
        let prepared =
            self.finish_spills(&cut).and_then(|()| self.prepare(journal, &cut, &mut fresh));
        let Prepared { mut record, runs, newest, named_bytes } = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                self.release_all(fresh);
                self.rejoin();
                return self.fail(error);
            }
        };
        let metadata: u64 = runs.iter().map(|run| run.run.total_bytes()).sum();
        let unsynced = self.state.read().unsynced_bytes().max(named_bytes);
        record.data_durable = unsynced + metadata > UNSYNCED_BYTES_MAX;
        if record.data_durable {
            self.sync_top(&cut.top, "sync the blocks of a commit")?;
        }
        let (page, crc) = record.encode(cut.top.id, journal.next);
        if let Err(error) = cut.top.write(journal.next, &page, "write a journal record") {
            return self.fail_hard(error);
        }
        // No byte of the next record is written before this sync has returned (INV-02).
        self.sync_top(&cut.top, "sync a commit")?;
        journal.pieces.push(BlockRange { first: journal.next, count: 1 });
        journal.sequence = record.sequence;
        journal.chain = crc;
        journal.next = record.next;
        journal.after_next = record.after_next;
        journal.records += 1;
        self.counts.commits.fetch_add(1, Ordering::Relaxed);
        let written = metadata + crate::units::PAGE_BYTES;
        self.counts.metadata_bytes.fetch_add(written, Ordering::Relaxed);
        // The commit is durable; a volume that cannot show it must not go on without it.
        if let Err(error) = self.apply(journal, &cut, runs, newest, record.sources) {
            return self.fail_hard(error);
        }
        journal.durable_changes = cut.changes;
        // Last: where it finds no room, the next flush has only this left to do.
        self.commit_names(journal)
    }

    fn commit_names(&self, journal: &mut Journal) -> Result<()> {
        if journal.names_durable {
            return Ok(());
        }
        if journal.sequence == journal.header.journal.sequence && journal.records == 0 {
            // Nothing was committed yet: the slots themselves may never have been synced.
            let top = Arc::clone(&self.state.read().top);
            self.sync_top(&top, "sync a new layer")?;
        }
        if let Err(error) = self.home.sync_names() {
            return self.fail(error);
        }
        journal.names_durable = true;
        Ok(())
    }

    /// Sets aside what is pending, between batches; `None` where there is nothing.
    pub(super) fn cut_aside(&self) -> Result<Option<CutAside>> {
        let _cut = self.gate.cut();
        self.ask_above()?;
        let _fold = self.fold_lock.lock();
        let mut guard = self.state.write();
        let state = &mut *guard;
        state.check_poison("flush")?;
        let own = match self.start_spill(state) {
            Ok(own) => own,
            Err(error) => {
                drop(guard);
                return self.fail(error);
            }
        };
        if state.pending.is_empty()
            && state.volume_bytes == state.volume_bytes_committed
            && state.sources.len() == state.sources_committed
        {
            return Ok(None);
        }
        Ok(Some(CutAside::take(state, own)))
    }

    /// Waits until all spills of a cut are in the file, writing those that nobody writes.
    pub(super) fn finish_spills(&self, cut: &CutAside) -> Result<()> {
        let own = cut.own.iter().try_for_each(|spill| self.finish_spill(spill));
        own.and_then(|()| cut.spills.iter().try_for_each(|spill| self.await_spill(spill)))
    }

    pub(super) fn await_spill(&self, spill: &Arc<Spill>) -> Result<()> {
        loop {
            if spill.claim() {
                return self.finish_spill(spill);
            }
            let mut room = self.room.lock();
            let state = self.state.read();
            state.check_poison("flush")?;
            if !state.spills.iter().any(|held| held.number == spill.number) {
                return Ok(());
            }
            drop(state);
            if spill.progress() == Progress::Writing {
                self.room_changed.wait(&mut room);
            }
        }
    }

    /// Puts what was set aside back below what came since: the commit found no room.
    pub(super) fn rejoin(&self) {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let Some(under_way) = state.under_way.take() else { return };
        let Level { map, parts } = (*under_way).clone();
        if state.pending.parts.is_empty() {
            let newer = std::mem::replace(&mut state.pending, Level { map, parts });
            for extent in newer.map.iter() {
                state.insert_pending(extent, &self.epochs);
            }
        } else {
            state.pending.parts.push(Part::Map(Arc::new(map)));
            state.pending.parts.extend(parts);
        }
        state.changes += 1;
    }

    /// Writes the runs and builds the record: all that can fail for want of room.
    fn prepare(
        &self,
        journal: &Journal,
        cut: &CutAside,
        fresh: &mut Vec<BlockRange>,
    ) -> Result<Prepared> {
        // Oldest first: those written ahead, and one for what does not fit into the head.
        let mut runs = Vec::new();
        for part in cut.level.parts.iter().rev() {
            runs.push(match part {
                Part::Run(run) => CommitRun {
                    run: Arc::clone(run),
                    blocks: self.range_of(&run.piece_ref()),
                    map: None,
                },
                Part::Map(map) => self.write_map(&cut.top, map, fresh)?,
            });
        }
        let added = &cut.sources[cut.sources_committed..];
        let (extents, blocks) = count(&cut.level.map);
        let newest = if Record::fits(added.len(), runs.len(), extents, blocks)
            || Record::fits(0, runs.len(), extents, blocks)
        {
            Newest::Inline
        } else {
            runs.push(self.write_map(&cut.top, &Arc::new(cut.level.map.clone()), fresh)?);
            Newest::Run
        };
        let (extents, checksums) = match newest {
            Newest::Inline => self.inline_extents(&cut.level.map)?,
            Newest::Run => (Vec::new(), Vec::new()),
        };
        // A table that grew by more than a head holds is written anew, whole.
        let fits = Record::fits(added.len(), runs.len(), extents.len(), checksums.len());
        let (sources, added_sources) = if fits {
            (None, added.to_vec())
        } else {
            (Some(self.write_sources(&cut.top, &cut.sources, fresh)?), Vec::new())
        };
        let after_next = self.allocate_head(&cut.top, fresh)?;
        let record = Record {
            sequence: journal.sequence + 1,
            previous: journal.chain,
            data_durable: false,
            volume_bytes: cut.volume_bytes,
            next: journal.after_next,
            after_next,
            piece_generation: self.piece_generation.load(Ordering::SeqCst),
            sources,
            added_sources,
            runs: runs.iter().map(|run| run.run.piece_ref()).collect(),
            extents,
            checksums,
        };
        let named_bytes = named_bytes(&record, &runs, self)?;
        Ok(Prepared { record, runs, newest, named_bytes })
    }

    fn write_map(
        &self,
        top: &Top,
        map: &Arc<ExtentMap>,
        fresh: &mut Vec<BlockRange>,
    ) -> Result<CommitRun> {
        let run = self.write_run(top, self.build_run(map)?, fresh)?;
        let blocks = self.range_of(&run.piece_ref());
        Ok(CommitRun { run, blocks, map: Some(Arc::clone(map)) })
    }

    /// Packs a map with the checksums that the state holds.
    pub(super) fn build_run(&self, map: &ExtentMap) -> Result<RunBuilder> {
        let state = self.state.read();
        let mut builder = RunBuilder::with_checksums();
        builder.reserve(map.len());
        for extent in map.iter() {
            let Target::Data { source, block } = extent.target else {
                builder.push(extent)?;
                continue;
            };
            let mut at = extent.start;
            let checksums = (0..extent.length)
                .map(|index| {
                    at = BlockAddress(extent.start.0 + index);
                    state.checksum(at, source, FileBlock(block.0 + index))
                })
                .collect::<Result<Vec<_>>>()?;
            builder.push(extent)?;
            builder.push_checksums(&checksums);
        }
        Ok(builder)
    }

    /// Gives a run fresh blocks, noted in `fresh`, and writes it there; it is not synced.
    pub(super) fn write_run(
        &self,
        top: &Top,
        builder: RunBuilder,
        fresh: &mut Vec<BlockRange>,
    ) -> Result<Arc<Run>> {
        let prelude = Prelude {
            kind: PageKind::Run,
            layer: top.id,
            generation: self.next_generation(),
            place: self.allocate_piece(top, builder.total_bytes()?, fresh)?.first,
        };
        let encoded = builder.finish(&prelude)?;
        top.write_piece(&encoded.piece, &encoded.bytes)?;
        crate::layer::run_just_written(&top.file, encoded)
    }

    /// Consecutive blocks for a piece of `bytes` bytes, noted in `fresh`: what the caller gives
    /// back where it fails later on.
    pub(super) fn allocate_piece(
        &self,
        top: &Top,
        bytes: u64,
        fresh: &mut Vec<BlockRange>,
    ) -> Result<BlockRange> {
        let count = self.block_size.blocks_for(bytes);
        let mut state = self.state.write();
        state.check_poison("write a piece of metadata")?;
        let range = state.allocator.allocate_contiguous(count, &self.epochs, top)?;
        fresh.push(range);
        Ok(range)
    }

    fn allocate_head(&self, top: &Top, fresh: &mut Vec<BlockRange>) -> Result<FileBlock> {
        let mut state = self.state.write();
        state.check_poison("find a place for a record")?;
        let range = state.allocator.allocate_head(&self.epochs, top)?;
        self.count_zeros_ahead(&mut state.allocator);
        fresh.push(range);
        Ok(range.first)
    }

    /// Gives back blocks that nothing came to refer to.
    pub(super) fn release_all(&self, ranges: Vec<BlockRange>) {
        let mut state = self.state.write();
        for range in ranges {
            state.allocator.release(range, &self.epochs);
        }
    }

    pub(super) fn range_of(&self, piece: &PieceRef) -> BlockRange {
        BlockRange { first: piece.place, count: self.block_size.blocks_for(piece.bytes) }
    }

    fn inline_extents(&self, map: &ExtentMap) -> Result<(Vec<Extent>, Vec<u32>)> {
        let state = self.state.read();
        let mut checksums = Vec::new();
        let extents: Vec<_> = map.iter().collect();
        for extent in &extents {
            if let Target::Data { source, block } = extent.target {
                for index in 0..extent.length {
                    let address = BlockAddress(extent.start.0 + index);
                    let block = FileBlock(block.0 + index);
                    checksums.push(state.checksum(address, source, block)?);
                }
            }
        }
        Ok((extents, checksums))
    }

    /// Writes the table of sources as a piece of its own.
    fn write_sources(
        &self,
        top: &Top,
        table: &[LayerRef],
        fresh: &mut Vec<BlockRange>,
    ) -> Result<PieceRef> {
        self.write_blob(top, PageKind::Sources, &sources::encode(table), fresh)
    }

    /// Writes a piece with a body.
    pub(super) fn write_blob(
        &self,
        top: &Top,
        kind: PageKind,
        body: &[u8],
        fresh: &mut Vec<BlockRange>,
    ) -> Result<PieceRef> {
        let place = self.allocate_piece(top, blob::piece_bytes(body.len()), fresh)?.first;
        let (bytes, piece) = blob::encode(kind, top.id, self.next_generation(), place, body);
        top.write_piece(&piece, &bytes)?;
        Ok(piece)
    }

    /// Makes the file durable; what waited for that is released. A failure poisons.
    pub(super) fn sync_top(&self, top: &Top, operation: &str) -> Result<()> {
        let (due, spilled_bytes) = {
            let mut state = self.state.write();
            (state.allocator.begin_sync(), state.spilled_bytes)
        };
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = top.sync(operation) {
            return self.fail_hard(error);
        }
        let mut state = self.state.write();
        state.allocator.end_sync(due, &self.epochs);
        state.synced_bytes = state.synced_bytes.max(spilled_bytes);
        Ok(())
    }

    /// Makes the commit what reads see as committed, and gives back what it replaced.
    fn apply(
        &self,
        journal: &mut Journal,
        cut: &CutAside,
        runs: Vec<CommitRun>,
        newest: Newest,
        table: Option<PieceRef>,
    ) -> Result<()> {
        let dropped = {
            let state = self.state.read();
            let mut below = Stack { newer: Vec::new(), base: &state.committed };
            let mut dropped = Vec::new();
            for run in &runs {
                for extent in run.run.extents() {
                    below.replaced(&extent?, &mut dropped)?;
                }
                below.newer.insert(0, &*run.run);
            }
            if newest == Newest::Inline {
                for extent in cut.level.map.iter() {
                    below.replaced(&extent, &mut dropped)?;
                }
            }
            dropped
        };
        let mut guard = self.state.write();
        let state = &mut *guard;
        let absorb = |committed: &mut Level, map: &ExtentMap| {
            map.iter().for_each(|extent| committed.map.insert(extent, &mut |_| {}));
        };
        for run in runs {
            match &run.map {
                Some(map) => {
                    absorb(&mut state.committed, map);
                    journal.pieces.push(run.blocks);
                }
                None => state.committed.stack(run.run),
            }
        }
        if newest == Newest::Inline {
            absorb(&mut state.committed, &cut.level.map);
        }
        if let Some(table) = table {
            journal.pieces.push(self.range_of(&table));
        }
        state.under_way = None;
        state.held_under_way.clear();
        state.volume_bytes_committed = cut.volume_bytes;
        state.sources_committed = cut.sources.len();
        for range in dropped {
            state.allocator.release(range, &self.epochs);
        }
        Ok(())
    }
}

/// Runs of a commit over what was committed before: what each replaces is found in order.
struct Stack<'a> {
    newer: Vec<&'a dyn Lookup>,
    base: &'a Level,
}

impl Stack<'_> {
    fn replaced(&self, extent: &Extent, dropped: &mut Vec<BlockRange>) -> Result<()> {
        pieces(self, extent.start, extent.end(), |piece| {
            if let Some((first, count)) = own_blocks(&piece) {
                dropped.push(BlockRange { first, count });
            }
            Ok(())
        })
    }
}

impl Lookup for Stack<'_> {
    fn find(&self, address: BlockAddress) -> Result<Span> {
        let mut end = BlockAddress(crate::units::ADDRESS_END);
        for map in self.newer.iter().copied().chain([self.base as &dyn Lookup]) {
            let span = map.find(address)?;
            end = end.min(span.end);
            if span.target.is_some() {
                return Ok(Span { target: span.target, end });
            }
        }
        Ok(Span { target: None, end })
    }
}

/// The bytes of all blocks that a record names, clones of older ones included: what recovery
/// would read to judge it.
fn named_bytes(record: &Record, runs: &[CommitRun], volume: &Volume) -> Result<u64> {
    let mut blocks = record.checksums.len() as u64;
    for run in runs {
        for extent in run.run.extents() {
            blocks = blocks.saturating_add(own_blocks(&extent?).map_or(0, |(_, count)| count));
        }
    }
    Ok(blocks.saturating_mul(volume.block_size.bytes()))
}

fn count(map: &ExtentMap) -> (usize, usize) {
    let blocks = map
        .iter()
        .filter(|extent| matches!(extent.target, Target::Data { .. }))
        .map(|extent| usize::try_from(extent.length).unwrap_or(usize::MAX))
        .fold(0, usize::saturating_add);
    (map.len(), blocks)
}

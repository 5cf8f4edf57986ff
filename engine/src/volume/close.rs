//! Closing: what is pending is committed, and the free space saved.

use super::Volume;
use super::checkpoint::Leave;
use super::journal::Journal;
use crate::error::{ErrorKind, Result};

impl Volume {
    /// Commits what is pending and leaves the layer so that opening has nothing to replay or count.
    ///
    /// A volume that was left so, and to which nothing was written since it was opened, stays as it is; after an
    /// unclean end it is not, and what was replayed is put in order once for all who open it later. As it is
    /// stays, once it is committed, one for whose free space the host has no room: who opens it counts it.
    pub fn close(self) -> Result<()> {
        let volume = self.of_this_process("close")?;
        volume.flush()?;
        match volume.close_flushed() {
            Err(error) if error.kind() == ErrorKind::NoSpace => Ok(()),
            closed => closed,
        }
    }

    fn close_flushed(&self) -> Result<()> {
        let _checkpoint = self.checkpoint_lock.lock();
        let journal = self.journal.lock();
        let rested = journal.records == 0 && journal.header.free_space.is_some();
        let untouched = is_fresh(&journal);
        drop(journal);
        if rested || untouched {
            return self.give_back_left_behind();
        }
        self.checkpoint_locked(Leave::Closed)?;
        // The second slot is durable with this sync.
        let top = std::sync::Arc::clone(&self.state.read().top);
        self.sync_top(&top, "sync a closed layer")
    }

    /// As [`close`](Volume::close), where all that was written is in a snapshot without a layer of
    /// its own above it: the name leads to the frozen layer, which needs no sync more, and the next
    /// to open the volume goes on from there in a fresh one.
    pub fn close_at_snapshot(self) -> Result<()> {
        let volume = self.of_this_process("close")?;
        let is_written = volume.journal.lock().durable_changes == volume.state.read().changes;
        match is_written && volume.abandon_fresh()? {
            true => Ok(()),
            false => volume.close(),
        }
    }

    /// Gives up what was not committed, as dropping the volume does; and where nothing was since the
    /// newest snapshot, the layer above that as well, which a drop leaves to be collected.
    pub fn abandon(self) -> Result<()> {
        self.of_this_process("abandon")?.abandon_fresh().map(drop)
    }

    /// In a forked child the volume is not even dropped: what threads of the parent were changing when
    /// it was forked is half changed there.
    fn of_this_process(self, operation: &str) -> Result<Volume> {
        match self.check_process(operation) {
            Ok(()) => Ok(self),
            Err(refused) => {
                std::mem::forget(self);
                Err(refused)
            }
        }
    }

    /// Gives the top up where nothing was ever committed to it, and no name leads to it.
    fn abandon_fresh(&self) -> Result<bool> {
        if self.state.read().check_poison("close").is_err() {
            return Ok(false);
        }
        self.give_back_left_behind()?;
        let is_fresh = is_fresh(&self.journal.lock());
        Ok(is_fresh && self.home.abandon_top(self.layer_id())?)
    }
}

/// Whether nothing was ever committed to the layer.
fn is_fresh(journal: &Journal) -> bool {
    journal.sequence == 0 && journal.header.journal.sequence == 0
}

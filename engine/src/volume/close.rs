//! Closing: what is pending is committed, and the free space saved.

use super::Volume;
use super::checkpoint::Leave;
use crate::error::Result;

impl Volume {
    /// Commits what is pending and leaves the layer so that opening has nothing to replay or count.
    ///
    /// A volume to which nothing was written since it was opened is left as it is.
    pub fn close(self) -> Result<()> {
        self.flush()?;
        let _checkpoint = self.checkpoint_lock.lock();
        let journal = self.journal.lock();
        let rested = journal.records == 0 && journal.header.free_space.is_some();
        let untouched = journal.sequence == 0 && journal.header.journal.sequence == 0;
        drop(journal);
        if rested || untouched {
            return Ok(());
        }
        self.checkpoint_locked(Leave::Closed)?;
        // The second slot is durable with this sync.
        let top = std::sync::Arc::clone(&self.state.read().top);
        self.sync_top(&top, "sync a closed layer")
    }
}

//! What stands above a volume and holds changes back in memory writes them before each cut.

use std::sync::Weak;

use super::{Batch, Volume};
use crate::error::Result;

/// Something above a volume that keeps changes in memory, as a file view keeps its pages. It is
/// asked before each commit and each snapshot, when no batch is open, and writes what belongs to
/// all that was done so far: the cut has it whole.
pub trait BeforeCut: std::fmt::Debug + Send + Sync {
    /// Writes what is held back. An error makes the commit or snapshot fail before anything of
    /// it was done.
    ///
    /// It must not wait for anybody who waits for a batch, a commit or a snapshot.
    fn before_cut(&self, batch: &Batch<'_>) -> Result<()>;
}

impl Volume {
    /// From here on `above` is asked before each cut, for as long as it lives.
    pub fn ask_before_cuts(&self, above: Weak<dyn BeforeCut>) {
        *self.above.lock() = Some(above);
    }

    /// That something above holds a change back: a flush must cut although nothing was written.
    pub fn note_change_above(&self) {
        self.state.write().changes += 1;
    }

    /// An error where the volume is poisoned: what is held back above can never become durable.
    ///
    /// Errors: [`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned), naming what went wrong.
    pub fn check_writable(&self, operation: &str) -> Result<()> {
        self.check_process(operation)?;
        self.state.read().check_poison(operation)
    }

    /// Asks whoever is above. The caller holds the cut, and no other lock of the volume that a
    /// write takes.
    pub(super) fn ask_above(&self) -> Result<()> {
        let above = self.above.lock().as_ref().and_then(Weak::upgrade);
        match above {
            Some(above) => above.before_cut(&Batch::inside_cut(self)),
            None => Ok(()),
        }
    }
}

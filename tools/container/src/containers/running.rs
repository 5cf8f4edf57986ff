//! A container while its process runs.

use sapwood::Store;
use sapwood::store::Name;
use sapwood_fuse::{LastCommit, Unmounter};

use super::folder::Lock;
use super::record::{Record, now};
use super::remove::remove_held;
use crate::error::Result;
use crate::sandbox::Sandbox;
use crate::signaller::Signaller;

/// A container whose tree this process serves.
#[derive(Debug)]
pub struct RunningContainer {
    pub(super) sandbox: Sandbox,
    pub(super) store: Store,
    pub(super) name: Name,
    pub(super) record: Record,
    pub(super) lock: Lock,
}

impl RunningContainer {
    /// Sends signals to its process.
    pub fn signaller(&self) -> Signaller {
        self.sandbox.signaller()
    }

    /// Gives up what its process wrote where that waits for room, as [`RunningContainer::wait`] says.
    pub fn unmounter(&self) -> Unmounter {
        self.sandbox.unmounter()
    }

    /// Waits until its process runs, or has ended already.
    pub fn wait_until_started(&mut self) -> Result<()> {
        self.sandbox.wait_until_started()
    }

    /// Whether its process has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        self.sandbox.has_ended()
    }

    /// Waits until its process has ended, unmounts it and commits what it wrote; its exit code. The
    /// record says how it ended. A temporary one is removed instead.
    ///
    /// Where the host has no room for that commit this waits until it has, as
    /// [`Mount::wait`](sapwood_fuse::Mount::wait) does: what the process wrote lies here alone.
    ///
    /// Errors: as [`Sandbox::wait`]; what kept it from being ended, or what it wrote from being committed.
    pub fn wait(mut self) -> Result<u8> {
        let ran = self.sandbox.wait();
        if self.record.settings.is_temporary {
            drop(self.sandbox.end(LastCommit::Leave)?);
            remove_held(&self.store, &self.name, self.lock)?;
            return ran;
        }
        // One that only read has nothing to commit, and is to last all the same.
        let ended = self.sandbox.end(LastCommit::Make).and_then(|files| Ok(files.close()?));
        self.record.finished = Some(now());
        self.record.lost = ended.as_ref().err().map(ToString::to_string);
        match &ran {
            Ok(code) => self.record.exit_code = Some(*code),
            Err(error) => {
                self.record.exit_code = Some(error.exit_code());
                self.record.error = Some(error.to_string());
            }
        }
        let written = self.record.write(self.lock.folder());
        let code = ended.and(ran)?;
        written?;
        Ok(code)
    }
}

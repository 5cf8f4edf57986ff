//! A container while its process runs.

use std::path::PathBuf;

use sapwood::Store;
use sapwood::store::Name;

use super::folder::Lock;
use super::record::{Record, now};
use super::remove::remove_held;
use crate::error::Result;
use crate::sandbox::{Sandbox, Signaller};

/// A container whose tree this process serves.
#[derive(Debug)]
pub struct RunningContainer {
    pub(super) sandbox: Sandbox,
    pub(super) store: Store,
    pub(super) name: Name,
    pub(super) folder: PathBuf,
    pub(super) record: Record,
    pub(super) lock: Lock,
}

impl RunningContainer {
    /// Sends signals to its process.
    pub fn signaller(&self) -> Signaller {
        self.sandbox.signaller()
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
    /// Errors: as [`Sandbox::wait`]; what kept it from being ended.
    pub fn wait(mut self) -> Result<u8> {
        let ran = self.sandbox.wait();
        let ended = self.sandbox.end();
        if self.record.settings.is_temporary {
            drop(ended?);
            remove_held(&self.store, &self.name, self.lock)?;
            return ran;
        }
        let ended = ended.and_then(|files| {
            // One that only read has nothing to commit, and is to last all the same.
            files.flush()?;
            Ok(files.close()?)
        });
        let ran = ran.and_then(|code| ended.map(|()| code));
        self.record.finished = Some(now());
        match &ran {
            Ok(code) => self.record.exit_code = Some(*code),
            Err(error) => {
                self.record.exit_code = Some(error.exit_code());
                self.record.error = Some(error.to_string());
            }
        }
        self.record.write(&self.folder)?;
        ran
    }
}

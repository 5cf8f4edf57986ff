//! The files of a mount for those who come from outside of it, until the mount ends.

use std::sync::Arc;

use parking_lot::RwLock;
use sapwood::files::Files;
use sapwood::{Error, ErrorKind, Result};

/// A handle on live files that does not outlive the mount.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<RwLock<Option<Files>>>);

impl Live {
    /// A handle on `files`; on nothing, where the mount is read only.
    pub fn new(files: Option<Files>) -> Live {
        Live(Arc::new(RwLock::new(files)))
    }

    /// Does something with the files.
    ///
    /// Errors: [`ErrorKind::Unsupported`] where there are none to write, or none any more.
    pub fn with<T>(&self, operation: &str, call: impl FnOnce(&Files) -> Result<T>) -> Result<T> {
        match &*self.0.read() {
            Some(files) => call(files),
            None => Err(Error::new(ErrorKind::Unsupported, operation).about(
                "mount",
                "one that is read only or has ended",
                "one that can be written",
            )),
        }
    }

    /// Ends the handle, once all that is done through it is.
    pub fn end(&self) {
        self.0.write().take();
    }
}

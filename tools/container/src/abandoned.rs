//! What is left of a container where the process that served it was killed.

use std::ffi::OsStr;

use sapwood::{Error, Result};

use crate::place::{Place, detach_if_mounted, entries};
use crate::runtime::Runtime;

impl Place {
    /// Ends what is left of a container where the process that served it was killed, and takes all
    /// away that it needed.
    ///
    /// Errors: where its runtime is not installed any more.
    pub fn clear_abandoned(&self) -> Result<()> {
        for state in entries(&self.state())? {
            let name = state.file_name().and_then(OsStr::to_str);
            let runtime = Runtime::find(name)?;
            for id in entries(&state)? {
                let id = id.file_name().unwrap_or_default().to_owned();
                let ended = runtime.delete(self, &id).output();
                ended.map_err(|error| Error::io("end a container", error))?;
            }
        }
        entries(&self.trees())?.iter().try_for_each(|tree| detach_if_mounted(tree))?;
        self.clear()?;
        self.remove()
    }
}

//! Everything a store holds, verified against itself; nothing is written, and nothing needs to be at rest.

mod facts;
mod index;
mod layer;
mod names;
mod place;
mod relations;
mod seen;
mod space;
mod store;
mod thinned;

use std::path::Path;
use std::sync::Arc;

use super::report::CheckReport;
use crate::error::{Error, ErrorKind, Result};
use crate::medium::Host;
pub use store::check;

/// What a check looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Also reads every data block that a view can see, and compares its checksum.
    pub data: bool,
}

/// How far a check is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckProgress {
    /// Layer files done.
    pub layers_done: u64,
    /// Layer files in all.
    pub layers: u64,
    /// Bytes of data read.
    pub data_bytes: u64,
}

/// Tells the caller how far the check is.
struct Progress<'a> {
    now: CheckProgress,
    tell: &'a mut dyn FnMut(CheckProgress),
}

impl Progress<'_> {
    fn layers(&mut self, layers: u64) {
        self.now.layers = layers;
        (self.tell)(self.now);
    }

    fn layer_done(&mut self) {
        self.now.layers_done += 1;
        (self.tell)(self.now);
    }

    fn data(&mut self, bytes: u64) {
        self.now.data_bytes += bytes;
        (self.tell)(self.now);
    }
}

/// Checks one layer file by itself: what it says of other layers is not followed.
///
/// Of a thinned layer, blocks that do not verify are taken for given back: which of them a
/// view still needs only the whole store can tell.
///
/// # Errors
///
/// Those of the host, and [`ErrorKind::NotFound`] where there is no such file. What the file
/// holds is never an error: it is in the report.
pub fn check_layer(
    host: &Arc<dyn Host>,
    path: &Path,
    options: &CheckOptions,
    progress: &mut dyn FnMut(CheckProgress),
) -> Result<CheckReport> {
    let mut progress = Progress { now: CheckProgress::default(), tell: progress };
    progress.layers(1);
    let looked = layer::check_file(&**host, path, None, options, &mut progress)?;
    progress.layer_done();
    match looked {
        Some(looked) => Ok(looked.report),
        None => Err(Error::new(ErrorKind::NotFound, "open a file to inspect")
            .in_file(host.display_path(path))),
    }
}

//! A layer file: opened, verified, read, and sealed.
//!
//! Two header slots, then blocks in the order in which they were written, with the
//! runs of the map and the journal between them. This module knows single files; what
//! a view of several says is for `chain`, and how one is written for `volume`.

mod descriptors;
mod file;
mod frozen;
mod pieces;
mod policy;
mod seal;
mod slots;
mod streams;
mod unnamed;
mod verified;

#[cfg(test)]
mod tests;

pub use descriptors::{Descriptors, FileSource};
pub(crate) use file::Elsewhere;
pub use file::LayerFile;
pub use frozen::{Layer, expect_length};
pub use pieces::{read_blob, read_run};
pub(crate) use pieces::{run_in_heap, run_just_written};
pub use policy::{MapPolicy, ReadPolicy, VerifyPolicy};
pub(crate) use seal::is_zero;
pub use seal::{SourceLayers, compute_digest, verify_digest};
pub use slots::{HeaderSlots, mend_header, read_header, read_header_uncached, update_header};
pub use unnamed::{GivenBack, UNNAMED_BYTES_MIN, give_back, metadata_blocks};

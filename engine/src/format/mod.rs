//! Bytes to structs and back, pure: no I/O, no locks, no clock.
//!
//! `docs/FORMAT.md` is the normative text; a test compares its tables with the
//! constants here. Decoders take the bytes of one structure and give errors
//! with offsets inside it; callers add the file and shift the offset.

pub mod annotations;
pub mod blob;
pub mod checksum;
pub mod fields;
pub mod files;
pub mod free_space;
pub mod header;
pub mod identity;
pub mod index;
pub mod name;
pub mod page;
pub mod piece;
pub mod record;
pub mod run;
pub mod sources;
#[cfg(test)]
mod tests;
pub mod tree;

pub use annotations::Annotations;
pub use free_space::FreeSpace;
pub use header::{Features, Header, Journal, LayerKind, LayerState};
pub use identity::LayerRef;
pub use index::{IndexHead, IndexSlot};
pub use name::{NameEntry, NameKind};
pub use page::PageKind;
pub use piece::PieceRef;
pub use record::Record;

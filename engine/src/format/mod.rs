//! Bytes to structs and back, pure: no I/O, no locks, no clock.
//!
//! `docs/FORMAT.md` is the normative text; a test compares its tables with the
//! constants here. Decoders take the bytes of one structure and give errors
//! with offsets inside it; callers add the file and shift the offset.

pub mod fields;
pub mod page;

/// Where a piece of metadata lies in its file, how long it is, and what its head must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PieceRef {
    /// The first block of the piece.
    pub place: crate::units::FileBlock,
    /// Its length in bytes, a multiple of 4 KiB.
    pub bytes: u64,
    /// The generation in its head: no two pieces of a layer share one.
    pub generation: u64,
    /// The CRC-32 of its head page: guards against a stale piece of the same place.
    pub head_crc: u32,
}

//! Where the journal of the open layer stands; whoever holds it is the one who commits.

use super::allocator::BlockRange;
use crate::format::Header;
use crate::units::FileBlock;

/// The state of commits, under a lock of its own.
#[derive(Debug)]
pub struct Journal {
    /// What the header slots say.
    pub header: Header,
    /// The sequence number of the last commit.
    pub sequence: u64,
    /// The checksum of its record.
    pub chain: u32,
    /// The place of the next record.
    pub next: FileBlock,
    /// The place of the record after that one.
    pub after_next: FileBlock,
    /// Commits since the last checkpoint.
    pub records: u64,
    /// The blocks of their heads, and of the runs whose extents went into the map: free after
    /// the next checkpoint.
    pub pieces: Vec<BlockRange>,
    /// The name and the folder entries that lead here are durable.
    pub names_durable: bool,
    /// Of the changes of the state, those that are durable.
    pub durable_changes: u64,
}

impl Journal {
    /// The journal of a header, before any record of it was replayed.
    pub fn at_header(header: Header) -> Journal {
        let start = header.journal;
        Journal {
            header,
            sequence: start.sequence,
            chain: start.chain,
            next: start.next,
            after_next: start.after_next,
            records: 0,
            pieces: Vec::new(),
            names_durable: false,
            durable_changes: 0,
        }
    }
}

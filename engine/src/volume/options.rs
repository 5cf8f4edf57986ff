//! What a volume can be told, and what it counts.

use crate::layer::ReadPolicy;

/// How a volume buffers, bounds its memory and reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeOptions {
    /// The size of the write buffer in bytes; rounded up to whole blocks.
    pub buffer_bytes: u64,
    /// How many changed extents a map holds in memory before it is written out as a run.
    pub map_extents_max: usize,
    /// How many commits may pass before a checkpoint: what opening has to replay at most.
    pub journal_records_max: u64,
    /// Whether whole blocks of zeros are found on write and stored as zero extents.
    pub detect_zeroes: bool,
    /// How stored blocks are reached and verified.
    pub read: ReadPolicy,
}

impl Default for VolumeOptions {
    fn default() -> VolumeOptions {
        VolumeOptions {
            buffer_bytes: 4 << 20,
            map_extents_max: 1 << 16,
            journal_records_max: 512,
            detect_zeroes: true,
            read: ReadPolicy::default(),
        }
    }
}

/// What a volume has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes that callers wrote.
    pub bytes_written: u64,
    /// Bytes that callers read.
    pub bytes_read: u64,
    /// Bytes of blocks that were allocated for data.
    pub bytes_allocated: u64,
    /// Writes of a block that lay in the write buffer already: only the newest goes into the file.
    pub buffer_hits: u64,
    /// Whole blocks of zeros that were not stored.
    pub zero_blocks: u64,
    /// Commits.
    pub commits: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Bytes of records and runs that were written.
    pub metadata_bytes: u64,
    /// Bytes of zeros that were written ahead of commits, for these to find written places.
    pub zeros_ahead_bytes: u64,
    /// Syncs of the open layer's file.
    pub syncs: u64,
}

/// What opening found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Commits that were replayed from the journal.
    pub replayed_records: u64,
    /// Torn last commits, never acknowledged, that were dropped: 0 or 1.
    pub torn_records: u64,
    /// One header slot was not as the other and was written anew.
    pub slot_repaired: bool,
    /// The top was frozen or lost before its name was changed; a fresh one was made.
    pub fresh_top: bool,
}

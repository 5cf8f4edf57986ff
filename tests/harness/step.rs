//! The steps that workloads are made of.

use sapwood::testing::Random;

use super::BLOCK_BYTES;

/// One call of a user. Names are plain; ranges are in blocks unless they say bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Create {
        volume: String,
        blocks: u64,
    },
    Write {
        volume: String,
        block: u64,
        blocks: u64,
        value: u64,
    },
    WriteBytes {
        volume: String,
        offset: u64,
        length: u64,
        value: u64,
    },
    Zero {
        volume: String,
        block: u64,
        blocks: u64,
    },
    Discard {
        volume: String,
        block: u64,
        blocks: u64,
    },
    Clone {
        volume: String,
        from: u64,
        to: u64,
        blocks: u64,
    },
    CloneFrom {
        volume: String,
        tag: String,
        from: u64,
        to: u64,
        blocks: u64,
    },
    Resize {
        volume: String,
        blocks: u64,
    },
    Flush {
        volume: String,
    },
    /// Writes the committed map as a run; what was not flushed stays so.
    Checkpoint {
        volume: String,
    },
    /// Takes a snapshot and tags it.
    Snapshot {
        volume: String,
        tag: String,
    },
    /// Makes so many snapshots on each other, without ancestors, which get their tag once all are
    /// whole. Each writes from one block further on.
    Import {
        tag: String,
        blocks: u64,
        value: u64,
        snapshots: u64,
    },
    Fork {
        tag: String,
        volume: String,
    },
    Reset {
        volume: String,
    },
    Seal {
        tag: String,
    },
    Flatten {
        tag: String,
        flat: String,
    },
    RemoveVolume {
        volume: String,
    },
    RemoveTag {
        tag: String,
    },
    /// Removes `VOLUME@number`, which has no tag.
    RemoveSnapshot {
        volume: String,
        number: usize,
    },
    Collect,
    /// Closes everything and opens it again.
    Reopen,
}

/// The bytes of a write: they follow from `value` and the place in the write, and are zeros for 0.
pub fn pattern(value: u64, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    if value != 0 {
        let mut random = Random::new(value);
        for chunk in bytes.chunks_mut(BLOCK_BYTES as usize) {
            let word = random.bits().to_le_bytes();
            for (at, byte) in chunk.iter_mut().enumerate() {
                *byte = word[at % 8] ^ (at / 512) as u8;
            }
        }
    }
    bytes
}

//! One bit a block: whether it was compared with its checksum.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bits for a fixed number of blocks, allocated when the first is set.
#[derive(Debug)]
pub struct VerifiedBits {
    blocks: usize,
    words: OnceLock<Box<[AtomicU64]>>,
}

impl VerifiedBits {
    /// No bit set, for `blocks` blocks.
    pub fn new(blocks: usize) -> VerifiedBits {
        VerifiedBits { blocks, words: OnceLock::new() }
    }

    /// Whether the bit of `block` is set.
    pub fn get(&self, block: usize) -> bool {
        match self.words.get() {
            Some(words) => words[block / 64].load(Ordering::Acquire) >> (block % 64) & 1 == 1,
            None => false,
        }
    }

    /// Sets the bit of `block`.
    pub fn set(&self, block: usize) {
        let words = self
            .words
            .get_or_init(|| (0..self.blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect());
        words[block / 64].fetch_or(1 << (block % 64), Ordering::Release);
    }

    /// Clears the bit of `block`: it is about to hold something else.
    pub fn clear(&self, block: usize) {
        if let Some(words) = self.words.get() {
            words[block / 64].fetch_and(!(1 << (block % 64)), Ordering::Release);
        }
    }
}

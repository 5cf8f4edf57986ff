//! Which chunks of a run were verified since it was opened.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::format::page::Prelude;
use crate::format::run::{CHUNK_BYTES, RunLayout, Section, chunk_checksum};
use crate::raw::{Column, PieceBytes};

/// A bit a chunk. Verifying twice does no harm, so that nothing is locked.
#[derive(Debug)]
pub(super) struct Chunks {
    verified: Box<[AtomicU64]>,
    /// Chunks of the mapping (all but samples and block checksums) not yet verified:
    /// at 0, look-ups need not ask any more.
    mapping_left: AtomicU64,
    mapping_chunks: u64,
    expected: Column<u32>,
    layout: RunLayout,
    prelude: Prelude,
}

impl Chunks {
    pub(super) fn new(expected: Column<u32>, layout: RunLayout, prelude: Prelude) -> Chunks {
        let mapping_bytes = layout.samples.offset - layout.body.offset;
        let mapping_chunks = mapping_bytes.div_ceil(CHUNK_BYTES).min(layout.chunks());
        Chunks {
            verified: (0..layout.chunks().div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            mapping_left: AtomicU64::new(mapping_chunks),
            mapping_chunks,
            expected,
            layout,
            prelude,
        }
    }

    /// Whether everything that a look-up can touch was verified.
    #[inline]
    pub(super) fn mapping_verified(&self) -> bool {
        self.mapping_left.load(Ordering::Relaxed) == 0
    }

    /// Verifies what holds the items `range` of `width` bytes each of a section.
    #[inline]
    pub(super) fn verify_items(
        &self,
        bytes: &PieceBytes,
        section: Section,
        width: u64,
        range: Range<usize>,
    ) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let start = section.offset - self.layout.body.offset;
        let first = (start + range.start as u64 * width) / CHUNK_BYTES;
        let last = (start + range.end as u64 * width - 1) / CHUNK_BYTES;
        (first..=last).try_for_each(|number| self.verify(bytes, number))
    }

    /// Verifies all that lies before byte `end` of the piece.
    pub(super) fn verify_until(&self, bytes: &PieceBytes, end: u64) -> Result<()> {
        let chunks =
            (end - self.layout.body.offset).div_ceil(CHUNK_BYTES).min(self.layout.chunks());
        (0..chunks).try_for_each(|number| self.verify(bytes, number))
    }

    #[inline]
    fn verify(&self, bytes: &PieceBytes, number: u64) -> Result<()> {
        let bits = &self.verified[(number / 64) as usize];
        if bits.load(Ordering::Relaxed) & 1 << (number % 64) != 0 {
            return Ok(());
        }
        self.verify_now(bytes, number)
    }

    #[cold]
    fn verify_now(&self, bytes: &PieceBytes, number: u64) -> Result<()> {
        let chunk = self.layout.chunk(number);
        let range = chunk.offset as usize..(chunk.offset + chunk.bytes) as usize;
        bytes.will_need(range.clone());
        let content = &bytes.bytes()[range];
        let found = chunk_checksum(&self.prelude, number, content);
        let expected = self.expected[number as usize];
        if found != expected {
            return Err(Error::corrupt(
                format!("verify chunk {number} of a run"),
                "checksum",
                format!("{found:#010x}"),
                format!("{expected:#010x}"),
            )
            .at_offset(chunk.offset));
        }
        let bit = 1 << (number % 64);
        let before = self.verified[(number / 64) as usize].fetch_or(bit, Ordering::Relaxed);
        if before & bit == 0 && number < self.mapping_chunks {
            self.mapping_left.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

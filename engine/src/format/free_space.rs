//! The free space of an open layer as a clean close leaves it.

use super::fields::{FieldReader, FieldWriter};
use crate::error::Result;
use crate::units::FileBlock;

/// The fields at the start of the body: offset and name.
pub const FIELDS: &[(usize, &str)] =
    &[(0, "sequence"), (8, "blocks"), (16, "shared count"), (BITMAP_OFFSET, "bitmap")];
const BITMAP_OFFSET: usize = 24;
const SHARED_BYTES: usize = 12;

/// Which blocks are in use, and which by more than one extent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FreeSpace {
    /// The commit that it describes: of no use after another one.
    pub sequence: u64,
    /// How many blocks the bitmap covers.
    pub blocks: u64,
    /// One bit a block, set where it is in use; 64 blocks a word, the lowest bit first.
    pub used: Vec<u64>,
    /// Blocks with more than one extent, ascending, and how many extents beyond the first.
    pub shared: Vec<(FileBlock, u32)>,
}

impl FreeSpace {
    /// The body.
    pub fn encode(&self) -> Vec<u8> {
        assert_eq!(self.used.len() as u64, self.blocks.div_ceil(64), "one bit a block");
        let mut body =
            vec![0; BITMAP_OFFSET + self.used.len() * 8 + self.shared.len() * SHARED_BYTES];
        let mut fields = FieldWriter::new(&mut body);
        fields.u64(self.sequence).u64(self.blocks).u64(self.shared.len() as u64);
        for &word in &self.used {
            fields.u64(word);
        }
        for &(block, extra) in &self.shared {
            fields.u64(block.0).u32(extra);
        }
        body
    }

    /// What `body` says.
    pub fn decode(body: &[u8]) -> Result<FreeSpace> {
        let mut fields = FieldReader::new("free space", body);
        let sequence = fields.u64("sequence")?;
        let blocks = fields.u64("blocks")?;
        let shared_count = fields.u64("shared count")?;
        let words = blocks.div_ceil(64);
        let need =
            words.checked_mul(8).zip(shared_count.checked_mul(SHARED_BYTES as u64)).and_then(
                |(bitmap, shared)| bitmap.checked_add(shared)?.checked_add(BITMAP_OFFSET as u64),
            );
        if need != Some(body.len() as u64) {
            let found = format!("{blocks} blocks, {shared_count} shared");
            return Err(fields.bad("counts", 16, found, format!("{} bytes", body.len())));
        }
        let used = (0..words).map(|_| fields.u64("bitmap")).collect::<Result<Vec<_>>>()?;
        let last = used.last().copied().unwrap_or(0);
        if !blocks.is_multiple_of(64) && last >> (blocks % 64) != 0 {
            let found = format!("{last:#018x}");
            return Err(fields.bad("bitmap", 8, found, "zeros past the last block"));
        }
        let mut shared = Vec::with_capacity(shared_count as usize);
        let mut next = 0;
        for _ in 0..shared_count {
            let block = fields.u64("shared block")?;
            if block < next || block >= blocks {
                let expected = format!("ascending, below {blocks}");
                return Err(fields.bad("shared block", 8, block, expected));
            }
            next = block + 1;
            let extra = fields.u32("shared extents")?;
            if extra == 0 {
                return Err(fields.bad("shared extents", 4, extra, "at least 1"));
            }
            shared.push((FileBlock(block), extra));
        }
        Ok(FreeSpace { sequence, blocks, used, shared })
    }
}

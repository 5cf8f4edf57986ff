//! Growing and shrinking a disk.

use super::Volume;
use super::write::Blank;
use crate::error::{Error, Result};
use crate::format::LayerKind;
use crate::units::{BlockAddress, VOLUME_BYTES_MAX};

impl Volume {
    /// Makes a disk `bytes` bytes long. What is cut off is discarded; what is added reads as zeros.
    ///
    /// Durable with the next flush. Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) for a
    /// tree, and past 2^63 bytes.
    pub fn resize(&self, bytes: u64) -> Result<()> {
        self.check_process("resize")?;
        self.gate.refuse_own_batch("resize")?;
        if self.kind == LayerKind::Tree || bytes > VOLUME_BYTES_MAX {
            let expected = format!("a disk, and at most {VOLUME_BYTES_MAX}");
            return Err(Error::invalid("resize", "bytes", bytes, expected));
        }
        // No other change is under way: one that was checked against the old size might land
        // past the new one.
        let _cut = self.gate.cut();
        let old = self.size_bytes();
        let size = self.block_size.bytes();
        if bytes < old {
            let tail = bytes % size;
            if tail != 0 {
                let length = (size - tail).min(old - bytes);
                let last = BlockAddress(bytes / size);
                self.blank_inner("resize", last, tail, length, Blank::Zero)?;
            }
            let (first, past) = (bytes.div_ceil(size), old.div_ceil(size));
            if first < past {
                let _stripes = self.all_stripes();
                self.blank_blocks(BlockAddress(first), BlockAddress(past), Blank::Discard)?;
            }
        }
        let mut state = self.state_to_change("resize")?;
        state.volume_bytes = bytes;
        state.changes += 1;
        Ok(())
    }
}

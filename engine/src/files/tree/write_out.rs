//! Writing the changed pages into the volume.

use std::sync::Arc;

use super::PageCache;
use super::change::Tree;
use crate::error::Result;
use crate::units::{BlockAddress, BlockSize};
use crate::volume::Batch;

impl Tree {
    /// Writes all that was changed; after an error all of it is still to be written.
    pub fn write_out(&mut self, batch: &Batch<'_>, cache: &PageCache) -> Result<()> {
        if !self.is_changed() {
            return Ok(());
        }
        let mut numbers: Vec<u32> = self.changed.keys().copied().collect();
        numbers.sort_unstable();
        for &number in &numbers {
            let page = self.changed.get_mut(&number).expect("its number was just listed");
            batch.write_blocks(BlockAddress(number.into()), 0, Arc::make_mut(page).encode())?;
        }
        let mut freed = self.freed.iter().copied().peekable();
        while let Some(start) = freed.next() {
            let mut end = start + 1;
            while freed.next_if_eq(&end).is_some() {
                end += 1;
            }
            let bytes = u64::from(end - start) * self.page_bytes as u64;
            batch.discard_blocks(BlockAddress(start.into()), 0, bytes)?;
        }
        if self.superblock_changed {
            let block_size = BlockSize::from_bytes(self.page_bytes as u64)?;
            batch.write_blocks(BlockAddress(0), 0, &self.superblock.encode(block_size))?;
            self.superblock_changed = false;
        }
        for number in std::mem::take(&mut self.freed) {
            self.space.give(number);
        }
        for (_, page) in std::mem::take(&mut self.changed) {
            cache.put(page);
        }
        Ok(())
    }
}

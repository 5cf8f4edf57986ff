//! The checksums of blocks that no run on the device carries yet.

use std::collections::BTreeMap;

use crate::units::{FileBlock, SourceIndex};

/// Blocks a chunk: blocks are allocated one after another, so that chunks are
/// mostly full, and a lone block of another layer costs 300 bytes at most.
const CHUNK_BLOCKS: u64 = 64;

/// A table from block to CRC-32: about 4.5 bytes a block where blocks are dense.
#[derive(Clone, Debug, Default)]
pub struct BlockChecksums {
    /// (source, block / 64) to the checksums of those blocks.
    chunks: BTreeMap<(SourceIndex, u64), Box<Chunk>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Chunk {
    /// A bit for each block whose checksum is known.
    present: u64,
    checksums: [u32; CHUNK_BLOCKS as usize],
}

impl BlockChecksums {
    /// A table that knows no block.
    pub fn new() -> BlockChecksums {
        BlockChecksums::default()
    }

    /// How many blocks are known.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no block is known.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The heap that the table takes, in bytes, near enough to bound it by.
    pub fn memory_bytes(&self) -> usize {
        // A node of the ordered map is two thirds full or more on average.
        let entry = size_of::<((SourceIndex, u64), Box<Chunk>)>() * 3 / 2;
        self.chunks.len() * (size_of::<Chunk>() + entry)
    }

    /// Notes the checksum of a block, in place of what was known of it.
    pub fn set(&mut self, source: SourceIndex, block: FileBlock, checksum: u32) {
        let (chunk, at) = (block.0 / CHUNK_BLOCKS, block.0 % CHUNK_BLOCKS);
        let chunk = self.chunks.entry((source, chunk)).or_insert_with(|| {
            Box::new(Chunk { present: 0, checksums: [0; CHUNK_BLOCKS as usize] })
        });
        self.len += usize::from(chunk.present & 1 << at == 0);
        chunk.present |= 1 << at;
        chunk.checksums[at as usize] = checksum;
    }

    /// The checksum of a block, where it is known.
    pub fn get(&self, source: SourceIndex, block: FileBlock) -> Option<u32> {
        let (chunk, at) = (block.0 / CHUNK_BLOCKS, block.0 % CHUNK_BLOCKS);
        let chunk = self.chunks.get(&(source, chunk))?;
        (chunk.present & 1 << at != 0).then(|| chunk.checksums[at as usize])
    }

    /// Forgets `count` blocks from `block` on.
    pub fn remove(&mut self, source: SourceIndex, block: FileBlock, count: u64) {
        let Some(last) = count.checked_sub(1).map(|more| block.0.saturating_add(more)) else {
            return;
        };
        let (first_chunk, last_chunk) = (block.0 / CHUNK_BLOCKS, last / CHUNK_BLOCKS);
        let mut emptied = Vec::new();
        for (&key, chunk) in self.chunks.range_mut((source, first_chunk)..=(source, last_chunk)) {
            let mut gone = u64::MAX;
            if key.1 == first_chunk {
                gone &= u64::MAX << (block.0 % CHUNK_BLOCKS);
            }
            if key.1 == last_chunk {
                gone &= u64::MAX >> (CHUNK_BLOCKS - 1 - last % CHUNK_BLOCKS);
            }
            self.len -= (chunk.present & gone).count_ones() as usize;
            chunk.present &= !gone;
            if chunk.present == 0 {
                emptied.push(key);
            }
        }
        for key in emptied {
            self.chunks.remove(&key);
        }
    }

    /// Takes over all that a newer table knows; where both know a block, the newer one holds.
    pub fn absorb(&mut self, newer: BlockChecksums) {
        if self.is_empty() {
            *self = newer;
            return;
        }
        for (key, chunk) in newer.chunks {
            match self.chunks.entry(key) {
                std::collections::btree_map::Entry::Vacant(vacant) => {
                    self.len += chunk.present.count_ones() as usize;
                    vacant.insert(chunk);
                }
                std::collections::btree_map::Entry::Occupied(mut occupied) => {
                    let old = occupied.get_mut();
                    self.len += (chunk.present & !old.present).count_ones() as usize;
                    old.present |= chunk.present;
                    for at in 0..CHUNK_BLOCKS as usize {
                        if chunk.present & 1 << at != 0 {
                            old.checksums[at] = chunk.checksums[at];
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Set(u32, u64, u32),
        Remove(u32, u64, u64),
        Absorb(Vec<(u32, u64, u32)>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let block = || 0..300u64;
        prop_oneof![
            4 => (0..2u32, block(), any::<u32>()).prop_map(|(s, b, c)| Step::Set(s, b, c)),
            2 => (0..2u32, block(), 0..200u64).prop_map(|(s, b, n)| Step::Remove(s, b, n)),
            1 => prop::collection::vec((0..2u32, block(), any::<u32>()), 0..30)
                .prop_map(Step::Absorb),
        ]
    }

    proptest! {
        #[test]
        fn a_table_knows_what_a_hash_map_knows(steps in prop::collection::vec(step(), 1..60)) {
            let mut table = BlockChecksums::new();
            let mut model = HashMap::new();
            for step in steps {
                match step {
                    Step::Set(source, block, checksum) => {
                        table.set(SourceIndex(source), FileBlock(block), checksum);
                        model.insert((source, block), checksum);
                    }
                    Step::Remove(source, block, count) => {
                        table.remove(SourceIndex(source), FileBlock(block), count);
                        model.retain(|key, _| {
                            key.0 != source || key.1 < block || key.1 >= block + count
                        });
                    }
                    Step::Absorb(entries) => {
                        let mut newer = BlockChecksums::new();
                        for (source, block, checksum) in entries {
                            newer.set(SourceIndex(source), FileBlock(block), checksum);
                            model.insert((source, block), checksum);
                        }
                        table.absorb(newer);
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.is_empty(), model.is_empty());
                for source in 0..2 {
                    for block in 0..300 {
                        let known = table.get(SourceIndex(source), FileBlock(block));
                        prop_assert_eq!(known, model.get(&(source, block)).copied());
                    }
                }
            }
        }
    }

    #[test]
    fn a_dense_block_costs_under_five_bytes_and_the_last_block_is_one_like_others() {
        let mut table = BlockChecksums::new();
        for block in 0..10_000 {
            table.set(SourceIndex::OWN, FileBlock(block), block as u32);
        }
        assert!(table.memory_bytes() < 5 * 10_000, "{}", table.memory_bytes());
        table.set(SourceIndex(3), FileBlock(u64::MAX), 9);
        assert_eq!(table.get(SourceIndex(3), FileBlock(u64::MAX)), Some(9));
        table.remove(SourceIndex(3), FileBlock(1), u64::MAX);
        assert_eq!(table.len(), 10_000);
        table.remove(SourceIndex::OWN, FileBlock(0), u64::MAX);
        assert!(table.is_empty() && table.memory_bytes() == 0);
    }
}

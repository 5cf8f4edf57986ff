//! A store as it should behave, in the simplest terms: sparse maps from block
//! address to bytes. Nothing in it is fast, shared with the engine, or clever.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What one layer says of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelBlock {
    /// Reads as zeros; the parent is hidden.
    Zero,
    /// These bytes, as many as a block has.
    Data(Arc<[u8]>),
}

/// A layer: what was written on top of a parent. An address that is not in
/// `blocks` is a hole: ask the parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelLayer {
    /// The layer below, frozen.
    pub parent: Option<Arc<ModelLayer>>,
    /// The zeros and the data of this layer.
    pub blocks: BTreeMap<u64, ModelBlock>,
    /// The size of the volume in bytes.
    pub size: u64,
    block_bytes: u64,
}

impl ModelLayer {
    /// An empty volume without a parent.
    pub fn new(block_bytes: u64, size: u64) -> ModelLayer {
        ModelLayer { parent: None, blocks: BTreeMap::new(), size, block_bytes }
    }

    /// A fresh volume on top of a snapshot.
    pub fn on(parent: Arc<ModelLayer>) -> ModelLayer {
        let (size, block_bytes) = (parent.size, parent.block_bytes);
        ModelLayer { parent: Some(parent), blocks: BTreeMap::new(), size, block_bytes }
    }

    /// A fresh volume on top of this one as it is now.
    pub fn forked(&self) -> ModelLayer {
        ModelLayer::on(Arc::new(self.clone()))
    }

    /// What the whole chain says of an address, and how deep it was found; `None` for a hole all the way down.
    pub fn resolve(&self, address: u64) -> Option<(&ModelBlock, usize)> {
        let chain = std::iter::successors(Some(self), |layer| layer.parent.as_deref());
        chain.enumerate().find_map(|(depth, layer)| Some((layer.blocks.get(&address)?, depth)))
    }

    /// The bytes of a block: zeros where the chain holds no data.
    pub fn block(&self, address: u64) -> Vec<u8> {
        match self.resolve(address) {
            Some((ModelBlock::Data(bytes), _)) => bytes.to_vec(),
            _ => vec![0; self.block_bytes as usize],
        }
    }

    /// The bytes `offset..offset + length`, which must lie inside the volume.
    pub fn read(&self, offset: u64, length: u64) -> Vec<u8> {
        assert!(offset + length <= self.size, "read past the end");
        let mut bytes = Vec::with_capacity(length as usize);
        for (address, within, count) in self.pieces(offset, length) {
            bytes.extend_from_slice(&self.block(address)[within..within + count]);
        }
        bytes
    }

    /// Writes `bytes` at `offset`, inside the volume. A block that becomes all zeros is not data.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= self.size, "write past the end");
        let mut rest = bytes;
        for (address, within, count) in self.pieces(offset, bytes.len() as u64) {
            let mut block = self.block(address);
            let (part, after) = rest.split_at(count);
            block[within..within + count].copy_from_slice(part);
            rest = after;
            self.put(address, block);
        }
    }

    /// Makes a range of bytes read as zeros: whole blocks are discarded, parts of blocks overwritten.
    pub fn discard(&mut self, offset: u64, length: u64) {
        assert!(offset + length <= self.size, "discard past the end");
        for (address, within, count) in self.pieces(offset, length) {
            if count as u64 == self.block_bytes {
                self.discard_block(address);
            } else {
                let mut block = self.block(address);
                block[within..within + count].fill(0);
                self.put(address, block);
            }
        }
    }

    /// A hole where the parent has nothing there, a zero elsewhere.
    fn discard_block(&mut self, address: u64) {
        match self.parent.as_ref().is_some_and(|parent| parent.resolve(address).is_some()) {
            true => self.blocks.insert(address, ModelBlock::Zero),
            false => self.blocks.remove(&address),
        };
    }

    fn put(&mut self, address: u64, block: Vec<u8>) {
        match block.iter().all(|byte| *byte == 0) {
            true => self.discard_block(address),
            false => {
                self.blocks.insert(address, ModelBlock::Data(block.into()));
            }
        }
    }

    /// Makes `count` blocks from `to` read as those of `source` from `from` did before.
    pub fn clone_range(&mut self, source: &ModelLayer, from: u64, to: u64, count: u64) {
        let blocks: Vec<Vec<u8>> =
            (from..from + count).map(|address| source.block(address)).collect();
        for (address, block) in (to..).zip(blocks) {
            self.put(address, block);
        }
    }

    /// Grows or shrinks the volume; what is cut off reads as zeros when it grows again.
    pub fn resize(&mut self, size: u64) {
        if size < self.size {
            let old_end = self.size.next_multiple_of(self.block_bytes);
            self.size = old_end;
            self.discard(size, old_end - size);
        }
        self.size = size;
    }

    /// Lets the parent show through again, everywhere.
    pub fn reset(&mut self) {
        self.blocks.clear();
        self.size = self.parent.as_ref().map_or(self.size, |parent| parent.size);
    }

    /// The blocks that a range of bytes touches: address, offset inside the block, bytes of it.
    fn pieces(&self, offset: u64, length: u64) -> Vec<(u64, usize, usize)> {
        let size = self.block_bytes;
        let (end, mut at, mut pieces) = (offset + length, offset, Vec::new());
        while at < end {
            let count = (size - at % size).min(end - at);
            pieces.push((at / size, (at % size) as usize, count as usize));
            at += count;
        }
        pieces
    }
}

/// A store: volumes by name, and the snapshots that were taken of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// The volumes.
    pub volumes: BTreeMap<String, ModelLayer>,
    /// The tags, each with the snapshot it names.
    pub tags: BTreeMap<String, Arc<ModelLayer>>,
}

impl Model {
    /// Makes an empty volume.
    pub fn create(&mut self, name: &str, block_bytes: u64, size: u64) {
        self.volumes.insert(name.to_owned(), ModelLayer::new(block_bytes, size));
    }

    /// Freezes the top of a volume, gives it a new one, and names the snapshot.
    pub fn snapshot(&mut self, name: &str, tag: &str) -> Arc<ModelLayer> {
        let volume = self.volumes.get_mut(name).expect("the volume is there");
        let top = volume.forked();
        let snapshot = top.parent.clone().expect("a fork has a parent");
        *volume = top;
        self.tags.insert(tag.to_owned(), snapshot.clone());
        snapshot
    }

    /// Makes a volume on top of a tagged snapshot.
    pub fn fork(&mut self, tag: &str, name: &str) {
        let fork = self.tags[tag].forked();
        self.volumes.insert(name.to_owned(), fork);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 8;

    #[test]
    fn a_chain_is_read_from_the_top_down() {
        let mut model = Model::default();
        model.create("disk", BLOCK, 40);
        let disk = model.volumes.get_mut("disk").unwrap();
        disk.write(6, &[1; 12]);
        assert_eq!(disk.read(4, 16), [[0; 2].as_slice(), &[1; 12], &[0; 2]].concat());
        model.snapshot("disk", "base");
        model.fork("base", "fork");
        let fork = model.volumes.get_mut("fork").unwrap();
        fork.write(8, &[2; 8]);
        fork.discard(16, 8);
        assert_eq!(fork.read(0, 24), [[0; 6].as_slice(), &[1; 2], &[2; 8], &[0; 8]].concat());
        assert_eq!(fork.blocks[&2], ModelBlock::Zero, "the parent is hidden");
        assert_eq!(fork.resolve(0).unwrap().1, 1);
        assert_eq!(fork.resolve(1).unwrap().1, 0);
        assert_eq!(model.volumes["disk"].read(8, 8), [1; 8], "forks do not see each other");
        assert_eq!(model.tags["base"].read(16, 2), [1; 2]);
        model.volumes.get_mut("fork").unwrap().reset();
        assert_eq!(model.volumes["fork"].read(0, 40), model.tags["base"].read(0, 40));
    }

    #[test]
    fn zeros_are_holes_where_nothing_is_below() {
        let mut disk = ModelLayer::new(BLOCK, 40);
        disk.write(0, &[3; 16]);
        disk.write(0, &[0; 8]);
        disk.discard(8, 8);
        assert!(disk.blocks.is_empty());
        disk.write(0, &[3; 8]);
        let mut fork = disk.forked();
        fork.write(0, &[0; 8]);
        fork.write(8, &[0; 8]);
        assert_eq!(fork.blocks, BTreeMap::from([(0, ModelBlock::Zero)]));
    }

    #[test]
    fn what_is_cut_off_stays_away() {
        let mut disk = ModelLayer::new(BLOCK, 40);
        disk.write(0, &[4; 40]);
        let mut fork = disk.forked();
        fork.resize(12);
        fork.resize(40);
        assert_eq!(fork.read(0, 40), [[4; 12].as_slice(), &[0; 28]].concat());
        assert_eq!(disk.read(0, 40), [4; 40]);
    }

    #[test]
    fn a_cloned_range_is_what_was_there_before() {
        let mut disk = ModelLayer::new(BLOCK, 40);
        let bytes: Vec<u8> = (1..=24).collect();
        disk.write(0, &bytes);
        let before = disk.clone();
        disk.clone_range(&before, 0, 1, 3);
        assert_eq!(disk.read(8, 24), bytes);
        disk.clone_range(&before, 3, 0, 2);
        assert_eq!(disk.read(0, 16), [0; 16]);
    }
}

//! The write buffer: whole blocks by address, in the order in which they came.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::units::{BlockAddress, BlockSize};

/// Whole blocks that were written and have no place in the file yet. Rewrites are absorbed.
#[derive(Debug)]
pub struct WriteBuffer {
    log2: u32,
    capacity: usize,
    bytes: Vec<u8>,
    /// The address of each slot; `None` where it was taken back.
    slots: Vec<Option<BlockAddress>>,
    index: HashMap<u64, u32, BuildHasherDefault<AddressHasher>>,
}

/// The blocks of a buffer that was set aside, by slot.
#[derive(Debug)]
pub struct Bufferful {
    /// The bytes of all slots.
    pub bytes: Vec<u8>,
    /// Address and slot of each block, ascending by address.
    pub blocks: Vec<(BlockAddress, u32)>,
}

impl WriteBuffer {
    /// A buffer for `bytes` bytes, at least one block.
    pub fn new(block_size: BlockSize, bytes: u64) -> WriteBuffer {
        let capacity = block_size.blocks_for(bytes).clamp(1, 1 << 20) as usize;
        WriteBuffer {
            log2: block_size.log2(),
            capacity,
            bytes: Vec::new(),
            slots: Vec::new(),
            index: HashMap::default(),
        }
    }

    /// How many blocks it holds.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether a block of a new address has no room.
    pub fn is_full(&self) -> bool {
        self.slots.len() >= self.capacity
    }

    /// The block at `address`.
    pub fn get(&self, address: BlockAddress) -> Option<&[u8]> {
        let &slot = self.index.get(&address.0)?;
        let start = (slot as usize) << self.log2;
        Some(&self.bytes[start..start + (1 << self.log2)])
    }

    /// The block at `address`, to be changed in place.
    pub fn get_mut(&mut self, address: BlockAddress) -> Option<&mut [u8]> {
        let &slot = self.index.get(&address.0)?;
        let start = (slot as usize) << self.log2;
        Some(&mut self.bytes[start..start + (1 << self.log2)])
    }

    /// Puts a whole block; `false` where it is new and the buffer is full.
    pub fn put(&mut self, address: BlockAddress, data: &[u8]) -> bool {
        if let Some(held) = self.get_mut(address) {
            held.copy_from_slice(data);
            return true;
        }
        if self.is_full() {
            return false;
        }
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(self.capacity << self.log2);
        }
        self.index.insert(address.0, self.slots.len() as u32);
        self.slots.push(Some(address));
        self.bytes.extend_from_slice(data);
        true
    }

    /// Takes back what was put at `[start, end)`.
    pub fn remove(&mut self, start: BlockAddress, end: BlockAddress) {
        if self.index.is_empty() {
            return;
        }
        if end.0 - start.0 <= self.slots.len() as u64 {
            for address in start.0..end.0 {
                if let Some(slot) = self.index.remove(&address) {
                    self.slots[slot as usize] = None;
                }
            }
        } else {
            for slot in &mut self.slots {
                if slot.is_some_and(|address| start <= address && address < end) {
                    self.index.remove(&slot.take().expect("just seen").0);
                }
            }
        }
    }

    /// Sets all blocks aside and begins anew, with `recycled` bytes where there are some.
    pub fn take(&mut self, mut recycled: Vec<u8>) -> Bufferful {
        recycled.clear();
        let bytes = std::mem::replace(&mut self.bytes, recycled);
        let mut blocks: Vec<_> = std::mem::take(&mut self.slots)
            .into_iter()
            .enumerate()
            .filter_map(|(slot, address)| Some((address?, slot as u32)))
            .collect();
        blocks.sort_unstable();
        self.index.clear();
        Bufferful { bytes, blocks }
    }

    /// The addresses that it holds, ascending.
    pub fn addresses(&self, start: BlockAddress, end: BlockAddress) -> Vec<BlockAddress> {
        let inside = |address: &BlockAddress| start <= *address && *address < end;
        let mut addresses: Vec<_> = self.slots.iter().flatten().copied().filter(inside).collect();
        addresses.sort_unstable();
        addresses
    }
}

/// A multiplicative hash: addresses are not chosen by an adversary who gains by slow writes
/// of his own volume, and the buffer is small.
#[derive(Debug, Default)]
pub struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

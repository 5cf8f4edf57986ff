//! What the file view asks of the blocks below it, live or frozen.

use crate::chain::{SharedBytes, Snapshot, ViewExtent};
use crate::error::Result;
use crate::units::{BlockAddress, BlockSize};
use crate::volume::Volume;

/// How many low bits of an address number the blocks of one file.
pub const FILE_BLOCK_BITS: u32 = 32;

/// The first block address of a file.
pub fn first_block(inode: u32) -> BlockAddress {
    BlockAddress(u64::from(inode) << FILE_BLOCK_BITS)
}

/// Extents in address order; after an error they end.
pub type Extents<'a> = Box<dyn Iterator<Item = Result<ViewExtent>> + 'a>;

/// Blocks that can be read.
pub trait Blocks: std::fmt::Debug + Send + Sync {
    /// The size of a block.
    fn block_size(&self) -> BlockSize;
    /// Fills `buffer` from byte `offset` of the block at `address` on.
    fn read(&self, address: BlockAddress, offset: u64, buffer: &mut [u8]) -> Result<()>;
    /// The whole block at `address` where it lies, to keep until something else is written there;
    /// `None` where it has to be read.
    fn share(&self, address: BlockAddress) -> Result<Option<SharedBytes>>;
    /// As many whole blocks from `address` on where they lie, to be used at once; `None` where they
    /// have to be read.
    fn lend(&self, address: BlockAddress, count: u64) -> Result<Option<SharedBytes>>;
    /// All that is known of `[start, end)`.
    fn extents(&self, start: BlockAddress, end: BlockAddress) -> Extents<'_>;
}

impl Blocks for Volume {
    fn block_size(&self) -> BlockSize {
        Volume::block_size(self)
    }

    fn read(&self, address: BlockAddress, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.read_blocks(address, offset, buffer)
    }

    fn share(&self, address: BlockAddress) -> Result<Option<SharedBytes>> {
        self.share_block(address)
    }

    fn lend(&self, address: BlockAddress, count: u64) -> Result<Option<SharedBytes>> {
        self.lend_blocks(address, count)
    }

    fn extents(&self, start: BlockAddress, end: BlockAddress) -> Extents<'_> {
        Box::new(Volume::extents(self, start, end))
    }
}

impl Blocks for Snapshot {
    fn block_size(&self) -> BlockSize {
        Snapshot::block_size(self)
    }

    fn read(&self, address: BlockAddress, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.read_blocks(address, offset, buffer)
    }

    fn share(&self, address: BlockAddress) -> Result<Option<SharedBytes>> {
        self.share_block(address)
    }

    fn lend(&self, address: BlockAddress, count: u64) -> Result<Option<SharedBytes>> {
        self.lend_blocks(address, count)
    }

    fn extents(&self, start: BlockAddress, end: BlockAddress) -> Extents<'_> {
        Box::new(Snapshot::extents(self, start, end))
    }
}

//! The public face of a frozen layer and its ancestors.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::changes::{Changes, changes};
use super::extents::ViewExtents;
use super::read::{Borrowed, ReadRequest, SharedBytes};
use super::view::View;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Annotations, LayerKind, LayerRef};
use crate::layer::Layer;
use crate::units::{BlockAddress, BlockSize, LayerId, VOLUME_BYTES_MAX};

/// A read-only view of a layer and its ancestors. Cloning is cheap; while a clone lives,
/// nothing that it shows is collected.
#[derive(Clone)]
pub struct Snapshot {
    inner: Arc<Inner>,
}

struct Inner {
    view: Arc<View>,
    tip: Arc<Layer>,
    /// What keeps the layers from being collected; dropped with the last clone.
    lease: Option<Arc<dyn Any + Send + Sync>>,
}

/// One of many reads of a snapshot that are given at once, in bytes.
#[derive(Debug)]
pub struct ReadAt<'a> {
    /// The first byte.
    pub offset: u64,
    /// Where the bytes go; as many as it is long.
    pub buffer: &'a mut [u8],
}

impl Snapshot {
    /// The snapshot that `view` shows, kept by `lease`.
    ///
    /// Errors: [`ErrorKind::InvalidInput`] for the view of no layer.
    pub fn new(view: Arc<View>, lease: Option<Arc<dyn Any + Send + Sync>>) -> Result<Snapshot> {
        let Some(tip) = view.tip().map(Arc::clone) else {
            return Err(Error::new(ErrorKind::InvalidInput, "take a snapshot of no layer"));
        };
        Ok(Snapshot { inner: Arc::new(Inner { view, tip, lease }) })
    }

    /// Fills `buffer` from byte `offset` on; holes and zeros read as zeros.
    ///
    /// Errors: [`ErrorKind::InvalidInput`] past the end of the disk; [`ErrorKind::Corrupt`]
    /// where a stored block does not verify.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check_range(offset, buffer.len())?;
        self.view().read(BlockAddress(0), offset, buffer)
    }

    /// Reads many places; together they cost less than one by one. Errors as [`read_at`](Self::read_at).
    pub fn read_many(&self, reads: &mut [ReadAt<'_>]) -> Result<()> {
        for read in &*reads {
            self.check_range(read.offset, read.buffer.len())?;
        }
        let mut requests: Vec<_> = reads
            .iter_mut()
            .map(|read| ReadRequest {
                address: BlockAddress(0),
                offset: read.offset,
                buffer: read.buffer,
            })
            .collect();
        self.view().read_many(&mut requests)
    }

    /// Fills `buffer` from byte `offset` of the block at `address` on: any address, also
    /// those that bytes do not reach and those past the end of a disk.
    pub fn read_blocks(&self, address: BlockAddress, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.view().read(address, offset, buffer)
    }

    /// As [`read_blocks`](Self::read_blocks), many at once.
    pub fn read_blocks_many(&self, requests: &mut [ReadRequest<'_>]) -> Result<()> {
        self.view().read_many(requests)
    }

    /// The whole block at `address` without a copy, verified.
    pub fn borrow_block(&self, address: BlockAddress) -> Result<Borrowed<'_>> {
        self.view().borrow(address)
    }

    /// The whole block at `address` where it lies, verified, to keep as long as this snapshot or a
    /// clone of it lives; `None` where it has to be read.
    pub fn share_block(&self, address: BlockAddress) -> Result<Option<SharedBytes>> {
        self.view().share(address)
    }

    /// The `count` whole blocks from `address` on, verified, where they lie beside each other, to
    /// be used at once and while this snapshot or a clone of it lives; `None` where they have to
    /// be read.
    pub fn lend_blocks(&self, address: BlockAddress, count: u64) -> Result<Option<SharedBytes>> {
        self.view().lend(address, count)
    }

    /// All that is known of `[start, end)`, in address order: holes, zeros, and data with
    /// its owner and depth.
    pub fn extents(&self, start: BlockAddress, end: BlockAddress) -> ViewExtents<'_> {
        self.view().extents(start, end)
    }

    /// As [`extents`](Snapshot::extents), from the first address to the last: of a disk up to its
    /// size.
    pub fn all_extents(&self) -> ViewExtents<'_> {
        let end = self.kind().address_end(self.size_bytes(), self.block_size());
        self.extents(BlockAddress(0), end)
    }

    /// What differs between `before` and this snapshot, in address order, from metadata alone.
    ///
    /// That is what a view shows: where a layer says zero of what was zero, or takes the blocks that
    /// were there, nothing differs, though the [digest](crate::Store::seal) of the layer has it in.
    ///
    /// Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) where one is a disk and the other a tree,
    /// or the block sizes differ: their addresses have nothing to do with each other.
    pub fn changes_since<'a>(&'a self, before: &'a Snapshot) -> Result<Changes<'a>> {
        let (ours, theirs) = (self.block_size().bytes(), before.block_size().bytes());
        if ours != theirs {
            let expected = format!("{ours} bytes, as the newer one has");
            return Err(Error::invalid("compare snapshots", "block size", theirs, expected));
        }
        let shown = |kind| match kind {
            LayerKind::Disk => "a disk",
            LayerKind::Tree => "a tree",
        };
        let (ours, theirs) = (self.kind(), before.kind());
        if ours != theirs {
            return Err(Error::invalid("compare snapshots", "kind", shown(theirs), shown(ours)));
        }
        changes(before.view(), self.view())
    }

    /// The size of the disk in bytes; 0 for a tree, which has none.
    pub fn size_bytes(&self) -> u64 {
        self.inner.tip.header().volume_bytes
    }

    /// Disk or tree.
    pub fn kind(&self) -> LayerKind {
        self.inner.tip.header().kind
    }

    /// The size of a block.
    pub fn block_size(&self) -> BlockSize {
        self.view().block_size()
    }

    /// The id of the newest layer.
    pub fn layer_id(&self) -> LayerId {
        self.inner.tip.header().layer
    }

    /// The newest layer as a child records it.
    pub fn reference(&self) -> LayerRef {
        self.inner.tip.reference()
    }

    /// The parent of the newest layer, as that one recorded it.
    pub fn parent(&self) -> Option<&LayerRef> {
        self.inner.tip.header().parent.as_ref()
    }

    /// How many layers the chain has.
    pub fn depth(&self) -> u64 {
        self.view().depth()
    }

    /// What people say of the newest layer.
    pub fn annotations(&self) -> Result<Annotations> {
        self.inner.tip.annotations()
    }

    /// The view that it shows.
    pub fn view(&self) -> &Arc<View> {
        &self.inner.view
    }

    fn check_range(&self, offset: u64, length: usize) -> Result<()> {
        let size = match self.kind() {
            LayerKind::Disk => self.size_bytes(),
            LayerKind::Tree => VOLUME_BYTES_MAX,
        };
        match offset.checked_add(length as u64) {
            Some(end) if end <= size => Ok(()),
            end => {
                let found = end.map_or("past 2^64".to_owned(), |end| end.to_string());
                let expected = format!("at most {size}");
                Err(Error::invalid("read a snapshot", "end of the range", found, expected))
            }
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("layer", &self.layer_id())
            .field("kind", &self.kind())
            .field("size_bytes", &self.size_bytes())
            .field("leased", &self.inner.lease.is_some())
            .finish_non_exhaustive()
    }
}

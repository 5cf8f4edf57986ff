//! The open layer's file, and the layers whose blocks it refers to besides its own.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::chain::Layers;
use crate::error::{Error, Result};
use crate::format::{LayerRef, PieceRef};
use crate::layer::{FileSource, Layer, LayerFile, ReadPolicy};
use crate::medium::Medium;
use crate::units::{BlockSize, FileBlock, LayerId};

use super::allocator::Space;
use super::home::LayerHandle;

/// The open layer of a volume.
#[derive(Debug)]
pub struct Top {
    pub id: LayerId,
    pub block_size: BlockSize,
    pub parent: Option<LayerRef>,
    pub medium: Arc<dyn Medium>,
    pub path: PathBuf,
    pub file: LayerFile,
}

impl Top {
    /// The top of layer `id` in the file behind `handle`.
    pub fn new(
        id: LayerId,
        block_size: BlockSize,
        parent: Option<LayerRef>,
        handle: LayerHandle,
        policy: ReadPolicy,
    ) -> Top {
        let LayerHandle { medium, path } = handle;
        let source = FileSource::Held(Arc::clone(&medium));
        let file = LayerFile::new(source, &path, id, block_size, policy, None);
        Top { id, block_size, parent, medium, path, file }
    }

    /// Writes a piece of metadata at `place`.
    pub fn write_piece(&self, piece: &PieceRef, bytes: &[u8]) -> Result<()> {
        self.write(piece.place, bytes, "write a piece of metadata")
    }

    /// Writes `bytes` from `block` on.
    pub fn write(&self, block: FileBlock, bytes: &[u8], operation: &str) -> Result<()> {
        let offset = block.byte_offset(self.block_size);
        self.medium
            .write_at(offset, bytes)
            .map_err(|error| Error::io(operation, error).in_file(&self.path).at_offset(offset))
    }

    /// Makes the last block of the file whole, of which a write or an extension that came to nothing may have
    /// left a part, so that the length is a number of blocks. Gives the length.
    pub fn end_on_a_block(&self) -> Result<u64> {
        let failed = |operation| move |error| Error::io(operation, error).in_file(&self.path);
        let length = self.medium.facts().map_err(failed("look at a layer"))?.length;
        let whole = self.block_size.blocks_for(length) << self.block_size.log2();
        if whole != length {
            let made = self.medium.set_length(whole);
            made.map_err(failed("make the last block of a layer whole"))?;
        }
        Ok(whole)
    }

    /// Makes the file durable. Called once for each barrier and never again after it failed.
    pub fn sync(&self, operation: &str) -> Result<()> {
        self.medium.sync().map_err(|error| Error::io(operation, error).in_file(&self.path))
    }
}

impl Space for Top {
    fn grow(&self, first: FileBlock, blocks: u64) -> Result<()> {
        let offset = first.byte_offset(self.block_size);
        let bytes = blocks.checked_mul(self.block_size.bytes());
        let bytes = bytes.filter(|bytes| offset.checked_add(*bytes).is_some());
        let bytes = bytes.ok_or_else(|| {
            Error::invalid("grow a layer", "blocks", blocks, "what a file can hold")
        })?;
        self.medium
            .allocate(offset, bytes)
            .map_err(|error| Error::io("grow a layer", error).in_file(&self.path).at_offset(offset))
    }

    fn fill(&self, first: FileBlock, blocks: u64) -> Result<()> {
        let zeros = vec![0; (blocks << self.block_size.log2()) as usize];
        self.write(first, &zeros, "write blocks ahead")
    }

    fn next_written(&self, from: FileBlock) -> Result<Option<(FileBlock, FileBlock)>> {
        let offset = from.byte_offset(self.block_size);
        let found = self.medium.next_data(offset).map_err(|error| {
            Error::io("look for written blocks", error).in_file(&self.path).at_offset(offset)
        })?;
        let log2 = self.block_size.log2();
        // A block of which the host holds a part only is not written.
        Ok(found.map(|(start, end)| {
            let first = start.div_ceil(self.block_size.bytes());
            (FileBlock(first), FileBlock((end >> log2).max(first)))
        }))
    }
}

/// A layer that extents of the top refer to.
#[derive(Clone, Debug)]
pub struct Source {
    /// How the table of sources records it.
    pub reference: LayerRef,
    layer: Arc<OnceLock<Arc<Layer>>>,
}

impl Source {
    /// The entry for `reference`, opened when it is first needed.
    pub fn new(reference: LayerRef) -> Source {
        Source { reference, layer: Arc::default() }
    }

    /// The layer.
    pub fn layer(&self, layers: &dyn Layers) -> Result<Arc<Layer>> {
        if let Some(layer) = self.layer.get() {
            return Ok(Arc::clone(layer));
        }
        let layer = layers.layer(&self.reference)?;
        Ok(Arc::clone(self.layer.get_or_init(|| layer)))
    }
}

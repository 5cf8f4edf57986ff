//! One level of a view: the map of a stretch of the chain, and the layers it leads to.

use std::sync::Arc;

use super::Layers;
use super::slots::Slots;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Extent, Run, Span};
use crate::format::{IndexHead, LayerRef};
use crate::layer::Layer;
use crate::units::{BlockAddress, BlockSize, FileBlock, LayerId};

/// The extents of a stretch of a chain; sources in them are slots.
#[derive(Debug)]
pub(super) struct Level {
    map: LevelMap,
    slots: Slots,
    /// The newest layer of the stretch.
    tip: LayerRef,
    /// The parent of its oldest layer, as that one recorded it.
    below: Option<LayerRef>,
    layers: u64,
    extents: u64,
    /// The index files that it came from: what to leave alone where it proves wrong.
    index_files: Vec<LayerId>,
}

#[derive(Debug)]
enum LevelMap {
    /// One layer, through its own runs.
    Layer(Arc<Layer>),
    /// A merged index, on the heap or mapped from its file.
    Index(Box<IndexMap>),
}

#[derive(Debug)]
struct IndexMap {
    head: IndexHead,
    run: Run,
    in_file: bool,
}

/// What went wrong while a view was asked.
#[derive(Debug)]
pub(super) enum Fault {
    /// Level `level` came from index files and proved wrong: the layers themselves know.
    Index { level: usize, error: Error },
    /// The truth is out of reach.
    Other(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Other(error)
    }
}

impl Level {
    /// A level of one layer.
    pub(super) fn of_layer(layer: Arc<Layer>) -> Level {
        Level {
            tip: layer.reference(),
            below: layer.header().parent,
            layers: 1,
            extents: layer.runs().iter().map(|run| run.extent_count() as u64).sum(),
            slots: Slots::of_layer(Arc::clone(&layer)),
            map: LevelMap::Layer(layer),
            index_files: Vec::new(),
        }
    }

    /// A level of a merged index that was verified as far as opening does.
    pub(super) fn of_index(
        head: IndexHead,
        slots: Slots,
        run: Run,
        in_file: bool,
        index_files: Vec<LayerId>,
    ) -> Level {
        Level {
            tip: head.tip,
            below: head.below,
            layers: head.layers,
            extents: run.extent_count() as u64,
            slots,
            map: LevelMap::Index(Box::new(IndexMap { head, run, in_file })),
            index_files,
        }
    }

    /// What the stretch says about `address`; holes are silence.
    #[inline]
    pub(super) fn find(&self, address: BlockAddress) -> Result<Span> {
        match &self.map {
            LevelMap::Index(index) => index.run.find(address),
            LevelMap::Layer(layer) => layer.find(address),
        }
    }

    /// As [`find`](Self::find), many at once.
    pub(super) fn find_many(&self, addresses: &[BlockAddress], spans: &mut [Span]) -> Result<()> {
        match &self.map {
            LevelMap::Index(index) => index.run.find_many(addresses, spans),
            LevelMap::Layer(layer) => match layer.runs() {
                [run] => run.find_many(addresses, spans),
                _ => addresses.iter().zip(spans).try_for_each(|(&address, span)| {
                    *span = layer.find(address)?;
                    Ok(())
                }),
            },
        }
    }

    /// The one run that is all of the level's map, where it is one.
    pub(super) fn single_run(&self) -> Option<&Run> {
        match &self.map {
            LevelMap::Index(index) => Some(&index.run),
            LevelMap::Layer(layer) => match layer.runs() {
                [run] => Some(run),
                _ => None,
            },
        }
    }

    /// The extents from `start` on, without holes.
    pub(super) fn extents_from(
        &self,
        start: BlockAddress,
    ) -> Result<Box<dyn Iterator<Item = Result<Extent>> + '_>> {
        Ok(match &self.map {
            LevelMap::Index(index) => Box::new(index.run.extents_from(start)?),
            LevelMap::Layer(layer) => layer.extents_from(start)?,
        })
    }

    /// Sorts what went wrong while the level, the `number`-th of its view, was searched.
    #[cold]
    pub(super) fn search_fault(&self, number: usize, error: Error) -> Fault {
        self.fault(number, error, &[ErrorKind::Corrupt])
    }

    /// Sorts what went wrong while a layer was opened or read that the level leads to.
    #[cold]
    pub(super) fn layer_fault(&self, number: u32, error: Error) -> Fault {
        self.fault(number as usize, error, &[ErrorKind::NotFound, ErrorKind::WrongParent])
    }

    /// Sorts what went wrong with the `blocks` data blocks from `address` on, which the level maps through
    /// `slot` from `block` on: where it came from index files and the layer that it names does not say so,
    /// nothing is known of the blocks, and the layers themselves know.
    #[cold]
    pub(super) fn data_fault(
        &self,
        number: u32,
        (slot, block): (u32, FileBlock),
        (address, blocks): (BlockAddress, u64),
        layers: &dyn Layers,
        error: Error,
    ) -> Fault {
        let is_refuted = error.kind() == ErrorKind::Corrupt
            && !self.index_files.is_empty()
            && self.slots.is_refuted(slot, block, (address, blocks), layers);
        match is_refuted {
            true => Fault::Index { level: number as usize, error },
            false => self.layer_fault(number, error),
        }
    }

    fn fault(&self, level: usize, error: Error, kinds: &[ErrorKind]) -> Fault {
        match !self.index_files.is_empty() && kinds.contains(&error.kind()) {
            true => Fault::Index { level, error },
            // Views keep what they stand on from going.
            false => Fault::Other(error.into_lost()),
        }
    }

    /// Whether what the level says never changes; an open layer is looked at as it was once.
    pub(super) fn is_frozen(&self) -> bool {
        self.tip.freeze_generation != 0
    }

    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(super) fn tip(&self) -> &LayerRef {
        &self.tip
    }

    pub(super) fn below(&self) -> Option<&LayerRef> {
        self.below.as_ref()
    }

    pub(super) fn block_size(&self) -> BlockSize {
        match &self.map {
            LevelMap::Layer(layer) => layer.header().block_size,
            LevelMap::Index(index) => index.head.block_size,
        }
    }

    /// How many layers of the chain the stretch has.
    pub(super) fn layers(&self) -> u64 {
        self.layers
    }

    pub(super) fn extents(&self) -> u64 {
        self.extents
    }

    pub(super) fn index_files(&self) -> &[LayerId] {
        &self.index_files
    }

    /// The parts of the index, where the level is one that lies on the heap only.
    pub(super) fn unwritten_index(&self) -> Option<(&IndexHead, &[u8], &Run)> {
        match &self.map {
            LevelMap::Index(index) if !index.in_file => {
                Some((&index.head, self.slots.table()?, &index.run))
            }
            _ => None,
        }
    }
}

//! The layers whose blocks a level maps, opened when a read first reaches them.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::Layers;
use crate::error::{Error, Result};
use crate::extent::Target;
use crate::format::index::{self, IndexSlot};
use crate::format::{IndexHead, LayerRef};
use crate::layer::Layer;
use crate::raw::PieceBytes;
use crate::units::{BlockAddress, FileBlock, SourceIndex};

/// How many layers the views of a process hold on to, each with a map of its file: half of
/// what Linux lets a process map by default. Layers past it are asked for at each read.
const PINNED_LAYERS_MAX: usize = 32_768;

static PINS: Pins = Pins { held: AtomicUsize::new(0), max: PINNED_LAYERS_MAX };

/// A table of layers: who owns the blocks, and whose map names them.
#[derive(Debug)]
pub(super) struct Slots {
    names: Names,
    owners: Box<[OnceLock<Pinned>]>,
    pins: &'static Pins,
}

/// How many layers are held, and how many may be.
#[derive(Debug)]
struct Pins {
    held: AtomicUsize,
    max: usize,
}

#[derive(Debug)]
enum Names {
    /// Slot 0 is the layer itself, the others are its sources.
    Layer(Arc<Layer>),
    /// The table of an index, verified.
    Index(PieceBytes),
}

/// A layer that a view holds open for as long as it lives.
#[derive(Debug)]
struct Pinned {
    layer: Arc<Layer>,
    pins: &'static Pins,
}

/// An open layer: held by the view, or by this call alone.
pub(super) enum OpenLayer<'a> {
    Pinned(&'a Layer),
    Passing(Arc<Layer>),
}

impl Slots {
    /// The slots of a plain layer.
    pub(super) fn of_layer(layer: Arc<Layer>) -> Slots {
        let count = 1 + layer.sources().len();
        Slots { names: Names::Layer(layer), owners: unopened(count), pins: &PINS }
    }

    /// The slots of an index whose table was verified.
    pub(super) fn of_index(head: &IndexHead, table: PieceBytes) -> Slots {
        let owners = unopened(head.slots as usize);
        Slots { names: Names::Index(table), owners, pins: &PINS }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }

    /// The table of an index as its file holds it; `None` for a plain layer.
    pub(super) fn table(&self) -> Option<&[u8]> {
        match &self.names {
            Names::Layer(_) => None,
            Names::Index(table) => Some(table.bytes()),
        }
    }

    /// What slot `number` says.
    pub(super) fn get(&self, number: u32) -> Result<IndexSlot> {
        match &self.names {
            Names::Layer(layer) => {
                let mapper = layer.reference();
                let owner = match SourceIndex(number) {
                    SourceIndex::OWN => mapper,
                    source => *layer.source(source)?,
                };
                Ok(IndexSlot { owner, mapper, distance: 0 })
            }
            Names::Index(_) if number as usize >= self.len() => Err(self.beyond(number)),
            Names::Index(table) => index::slot(table.bytes(), number),
        }
    }

    /// The layer whose file holds the blocks of slot `number`.
    #[inline]
    pub(super) fn owner(&self, number: u32, layers: &dyn Layers) -> Result<OpenLayer<'_>> {
        match self.held_owner(number) {
            Some(layer) => Ok(OpenLayer::Pinned(layer)),
            None => self.open_owner(number, layers),
        }
    }

    /// As [`owner`](Self::owner), where it is open and held already.
    #[inline]
    pub(super) fn held_owner(&self, number: u32) -> Option<&Layer> {
        self.owners.get(number as usize)?.get().map(|pinned| &*pinned.layer)
    }

    /// As [`owner`](Self::owner), for as long as the view lives; `None` where too many are held.
    pub(super) fn pinned_owner(&self, number: u32, layers: &dyn Layers) -> Result<Option<&Layer>> {
        Ok(match self.owner(number, layers)? {
            OpenLayer::Pinned(layer) => Some(layer),
            OpenLayer::Passing(_) => None,
        })
    }

    /// The layer of the chain whose map names the blocks of slot `number`.
    pub(super) fn mapper(&self, number: u32, layers: &dyn Layers) -> Result<OpenLayer<'_>> {
        if let Names::Layer(layer) = &self.names {
            return Ok(OpenLayer::Pinned(layer));
        }
        let slot = self.get(number)?;
        if slot.mapper == slot.owner {
            return self.owner(number, layers);
        }
        open_verified(layers, &slot.mapper).map(OpenLayer::Passing)
    }

    /// Whether the layer whose map is said to name the blocks from `block` on at the `blocks` addresses from
    /// `address` on says something else. A map that cannot be read says nothing.
    #[cold]
    pub(super) fn is_refuted(
        &self,
        number: u32,
        block: FileBlock,
        (address, blocks): (BlockAddress, u64),
        layers: &dyn Layers,
    ) -> bool {
        let (Ok(slot), Ok(mapper)) = (self.get(number), self.mapper(number, layers)) else {
            return false;
        };
        let mut at = 0;
        while at < blocks {
            let Ok(span) = mapper.find(BlockAddress(address.0 + at)) else { return false };
            let Some(Target::Data { source, block: found }) = span.target else { return true };
            let owner = match source {
                SourceIndex::OWN => mapper.reference(),
                source => match mapper.source(source) {
                    Ok(owner) => *owner,
                    Err(_) => return false,
                },
            };
            if owner.id != slot.owner.id || found.0 != block.0 + at {
                return true;
            }
            at = span.end.0 - address.0;
        }
        false
    }

    #[cold]
    fn open_owner(&self, number: u32, layers: &dyn Layers) -> Result<OpenLayer<'_>> {
        let layer = match (&self.names, number) {
            (Names::Layer(layer), 0) => Arc::clone(layer),
            _ => open_verified(layers, &self.get(number)?.owner)?,
        };
        let place = self.owners.get(number as usize).ok_or_else(|| self.beyond(number))?;
        let Some(pinned) = self.pins.pin(&layer) else { return Ok(OpenLayer::Passing(layer)) };
        Ok(OpenLayer::Pinned(&place.get_or_init(|| pinned).layer))
    }

    /// A map led to a slot that the table does not have.
    #[cold]
    pub(super) fn beyond(&self, number: u32) -> Error {
        let expected = format!("less than {}", self.len());
        Error::corrupt("look up the layer of a block", "source", number, expected)
    }
}

/// The layer recorded as `wanted`, compared with it whatever `layers` did (INV-04).
pub(super) fn open_verified(layers: &dyn Layers, wanted: &LayerRef) -> Result<Arc<Layer>> {
    let layer = layers.layer(wanted)?;
    wanted.verify(&layer.reference()).map_err(|error| error.in_file(layer.file().path()))?;
    Ok(layer)
}

fn unopened(count: usize) -> Box<[OnceLock<Pinned>]> {
    std::iter::repeat_with(OnceLock::new).take(count).collect()
}

impl Pins {
    /// `None` where enough layers are held already.
    fn pin(&'static self, layer: &Arc<Layer>) -> Option<Pinned> {
        let room = |held: usize| (held < self.max).then_some(held + 1);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Pinned { layer: Arc::clone(layer), pins: self })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.pins.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Deref for OpenLayer<'_> {
    type Target = Layer;

    #[inline]
    fn deref(&self) -> &Layer {
        match self {
            OpenLayer::Pinned(layer) => layer,
            OpenLayer::Passing(layer) => layer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::MemoryHost;
    use crate::testing::{FolderLayers, LayerBuilder};
    use crate::units::{BlockSize, LayerId};

    #[test]
    fn layers_past_the_limit_are_opened_for_each_use() {
        static FEW: Pins = Pins { held: AtomicUsize::new(0), max: 2 };
        let host: Arc<MemoryHost> = Arc::new(MemoryHost::new());
        let layers = FolderLayers::new(host.clone(), crate::layer::ReadPolicy::default(), 4);
        let write = |number: u8, sources: &[LayerRef]| {
            let id = LayerId([number; 16]);
            let geometry = (BlockSize::DEFAULT, 1 << 20);
            let path = FolderLayers::layer_path(id);
            let mut builder = LayerBuilder::create(&*host, &path, id, geometry, None).unwrap();
            for (at, source) in sources.iter().enumerate() {
                builder.foreign(BlockAddress(at as u64), *source, crate::units::FileBlock(2), 0);
            }
            builder.finish().unwrap()
        };
        let sources: Vec<_> = (1..5).map(|number| write(number, &[])).collect();
        let top = layers.layer(&write(9, &sources)).unwrap();
        let slots = Slots { pins: &FEW, ..Slots::of_layer(top) };
        let pinned = |number| matches!(slots.owner(number, &layers).unwrap(), OpenLayer::Pinned(_));
        assert_eq!([1, 2, 3, 4, 1].map(pinned), [true, true, false, false, true]);
        assert!(slots.pinned_owner(3, &layers).unwrap().is_none());
        assert_eq!(slots.owner(4, &layers).unwrap().reference(), sources[3]);
        drop(slots);
        assert_eq!(FEW.held.load(Ordering::Relaxed), 0);
    }
}

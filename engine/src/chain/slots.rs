//! The layers whose blocks a level maps, opened when a read first reaches them.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::Layers;
use crate::error::Result;
use crate::format::index::{self, IndexSlot};
use crate::format::{IndexHead, LayerRef};
use crate::layer::Layer;
use crate::raw::PieceBytes;

/// How many layers the views of a process hold on to, each with a map of its file: half of
/// what Linux lets a process map by default. Layers past it are asked for at each read.
const PINNED_LAYERS_MAX: usize = 32_768;

static PINNED_LAYERS: AtomicUsize = AtomicUsize::new(0);

/// A table of layers: who owns the blocks, and whose map names them.
#[derive(Debug)]
pub(super) struct Slots {
    names: Names,
    owners: Box<[OnceLock<Pinned>]>,
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
struct Pinned(Arc<Layer>);

/// An open layer: held by the view, or only for now.
pub(super) enum OpenLayer<'a> {
    Pinned(&'a Layer),
    Passing(Arc<Layer>),
}

impl Slots {
    /// The slots of a plain layer.
    pub(super) fn of_layer(layer: Arc<Layer>) -> Slots {
        let count = 1 + layer.sources().len();
        Slots { names: Names::Layer(layer), owners: unopened(count) }
    }

    /// The slots of an index whose table was verified.
    pub(super) fn of_index(head: &IndexHead, table: PieceBytes) -> Slots {
        Slots { names: Names::Index(table), owners: unopened(head.slots as usize) }
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
                let owner = match number.checked_sub(1) {
                    None => mapper,
                    Some(source) => layer.sources()[source as usize],
                };
                Ok(IndexSlot { owner, mapper, distance: 0 })
            }
            Names::Index(table) => index::slot(table.bytes(), number),
        }
    }

    /// The layer whose file holds the blocks of slot `number`.
    #[inline]
    pub(super) fn owner(&self, number: u32, layers: &dyn Layers) -> Result<OpenLayer<'_>> {
        match self.owners[number as usize].get() {
            Some(pinned) => Ok(OpenLayer::Pinned(&pinned.0)),
            None => self.open_owner(number, layers),
        }
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
        layers.layer(&slot.mapper).map(OpenLayer::Passing)
    }

    #[cold]
    fn open_owner(&self, number: u32, layers: &dyn Layers) -> Result<OpenLayer<'_>> {
        let layer = match (&self.names, number) {
            (Names::Layer(layer), 0) => Arc::clone(layer),
            _ => open_verified(layers, &self.get(number)?.owner)?,
        };
        match Pinned::new(&layer) {
            None => Ok(OpenLayer::Passing(layer)),
            Some(pinned) => {
                Ok(OpenLayer::Pinned(&self.owners[number as usize].get_or_init(|| pinned).0))
            }
        }
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

impl Pinned {
    /// `None` where enough layers are held already.
    fn new(layer: &Arc<Layer>) -> Option<Pinned> {
        let room = |held: usize| (held < PINNED_LAYERS_MAX).then_some(held + 1);
        PINNED_LAYERS
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_ok()
            .then(|| Pinned(Arc::clone(layer)))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        PINNED_LAYERS.fetch_sub(1, Ordering::Relaxed);
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

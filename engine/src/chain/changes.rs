//! What differs between two views, from metadata alone.

use std::sync::Arc;

use super::Layers;
use super::slots::open_verified;
use super::view::{View, ViewTarget};
use crate::error::Result;
use crate::extent::{Extent, Holes, Target, joined, overlay};
use crate::format::{LayerRef, LayerState};
use crate::layer::Layer;
use crate::units::{ADDRESS_END, BlockAddress, LayerId};

/// Opening a layer costs about as much as comparing so many extents: what decides when
/// comparing everything is cheaper than looking for an ancestor.
const EXTENTS_PER_LAYER: u64 = 64;
/// How many layers are looked at whatever the views hold.
const LAYERS_MIN: u64 = 64;

/// A stretch of addresses whose content comes from elsewhere than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedExtent {
    /// The first address.
    pub start: BlockAddress,
    /// How many blocks, at least 1.
    pub length: u64,
    /// What the first address held before; data blocks go on one by one.
    pub before: ViewTarget,
    /// What it holds after.
    pub after: ViewTarget,
}

/// The changed extents between two views, in address order; after an error it ends.
pub struct Changes<'a> {
    before: &'a View,
    after: &'a View,
    touched: std::vec::IntoIter<(BlockAddress, BlockAddress)>,
    /// Open layers that were looked into at two different moments: their blocks may have
    /// been written anew between the two.
    rewritten: Vec<LayerId>,
    /// What is left to compare of the stretch being looked at.
    stretch: (BlockAddress, BlockAddress),
    /// Found, and perhaps to be joined with what follows.
    held: Option<ChangedExtent>,
    done: bool,
}

/// What differs between `before` and `after`.
///
/// Only layers that the two do not share are looked at, and of the rest only the addresses
/// that those touch. Addresses that come from the same block of the same layer are equal
/// whatever layers name them; content is not compared. Only blocks of a layer that was open
/// when it was looked into are compared by their checksums.
pub fn changes<'a>(before: &'a View, after: &'a View) -> Result<Changes<'a>> {
    let touched = match unshared_layers(before, after)? {
        Some(layers) => touched(&layers)?,
        None => vec![(BlockAddress(0), BlockAddress(ADDRESS_END))],
    };
    let touched = touched.into_iter();
    let stretch = (BlockAddress(0), BlockAddress(0));
    let rewritten = match (before.tip(), after.tip()) {
        (Some(before), Some(after)) if !Arc::ptr_eq(before, after) => [before, after]
            .map(|tip| tip.header())
            .into_iter()
            .filter(|header| header.state == LayerState::Open)
            .map(|header| header.layer)
            .collect(),
        _ => Vec::new(),
    };
    Ok(Changes { before, after, touched, rewritten, stretch, held: None, done: false })
}

impl Changes<'_> {
    /// The next piece that differs, not joined with its neighbours yet.
    fn next_piece(&mut self) -> Result<Option<ChangedExtent>> {
        loop {
            let (start, end) = self.stretch;
            if start >= end {
                match self.touched.next() {
                    Some(stretch) => self.stretch = stretch,
                    None => return Ok(None),
                }
                continue;
            }
            let (before, after) = (self.before.find(start)?, self.after.find(start)?);
            let mut past = before.end.min(after.end).min(end);
            let mut equal = same(before.target, after.target);
            if equal && self.may_be_rewritten(before.target) {
                past = BlockAddress(start.0 + 1);
                equal = self.before.checksum(start)? == self.after.checksum(start)?;
            }
            self.stretch.0 = past;
            if !equal {
                let (before, after) = (before.target, after.target);
                let length = past.0 - start.0;
                return Ok(Some(ChangedExtent { start, length, before, after }));
            }
        }
    }
}

impl Changes<'_> {
    fn may_be_rewritten(&self, target: ViewTarget) -> bool {
        matches!(target, ViewTarget::Data { owner, .. } if self.rewritten.contains(&owner))
    }
}

impl Iterator for Changes<'_> {
    type Item = Result<ChangedExtent>;

    fn next(&mut self) -> Option<Result<ChangedExtent>> {
        while !self.done {
            match self.next_piece() {
                Ok(Some(piece)) => match &mut self.held {
                    Some(held) if held.continues_with(&piece) => held.length += piece.length,
                    held => {
                        if let Some(whole) = held.replace(piece) {
                            return Some(Ok(whole));
                        }
                    }
                },
                Ok(None) => self.done = true,
                Err(error) => {
                    self.done = true;
                    self.held = None;
                    return Some(Err(error));
                }
            }
        }
        self.held.take().map(Ok)
    }
}

impl std::fmt::Debug for Changes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("stretch", &self.stretch).finish_non_exhaustive()
    }
}

impl ChangedExtent {
    fn continues_with(&self, next: &ChangedExtent) -> bool {
        self.start.0 + self.length == next.start.0
            && self.before.advanced(self.length) == next.before
            && self.after.advanced(self.length) == next.after
    }
}

/// Whether two targets are the same content: the depth of the map that names it is not.
fn same(before: ViewTarget, after: ViewTarget) -> bool {
    match (before, after) {
        (
            ViewTarget::Data { owner, block, .. },
            ViewTarget::Data { owner: other_owner, block: other_block, .. },
        ) => (owner, block) == (other_owner, other_block),
        _ => before == after,
    }
}

/// The layers that one of the views has and the other has not; `None` where finding
/// them would cost more than comparing all that both hold.
fn unshared_layers(before: &View, after: &View) -> Result<Option<Vec<Arc<Layer>>>> {
    let extents = before.mapped_extents() + after.mapped_extents();
    let layers_max = LAYERS_MIN.max(extents / EXTENTS_PER_LAYER);
    let mut chains = [Chain::of(before), Chain::of(after)];
    let mut unshared = Vec::new();
    loop {
        let [first, second] = &mut chains;
        if first.left == second.left && first.place == second.place {
            return Ok(Some(unshared));
        }
        if unshared.len() as u64 >= layers_max {
            return Ok(None);
        }
        let (first_left, second_left) = (first.left, second.left);
        if first_left >= second_left {
            unshared.extend(first.descend()?);
        }
        if second_left >= first_left {
            unshared.extend(second.descend()?);
        }
    }
}

/// A walk down a chain.
struct Chain<'a> {
    layers: &'a dyn Layers,
    place: Place,
    /// How many layers are left, with the one at `place`.
    left: u64,
}

/// Where a walk has come to.
enum Place {
    Tip(Arc<Layer>),
    Ancestor(LayerRef),
    End,
}

impl<'a> Chain<'a> {
    fn of(view: &'a View) -> Chain<'a> {
        let place = view.tip().map_or(Place::End, |tip| Place::Tip(Arc::clone(tip)));
        Chain { layers: &**view.layers(), place, left: view.depth() }
    }

    /// Goes on to the parent; gives the layer that is left behind.
    fn descend(&mut self) -> Result<Option<Arc<Layer>>> {
        let layer = match &self.place {
            Place::Tip(layer) => Arc::clone(layer),
            Place::Ancestor(wanted) => open_verified(self.layers, wanted)?,
            Place::End => return Ok(None),
        };
        self.place = layer.header().parent.map_or(Place::End, Place::Ancestor);
        self.left = self.left.saturating_sub(1);
        Ok(Some(layer))
    }
}

impl Place {
    /// A frozen layer is known by its id, size, freeze generation and map checksum: one that
    /// was sealed meanwhile is still the same. An open one is the same only as itself.
    fn identity(&self) -> Option<LayerRef> {
        let layer = match self {
            Place::Tip(layer) => layer.reference(),
            Place::Ancestor(layer) => *layer,
            Place::End => return None,
        };
        Some(LayerRef { digest: None, ..layer })
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        match (self, other) {
            (Place::Tip(one), Place::Tip(other)) if Arc::ptr_eq(one, other) => true,
            _ => {
                let identity = self.identity();
                let open = identity.is_some_and(|layer| layer.freeze_generation == 0);
                !open && identity == other.identity()
            }
        }
    }
}

/// The addresses that any of `layers` maps, as longest stretches in address order.
fn touched(layers: &[Arc<Layer>]) -> Result<Vec<(BlockAddress, BlockAddress)>> {
    joined(touches(layers)?, Holes::Drop)
        .map(|extent| extent.map(|extent| (extent.start, extent.end())))
        .collect()
}

/// As extents of zeros, so that neighbours are joined whatever they hold.
fn touches(layers: &[Arc<Layer>]) -> Result<Box<dyn Iterator<Item = Result<Extent>> + '_>> {
    Ok(match layers {
        [] => Box::new(std::iter::empty()),
        [layer] => Box::new(
            layer
                .extents_from(BlockAddress(0))?
                .map(|extent| extent.map(|extent| Extent { target: Target::Zero, ..extent })),
        ),
        _ => {
            let (first, second) = layers.split_at(layers.len() / 2);
            Box::new(overlay(touches(first)?, touches(second)?))
        }
    })
}

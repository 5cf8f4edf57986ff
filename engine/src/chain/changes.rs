//! What differs between two views, from metadata alone.

use std::sync::Arc;

use super::slots::open_verified;
use super::view::{View, ViewTarget};
use crate::error::Result;
use crate::extent::{Extent, Holes, Target, joined, overlay};
use crate::format::LayerRef;
use crate::layer::Layer;
use crate::units::{ADDRESS_END, BlockAddress};

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
/// whatever layers name them; content is not compared.
pub fn changes<'a>(before: &'a View, after: &'a View) -> Result<Changes<'a>> {
    let touched = match unshared_layers(before, after)? {
        Some(layers) => touched(&layers)?,
        None => vec![(BlockAddress(0), BlockAddress(ADDRESS_END))],
    };
    let touched = touched.into_iter();
    let stretch = (BlockAddress(0), BlockAddress(0));
    Ok(Changes { before, after, touched, stretch, held: None, done: false })
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
            let past = before.end.min(after.end).min(end);
            self.stretch.0 = past;
            if !same(before.target, after.target) {
                let (before, after) = (before.target, after.target);
                let length = past.0 - start.0;
                return Ok(Some(ChangedExtent { start, length, before, after }));
            }
        }
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
        let [first, second] = &chains;
        // A layer is known by its id, size, freeze generation and map checksum: one that was
        // sealed meanwhile is still the same.
        // An open one may have changed between two looks.
        let same = first.left == second.left && first.identity() == second.identity();
        if same && !first.is_open() {
            return Ok(Some(unshared));
        }
        if unshared.len() as u64 >= layers_max {
            return Ok(None);
        }
        let deeper = usize::from(second.left > first.left);
        if chains[0].left == chains[1].left {
            unshared.extend(chains[0].descend(before)?);
            unshared.extend(chains[1].descend(after)?);
        } else {
            let view = if deeper == 0 { before } else { after };
            unshared.extend(chains[deeper].descend(view)?);
        }
    }
}

/// A place in a chain.
struct Chain {
    next: Option<LayerRef>,
    /// How many layers are left, with the next one.
    left: u64,
}

impl Chain {
    fn of(view: &View) -> Chain {
        Chain { next: view.tip().map(|tip| tip.reference()), left: view.depth() }
    }

    fn identity(&self) -> Option<LayerRef> {
        self.next.map(|next| LayerRef { digest: None, ..next })
    }

    fn is_open(&self) -> bool {
        self.next.is_some_and(|next| next.freeze_generation == 0)
    }

    /// Goes on to the parent; gives the layer that is left behind.
    fn descend(&mut self, view: &View) -> Result<Option<Arc<Layer>>> {
        let Some(wanted) = self.next else { return Ok(None) };
        let layer = match view.tip() {
            Some(tip) if tip.reference() == wanted => Arc::clone(tip),
            _ => open_verified(&**view.layers(), &wanted)?,
        };
        self.next = layer.header().parent;
        self.left = self.left.saturating_sub(1);
        Ok(Some(layer))
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

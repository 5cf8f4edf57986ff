//! Read-only views: of snapshots under a lease, of live volumes from outside.

use std::any::Any;
use std::sync::Arc;

use super::handle::{Inner, Store};
use super::names::{self, FoundName, failed};
use super::resolve::{Resolved, resolve};
use super::tag::expect_kept;
use super::{Name, headers, history, paths};
use crate::chain::{Snapshot, View};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Header, LayerRef, LayerState};
use crate::units::LayerId;
use crate::volume::look_in;

/// How often a look into a live volume is begun anew because its writer has moved on.
const LOOKS_MAX: usize = 100;

impl Store {
    /// A read-only view of what `reference` means.
    ///
    /// Of a volume's current state (`NAME`, `NAME@0`, or the id of its open layer, whether a name leads to
    /// that or not) it is a look from outside, without its lock, as of its last commit; a read of it fails
    /// as [`ErrorKind::Stale`] where the writer has since used a block for something else: take a newer
    /// view then.
    ///
    /// Errors: [`ErrorKind::NotFound`], for a removed snapshot too.
    pub fn snapshot_of(&self, reference: &str) -> Result<Snapshot> {
        let inner = self.inner()?;
        let resolved = resolve(inner, reference)?;
        match &resolved.name {
            Some(name) if resolved.is_live() => look_into(inner, &Name::new(name.as_str())?),
            None if resolved.is_live() => look_into_layer(inner, resolved.layer),
            _ => inner.open_kept(reference, resolved),
        }
    }
}

impl Inner {
    /// Opens the frozen layer `id` with its ancestors under a lease, removed or not.
    pub fn open_snapshot(&self, id: LayerId) -> Result<(Snapshot, Header)> {
        let (lease, header) = self.leases.take(self.host(), id)?;
        // Under the lease nothing goes that it stands on.
        let view = View::open(Arc::clone(&self.layers), &header.layer_ref());
        let view = view.map_err(Error::into_lost)?;
        let lease: Arc<dyn Any + Send + Sync> = lease;
        Ok((Snapshot::new(view, Some(lease))?, header))
    }

    /// Opens the snapshot that `reference` was resolved to, under a lease. One that is marked removed
    /// is kept by its name alone, which must still mean it once the lease is held: a collection
    /// may have come between, and have taken blocks of its ancestors that nobody else could see.
    pub fn open_kept(&self, reference: &str, mut resolved: Resolved) -> Result<Snapshot> {
        for _ in 0..LOOKS_MAX {
            let (snapshot, header) = match self.open_snapshot(resolved.layer) {
                Err(error) if error.kind() == ErrorKind::NotFound && resolved.name.is_some() => {
                    let now = resolve(self, reference)?;
                    if now == resolved {
                        return Err(error.into_lost());
                    }
                    // The name was moved, and what it stood for collected.
                    resolved = kept(reference, now)?;
                    continue;
                }
                opened => opened?,
            };
            if let Err(error) = resolved.expect_recorded(self.host(), &header) {
                // Unless the name was moved meanwhile, or what it stands for was sealed.
                let now = resolve(self, reference)?;
                if now == resolved {
                    return Err(error);
                }
                resolved = kept(reference, now)?;
                continue;
            }
            match resolved.name {
                Some(_) if !header.removed => return Ok(snapshot),
                Some(_) => {}
                None => expect_kept(self, &header)?,
            }
            let now = resolve(self, reference)?;
            if now == resolved {
                return Ok(snapshot);
            }
            resolved = kept(reference, now)?;
        }
        Err(Error::new(ErrorKind::Stale, format!("open {reference}")))
    }

    /// As [`Inner::open_snapshot`], of the layer that was recorded as `wanted`.
    pub fn open_recorded(&self, wanted: &LayerRef) -> Result<Snapshot> {
        let found = history::locate(self.host(), wanted)?;
        wanted
            .verify(&found.layer_ref())
            .map_err(|error| error.in_file(self.host.display_path(&paths::layer(found.layer))))?;
        Ok(self.open_snapshot(found.layer)?.0)
    }
}

/// A reference may have come to mean a live volume meanwhile.
fn kept(reference: &str, resolved: Resolved) -> Result<Resolved> {
    match resolved.is_live() {
        true => Err(super::volumes::live(reference)),
        false => Ok(resolved),
    }
}

fn look_into(inner: &Inner, name: &Name) -> Result<Snapshot> {
    let mut last = None;
    for _ in 0..LOOKS_MAX {
        let found = names::read(inner.host(), name)?.ok_or_else(|| names::missing(name))?;
        match look_at_top(inner, &found) {
            // Frozen, reset or collected between two steps: the name leads elsewhere by now.
            Err(error) if moved_on(&error) => last = Some(error),
            other => return other,
        }
        let now = names::read(inner.host(), name)?;
        if now.is_some_and(|now| now.entry == found.entry)
            && let Some(error) = last.take_if(|error| error.kind() != ErrorKind::Stale)
        {
            // One of which nothing was ever made durable stands on nothing that could be lost.
            return Err(match found.is_durable() || found.entry.parent.is_some() {
                true => error.into_lost(),
                false => error,
            });
        }
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorKind::Stale, format!("look into {name}"))))
}

/// A look by the id of an open layer: what a name leads to, or what was left without one.
fn look_into_layer(inner: &Inner, id: LayerId) -> Result<Snapshot> {
    let mut last = None;
    for _ in 0..LOOKS_MAX {
        let header = headers::read_existing(inner.host(), id)?;
        let looked = match header.state {
            LayerState::Frozen => inner.open_snapshot(id).map(|(snapshot, _)| snapshot),
            LayerState::Open => look_at_open(inner, &header),
        };
        match looked {
            Err(error) if error.kind() == ErrorKind::Stale => last = Some(error),
            looked => return looked.map_err(Error::into_lost),
        }
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorKind::Stale, format!("look into {id}"))))
}

fn moved_on(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Stale | ErrorKind::NotFound | ErrorKind::Unsupported)
}

fn look_at_top(inner: &Inner, found: &FoundName) -> Result<Snapshot> {
    let host = inner.host();
    let (top, parent) = (found.entry.top, found.entry.parent);
    let path = paths::layer(top);
    let header = match headers::read(host, top) {
        Ok(Some(header)) => header,
        // Lost in a crash, before anything in it was acknowledged.
        Ok(None) if !found.is_durable() => return open_parent(inner, top, parent),
        Err(error) if !found.is_durable() && error.kind() == ErrorKind::Corrupt => {
            return open_parent(inner, top, parent);
        }
        Ok(None) => {
            let now = names::read(host, &Name::new(found.entry.name.as_str())?)?;
            return Err(match now.as_ref() == Some(found) {
                true => headers::lost_top(host, top),
                false => Error::new(ErrorKind::Stale, "look into a volume"),
            });
        }
        Err(error) => return Err(error),
    };
    if header.state == LayerState::Frozen {
        return Ok(inner.open_snapshot(top)?.0);
    }
    // As a writer takes it: slots that arrived without the length that they give.
    let facts = || host.facts(&path).map_err(failed(host, "look into a volume", &path));
    if !found.is_durable() && facts()?.length < header.file_bytes {
        return open_parent(inner, top, parent);
    }
    look_at_open(inner, &header)
}

/// What an open layer with this header shows, as of its last commit.
fn look_at_open(inner: &Inner, header: &Header) -> Result<Snapshot> {
    let path = paths::layer(header.layer);
    // The lease first: what the look shows stands on it.
    let below = header.parent.map(|parent| inner.open_recorded(&parent)).transpose()?;
    let layer = look_in(&inner.host, &path)?;
    if layer.header().parent != header.parent {
        return Err(Error::new(ErrorKind::Stale, "look into a volume").in_file(layer.file().path()));
    }
    let view = match &below {
        Some(below) => below.view().on_top(layer)?,
        None => View::empty(Arc::clone(&inner.layers), inner.entry.block_size).on_top(layer)?,
    };
    let lease = below.map(|below| Arc::new(below) as Arc<dyn Any + Send + Sync>);
    Snapshot::new(view, lease)
}

fn open_parent(inner: &Inner, top: LayerId, parent: Option<LayerRef>) -> Result<Snapshot> {
    match parent {
        Some(parent) => inner.open_recorded(&parent),
        None => Err(headers::missing(inner.host(), top)),
    }
}

//! Sealing: a layer and its ancestors get the digest of their content.

use std::sync::Arc;

use super::collect::change_header;
use super::handle::{Inner, Store};
use super::lease::Lease;
use super::locks::StoreLock;
use super::resolve::{Resolved, header_of, resolve};
use super::volumes::live;
use super::{digests, headers, history};
use crate::chain::Layers;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Header, LayerRef};
use crate::layer::{compute_digest, verify_digest};
use crate::units::{Digest, LayerId};

impl Store {
    /// Seals the snapshot that `reference` means, its ancestors first, and gives its digest:
    /// BLAKE3 over its content and its parent's digest. Durable when it returns.
    ///
    /// The content of a snapshot is what its own layer says: which addresses it makes zero, and which
    /// data, with their bytes. Where they lie, ids and annotations are not part of it. But what a layer says
    /// over again is: zeros over zeros of its parent, or a clone of what was there already, change no byte
    /// that a view shows, and do change the digest. So a copy that is kept up to date by
    /// [`changes_since`](crate::Snapshot::changes_since) shows the same bytes with other digests. Two that
    /// are [flattened](Store::flatten) have the same one where they show the same data, and zeros were written, or
    /// discarded, at the same addresses: zeros are told from what nobody ever wrote.
    ///
    /// Errors: [`ErrorKind::InvalidInput`] for a volume's current state: take a snapshot first.
    pub fn seal(&self, reference: &str) -> Result<Digest> {
        let inner = self.inner()?;
        let resolved = resolve(inner, reference)?;
        if resolved.is_live() {
            return Err(live(reference));
        }
        let (_lease, header) = lease(inner, &resolved)?;
        seal_chain(inner, &header.layer_ref())
    }

    /// That a sealed snapshot, which `reference` means, holds what its digest says, and gives that:
    /// all its data are read. Its ancestors are told by their digests alone.
    ///
    /// Errors: [`ErrorKind::Corrupt`] where it does not; [`ErrorKind::InvalidInput`] where it is not
    /// sealed, or blocks that nobody sees were given back.
    pub fn verify(&self, reference: &str) -> Result<Digest> {
        let inner = self.inner()?;
        let resolved = resolve(inner, reference)?;
        let refused =
            |found| Error::invalid("verify", "reference", found, "a whole, sealed snapshot");
        if resolved.is_live() {
            return Err(refused("a volume's current state"));
        }
        let (_lease, header) = lease(inner, &resolved)?;
        let digest = header.digest.ok_or_else(|| refused("a snapshot that is not sealed"))?;
        if header.thinned {
            return Err(refused("a snapshot whose unseen blocks were given back"));
        }
        let parent = header.parent.and_then(|parent| parent.digest);
        let parent = match header.parent {
            Some(recorded) if parent.is_none() => history::locate(inner.host(), &recorded)?.digest,
            _ => parent,
        };
        let layers = inner.layers_anew();
        verify_digest(&*layers.layer(&header.layer_ref())?, parent, &*layers)?;
        Ok(digest)
    }
}

/// The lease of what a reference means, and its header.
fn lease(inner: &Inner, resolved: &Resolved) -> Result<(Arc<Lease>, Header)> {
    let leased = inner.leases.take(inner.host(), resolved.layer);
    let (lease, header) = leased.map_err(|error| match error.kind() {
        // A name does not lead to nothing.
        ErrorKind::NotFound => header_of(inner, resolved).err().unwrap_or(error),
        _ => error,
    })?;
    resolved.expect_recorded(inner.host(), &header)?;
    Ok((lease, header))
}

/// Seals a frozen layer and its ancestors. The caller holds no lock of the store.
pub(super) fn seal_chain(inner: &Inner, tip: &LayerRef) -> Result<Digest> {
    let mut unsealed = Vec::new();
    let mut digest = None;
    for header in history::history(inner.host(), Some(*tip)) {
        let header = header?;
        if header.digest.is_some() {
            digest = header.digest;
            break;
        }
        unsealed.push(header.layer_ref());
    }
    while let Some(layer) = unsealed.pop() {
        digest = Some(seal_layer(inner, &layer, digest)?);
    }
    digest.ok_or_else(|| headers::missing(inner.host(), tip.id))
}

/// Seals a frozen layer whose parent has the digest `parent`.
pub(super) fn seal_layer(
    inner: &Inner,
    layer: &LayerRef,
    parent: Option<Digest>,
) -> Result<Digest> {
    let host = inner.host();
    let layers = inner.layers_anew();
    let computed = layers.layer(layer).and_then(|opened| compute_digest(&opened, parent, &*layers));
    match computed {
        Ok(digest) => write_digest(inner, layer.id, digest),
        Err(error) => {
            // A collection may have sealed it meanwhile, and then taken blocks away.
            let now = headers::read_existing(host, layer.id)?;
            now.digest.ok_or(error)
        }
    }
}

/// Writes the digest that was computed of a layer, and gives the one that it has.
fn write_digest(inner: &Inner, id: LayerId, digest: Digest) -> Result<Digest> {
    let host = inner.host();
    let _alone = StoreLock::exclusive(host)?;
    let now = headers::read_existing(host, id)?;
    match now.digest {
        // As above: a block may have been taken away once it was verified.
        Some(whole) if now.thinned => return Ok(whole),
        Some(stored) if stored != digest => {
            return Err(Error::new(ErrorKind::Corrupt, format!("seal layer {id}"))
                .about("digest", digest, stored)
                .in_file(host.display_path(&super::paths::layer(id))));
        }
        _ => {}
    }
    change_header(host, id, "seal a layer", |header| header.digest = Some(digest))?;
    digests::note(host, digest, id);
    inner.cache.forget(id);
    Ok(digest)
}

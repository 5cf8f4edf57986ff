//! From what a layer records of another to that layer, and on through all its ancestors.

use std::collections::HashSet;

use super::{digests, headers, paths};
use crate::error::{Error, Result};
use crate::format::{Header, LayerRef, LayerState};
use crate::medium::Host;
use crate::units::LayerId;

/// The layer that was recorded as `wanted`: the one with its id, else one with its digest.
pub fn locate(host: &dyn Host, wanted: &LayerRef) -> Result<Header> {
    if let Some(header) = headers::read(host, wanted.id)? {
        return Ok(header);
    }
    if let Some(digest) = wanted.digest
        && let Some(&id) = digests::find(host, digest)?.first()
    {
        return headers::read_existing(host, id);
    }
    Err(headers::missing(host, wanted.id))
}

/// A walk from a layer through its ancestors, newest first.
pub struct History<'a> {
    host: &'a dyn Host,
    next: Option<LayerRef>,
    seen: HashSet<LayerId>,
}

/// The layer recorded as `tip` and all its ancestors.
pub fn history(host: &dyn Host, tip: Option<LayerRef>) -> History<'_> {
    History { host, next: tip, seen: HashSet::new() }
}

impl Iterator for History<'_> {
    type Item = Result<Header>;

    fn next(&mut self) -> Option<Result<Header>> {
        let wanted = self.next.take()?;
        let header = match locate(self.host, &wanted) {
            Ok(header) => header,
            Err(error) => return Some(Err(error)),
        };
        let path = || self.host.display_path(&paths::layer(header.layer));
        if header.state != LayerState::Frozen {
            let error = Error::corrupt("walk a chain", "state of an ancestor", "open", "frozen");
            return Some(Err(error.in_file(path())));
        }
        if let Err(error) = wanted.verify(&header.layer_ref()) {
            return Some(Err(error.in_file(path())));
        }
        if !self.seen.insert(header.layer) {
            let error = Error::corrupt("walk a chain", "parent", header.layer, "no cycle");
            return Some(Err(error.in_file(path())));
        }
        self.next = header.parent;
        Some(Ok(header))
    }
}

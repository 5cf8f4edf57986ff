//! From what a layer records of another to that layer, and on through all its ancestors.

use std::collections::HashSet;

use super::{digests, headers, paths};
use crate::error::{Error, ErrorKind, Result};
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

/// Whether an error says that a layer is lost or damaged: not that the host failed.
pub fn is_lost(error: &Error) -> bool {
    error.is_of_one_file() || matches!(error.kind(), ErrorKind::NotFound | ErrorKind::WrongParent)
}

/// A walk from a layer through its ancestors, newest first.
pub struct History<'a> {
    host: &'a dyn Host,
    next: Option<LayerRef>,
    seen: HashSet<LayerId>,
    met: Option<LayerId>,
}

impl History<'_> {
    /// The layer that was asked for last: where the walk ended with an error, the one that is lost
    /// or damaged.
    pub fn met(&self) -> Option<LayerId> {
        self.met
    }
}

/// The layer recorded as `tip` and all its ancestors.
pub fn history(host: &dyn Host, tip: Option<LayerRef>) -> History<'_> {
    History { host, next: tip, seen: HashSet::new(), met: None }
}

impl Iterator for History<'_> {
    type Item = Result<Header>;

    fn next(&mut self) -> Option<Result<Header>> {
        let wanted = self.next.take()?;
        self.met = Some(wanted.id);
        let header = match locate(self.host, &wanted) {
            Ok(header) => header,
            Err(error) => return Some(Err(error.into_lost())),
        };
        let path = || self.host.display_path(&paths::layer(header.layer));
        if header.state != LayerState::Frozen {
            // What was recorded of it is of a frozen one: this is an older copy of its file.
            let error = Error::new(ErrorKind::WrongParent, "walk a chain");
            let error = error.about("state of an ancestor", "open", "frozen");
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

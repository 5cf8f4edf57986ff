//! From what a layer records of another to that layer, and on through all its ancestors.

use std::collections::HashSet;

use super::headers::{self, Headers};
use super::{digests, paths};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Header, LayerRef, LayerState};
use crate::units::LayerId;

/// The layer that was recorded as `wanted`: the one with its id, else one with its digest.
pub fn locate<'a>(headers: impl Into<Headers<'a>>, wanted: &LayerRef) -> Result<Header> {
    let headers = headers.into();
    if let Some(header) = headers.read(wanted.id)? {
        return Ok(header);
    }
    if let Some(digest) = wanted.digest
        && let Some(&id) = digests::find(headers.host(), digest)?.first()
    {
        return headers::read_existing(headers.host(), id);
    }
    Err(headers::missing(headers.host(), wanted.id))
}

/// Whether an error says that a layer is lost or damaged: not that the host failed.
pub fn is_lost(error: &Error) -> bool {
    error.is_of_one_file() || matches!(error.kind(), ErrorKind::NotFound | ErrorKind::WrongParent)
}

/// A walk from a layer through its ancestors, newest first.
pub struct History<'a> {
    headers: Headers<'a>,
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
pub fn history<'a>(headers: impl Into<Headers<'a>>, tip: Option<LayerRef>) -> History<'a> {
    History { headers: headers.into(), next: tip, seen: HashSet::new(), met: None }
}

impl Iterator for History<'_> {
    type Item = Result<Header>;

    fn next(&mut self) -> Option<Result<Header>> {
        let wanted = self.next.take()?;
        self.met = Some(wanted.id);
        let header = match locate(self.headers, &wanted) {
            Ok(header) => header,
            Err(error) => return Some(Err(error.into_lost())),
        };
        let path = || self.headers.host().display_path(&paths::layer(header.layer));
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

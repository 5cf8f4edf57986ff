//! Snapshots that a name was taken off while it was not known whether others need them: marked by empty
//! files beside them, until a collection knows.

use std::collections::BTreeSet;
use std::path::Path;

use super::handle::Inner;
use super::headers;
use super::holders::{Held, who_holds};
use super::names::{self, failed, failed_to_make, list_folder, sync_folder};
use super::paths::{self, LayersEntry};
use super::remove::mark_removed;
use crate::error::Result;
use crate::format::{Header, LayerState};
use crate::medium::{Host, OpenMode};
use crate::units::LayerId;

/// Marks snapshots as released, durably.
pub fn release(host: &dyn Host, ids: &[LayerId]) -> Result<()> {
    for id in ids {
        let mark = paths::released(*id);
        let made = host.open(&mark, OpenMode::OpenOrCreate);
        made.map(drop).map_err(failed_to_make(host, "release a snapshot", &mark))?;
    }
    match ids {
        [] => Ok(()),
        _ => sync_folder(host, paths::LAYERS.as_ref()),
    }
}

/// What is known by now of the snapshots that were released.
#[derive(Debug, Default)]
pub struct Released {
    /// No name needs them.
    pub free: Vec<LayerId>,
    /// A name does, or they are removed or gone by now.
    pub done: Vec<LayerId>,
    /// It is still not known, and what their files take, in bytes.
    pub held_back: Vec<(LayerId, u64)>,
    /// The layers that are lost or damaged and may stand on those.
    pub unknown: BTreeSet<LayerId>,
}

impl Released {
    /// Looks at all of them. The caller holds the store's lock alone.
    pub fn look(inner: &Inner) -> Result<Released> {
        let host = inner.host();
        let mut released = Released::default();
        for file in list_folder(host, paths::LAYERS.as_ref())? {
            let Some(LayersEntry::Released(id)) = paths::parse_layers_entry(&file) else {
                continue;
            };
            let header = match headers::read(host, id) {
                Ok(header) => header,
                // It stays until that is given up.
                Err(error) if error.is_of_one_file() => continue,
                Err(error) => return Err(error),
            };
            let is_kept = |header: &Header| header.state == LayerState::Frozen && !header.removed;
            let Some(header) = header.filter(is_kept) else {
                released.done.push(id);
                continue;
            };
            let ends = match who_holds(host, id, names::each(host)?, |_| true)? {
                Held::Asked(_) => {
                    released.done.push(id);
                    continue;
                }
                Held::Others(others) => others.ends,
            };
            let ends = ends.into_iter().filter(|(_, end)| end.may_stand_on(&header));
            let ends: Vec<_> = ends.map(|(end, _)| end).collect();
            if ends.is_empty() {
                released.free.push(id);
                continue;
            }
            let path = paths::layer(id);
            let facts = host.facts(&path).map_err(failed(host, "look at a layer", &path))?;
            released.held_back.push((id, facts.allocated_bytes));
            released.unknown.extend(ends);
        }
        Ok(released)
    }

    /// Marks those removed that no name needs, and takes the marks away that have done their part.
    pub fn settle(&self, inner: &Inner) -> Result<()> {
        self.free.iter().try_for_each(|id| mark_removed(inner, *id))?;
        let host = inner.host();
        for id in self.free.iter().chain(&self.done) {
            remove_mark(host, &paths::released(*id))?;
        }
        Ok(())
    }
}

/// One that comes back after a crash is taken away by the next collection.
fn remove_mark(host: &dyn Host, mark: &Path) -> Result<()> {
    match host.remove(mark) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed(host, "take a mark away", mark)(error))
        }
        _ => Ok(()),
    }
}

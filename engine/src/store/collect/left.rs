//! What is left of a store in which layers are lost or damaged: for those who only look.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::census::{Census, what_is_left};
use super::plan::unreadable;
use crate::error::{Error, Result};
use crate::format::{LayerRef, NameKind};
use crate::layer::ReadPolicy;
use crate::medium::Host;
use crate::store::headers;
use crate::store::names::FoundName;
use crate::units::LayerId;

/// A layer that is lost, damaged or of a newer version, or not the one that is recorded of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostLayer {
    /// What is wrong.
    pub damage: String,
    /// Nothing is: a newer version made it.
    pub is_newer: bool,
    /// What the host has allocated for its file, in bytes.
    pub allocated_bytes: u64,
}

/// Where the histories end that are not whole.
#[derive(Debug, Default)]
pub struct Ends {
    /// The layers at which one does, and all that do not verify.
    pub lost: BTreeMap<LayerId, LostLayer>,
    /// That of each layer.
    of_layers: HashMap<LayerId, Option<LayerId>>,
}

/// Lets `look` look at what is left. Where it meets a map that does not verify, those layers are set
/// aside as well, and it looks once more.
pub fn look_at_what_is_left<T>(
    host: &Arc<dyn Host>,
    policy: ReadPolicy,
    look: impl Fn(&mut Census) -> Result<T>,
) -> Result<T> {
    let first = look(&mut what_is_left(&**host)?);
    if first.as_ref().is_err_and(Error::is_of_one_file) {
        let mut census = what_is_left(&**host)?;
        let unreadable = unreadable(host, policy, &census)?;
        if !unreadable.is_empty() {
            for (id, error) in unreadable {
                census.set_aside(&**host, id, error)?;
            }
            return look(&mut census);
        }
    }
    first
}

impl Ends {
    /// Walks down from every layer, each only once.
    pub fn of(host: &dyn Host, census: &Census) -> Ends {
        let mut ends = Ends::default();
        for (id, damaged) in &census.damaged {
            ends.add(*id, &damaged.error, damaged.allocated_bytes);
        }
        for id in census.layers.keys() {
            ends.walk(host, census, *id);
        }
        ends
    }

    /// The layer at which the history of a name ends, where it is not whole.
    pub fn of_name(
        &mut self,
        host: &dyn Host,
        census: &Census,
        name: &FoundName,
    ) -> Option<LayerId> {
        let top = name.entry.top;
        if census.layers.get(&top).is_some_and(|resident| resident.header.is_some()) {
            return match &name.entry.parent {
                // A tag recorded the layer itself: another one of the same id is not that.
                Some(recorded) if name.entry.kind == NameKind::Tag => {
                    let below = self.below(host, census, recorded);
                    below.map_or_else(Some, |id| self.of_layer(id))
                }
                _ => self.of_layer(top),
            };
        }
        // A name that nothing was synced of goes on from its parent where its top is lost.
        match &name.entry.parent {
            _ if name.is_durable() || self.lost.contains_key(&top) => {
                self.note_missing(top, &headers::lost_top(host, top));
                Some(top)
            }
            Some(parent) => match self.below(host, census, parent) {
                Ok(below) => self.of_layer(below),
                Err(lost) => Some(lost),
            },
            None => None,
        }
    }

    /// The layer at which the history of a layer ends, where it is not whole.
    pub fn of_layer(&self, id: LayerId) -> Option<LayerId> {
        self.of_layers.get(&id).copied().flatten()
    }

    fn walk(&mut self, host: &dyn Host, census: &Census, from: LayerId) {
        let mut path = Vec::new();
        let mut at = from;
        let end = loop {
            if let Some(known) = self.of_layers.get(&at) {
                break *known;
            }
            // A circle ends here as well, and is told by those who plan a collection.
            self.of_layers.insert(at, None);
            path.push(at);
            let header = census.layers[&at].header.as_ref();
            let Some(parent) = header.and_then(|header| header.parent) else { break None };
            match self.below(host, census, &parent) {
                Ok(below) => at = below,
                Err(lost) => break Some(lost),
            }
        };
        self.of_layers.extend(path.into_iter().map(|id| (id, end)));
    }

    /// The layer that was recorded as `wanted`, or the one that is lost in its place.
    fn below(
        &mut self,
        host: &dyn Host,
        census: &Census,
        wanted: &LayerRef,
    ) -> Result<LayerId, LayerId> {
        let found = census.locate(wanted).first().copied();
        let header = found.and_then(|found| census.layers[&found].header.as_ref());
        let Some(header) = header else {
            self.note_missing(wanted.id, &headers::missing(host, wanted.id));
            return Err(wanted.id);
        };
        match wanted.verify(&header.layer_ref()) {
            Ok(()) => Ok(header.layer),
            Err(error) => {
                let allocated_bytes = census.layers[&header.layer].allocated_bytes;
                self.add(header.layer, &error, allocated_bytes);
                Err(header.layer)
            }
        }
    }

    fn note_missing(&mut self, id: LayerId, error: &Error) {
        if !self.lost.contains_key(&id) {
            self.add(id, error, 0);
        }
    }

    fn add(&mut self, id: LayerId, error: &Error, allocated_bytes: u64) {
        let (damage, is_newer) = (error.to_string(), error.is_newer());
        self.lost.insert(id, LostLayer { damage, is_newer, allocated_bytes });
    }
}

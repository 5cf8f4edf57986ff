//! What every name takes, by one look at all files.
//!
//! What a name holds alone are the newest layers of its history, down to the first that another
//! name's history holds as well. Where nothing else stands on them or refers to blocks of them, and
//! what they stand on is kept for its own sake, they go with the name as whole files, and nothing
//! else changes. What such names take is added up in one walk over all histories; for the others,
//! a collection is planned, each by itself.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::collect::{Assume, Census, Ends, LostLayer, Plan, look_at_what_is_left, plan};
use super::handle::Store;
use super::locks::StoreLock;
use super::names::DamagedName;
use super::usage::{Usage, usage_of_name};
use crate::error::Result;
use crate::format::{NameEntry, NameKind};
use crate::units::LayerId;

/// What every name takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageOfNames {
    /// Each name, in order, with what it takes, or the layer at which its history ends that is not
    /// whole.
    pub names: Vec<(String, Result<Usage, LayerId>)>,
    /// The layers that are lost or damaged.
    pub lost: BTreeMap<LayerId, LostLayer>,
    /// The names that do not verify. They count as given up: see [`Store::usage_of`].
    pub damaged: Vec<DamagedName>,
}

impl Store {
    /// What each name takes: the same as [`usage_of`](Store::usage_of) says of it, by one look at
    /// all files.
    pub fn usage_of_names(&self) -> Result<UsageOfNames> {
        let inner = self.inner()?;
        let _lock = StoreLock::shared(inner.host())?;
        let policy = inner.options.volume.read;
        look_at_what_is_left(&inner.host, policy, |census| {
            let garbage = plan(&inner.host, policy, census, &Assume::closed(census))?;
            let histories = Histories::of(census, &garbage);
            let mut ends = Ends::of(inner.host(), census);
            let mut usage = UsageOfNames::default();
            for (place, found) in census.names.iter().enumerate() {
                let taken = match ends.of_name(inner.host(), census, found) {
                    Some(lost) => Err(lost),
                    None => Ok(match histories.usage_of(place) {
                        Some(usage) => usage,
                        None => usage_of_name(inner, census, found, garbage.freed_bytes())?,
                    }),
                };
                usage.names.push((found.entry.name.clone(), taken));
            }
            usage.lost = ends.lost;
            usage.damaged = census.damaged_names.clone();
            Ok(usage)
        })
    }
}

/// The histories of all names of a store.
struct Histories<'a> {
    census: &'a Census,
    /// The place of the one name whose history holds a layer; `None` for several.
    holders: HashMap<LayerId, Option<usize>>,
    /// What a layer and all below it take, in bytes.
    allocated_bytes: HashMap<LayerId, u64>,
    /// How many layers stand on one.
    children: HashMap<LayerId, usize>,
    /// The layers whose blocks others refer to.
    lenders: HashSet<LayerId>,
    /// What is garbage of a layer that stays, in bytes.
    garbage_bytes: HashMap<LayerId, u64>,
}

impl<'a> Histories<'a> {
    /// `garbage` is what a collection would free by now: it walks all chains, so none is a circle.
    fn of(census: &'a Census, garbage: &Plan) -> Histories<'a> {
        let mut histories = Histories {
            census,
            holders: HashMap::new(),
            allocated_bytes: HashMap::new(),
            children: HashMap::new(),
            lenders: HashSet::new(),
            garbage_bytes: garbage.thin.iter().map(|thin| (thin.id, thin.bytes)).collect(),
        };
        for (id, resident) in &census.layers {
            histories.lenders.extend(&resident.sources);
            if let Some(parent) = census.parent_of(*id) {
                *histories.children.entry(parent).or_default() += 1;
            }
        }
        for (place, found) in census.names.iter().enumerate() {
            histories.add(place, &found.entry);
        }
        histories
    }

    /// Each layer is met once by its first name, and once more by its second.
    fn add(&mut self, place: usize, entry: &NameEntry) {
        let mut path = Vec::new();
        for id in self.census.history_of(entry) {
            let holder = self.holders.entry(id).or_insert(Some(place));
            if *holder != Some(place) && holder.take().is_none() {
                break;
            }
            path.push(id);
        }
        for id in path.into_iter().rev() {
            let below = self.census.parent_of(id).map_or(0, |below| self.allocated_bytes[&below]);
            self.allocated_bytes.insert(id, below + self.census.layers[&id].allocated_bytes);
        }
    }

    /// What the name at `place` takes; `None` where more goes with it than whole files, or the
    /// way down from it is not plain.
    fn usage_of(&self, place: usize) -> Option<Usage> {
        let entry = &self.census.names[place].entry;
        let top = self.census.layers.get(&entry.top)?;
        let virtual_bytes = top.header.as_ref()?.volume_bytes;
        if top.is_frozen() != (entry.kind == NameKind::Tag) {
            return None;
        }
        let mut exclusive_bytes = 0;
        let mut children = 0;
        let mut next = Some(entry.top);
        while let Some(id) = next.filter(|id| self.holders[id] == Some(place)) {
            if !self.goes_whole(id, children) {
                return None;
            }
            let garbage_bytes = self.garbage_bytes.get(&id).copied().unwrap_or(0);
            // A host that compresses may have allocated less than the stretches are long.
            let allocated_bytes = self.census.layers[&id].allocated_bytes;
            exclusive_bytes += allocated_bytes.saturating_sub(garbage_bytes);
            children = 1;
            next = self.census.parent_of(id);
        }
        let stays = next.is_none_or(|below| self.census.keeps(below));
        let allocated_bytes = self.allocated_bytes[&entry.top];
        let shared_bytes = allocated_bytes - exclusive_bytes;
        stays.then_some(Usage { virtual_bytes, allocated_bytes, exclusive_bytes, shared_bytes })
    }

    /// Whether the file of a layer that one name holds goes with it, and nothing else changes.
    fn goes_whole(&self, id: LayerId, children: usize) -> bool {
        let resident = &self.census.layers[&id];
        let header = resident.header.as_ref();
        let is_recorded = header.is_some_and(|header| match &header.parent {
            None => true,
            // One that has gone, or stands there under another id, is for a walk to tell of.
            Some(parent) => self.census.layers.get(&parent.id).is_some_and(|below| {
                let below = below.header.as_ref();
                below.is_some_and(|below| parent.verify(&below.layer_ref()).is_ok())
            }),
        });
        let is_leased = resident.in_use && header.is_some_and(|header| header.removed);
        is_recorded
            && !is_leased
            && !self.lenders.contains(&id)
            && self.children.get(&id).copied().unwrap_or(0) == children
            && resident.sources.iter().all(|lender| self.census.keeps(*lender))
    }
}

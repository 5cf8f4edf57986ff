//! Which layer files each name needs, and what removing several things at once would free.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::collect::{
    Assume, Census, Ends, GcReport, LostLayer, look_at_what_is_left, plan, what_is_left,
};
use super::handle::Store;
use super::locks::StoreLock;
use super::names::DamagedName;
use super::{Name, headers, names, paths};
use crate::error::{Error, Result};
use crate::format::NameEntry;
use crate::medium::Host;
use crate::units::LayerId;

/// A name, and the newest layer that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The name.
    pub name: NameEntry,
    /// The newest layer of its history, of a volume its open one; none where that is lost.
    pub tip: Option<LayerId>,
    /// The layer at which its history ends, where that is not whole.
    pub lost: Option<LayerId>,
}

/// A layer file, and what it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldLayer {
    /// What the host has allocated for it, in bytes.
    pub allocated_bytes: u64,
    /// What it stands on, where that is there.
    pub parent: Option<LayerId>,
    /// The layers that it shares blocks of, those that are there.
    pub lenders: Vec<LayerId>,
}

/// Which layer files there are, and which names need them: those of its history, and those that
/// these share blocks of. It takes memory for each layer and each name once, however many names
/// lead into one chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// All names, in order.
    pub names: Vec<Holding>,
    /// All layers that can be read.
    pub layers: BTreeMap<LayerId, HeldLayer>,
    /// The layers that somebody writes to or has open, with all below them.
    pub in_use: BTreeSet<LayerId>,
    /// The layers that are lost or damaged: what they need is not known.
    pub lost: BTreeMap<LayerId, LostLayer>,
    /// The names that do not verify: which layers they need is not known.
    pub damaged_names: Vec<DamagedName>,
}

impl Holdings {
    /// A layer and all that it stands on, newest first.
    pub fn history(&self, tip: Option<LayerId>) -> impl Iterator<Item = LayerId> {
        std::iter::successors(tip, |id| self.layers.get(id)?.parent)
    }
}

/// What is to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Tags and volumes.
    pub names: BTreeSet<String>,
    /// Snapshots by themselves.
    pub snapshots: BTreeSet<LayerId>,
}

impl Store {
    /// Which layer files each name needs, by one look at all files.
    ///
    /// Errors: [`Corrupt`](crate::ErrorKind::Corrupt) where a chain comes back to itself.
    pub fn holdings(&self) -> Result<Holdings> {
        let inner = self.inner()?;
        let _lock = StoreLock::shared(inner.host())?;
        let census = what_is_left(inner.host())?;
        let mut holdings = Holdings::default();
        for (id, resident) in &census.layers {
            let lenders = resident.sources.iter().filter(|id| census.layers.contains_key(id));
            let layer = HeldLayer {
                allocated_bytes: resident.allocated_bytes,
                parent: census.parent_of(*id),
                lenders: lenders.copied().collect(),
            };
            holdings.layers.insert(*id, layer);
        }
        expect_ends(inner.host(), &holdings.layers)?;
        for (id, resident) in &census.layers {
            if resident.in_use {
                add_down_to_known(&census, Some(*id), &mut holdings.in_use);
            }
        }
        let mut ends = Ends::of(inner.host(), &census);
        for found in &census.names {
            let tip = census.tip_of(&found.entry);
            let lost = ends.of_name(inner.host(), &census, found);
            holdings.names.push(Holding { name: found.entry.clone(), tip, lost });
        }
        holdings.lost = ends.lost;
        holdings.damaged_names = census.damaged_names;
        holdings.names.sort_by(|a, b| a.name.name.cmp(&b.name.name));
        Ok(holdings)
    }

    /// What [`remove`](Store::remove) of all this, and [`collect`](Store::collect) after it, would
    /// free, once nobody has it open. Nothing is changed. Names and layers that are damaged count as
    /// given up: as long as they are there, a collection refuses.
    ///
    /// Errors: [`NotFound`](crate::ErrorKind::NotFound) for a name or snapshot that is not there.
    pub fn would_free(&self, removal: &Removal) -> Result<GcReport> {
        let inner = self.inner()?;
        for name in &removal.names {
            let name = Name::new(name.as_str())?;
            names::read(inner.host(), &name)?.ok_or_else(|| names::missing(&name))?;
        }
        for id in &removal.snapshots {
            headers::read_existing(inner.host(), *id)?;
        }
        let _alone = StoreLock::exclusive(inner.host())?;
        let policy = inner.options.volume.read;
        look_at_what_is_left(&inner.host, policy, |census| {
            let plan = plan(&inner.host, policy, census, &without(census, removal))?;
            Ok(GcReport::of(census, &plan))
        })
    }
}

/// The store without what is to go, and what goes with that.
fn without(census: &Census, removal: &Removal) -> Assume {
    let is_leaving = |entry: &NameEntry| removal.names.contains(&entry.name);
    let mut held = BTreeSet::new();
    for found in census.names.iter().filter(|found| !is_leaving(&found.entry)) {
        add_down_to_known(census, census.tip_of(&found.entry), &mut held);
    }
    let mut assume = Assume::closed(census);
    assume.removed.extend(&removal.snapshots);
    assume.without_names.clone_from(&removal.names);
    let mut known = held.clone();
    for found in census.names.iter().filter(|found| is_leaving(&found.entry)) {
        add_down_to_known(census, census.tip_of(&found.entry), &mut known);
    }
    assume.removed.extend(known.difference(&held));
    assume
}

/// Adds a layer and all that it stands on, down to the first that is known: from there on all are.
fn add_down_to_known(census: &Census, tip: Option<LayerId>, known: &mut BTreeSet<LayerId>) {
    let mut next = tip;
    while let Some(id) = next.filter(|id| known.insert(*id)) {
        next = census.parent_of(id);
    }
}

/// That every way down ends.
fn expect_ends(host: &dyn Host, layers: &BTreeMap<LayerId, HeldLayer>) -> Result<()> {
    // In which walk each was met.
    let mut met: HashMap<LayerId, LayerId> = HashMap::new();
    for walk in layers.keys() {
        let mut next = Some(*walk);
        while let Some(id) = next {
            match met.entry(id) {
                Entry::Occupied(before) if before.get() == walk => {
                    let error = Error::corrupt("walk a chain", "parent", id, "no cycle");
                    return Err(error.in_file(host.display_path(&paths::layer(id))));
                }
                Entry::Occupied(_) => break,
                Entry::Vacant(place) => drop(place.insert(*walk)),
            }
            next = layers[&id].parent;
        }
    }
    Ok(())
}

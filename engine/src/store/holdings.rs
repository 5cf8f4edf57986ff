//! Which layer files each name needs, and what removing several things at once would free.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::collect::{Assume, GcReport, census, plan};
use super::handle::Store;
use super::locks::StoreLock;
use super::{Name, headers, names};
use crate::error::Result;
use crate::format::NameEntry;
use crate::units::LayerId;

/// The layer files that a name needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The name.
    pub name: NameEntry,
    /// Its history, newest first; of a volume its open layer, too.
    pub history: Vec<LayerId>,
    /// Further layers, which those of the history share blocks of.
    pub lenders: Vec<LayerId>,
}

/// Which layer files there are, and which names need them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// All names, in order.
    pub names: Vec<Holding>,
    /// What the host has allocated for each layer file, in bytes.
    pub allocated_bytes: BTreeMap<LayerId, u64>,
    /// The layers that somebody writes to or has open, with all below them.
    pub in_use: BTreeSet<LayerId>,
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
    /// Errors: [`Corrupt`](crate::ErrorKind::Corrupt) where a layer or a name does not verify.
    pub fn holdings(&self) -> Result<Holdings> {
        let inner = self.inner()?;
        let _lock = StoreLock::shared(inner.host())?;
        let census = census(inner.host())?;
        let mut holdings = Holdings::default();
        for (id, resident) in &census.layers {
            holdings.allocated_bytes.insert(*id, resident.allocated_bytes);
            if resident.in_use {
                for id in census.history_from(Some(*id)) {
                    if !holdings.in_use.insert(id) {
                        break;
                    }
                }
            }
        }
        for found in &census.names {
            let history: Vec<LayerId> = census.history_of(&found.entry).collect();
            let own: HashSet<&LayerId> = history.iter().collect();
            let sources = history.iter().flat_map(|id| &census.layers[id].sources);
            let lenders: BTreeSet<LayerId> = sources
                .filter(|id| !own.contains(id) && census.layers.contains_key(id))
                .copied()
                .collect();
            let lenders = lenders.into_iter().collect();
            holdings.names.push(Holding { name: found.entry.clone(), history, lenders });
        }
        holdings.names.sort_by(|a, b| a.name.name.cmp(&b.name.name));
        Ok(holdings)
    }

    /// What [`remove`](Store::remove) of all this, and [`collect`](Store::collect) after it, would
    /// free, once nobody has it open. Nothing is changed.
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
        let census = census(inner.host())?;
        let is_leaving = |entry: &NameEntry| removal.names.contains(&entry.name);
        let mut held: HashSet<LayerId> = HashSet::new();
        for found in census.names.iter().filter(|found| !is_leaving(&found.entry)) {
            for id in census.history_of(&found.entry) {
                // From a layer that is held on down, all are.
                if !held.insert(id) {
                    break;
                }
            }
        }
        let mut assume = Assume {
            removed: removal.snapshots.clone(),
            without_names: removal.names.clone(),
            ..Assume::default()
        };
        for found in census.names.iter().filter(|found| is_leaving(&found.entry)) {
            let history = census.history_of(&found.entry);
            assume.removed.extend(history.take_while(|id| !held.contains(id)));
        }
        let plan = plan(&inner.host, inner.options.volume.read, &census, &assume)?;
        Ok(GcReport::of(&plan))
    }
}

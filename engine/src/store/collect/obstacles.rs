//! What a collection refuses beside, as nobody can tell what it needs.

use std::collections::{BTreeMap, HashMap};
use std::iter::successors;
use std::sync::Arc;

use super::census::{Census, what_is_left};
use super::plan::{Assume, plan, unreadable};
use crate::error::{Error, Result};
use crate::layer::ReadPolicy;
use crate::medium::Host;
use crate::store::handle::Store;
use crate::store::locks::StoreLock;
use crate::store::names::DamagedName;
use crate::units::LayerId;

/// Names and layers of which nobody can tell what they need. Each that is damaged is taken away by
/// [`give_up`](Store::give_up), a layer once no name leads to it; what a newer version made is not.
#[derive(Debug, Default)]
pub struct Obstacles {
    /// Names that do not verify, or are of a newer version.
    pub names: Vec<DamagedName>,
    /// Layers, and what is wrong with each.
    pub layers: BTreeMap<LayerId, Error>,
}

impl Store {
    /// All that a [collection](Store::collect) refuses beside. Nothing is changed.
    pub fn obstacles(&self) -> Result<Obstacles> {
        let inner = self.inner()?;
        let _lock = StoreLock::shared(inner.host())?;
        obstacles(&inner.host, inner.options.volume.read)
    }
}

/// As [`Store::obstacles`]; the caller holds the store's lock.
pub fn obstacles(host: &Arc<dyn Host>, policy: ReadPolicy) -> Result<Obstacles> {
    let mut census = what_is_left(&**host)?;
    // Maps are read by those who plan, and by them alone as far as they have to.
    while let Err(error) = plan(host, policy, &census, &Assume::default()) {
        if !error.is_of_one_file() {
            return Err(error);
        }
        let mut found = unreadable(host, policy, &census)?;
        found.extend(
            circles(&census)
                .into_iter()
                .map(|id| (id, Error::corrupt("walk a chain", "parent", id, "no cycle"))),
        );
        if found.is_empty() {
            return Err(error);
        }
        for (id, error) in found {
            census.set_aside(&**host, id, error)?;
        }
    }
    let layers = census.damaged.into_iter().map(|(id, damaged)| (id, damaged.error));
    Ok(Obstacles { names: census.damaged_names, layers: layers.collect() })
}

/// Layers that are their own ancestors.
fn circles(census: &Census) -> Vec<LayerId> {
    // In which walk each was met first.
    let mut met: HashMap<LayerId, LayerId> = HashMap::new();
    let mut found = Vec::new();
    for walk in census.layers.keys() {
        let mut next = Some(*walk);
        while let Some(id) = next {
            match met.insert(id, *walk) {
                Some(before) if before == *walk => {
                    let others = successors(census.parent_of(id), |at| census.parent_of(*at));
                    found.extend(others.take_while(|at| *at != id).chain([id]));
                    break;
                }
                Some(_) => break,
                None => next = census.parent_of(id),
            }
        }
    }
    found
}

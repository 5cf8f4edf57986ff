//! What the histories of many names add up to, without walking each of them: they run into each
//! other further down.

use std::collections::{BTreeSet, HashMap};

use sapwood::LayerId;
use sapwood::store::Holdings;

/// The layers of a store, each behind what it stands on.
pub struct Forest<'a> {
    holdings: &'a Holdings,
    /// In order of a walk that goes up from each layer before it takes the next.
    order: Vec<LayerId>,
    places: HashMap<LayerId, Place>,
    /// The nearest layer, from each down, that shares blocks of others.
    borrowers: HashMap<LayerId, LayerId>,
}

/// Where a layer stands in the order, and where the last one does that stands on it.
#[derive(Clone, Copy)]
struct Place {
    first: usize,
    last: usize,
}

impl<'a> Forest<'a> {
    pub fn of(holdings: &'a Holdings) -> Forest<'a> {
        let mut children: HashMap<Option<LayerId>, Vec<LayerId>> = HashMap::new();
        for (id, layer) in &holdings.layers {
            children.entry(layer.parent).or_default().push(*id);
        }
        let mut order = Vec::with_capacity(holdings.layers.len());
        let mut places = HashMap::new();
        let mut left = children.remove(&None).unwrap_or_default();
        while let Some(id) = left.pop() {
            places.insert(id, Place { first: order.len(), last: order.len() });
            order.push(id);
            left.extend(children.remove(&Some(id)).unwrap_or_default());
        }
        for id in order.iter().rev() {
            if let Some(parent) = holdings.layers[id].parent {
                let last = places[id].last;
                let below =
                    places.get_mut(&parent).expect("what a layer stands on comes before it");
                below.last = below.last.max(last);
            }
        }
        let mut forest = Forest { holdings, order, places, borrowers: HashMap::new() };
        forest.borrowers = forest.nearest(|id| !holdings.layers[&id].lenders.is_empty());
        forest
    }

    /// What the host has allocated for a layer file.
    pub fn allocated_bytes(&self, id: LayerId) -> u64 {
        self.holdings.layers[&id].allocated_bytes
    }

    /// For each layer the nearest one that is wanted, from itself down, where there is one.
    pub fn nearest(&self, is_wanted: impl Fn(LayerId) -> bool) -> HashMap<LayerId, LayerId> {
        let mut nearest = HashMap::new();
        for &id in &self.order {
            let below = || nearest.get(&self.holdings.layers[&id].parent?).copied();
            if let Some(found) = if is_wanted(id) { Some(id) } else { below() } {
                nearest.insert(id, found);
            }
        }
        nearest
    }

    /// How many of those that stand on `tips` need each layer.
    pub fn users(&self, tips: impl Iterator<Item = Option<LayerId>>) -> HashMap<LayerId, u64> {
        let mut users: HashMap<LayerId, u64> = self.order.iter().map(|id| (*id, 0)).collect();
        let mut borrowed: HashMap<LayerId, u64> = HashMap::new();
        for tip in tips.flatten() {
            *users.entry(tip).or_default() += 1;
            for lender in self.lenders(tip) {
                *borrowed.entry(lender).or_default() += 1;
            }
        }
        for id in self.order.iter().rev() {
            if let Some(parent) = self.holdings.layers[id].parent {
                let above = users[id];
                *users.entry(parent).or_default() += above;
            }
        }
        for (id, count) in borrowed {
            *users.entry(id).or_default() += count;
        }
        users
    }

    /// Adds up a weight of each layer.
    pub fn sums(&self, weight: impl Fn(LayerId) -> u64) -> Sums<'_> {
        let weights: HashMap<LayerId, u64> =
            self.order.iter().map(|id| (*id, weight(*id))).collect();
        let mut histories: HashMap<LayerId, u64> = HashMap::new();
        for id in &self.order {
            let below = self.holdings.layers[id].parent.map_or(0, |parent| histories[&parent]);
            histories.insert(*id, below + weights[id]);
        }
        Sums { forest: self, weights, histories }
    }

    /// The layers that the history of `tip` shares blocks of, besides its own.
    fn lenders(&self, tip: LayerId) -> BTreeSet<LayerId> {
        let mut lenders = BTreeSet::new();
        let mut next = self.borrowers.get(&tip);
        while let Some(id) = next {
            let layer = &self.holdings.layers[id];
            lenders.extend(layer.lenders.iter().filter(|lender| !self.stands_on(tip, **lender)));
            next = layer.parent.and_then(|parent| self.borrowers.get(&parent));
        }
        lenders
    }

    fn stands_on(&self, tip: LayerId, below: LayerId) -> bool {
        let Place { first, last } = self.places[&below];
        (first..=last).contains(&self.places[&tip].first)
    }
}

/// Weights added up over all that a layer needs.
pub struct Sums<'a> {
    forest: &'a Forest<'a>,
    weights: HashMap<LayerId, u64>,
    /// Of a layer and all that it stands on.
    histories: HashMap<LayerId, u64>,
}

impl Sums<'_> {
    /// The sum over the history of `tip`, and over what that shares blocks of.
    pub fn of(&self, tip: Option<LayerId>) -> u64 {
        let Some(tip) = tip else { return 0 };
        let lenders = self.forest.lenders(tip).into_iter().map(|lender| self.weights[&lender]);
        self.histories[&tip] + lenders.sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use sapwood::store::HeldLayer;

    use super::*;

    fn id(number: usize) -> LayerId {
        LayerId([number as u8; 16])
    }

    /// Layers, each on an earlier one or on none, that share blocks of earlier ones.
    fn holdings() -> impl Strategy<Value = Holdings> {
        let index = any::<prop::sample::Index>;
        let layer = (
            prop::option::weighted(0.9, index()),
            prop::collection::vec(index(), 0..3),
            0..100_u64,
        );
        prop::collection::vec(layer, 1..20).prop_map(|plans| {
            let mut holdings = Holdings::default();
            for (number, (parent, lenders, allocated_bytes)) in plans.into_iter().enumerate() {
                let below = |index: prop::sample::Index| id(index.index(number));
                let parent = parent.filter(|_| number > 0).map(below);
                let lenders: Vec<LayerId> = match number % 3 {
                    0 if number > 0 => lenders.into_iter().map(below).collect(),
                    _ => Vec::new(),
                };
                holdings.layers.insert(id(number), HeldLayer { allocated_bytes, parent, lenders });
            }
            holdings
        })
    }

    proptest! {
        #[test]
        fn all_is_as_walks_of_each_history_say(holdings in holdings()) {
            let forest = Forest::of(&holdings);
            let tips: Vec<LayerId> = holdings.layers.keys().copied().collect();
            let needs = |tip: LayerId| -> HashSet<LayerId> {
                let history = || holdings.history(Some(tip));
                history().chain(history().flat_map(|id| holdings.layers[&id].lenders.clone())).collect()
            };
            let sums = forest.sums(|id| forest.allocated_bytes(id));
            let users = forest.users(tips.iter().copied().map(Some));
            let odd = forest.nearest(|id| id.0[0] % 2 == 1);
            for &tip in &tips {
                let bytes: u64 = needs(tip).iter().map(|id| forest.allocated_bytes(*id)).sum();
                prop_assert_eq!(sums.of(Some(tip)), bytes);
                let count = tips.iter().filter(|other| needs(**other).contains(&tip)).count();
                prop_assert_eq!(users[&tip], count as u64);
                let found = holdings.history(Some(tip)).find(|id| id.0[0] % 2 == 1);
                prop_assert_eq!(odd.get(&tip).copied(), found);
            }
        }
    }
}

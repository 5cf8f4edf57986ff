//! Which blocks of removed layers can still be seen.
//!
//! What a removed layer has to keep is what the views through it can see of it:
//!
//! ```text
//! need(layer) = union over the needed layers on it of (need(child) without what child covers)
//! ```
//!
//! where a whole layer needs every address. Each block that an extent at a needed address
//! targets is kept, whatever the layer it lies in and the address under which that layer
//! itself may map it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::reach::{Forest, Reach};
use crate::error::Result;
use crate::extent::{Extent, Target};
use crate::store::ranges::RangeSet;
use crate::units::{ADDRESS_END, LayerId, SourceIndex};

/// The maps of frozen layers.
pub trait Maps {
    /// Gives the extents of a layer in address order, without holes.
    fn extents(&self, id: LayerId, visit: &mut dyn FnMut(Extent) -> Result<()>) -> Result<()>;
}

/// What can be seen of a layer that is not whole.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// The blocks of its file that hold data somebody can see.
    pub blocks: RangeSet,
    /// It maps data that nobody can see, its own or other layers': once such blocks are gone,
    /// its digest cannot be computed any more.
    pub has_unseen: bool,
}

/// What can be seen of every needed layer that is neither whole nor pinned.
pub fn see(forest: &Forest, reach: &Reach, maps: &dyn Maps) -> Result<BTreeMap<LayerId, Sight>> {
    let is_partial = |id: &LayerId| forest.get(id).is_some_and(|node| !node.whole && !node.open);
    let mut needs: HashMap<LayerId, RangeSet> = HashMap::new();
    let mut blocks: HashMap<LayerId, Vec<Range<u64>>> = HashMap::new();
    let mut sights: BTreeMap<LayerId, Sight> = BTreeMap::new();
    for id in &reach.seen {
        let node = &forest[id];
        let need = match node.whole || node.open {
            true => RangeSet::of(0..ADDRESS_END),
            false => needs.remove(id).unwrap_or_default(),
        };
        let partial = is_partial(id);
        let asks = partial || node.parents.iter().chain(&node.sources).any(is_partial);
        if !asks || node.open {
            // An open layer's parent is whole, and its sources are pinned.
            continue;
        }
        let mut covered = RangeSet::new();
        let mut has_unseen = false;
        maps.extents(*id, &mut |extent| {
            let range = extent.start.0..extent.end().0;
            covered.push(range.clone());
            let Target::Data { source, block } = extent.target else { return Ok(()) };
            let holder = match source {
                SourceIndex::OWN => Some(id),
                SourceIndex(entry) => node.sources.get(entry as usize - 1),
            };
            let holder = holder.filter(|holder| is_partial(holder));
            let mut seen = 0;
            for part in need.within(range.clone()) {
                seen += part.end - part.start;
                if let Some(holder) = holder {
                    let first = block.0 + (part.start - range.start);
                    let kept = first..first + (part.end - part.start);
                    blocks.entry(*holder).or_default().push(kept);
                }
            }
            has_unseen |= seen < extent.length;
            Ok(())
        })?;
        for parent in node.parents.iter().filter(|parent| is_partial(parent)) {
            let through = need.without(covered.iter());
            let known = needs.remove(parent).unwrap_or_default();
            needs.insert(*parent, known.union(&through));
        }
        if partial {
            sights.insert(*id, Sight { blocks: RangeSet::new(), has_unseen });
        }
    }
    for id in reach.holders.iter().filter(|id| is_partial(id)) {
        sights.insert(*id, Sight::default());
    }
    for (id, sight) in &mut sights {
        sight.blocks = RangeSet::of_unsorted(blocks.remove(id).unwrap_or_default());
    }
    sights.retain(|id, _| !forest[id].pinned);
    Ok(sights)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::extent::ExtentMap;
    use crate::store::collect::reach::{Node, reach};
    use crate::units::{BlockAddress, FileBlock};

    const ADDRESSES: u64 = 12;

    #[derive(Clone, Debug)]
    struct Plan {
        parent: Option<prop::sample::Index>,
        whole: bool,
        extents: Vec<(u64, u64, u8, prop::sample::Index, u64)>,
    }

    fn plans() -> impl Strategy<Value = Vec<Plan>> {
        let extent = (0..ADDRESSES, 1..5u64, 0..3u8, any::<prop::sample::Index>(), 2..9u64);
        let plan = (
            prop::option::weighted(0.85, any::<prop::sample::Index>()),
            prop::bool::weighted(0.3),
            prop::collection::vec(extent, 0..6),
        );
        prop::collection::vec(plan, 1..9).prop_map(|plans| {
            let plan = |(parent, whole, extents)| Plan { parent, whole, extents };
            plans.into_iter().map(plan).collect()
        })
    }

    fn id(number: usize) -> LayerId {
        LayerId([number as u8; 16])
    }

    struct MapTable(HashMap<LayerId, ExtentMap>);

    impl Maps for MapTable {
        fn extents(&self, id: LayerId, visit: &mut dyn FnMut(Extent) -> Result<()>) -> Result<()> {
            self.0[&id].iter().try_for_each(visit)
        }
    }

    proptest! {
        #[test]
        fn exactly_the_blocks_that_a_walk_of_every_view_meets_are_kept(plans in plans()) {
            let mut forest = Forest::new();
            let mut maps = HashMap::new();
            for (number, plan) in plans.iter().enumerate() {
                let below = |index: &prop::sample::Index| id(index.index(number));
                let parents = plan.parent.as_ref().filter(|_| number > 0).map(below);
                let mut sources = Vec::new();
                let mut map = ExtentMap::new();
                for (start, length, kind, source, block) in &plan.extents {
                    let target = match kind {
                        0 => Target::Zero,
                        // A clone: blocks of any older layer, an ancestor or not.
                        2 if number > 0 => {
                            sources.push(below(source));
                            let source = SourceIndex(sources.len() as u32);
                            Target::Data { source, block: FileBlock(*block) }
                        }
                        // Blocks of its own, now and then under two addresses.
                        _ => Target::Data { source: SourceIndex::OWN, block: FileBlock(*block) },
                    };
                    let start = BlockAddress(*start);
                    map.insert(Extent { start, length: *length, target }, &mut |_| ());
                }
                let parents = parents.into_iter().collect();
                let node = Node { parents, sources, whole: plan.whole, ..Node::default() };
                forest.insert(id(number), node);
                maps.insert(id(number), map);
            }

            let mut met: HashMap<LayerId, BTreeSet<u64>> = HashMap::new();
            for (root, _) in forest.iter().filter(|(_, node)| node.whole) {
                for address in 0..ADDRESSES + 8 {
                    let mut at = Some(*root);
                    while let Some(layer) = at {
                        match maps[&layer].find(BlockAddress(address)).target {
                            None => at = forest[&layer].parents.first().copied(),
                            Some(Target::Data { source, block }) => {
                                let holder = match source.0 {
                                    0 => layer,
                                    entry => forest[&layer].sources[entry as usize - 1],
                                };
                                met.entry(holder).or_default().insert(block.0);
                                break;
                            }
                            Some(_) => break,
                        }
                    }
                }
            }

            let reach = reach(&forest).unwrap();
            let sights = see(&forest, &reach, &MapTable(maps)).unwrap();
            for (id, sight) in &sights {
                let kept: BTreeSet<u64> = sight.blocks.iter().flatten().collect();
                prop_assert_eq!(kept, met.get(id).cloned().unwrap_or_default());
            }
            for (holder, blocks) in met {
                let known = forest[&holder].whole || sights.contains_key(&holder);
                prop_assert!(known, "{} blocks of a layer that would be unlinked", blocks.len());
            }
        }
    }

    #[test]
    fn an_open_layer_hides_nothing_and_pins_what_it_refers_to() {
        let all = Extent { start: BlockAddress(0), length: ADDRESSES, target: Target::Zero };
        let data = Target::Data { source: SourceIndex::OWN, block: FileBlock(2) };
        let map = |extent: Extent| {
            let mut map = ExtentMap::new();
            map.insert(extent, &mut |_| ());
            map
        };
        let maps = MapTable(HashMap::from([
            (id(1), map(Extent { target: data, ..all })),
            (id(2), map(Extent { target: data, ..all })),
            (id(3), map(all)),
        ]));
        let node = |parent: Option<u8>| Node {
            parents: parent.map(|number| LayerId([number; 16])).into_iter().collect(),
            ..Node::default()
        };
        let forest = Forest::from([
            (id(1), Node { whole: true, ..node(None) }),
            (id(2), Node { pinned: true, ..node(None) }),
            (id(3), Node { open: true, sources: vec![id(2)], ..node(Some(1)) }),
        ]);
        let reach = reach(&forest).unwrap();
        assert!(reach.seen.contains(&id(1)) && reach.holders.contains(&id(2)));
        assert!(see(&forest, &reach, &maps).unwrap().is_empty());
    }
}

//! Which layers are needed: by a view through them, or for blocks that others refer to.

use std::collections::{BTreeSet, HashMap};

use crate::error::{Error, Result};
use crate::units::LayerId;

/// The layers of a store, as far as collecting cares.
pub type Forest = HashMap<LayerId, Node>;

/// One layer.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// The layers that its parent may be: none, the one that was recorded, or in the absence
    /// of that one all with its digest.
    pub parents: Vec<LayerId>,
    /// The layers of its table of sources, in order; they may be missing from the store.
    pub sources: Vec<LayerId>,
    /// Somebody can look at all of it: a kept or leased snapshot, or the parent of an open layer.
    pub whole: bool,
    /// An open layer that is needed: its file stays, and hides nothing of its parent, since its
    /// newest commit may not be durable.
    pub open: bool,
    /// An open layer refers to blocks of it: none of them may go.
    pub pinned: bool,
}

/// What is needed.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The layers that views go through, each after all that stand on it.
    pub seen: Vec<LayerId>,
    /// The layers that are needed for blocks that those refer to, and for nothing else.
    pub holders: BTreeSet<LayerId>,
}

/// Finds all layers that views from the whole and open ones go through.
///
/// Errors: [`Corrupt`](crate::ErrorKind::Corrupt) where a layer is its own ancestor.
pub fn reach(forest: &Forest) -> Result<Reach> {
    #[derive(PartialEq)]
    enum Mark {
        Entered,
        Left,
    }
    let mut marks = HashMap::new();
    // Ancestors are left before what stands on them; no recursion: chains may be very long.
    let mut parents_first = Vec::new();
    let mut roots: Vec<_> =
        forest.iter().filter(|(_, node)| node.whole || node.open).map(|(id, _)| *id).collect();
    roots.sort_unstable();
    for root in roots {
        let mut path = vec![(root, 0)];
        while let Some((id, next)) = path.last_mut() {
            let node = &forest[id];
            if *next == 0 && marks.contains_key(id) {
                path.pop();
                continue;
            }
            if *next == 0 {
                marks.insert(*id, Mark::Entered);
            }
            let parent = node.parents.get(*next).copied();
            *next += 1;
            match parent {
                Some(parent) if marks.get(&parent) == Some(&Mark::Entered) => {
                    return Err(Error::corrupt("walk a chain", "parent", parent, "no cycle"));
                }
                Some(parent) if forest.contains_key(&parent) => path.push((parent, 0)),
                Some(_) => {}
                None => {
                    marks.insert(*id, Mark::Left);
                    parents_first.push(*id);
                    path.pop();
                }
            }
        }
    }
    let mut seen = parents_first;
    seen.reverse();
    let sources = seen.iter().flat_map(|id| &forest[id].sources);
    let holders = sources.filter(|id| forest.contains_key(id) && !marks.contains_key(id));
    Ok(Reach { holders: holders.copied().collect(), seen })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> LayerId {
        LayerId([number; 16])
    }

    fn node(parents: &[u8], sources: &[u8], whole: bool) -> Node {
        let ids = |numbers: &[u8]| numbers.iter().map(|&number| id(number)).collect();
        Node { parents: ids(parents), sources: ids(sources), whole, ..Node::default() }
    }

    #[test]
    fn views_go_through_ancestors_and_sources_are_kept_for_their_blocks() {
        let forest = Forest::from([
            (id(1), node(&[], &[], false)),
            (id(2), node(&[1], &[9, 1], false)),
            (id(3), node(&[2], &[], true)),
            (id(4), node(&[2], &[], false)),
            (id(8), node(&[], &[], false)),
            (id(9), node(&[8], &[8], false)),
        ]);
        let reach = reach(&forest).unwrap();
        assert_eq!(reach.seen, [id(3), id(2), id(1)]);
        assert_eq!(reach.holders, BTreeSet::from([id(9)]));
    }

    #[test]
    fn a_layer_that_is_its_own_ancestor_is_damage() {
        let forest = Forest::from([
            (id(1), node(&[3], &[], false)),
            (id(2), node(&[1], &[], false)),
            (id(3), node(&[2], &[], true)),
        ]);
        assert_eq!(reach(&forest).unwrap_err().kind(), crate::ErrorKind::Corrupt);
    }

    #[test]
    fn a_missing_parent_ends_the_walk_and_a_long_chain_does_not_end_the_stack() {
        let long = |number: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            LayerId(bytes)
        };
        let mut forest = Forest::new();
        for number in 1..=200_000 {
            let parents = vec![long(number - 1)];
            forest.insert(long(number), Node { parents, ..Node::default() });
        }
        forest.get_mut(&long(200_000)).unwrap().whole = true;
        let reach = reach(&forest).unwrap();
        assert_eq!(reach.seen.len(), 200_000);
        assert_eq!(reach.seen[0], long(200_000));
    }
}

//! The shape of the static search tree over a sorted column of 32-bit keys.
//!
//! The column itself is the lowest level, read in groups of 16. A node of the tree
//! is one cache line: the first keys of its 2nd to 16th child and of the child that
//! comes after, so that the number of keys that are not larger than the one looked for is
//! the number of the child to go on with. Read on from node to node, a level is the
//! first keys of everything below it but the very first, so that a search may begin in
//! the middle of one. Nothing points anywhere: where a node lies follows from the number
//! of keys alone. The idea is that of an implicit B+tree, whose nodes are compared all
//! 16 keys at once.

use std::ops::Range;

/// Keys a node, and children: one cache line.
pub const NODE_KEYS: usize = 16;
/// A node, as it lies in a tree. What stands for no child is the largest key.
pub type Node = [u32; NODE_KEYS];
/// Levels above the column that 2^32 keys can need.
const LEVELS_MAX: usize = 7;

/// Where the levels of a tree over some number of keys lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeShape {
    levels: usize,
    /// The first node of each level, the root's first.
    first_node: [u32; LEVELS_MAX],
    nodes: u32,
}

impl TreeShape {
    /// The shape of a tree over `keys` keys; without any level where one group holds them all.
    pub fn over(keys: u32) -> TreeShape {
        let mut nodes_of_level = [0; LEVELS_MAX];
        let mut levels = 0;
        let mut children = keys.div_ceil(NODE_KEYS as u32);
        while children > 1 {
            children = children.div_ceil(NODE_KEYS as u32);
            nodes_of_level[levels] = children;
            levels += 1;
        }
        let mut shape = TreeShape { levels, first_node: [0; LEVELS_MAX], nodes: 0 };
        for level in 0..levels {
            shape.first_node[level] = shape.nodes;
            shape.nodes += nodes_of_level[levels - 1 - level];
        }
        shape
    }

    /// The first node of each level above the column, from the root down.
    #[inline]
    pub fn first_nodes(&self) -> &[u32] {
        &self.first_node[..self.levels]
    }

    /// The nodes of the level right above the column; none where there is no level.
    pub fn lowest_level(&self) -> Range<usize> {
        let first = self.first_nodes().last().copied().unwrap_or(self.nodes);
        first as usize..self.nodes()
    }

    /// How many nodes above the column.
    pub fn nodes(&self) -> usize {
        self.nodes as usize
    }
}

/// Writes the tree over `column` into `nodes`, which hold exactly [`TreeShape::nodes`].
pub fn build_tree(column: &[u32], nodes: &mut [Node]) {
    let shape = TreeShape::over(column.len() as u32);
    assert_eq!(nodes.len(), shape.nodes(), "a tree is written into exactly its nodes");
    // Keys of the column below each child of a node.
    let mut child_keys = NODE_KEYS;
    let mut end = nodes.len();
    for &first in shape.first_nodes().iter().rev() {
        for (number, node) in nodes[first as usize..end].iter_mut().enumerate() {
            *node = std::array::from_fn(|slot| {
                let child = number * NODE_KEYS + slot + 1;
                column.get(child * child_keys).copied().unwrap_or(u32::MAX)
            });
        }
        end = first as usize;
        child_keys *= NODE_KEYS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_over_all_keys_there_can_be_has_seven_levels() {
        assert_eq!(
            TreeShape::over(u32::MAX).first_nodes(),
            [0, 1, 17, 273, 4369, 69_905, 1_118_481]
        );
        assert_eq!(TreeShape::over(16).nodes(), 0);
        assert_eq!(TreeShape::over(17).nodes(), 1);
        assert_eq!(TreeShape::over(257).nodes(), 3);
        assert_eq!(TreeShape::over(257).lowest_level(), 1..3);
        assert_eq!(TreeShape::over(16).lowest_level(), 0..0);
    }

    #[test]
    fn a_level_holds_the_first_keys_of_all_below_it_but_the_first() {
        let column: Vec<u32> = (0..5000).map(|key| key * 3).collect();
        let shape = TreeShape::over(5000);
        let mut nodes = vec![[0; NODE_KEYS]; shape.nodes()];
        build_tree(&column, &mut nodes);
        assert_eq!(shape.first_nodes(), [0, 1, 3]);
        assert_eq!(nodes[0][..2], [4096 * 3, u32::MAX]);
        assert_eq!(nodes[3 + 3][5], column[16 * (3 * 16 + 6)]);
        assert_eq!(nodes[3 + 3][15], column[16 * (4 * 16)]);
        let groups: Vec<u32> = column.iter().copied().step_by(NODE_KEYS).skip(1).collect();
        let lowest = nodes[shape.lowest_level()].as_flattened();
        assert_eq!(lowest[..groups.len()], groups);
        assert!(lowest[groups.len()..].iter().all(|&key| key == u32::MAX));
    }
}

//! The shape of the static search tree over a sorted column of 32-bit keys.
//!
//! The column itself is the lowest level, read in groups of 16. Each level above
//! holds the first key of each group of the level below, padded to whole nodes of
//! 16 keys (one cache line) with the largest key. Nothing points anywhere: where a
//! node lies follows from the number of keys alone. The idea is that of an
//! implicit B+tree, whose nodes are compared all 16 keys at once.

/// Keys a node: one cache line.
pub const NODE_KEYS: usize = 16;
/// A node, as it lies in a tree.
pub type Node = [u32; NODE_KEYS];
/// Levels above the column that 2^32 keys can need.
const LEVELS_MAX: usize = 7;

/// Where the levels of a tree over some number of keys lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeShape {
    levels: usize,
    /// Keys of each level, the lowest first.
    keys: [u32; LEVELS_MAX],
    /// First node of each level, the lowest first; the root is node 0.
    first_node: [u32; LEVELS_MAX],
    nodes: u32,
}

impl TreeShape {
    /// The shape of a tree over `keys` keys; without any level where one group holds them all.
    pub fn over(keys: u32) -> TreeShape {
        let mut shape =
            TreeShape { levels: 0, keys: [0; LEVELS_MAX], first_node: [0; LEVELS_MAX], nodes: 0 };
        let mut below = keys;
        while below as usize > NODE_KEYS {
            below = below.div_ceil(NODE_KEYS as u32);
            shape.keys[shape.levels] = below;
            shape.levels += 1;
        }
        for level in (0..shape.levels).rev() {
            shape.first_node[level] = shape.nodes;
            shape.nodes += shape.keys[level].div_ceil(NODE_KEYS as u32);
        }
        shape
    }

    /// How many levels above the column.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// How many nodes above the column.
    pub fn nodes(&self) -> usize {
        self.nodes as usize
    }

    /// Keys of a level; 0 is the lowest above the column.
    #[inline]
    pub fn keys(&self, level: usize) -> usize {
        self.keys[level] as usize
    }

    /// The first node of a level; 0 is the lowest above the column.
    #[inline]
    pub fn first_node(&self, level: usize) -> usize {
        self.first_node[level] as usize
    }
}

/// Writes the tree over `column` into `nodes`, which hold exactly [`TreeShape::nodes`].
pub fn build_tree(column: &[u32], nodes: &mut [Node]) {
    let shape = TreeShape::over(column.len() as u32);
    assert_eq!(nodes.len(), shape.nodes(), "a tree is written into exactly its nodes");
    let mut step = NODE_KEYS;
    for level in 0..shape.levels() {
        let first = shape.first_node(level);
        let mut keys = column.iter().step_by(step).copied();
        let count = shape.keys(level).div_ceil(NODE_KEYS);
        for node in &mut nodes[first..first + count] {
            *node = std::array::from_fn(|_| keys.next().unwrap_or(u32::MAX));
        }
        step *= NODE_KEYS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_over_all_keys_there_can_be_has_seven_levels() {
        let shape = TreeShape::over(u32::MAX);
        assert_eq!((shape.levels(), shape.keys(6)), (7, 16));
        assert_eq!(TreeShape::over(16).nodes(), 0);
        assert_eq!(TreeShape::over(17).nodes(), 1);
        assert_eq!(TreeShape::over(257).nodes(), 3);
    }

    #[test]
    fn each_level_holds_the_first_keys_of_the_groups_below() {
        let column: Vec<u32> = (0..5000).map(|key| key * 3).collect();
        let shape = TreeShape::over(5000);
        let mut nodes = vec![[0; NODE_KEYS]; shape.nodes()];
        build_tree(&column, &mut nodes);
        assert_eq!(shape.levels(), 3);
        assert_eq!(nodes[0][..3], [0, 4096 * 3, u32::MAX]);
        let lowest = shape.first_node(0);
        assert_eq!(nodes[lowest + 3][5], column[16 * (3 * 16 + 5)]);
    }
}

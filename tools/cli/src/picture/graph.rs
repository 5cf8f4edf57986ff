//! The tree of layers, newest at the top: the lineage that was asked for runs down the left,
//! each branch stands above the layer it grew from.
//!
//! ```text
//! ○  vm (open)
//! ●  vm@1
//! │ ○  other
//! ├─╯
//! ●  base
//! ```

use std::collections::HashMap;
use std::io::{self, Write};

/// A layer of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// The place of its parent in the list of nodes.
    pub parent: Option<usize>,
    /// Whether it still changes.
    pub is_open: bool,
    /// What stands beside it.
    pub label: String,
}

enum Step {
    /// Draws the subtree of a node, each line behind `indent` bars.
    Subtree { node: usize, indent: usize },
    /// Draws the node itself.
    Node { node: usize, indent: usize },
    /// Draws where a branch joins.
    Join { indent: usize },
}

/// Draws the tree that `tip` stands in.
pub fn draw(nodes: &[Node], tip: usize, writer: &mut dyn Write) -> io::Result<()> {
    let tree = Tree::new(nodes, tip);
    // A stack of steps and not of calls: a chain may be a million layers deep.
    let mut steps = vec![Step::Subtree { node: tree.root, indent: 0 }];
    while let Some(step) = steps.pop() {
        match step {
            Step::Subtree { node, indent } => {
                // Pushed last is drawn first: the trunk, then the branches, then the node.
                steps.push(Step::Node { node, indent });
                let (trunk, branches) = tree.children_of(node);
                for branch in branches.into_iter().rev() {
                    steps.push(Step::Join { indent });
                    steps.push(Step::Subtree { node: branch, indent: indent + 1 });
                }
                steps.extend(trunk.map(|node| Step::Subtree { node, indent }));
            }
            Step::Node { node, indent } => {
                let mark = if nodes[node].is_open { "○" } else { "●" };
                writeln!(writer, "{}{mark}  {}", "│ ".repeat(indent), nodes[node].label)?;
            }
            Step::Join { indent } => writeln!(writer, "{}├─╯", "│ ".repeat(indent))?,
        }
    }
    Ok(())
}

/// The places of all nodes of the tree that `tip` stands in, parents before children.
pub fn members(parents: &[Option<usize>], tip: usize) -> Vec<usize> {
    let root = lineage(parents, tip).pop().unwrap_or(tip);
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    for (node, parent) in parents.iter().enumerate() {
        if let Some(parent) = parent.filter(|_| node != root) {
            children.entry(parent).or_default().push(node);
        }
    }
    let mut members = vec![root];
    let mut at = 0;
    while at < members.len() {
        members.extend(children.get(&members[at]).into_iter().flatten());
        at += 1;
    }
    members
}

/// `tip` and its ancestors. A damaged store may name parents in a circle: the walk ends where it
/// comes back.
fn lineage(parents: &[Option<usize>], tip: usize) -> Vec<usize> {
    let mut seen = vec![false; parents.len()];
    let mut lineage = Vec::new();
    let mut at = Some(tip);
    while let Some(node) = at.filter(|&node| !seen[node]) {
        seen[node] = true;
        lineage.push(node);
        at = parents[node];
    }
    lineage
}

struct Tree {
    root: usize,
    children: HashMap<usize, Vec<usize>>,
    /// How many layers stand on each, itself counted.
    weight: Vec<usize>,
    on_lineage: Vec<bool>,
}

impl Tree {
    fn new(nodes: &[Node], tip: usize) -> Tree {
        let parents: Vec<_> = nodes.iter().map(|node| node.parent).collect();
        let lineage = lineage(&parents, tip);
        let members = members(&parents, tip);
        let root = members[0];
        let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut weight = vec![1; nodes.len()];
        // Children come after their parents, so that backwards each weight is whole when added.
        for &member in members[1..].iter().rev() {
            if let Some(parent) = parents[member] {
                weight[parent] += weight[member];
                children.entry(parent).or_default().push(member);
            }
        }
        children.values_mut().for_each(|children| children.sort_unstable());
        let mut on_lineage = vec![false; nodes.len()];
        lineage.into_iter().for_each(|node| on_lineage[node] = true);
        Tree { root, children, weight, on_lineage }
    }

    /// The child in whose column the line goes on, and the others. Off the lineage that is the
    /// heaviest, so that a tree is never drawn wider than the logarithm of its layers.
    fn children_of(&self, node: usize) -> (Option<usize>, Vec<usize>) {
        let mut children = self.children.get(&node).cloned().unwrap_or_default();
        let lineage = children.iter().position(|&child| self.on_lineage[child]);
        let heaviest = || {
            let weights = children.iter().enumerate();
            weights.max_by_key(|(_, child)| self.weight[**child]).map(|(place, _)| place)
        };
        // The tip of the lineage has nothing above it in its column but what grows from it.
        let trunk = lineage.or_else(heaviest).map(|place| children.remove(place));
        (trunk, children)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(parent: Option<usize>, is_open: bool, label: &str) -> Node {
        Node { parent, is_open, label: label.into() }
    }

    fn drawn(nodes: &[Node], tip: usize) -> String {
        let mut bytes = Vec::new();
        draw(nodes, tip, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn branches_stand_above_the_layer_they_grew_from() {
        let nodes = [
            node(None, false, "base"),
            node(Some(0), false, "a1"),
            node(Some(1), true, "a"),
            node(Some(0), false, "b1"),
            node(Some(3), true, "b"),
            node(Some(3), true, "c"),
            node(None, false, "another tree"),
        ];
        assert_eq!(
            drawn(&nodes, 2),
            "○  a\n●  a1\n│ ○  c\n│ │ ○  b\n│ ├─╯\n│ ●  b1\n├─╯\n●  base\n"
        );
        assert!(drawn(&nodes, 4).starts_with("○  b\n│ ○  c\n├─╯\n●  b1\n"));
    }

    #[test]
    fn deep_chains_and_circles_end() {
        let mut chain: Vec<_> =
            (0..100_000_usize).map(|i| node(i.checked_sub(1), false, "x")).collect();
        assert_eq!(drawn(&chain, 99_999).lines().count(), 100_000);
        chain.truncate(2);
        chain[0].parent = Some(1);
        assert_eq!(drawn(&chain, 1).lines().count(), 2);
    }
}

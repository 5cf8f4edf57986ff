//! What differs between two trees, applied to a copy of the first one, gives the second one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;
use sapwood::files::{
    Attributes, ChangeKind, Difference, FileChange, FileKind, FilesView, Paths, ReadFiles, changes,
};
use sapwood::medium::MemoryHost;

use super::model::Model;
use super::step::{Action, Step};
use super::subject::Tree;
use crate::harness::power_cut::factor;

/// What is held against each other of a file; times of others than its content are not told.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    attributes: Attributes,
    content: Vec<u8>,
    extended: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A tree by its paths.
type Nodes = BTreeMap<Vec<u8>, Node>;

fn node(view: &FilesView, file: &Attributes) -> sapwood::Result<Node> {
    let content = match file.kind {
        FileKind::Regular => {
            let mut content = vec![0; file.size as usize];
            view.read(file.inode, 0, &mut content)?;
            content
        }
        FileKind::Symlink => view.read_link(file.inode)?,
        _ => Vec::new(),
    };
    let names = view.extended_attribute_names(file.inode)?.into_iter();
    let extended = names
        .map(|name| Ok((name.clone(), view.extended_attribute(file.inode, &name)?)))
        .collect::<sapwood::Result<_>>()?;
    let mut attributes = Attributes { links: 0, allocated_bytes: 0, ..*file };
    (attributes.accessed, attributes.changed, attributes.created) = Default::default();
    if file.kind == FileKind::Directory {
        attributes.size = 0;
    }
    Ok(Node { attributes, content, extended })
}

fn nodes(view: &FilesView) -> Nodes {
    let mut nodes = Nodes::new();
    let walked = Paths::new(view).walk("/", |path, file| {
        nodes.insert(path.to_vec(), node(view, file)?);
        Ok(ControlFlow::Continue(()))
    });
    walked.expect("a tree that can be walked");
    nodes
}

fn is_below(path: &[u8], above: &[u8]) -> bool {
    above.is_empty() || path.strip_prefix(above).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// A tree to which changes are applied as their documentation says.
struct Patched<'a> {
    nodes: Nodes,
    after: &'a FilesView,
}

impl Patched<'_> {
    fn apply(&mut self, changes: &[FileChange]) -> Result<(), String> {
        let mut old: Vec<(&[u8], &FileChange)> = Vec::new();
        for change in changes {
            match &change.kind {
                ChangeKind::Deleted => old.push((&change.path, change)),
                ChangeKind::Renamed { from, .. } => old.push((from, change)),
                _ => {}
            }
        }
        old.sort_by_key(|(path, _)| *path);
        let mut aside: BTreeMap<&[u8], Nodes> = BTreeMap::new();
        for (path, change) in old.into_iter().rev() {
            let taken = self.take(path)?;
            match change.kind {
                ChangeKind::Deleted if taken.len() > 1 => {
                    return Err(format!("more below {}: {:?}", shown(path), taken.keys()));
                }
                ChangeKind::Deleted => {}
                _ => drop(aside.insert(&change.path, taken)),
            }
        }
        for change in changes {
            self.come(change, &mut aside)?;
        }
        Ok(())
    }

    /// Takes away what stands at a path, and all below it, by the paths from there on.
    fn take(&mut self, path: &[u8]) -> Result<Nodes, String> {
        let of_it = |other: &&Vec<u8>| *other == path || is_below(other, path);
        let paths: Vec<Vec<u8>> = self.nodes.keys().filter(of_it).cloned().collect();
        if !self.nodes.contains_key(path) {
            return Err(format!("nothing at {}", shown(path)));
        }
        let take = |nodes: &mut Nodes, at: Vec<u8>| {
            let node = nodes.remove(&at).expect("its path was listed");
            (at[path.len()..].to_vec(), node)
        };
        Ok(paths.into_iter().map(|at| take(&mut self.nodes, at)).collect())
    }

    fn come(
        &mut self,
        change: &FileChange,
        aside: &mut BTreeMap<&[u8], Nodes>,
    ) -> Result<(), String> {
        let path = &change.path;
        let (is_free, told) = match &change.kind {
            ChangeKind::Deleted => return Ok(()),
            ChangeKind::Added => (true, None),
            ChangeKind::Renamed { difference, .. } => (true, Some(*difference)),
            ChangeKind::Modified(difference) => (false, Some(*difference)),
        };
        if self.nodes.contains_key(path) == is_free {
            return Err(format!("{} {}: free: {}", change.letter(), shown(path), !is_free));
        }
        let above = path.iter().rposition(|&byte| byte == b'/').map_or(&b""[..], |at| &path[..at]);
        let is_in_directory = self.nodes.get(above).is_some_and(is_directory) || path.is_empty();
        if !is_in_directory {
            return Err(format!("{} {}: in no directory", change.letter(), shown(path)));
        }
        for (below, node) in aside.remove(&path[..]).unwrap_or_default() {
            self.nodes.insert([&path[..], &below].concat(), node);
        }
        let after = change.after.as_ref().expect("what is there has attributes");
        let new = node(self.after, after).expect("what is there can be read");
        let node = match told {
            Some(difference) if !change.is_of_another_file() => {
                let old = self.nodes.get(path).ok_or("nothing was moved")?;
                patched(old, &new, difference)
            }
            _ => new,
        };
        self.nodes.insert(path.clone(), node);
        Ok(())
    }
}

fn is_directory(node: &Node) -> bool {
    node.attributes.kind == FileKind::Directory
}

/// The file before, with what is different about it after.
fn patched(old: &Node, new: &Node, difference: Difference) -> Node {
    let mut node = old.clone();
    if difference.content {
        node.content = new.content.clone();
        node.attributes.size = new.attributes.size;
    }
    if difference.attributes {
        let (size, modified) = (node.attributes.size, node.attributes.modified);
        node.attributes = Attributes { size, modified, ..new.attributes };
        node.extended = new.extended.clone();
    }
    if difference.modified {
        node.attributes.modified = new.attributes.modified;
    }
    node
}

fn shown(path: &[u8]) -> String {
    format!("/{}", path.escape_ascii())
}

fn expect_applies(before: &FilesView, after: &FilesView) -> Result<(), String> {
    let changes = changes(before, after).map_err(|error| error.to_string())?;
    let told = || {
        let line = |change: &FileChange| match &change.kind {
            ChangeKind::Renamed { from, .. } => {
                format!("R {} {}", shown(from), shown(&change.path))
            }
            _ => format!("{} {}", change.letter(), shown(&change.path)),
        };
        changes.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let mut patched = Patched { nodes: nodes(before), after };
    let done = patched.apply(&changes);
    done.map_err(|what| format!("{what}\nafter\n{}", told()))?;
    let expected = nodes(after);
    let mut paths: Vec<_> = patched.nodes.keys().chain(expected.keys()).collect();
    paths.sort();
    match paths.into_iter().find(|path| patched.nodes.get(*path) != expected.get(*path)) {
        Some(path) => {
            let (found, expected) = (patched.nodes.get(path), expected.get(path));
            let path = shown(path);
            Err(format!("{path}: {found:?}, expected {expected:?} after\n{}", told()))
        }
        None => Ok(()),
    }
}

/// What is done to a tree between two looks.
#[derive(Clone, Debug)]
enum Turn {
    Step(Step),
    /// A directory goes with all that is in it.
    RemoveAll(usize),
    Look,
}

fn turn() -> impl Strategy<Value = Turn> {
    // Few names, so that those that went are soon taken again.
    let (at, name) = (|| 0..1000_usize, || 0..4_u8);
    let step = prop_oneof![
        6 => (at(), name(), 0..5_u8).prop_map(|(at, name, kind)| Step::Make { at, name, kind }),
        3 => (at(), 0..6000_u32, any::<u8>())
            .prop_map(|(at, length, value)| Step::Write { at, offset: 0, length, value }),
        2 => (at(), at(), name()).prop_map(|(at, to, name)| Step::Link { at, to, name }),
        2 => at().prop_map(|at| Step::Remove { at }),
        8 => (at(), at(), name(), prop::bool::weighted(0.3))
            .prop_map(|(at, to, name, exchange)| Step::Rename { at, to, name, exchange }),
        1 => (at(), 0..0o2000_u16, 0..5_u32)
            .prop_map(|(at, permissions, owner)| Step::Attributes { at, permissions, owner }),
        1 => (at(), name(), 0..9_u32, any::<u8>()).prop_map(|(at, name, length, value)| {
            Step::SetExtended { at, name, length, value }
        }),
    ];
    prop_oneof![
        20 => step.prop_map(Turn::Step),
        1 => at().prop_map(Turn::RemoveAll),
        3 => Just(Turn::Look),
    ]
}

/// A tree with its model, and what was looked at.
struct Play {
    tree: Tree,
    model: Model,
    views: Vec<FilesView>,
}

impl Play {
    fn act(&mut self, action: &Action) {
        let before = self.model.clone();
        let allowed = action.apply(&mut self.model);
        if !allowed {
            self.model = before;
        }
        assert_eq!(self.tree.apply(action).is_ok(), allowed, "{action:?}");
    }

    fn take(&mut self, turn: &Turn) {
        match turn {
            Turn::Step(step) => {
                if let Some(action) = step.resolve(&self.model) {
                    self.act(&action);
                }
            }
            Turn::RemoveAll(at) => {
                let paths: Vec<String> =
                    self.model.paths().into_iter().map(|(path, _)| path).collect();
                let top = paths[at % paths.len()].clone();
                let of_it = |path: &&String| {
                    !path.is_empty() && (**path == top || is_below(path.as_bytes(), top.as_bytes()))
                };
                for path in paths.iter().rev().filter(of_it) {
                    self.act(&Action::Remove { path: path.clone() });
                }
            }
            Turn::Look => self.look(),
        }
    }

    fn look(&mut self) {
        let snapshot = self.tree.files.snapshot(&Default::default()).unwrap();
        self.views.push(FilesView::open(snapshot).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300 * factor() as u32, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Everything below a directory that had moved away was left out where its old path was taken again.
    #[test]
    fn changes_make_one_tree_of_another(
        common in prop::collection::vec(turn(), 0..40),
        own in prop::collection::vec(turn(), 0..30),
        of_fork in prop::collection::vec(turn(), 0..30),
    ) {
        let tree = Tree::create(Arc::new(MemoryHost::new())).unwrap();
        let mut play = Play { tree, model: Model::new(), views: Vec::new() };
        common.iter().for_each(|turn| play.take(turn));
        play.look();
        let fork = play.tree.fork(play.views.last().unwrap().snapshot(), "fork").unwrap();
        let model = play.model.clone();
        let mut fork = Play { tree: fork, model, views: Vec::new() };
        own.iter().for_each(|turn| play.take(turn));
        play.look();
        of_fork.iter().for_each(|turn| fork.take(turn));
        fork.look();
        let views: Vec<&FilesView> = play.views.iter().chain(&fork.views).collect();
        for before in &views {
            for after in &views {
                expect_applies(before, after).map_err(TestCaseError::fail)?;
            }
        }
    }
}

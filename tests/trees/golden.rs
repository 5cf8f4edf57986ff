//! A tree that version 1 wrote is read for ever, entry by entry.
//!
//! `golden/version-1-tree` is a store in which [`of_every_kind`] was done to a tree, byte for byte; it
//! is never made again. A version that writes another form gets a folder of its own beside it, which
//! `SAPWOOD_TEST_GOLDEN_TREE=FOLDER cargo test -p sapwood-tests golden` makes.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use sapwood::Replace;
use sapwood::medium::{FileHost, Network};

use super::model::{Model, Observed};
use super::step::{Action, pattern};
use super::subject::{Tree, difference, observe, observe_checked};
use super::workloads::of_every_kind;
use crate::versions::{copy_of, expect_sound};

/// The stages after which there is a snapshot, and its tag; the first of them is sealed.
const SNAPSHOTS: [(usize, &str); 2] = [(2, "early:1"), (5, "late:1")];

fn snapshot_after(stage: usize) -> Option<&'static str> {
    SNAPSHOTS.iter().find(|(after, _)| *after == stage).map(|(_, tag)| *tag)
}

fn make(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let host = FileHost::open_root(folder, Network::Allow).unwrap();
    let tree = Tree::create(Arc::new(host)).unwrap();
    for (number, stage) in of_every_kind().iter().enumerate() {
        stage.iter().for_each(|action| tree.apply(action).unwrap());
        match snapshot_after(number) {
            None => tree.files.flush().unwrap(),
            Some(tag) => {
                tree.files.snapshot(&Default::default()).unwrap();
                tree.store.tag("tree@1", tag, Replace::Refuse).unwrap();
            }
        }
    }
    tree.store.seal(SNAPSHOTS[0].1).unwrap();
    // Not closed: the last commits are records of its journal.
}

/// What each reference shows, by the plain model, and the model as it is at the end.
fn expected() -> (Vec<(&'static str, Observed)>, Model) {
    let mut model = Model::new();
    let mut expected = Vec::new();
    for (number, stage) in of_every_kind().iter().enumerate() {
        for action in stage {
            assert!(action.apply(&mut model), "{action:?} is allowed");
        }
        expected.extend(snapshot_after(number).map(|tag| (tag, model.observed())));
    }
    expected.push(("tree", model.observed()));
    (expected, model)
}

#[test]
fn a_tree_that_version_1_wrote_is_read_and_written() {
    if let Some(folder) = std::env::var_os("SAPWOOD_TEST_GOLDEN_TREE") {
        return make(Path::new(&folder));
    }
    let (_folder, host) = copy_of("version-1-tree");
    expect_sound(&host);
    let (references, mut model) = expected();
    let compare = |tree: &Tree, references: &[(&str, Observed)]| {
        for (reference, expected) in references {
            let found = observe_checked(&tree.store, reference).unwrap().unwrap();
            assert!(found == *expected, "{reference}: {}", difference(&found, expected));
        }
    };
    let tree = Tree::open(host.clone()).unwrap();
    compare(&tree, &references);
    let write = Action::Write { path: "e/second".to_owned(), offset: 70, data: pattern(9, 9000) };
    assert!(write.apply(&mut model));
    tree.apply(&write).unwrap();
    tree.files.snapshot(&Default::default()).unwrap();
    let tree = tree.reopen().unwrap();
    let found = observe(&tree.files).unwrap();
    assert!(found == model.observed(), "{}", difference(&found, &model.observed()));
    compare(&tree, &references[..SNAPSHOTS.len()]);
    tree.files.close().unwrap();
    expect_sound(&host);
}

//! Whether the trees that names lead to fit together.

use std::collections::HashSet;

use sapwood::ErrorKind;
use sapwood::chain::{Snapshot, ViewExtent, ViewTarget};
use sapwood::files::{FilesView, TreeFinding, TreeSeverity, check};
use sapwood::format::LayerKind;
use sapwood::store::Store;
use sapwood::units::{ADDRESS_END, BlockAddress, LayerId};

use crate::error::Result;

/// What was looked at, and found.
#[derive(Default)]
pub struct Trees {
    pub trees: u64,
    pub files: u64,
    pub findings: Vec<Found>,
}

/// Something that was found in the tree of a name.
pub struct Found {
    pub name: String,
    pub layer: LayerId,
    pub severity: &'static str,
    pub what: String,
}

/// Checks the tree of each tag, and of each volume as in its last commit, each layer's once.
pub fn check_trees(store: &Store) -> Result<Trees> {
    let mut found = Trees::default();
    let mut done = HashSet::new();
    // Of damaged ones the check of the store tells.
    for entry in store.names_left()?.names {
        let (layer, what) = match open(store, &entry.name, entry.top, &mut done) {
            Ok(None) => continue,
            Ok(Some(view)) => (view.snapshot().layer_id(), check(&view)),
            Err(error) => (entry.top, Err(error)),
        };
        found.trees += 1;
        match what {
            Ok(report) => {
                found.files += report.files;
                let findings = report.findings.iter();
                found
                    .findings
                    .extend(findings.map(|finding| Found::new(&entry.name, layer, finding)));
            }
            // Gone meanwhile, or lost, which the check of the store tells.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.is_of_one_file() || error.kind() == ErrorKind::WrongParent => {
                let severity = if error.is_newer() { "newer" } else { "damage" };
                let what = error.to_string();
                found.findings.push(Found { name: entry.name, layer, severity, what })
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// The tree of a name; none where it is a disk, holds nothing, or was looked at already.
fn open(
    store: &Store,
    name: &str,
    top: LayerId,
    done: &mut HashSet<LayerId>,
) -> sapwood::Result<Option<FilesView>> {
    if store.layer(top)?.kind == LayerKind::Disk {
        return Ok(None);
    }
    let mut snapshot = store.snapshot_of(name)?;
    if let Some(parent) = store.layer(top)?.parent {
        let parent = store.snapshot_of(&parent.id.to_string())?;
        // A fork that nothing was written to holds what its parent does.
        if is_same(&snapshot, &parent)? {
            snapshot = parent;
        }
    }
    if !done.insert(snapshot.layer_id()) || is_empty(&snapshot)? {
        return Ok(None);
    }
    FilesView::open(snapshot).map(Some)
}

fn is_same(snapshot: &Snapshot, parent: &Snapshot) -> sapwood::Result<bool> {
    Ok(snapshot.changes_since(parent)?.next().transpose()?.is_none())
}

/// Whether nothing was ever written: a volume that nobody opened as files yet.
fn is_empty(snapshot: &Snapshot) -> sapwood::Result<bool> {
    let mut extents = snapshot.extents(BlockAddress(0), BlockAddress(ADDRESS_END));
    let is_hole =
        |extent: &ViewExtent| extent.target == ViewTarget::Hole && extent.length == ADDRESS_END;
    Ok(extents.next().transpose()?.is_none_or(|first| is_hole(&first)))
}

impl Found {
    fn new(name: &str, layer: LayerId, finding: &TreeFinding) -> Found {
        let what = match (finding.inode, finding.page) {
            (Some(inode), _) => format!("inode {inode}: {}", finding.what),
            (None, Some(page)) => format!("page {page}: {}", finding.what),
            (None, None) => finding.what.clone(),
        };
        let severity = match finding.severity {
            TreeSeverity::Note => "note",
            TreeSeverity::Damage => "damage",
        };
        Found { name: name.to_owned(), layer, severity, what }
    }
}

//! Whether the trees that names lead to fit together.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use sapwood::chain::{Snapshot, ViewExtent, ViewTarget};
use sapwood::files::{FilesView, TreeFinding, TreeSeverity, check};
use sapwood::format::LayerKind;
use sapwood::inspect::{CheckReport, Severity};
use sapwood::store::Store;
use sapwood::units::{ADDRESS_END, BlockAddress, LayerId};
use sapwood::{Error, ErrorKind};

use crate::error::Result;

/// What was looked at, and found.
#[derive(Default)]
pub struct Trees {
    /// Trees of which all was looked at.
    pub trees: u64,
    /// Trees that could not be read to their end.
    pub trees_not_whole: u64,
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

/// What of the store's files is known to be unreadable: many trees go through one block, and it is told
/// once.
#[derive(Default)]
pub struct Told {
    /// Files of which more than a block of data is wrong.
    files: HashSet<PathBuf>,
    /// Bytes of files.
    places: HashSet<(PathBuf, u64)>,
}

impl Told {
    /// What the check of the store told.
    pub fn by(report: &CheckReport) -> Told {
        let mut told = Told::default();
        let is_told = |severity| matches!(severity, Severity::Damage | Severity::Newer);
        for finding in report.findings.iter().filter(|finding| is_told(finding.severity)) {
            match (finding.block, finding.offset) {
                (Some(_), Some(offset)) => {
                    told.places.insert((finding.path.clone(), offset));
                }
                _ => {
                    told.files.insert(finding.path.clone());
                }
            }
        }
        told
    }

    /// Whether a place was told already; it is from now on.
    fn has(&mut self, path: &Path, offset: u64) -> bool {
        self.files.contains(path) || !self.places.insert((path.to_owned(), offset))
    }

    /// Whether the check of the store has told why something cannot be read.
    fn has_error(&mut self, error: &Error) -> bool {
        // Gone meanwhile, or lost: a finding of what stands on it.
        let is_lost = error.kind() == ErrorKind::NotFound
            || error.io_source().is_some_and(|it| it.kind() == std::io::ErrorKind::NotFound);
        is_lost || error.path().is_some_and(|path| self.has(path, error.offset().unwrap_or(0)))
    }
}

/// Checks the tree of each tag, and of each volume as in its last commit, each layer's once, as far as each
/// can be read.
pub fn check_trees(store: &Store, told: &mut Told) -> Result<Trees> {
    let mut found = Trees::default();
    let mut done = HashSet::new();
    // Of damaged ones the check of the store tells.
    for entry in store.names_left()?.names {
        let kind = store.layer(entry.top).map(|layer| layer.kind);
        let is_tree = matches!(kind, Ok(LayerKind::Tree));
        let (layer, what) =
            match kind.and_then(|kind| open(store, kind, &entry.name, entry.top, &mut done)) {
                Ok(None) => continue,
                Ok(Some(view)) => (view.snapshot().layer_id(), check(&view)),
                Err(error) => (entry.top, Err(error)),
            };
        match what {
            Ok(report) => {
                match report.is_whole() {
                    true => found.trees += 1,
                    false => found.trees_not_whole += 1,
                }
                found.files += report.files;
                for finding in &report.findings {
                    let unread = finding.unread.as_ref();
                    if !unread.is_some_and(|(path, offset)| told.has(path, *offset)) {
                        found.findings.push(Found::new(&entry.name, layer, finding));
                    }
                }
            }
            Err(error)
                if error.is_of_one_file()
                    || matches!(error.kind(), ErrorKind::WrongParent | ErrorKind::NotFound) =>
            {
                found.trees_not_whole += u64::from(is_tree);
                if !told.has_error(&error) {
                    let severity = if error.is_newer() { "newer" } else { "damage" };
                    let what = error.to_string();
                    found.findings.push(Found { name: entry.name, layer, severity, what })
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// The tree of a name; none where it is a disk, holds nothing, or was looked at already.
fn open(
    store: &Store,
    kind: LayerKind,
    name: &str,
    top: LayerId,
    done: &mut HashSet<LayerId>,
) -> sapwood::Result<Option<FilesView>> {
    if kind == LayerKind::Disk {
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
            TreeSeverity::Newer => "newer",
            TreeSeverity::Damage => "damage",
        };
        Found { name: name.to_owned(), layer, severity, what }
    }
}

//! The files of an image, each with the layer that made it what it is.

use std::collections::HashMap;

use sapwood::files::{ChangeKind, FileKind, FilesView, Inode, ReadFiles, changes};
use sapwood::{LayerId, Result, Store};

/// A file of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// How many directories it is below the root.
    pub depth: u32,
    /// Its name; empty for the root.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: FileKind,
    /// Its size in bytes; of a directory 0.
    pub size: u64,
    /// The number of the layer, from the lowest on, that made it, or last changed its content,
    /// its attributes or its name.
    pub layer: usize,
    /// A file that stands in the tree under another name before: its size is counted there.
    pub is_further_name: bool,
}

/// The tree that the topmost of these layers shows, in the order of paths.
pub fn owned(store: &Store, layers: &[LayerId]) -> Result<Vec<TreeEntry>> {
    let mut owners: HashMap<Inode, usize> = HashMap::new();
    let mut below: Option<FilesView> = None;
    for (number, layer) in layers.iter().enumerate() {
        let view = FilesView::open(store.snapshot_of(&layer.to_string())?)?;
        if let Some(below) = &below {
            for change in changes(below, &view)? {
                let is_old = change.is_only_of_names() && !change.is_of_another_file();
                let is_owned = !is_old && change.kind != ChangeKind::Deleted;
                if let Some(file) = change.after.filter(|_| is_owned) {
                    owners.insert(file.inode, number);
                }
            }
        }
        below = Some(view);
    }
    match below {
        Some(top) => walk(&top, &owners),
        None => Ok(Vec::new()),
    }
}

fn walk(view: &FilesView, owners: &HashMap<Inode, usize>) -> Result<Vec<TreeEntry>> {
    let mut entries = Vec::new();
    let mut seen = HashMap::new();
    let mut left = vec![(0, Vec::new(), Inode::ROOT)];
    while let Some((depth, name, inode)) = left.pop() {
        let file = view.attributes(inode)?;
        let is_directory = file.kind == FileKind::Directory;
        if is_directory {
            let mut names = Vec::new();
            view.entries(inode, 0, &mut |entry| {
                names.push((depth + 1, entry.name.to_vec(), entry.inode));
                std::ops::ControlFlow::Continue(())
            })?;
            names.sort_unstable_by(|a, b| b.1.cmp(&a.1));
            left.extend(names);
        }
        let is_further_name = !is_directory && file.links > 1 && seen.insert(inode, ()).is_some();
        entries.push(TreeEntry {
            depth,
            name,
            kind: file.kind,
            size: if is_directory { 0 } else { file.size },
            layer: owners.get(&inode).copied().unwrap_or(0),
            is_further_name,
        });
    }
    Ok(entries)
}

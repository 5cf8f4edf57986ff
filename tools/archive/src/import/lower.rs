//! What an image layer has put over the layers below it, so that whiteouts hide those alone.
//!
//! A whiteout acts on lower layers wherever it stands in the stream. So the names that the layer
//! itself brought are remembered, in directories that may still hold others.

use std::collections::{HashMap, HashSet};

use sapwood::files::Inode;

/// How a layer came to have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// As a directory on the way to another member.
    OnTheWay,
    /// As a member.
    Itself,
}

/// The names of the layer that is being applied.
#[derive(Debug, Default)]
pub struct Lower {
    /// What the layer brought, by directory and name; not kept for directories in `own`.
    brought: HashMap<Inode, HashMap<Vec<u8>, Brought>>,
    /// Directories that hold nothing of the layers below: those that the layer made, and those
    /// that were made opaque. Nothing is looked through twice.
    own: HashSet<Inode>,
}

impl Lower {
    /// Whether a directory holds nothing of the layers below.
    pub fn is_own(&self, directory: Inode) -> bool {
        self.own.contains(&directory)
    }

    /// Notes that a directory holds nothing of the layers below.
    pub fn set_own(&mut self, directory: Inode) {
        self.brought.remove(&directory);
        self.own.insert(directory);
    }

    /// Notes a name of the layer.
    pub fn bring(&mut self, directory: Inode, name: &[u8], how: Brought) {
        if self.is_own(directory) {
            return;
        }
        let names = self.brought.entry(directory).or_default();
        match names.get_mut(name) {
            None => {
                names.insert(name.to_vec(), how);
            }
            Some(before) if how == Brought::Itself => *before = how,
            Some(_) => {}
        }
    }

    /// How the layer brought a name, in a directory that is not its own.
    pub fn brought(&self, directory: Inode, name: &[u8]) -> Option<Brought> {
        self.brought.get(&directory)?.get(name).copied()
    }

    /// Forgets a directory that is gone: its number may be given again.
    pub fn forget(&mut self, directory: Inode) {
        self.brought.remove(&directory);
        self.own.remove(&directory);
    }
}

//! What is mounted: live files, or those of a snapshot.

use std::sync::Arc;

use fuser::Errno;
use sapwood::files::{Files, Inode, ReadFiles};

/// A tree, as far as a mount may use it.
#[derive(Clone, Debug)]
pub enum Tree {
    /// To be read only.
    View(Arc<dyn ReadFiles>),
    /// To be read and written.
    Live(Files),
}

impl Tree {
    /// What can be read.
    pub fn reader(&self) -> &dyn ReadFiles {
        match self {
            Tree::View(view) => &**view,
            Tree::Live(files) => files,
        }
    }

    /// What can be written, where anything can.
    pub fn writer(&self) -> Result<&Files, Errno> {
        match self {
            Tree::View(_) => Err(Errno::EROFS),
            Tree::Live(files) => Ok(files),
        }
    }

    /// Keeps a file that the kernel is about to know, though its last name may go.
    pub fn hold(&self, inode: Inode) {
        if let Tree::Live(files) = self {
            files.hold(inode);
        }
    }

    /// Gives `count` holds back.
    pub fn release(&self, inode: Inode, count: u64) -> sapwood::Result<()> {
        match self {
            Tree::View(_) => Ok(()),
            Tree::Live(files) => files.release(inode, count),
        }
    }
}

//! What became of a file between two trees.

use super::types::{Attributes, FileKind};

/// What is different about a file that is in both trees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The bytes of a file were written, cut off or made more; the target of a symlink.
    pub content: bool,
    /// Kind, permissions, owner, group, device or extended attributes.
    pub attributes: bool,
    /// The time of its last change.
    pub modified: bool,
    /// Of a directory: names came, went or lead elsewhere.
    pub names: bool,
}

/// What became of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was not there before, or led to a directory that is elsewhere now.
    Added,
    /// It is not there any more, or leads to a directory that was elsewhere before.
    Deleted,
    /// It is there in both, the same file or another in its place.
    Modified(Difference),
    /// The file was there before under another name, which is gone.
    Renamed {
        /// The path before.
        from: Vec<u8>,
        /// What else is different.
        difference: Difference,
    },
}

/// A name that differs between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Where it is, or was if it was deleted: from the root on, without a slash in front. How a list of
    /// changes is applied is said at [`changes`](super::changes()).
    pub path: Vec<u8>,
    /// What became of it.
    pub kind: ChangeKind,
    /// The file as it was before.
    pub before: Option<Attributes>,
    /// The file as it is after.
    pub after: Option<Attributes>,
}

impl FileChange {
    /// The letter by which version control tells it: A, D, M or R.
    pub fn letter(&self) -> char {
        match self.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
            ChangeKind::Modified(_) => 'M',
            ChangeKind::Renamed { .. } => 'R',
        }
    }

    /// Whether another file stands under the name, which may be as the one before in all else.
    pub fn is_of_another_file(&self) -> bool {
        let identity = |file: &Attributes| (file.inode, file.generation);
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => identity(before) != identity(after),
            _ => false,
        }
    }

    /// Whether nothing is different but a directory's own list of names or its times, or which file it is.
    pub fn is_only_of_names(&self) -> bool {
        let ChangeKind::Modified(difference) = &self.kind else { return false };
        match self.after.is_some_and(|after| after.kind == FileKind::Directory) {
            true => !difference.attributes,
            false => *difference == Difference::default(),
        }
    }
}

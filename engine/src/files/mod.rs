//! The file view: directories and files in the blocks of a volume or a snapshot.
//!
//! It owns no storage. The bytes of a file lie at block address (inode number << 32 | block in
//! the file), so the sparse address space is the allocator; the metadata is one B+tree in the
//! blocks of inode 0, changed in place by logical address. The engine below makes copies on write
//! of that, and one commit of all of it: there is no journal here, no copy-up and no whiteout.
//!
//! [`Files`] is a live tree, [`FilesView`] one of a snapshot; [`ReadFiles`] is what both can.

mod attachments;
mod blame;
mod blocks;
mod change;
mod changes;
mod check;
mod compare;
mod content;
mod core;
mod entries;
mod extended;
mod held;
mod interval;
mod layers;
mod live;
mod load;
mod names;
mod occupied;
mod operation;
mod options;
mod paths;
mod read;
mod share;
#[cfg(test)]
mod tests;
mod tree;
mod types;
mod view;

pub use crate::format::files::Time;
pub use attachments::{attachment, find_attachment};
pub use blame::{BlameRange, Share, TreeUsage, blame, shares, usage};
pub use change::{ChangeKind, Difference, FileChange};
pub use changes::changes;
pub use check::{TreeFinding, TreeReport, TreeSeverity, check};
pub use compare::{compare, difference};
pub use layers::{HiddenContent, LayerContent, contents_of_layers};
pub use live::Files;
pub use options::FilesOptions;
pub use paths::{DirectoryEntry, Paths};
pub use types::{
    Attributes, Entry, FileKind, Inode, NewFile, RenameMode, Seek, SetAttributes, SetMode,
    SizeChange, Statistics,
};
pub use view::{FilesView, ReadFiles};

//! The file view's own structures: what lies in the blocks of inode 0.
//!
//! A page is one block. Block checksums are the layer's affair; what stands here guards against
//! pages that lie at a wrong address, and against made-up ones: nothing is taken on trust.

pub mod entry;
pub mod inode;
pub mod key;
pub mod page;
pub mod superblock;

pub use entry::EntryValue;
pub use inode::{InodeFlags, InodeRecord, Time};
pub use key::{ItemKind, Key};
pub use page::{Held, Page, PageBytes, item_bytes_max};
pub use superblock::Superblock;

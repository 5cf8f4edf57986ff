//! The one place with `unsafe`: maps, casts of columns, vector search, signal guard.
//!
//! Everything else in the crate denies it; each block here says why it is sound.
#![expect(unsafe_code, reason = "the fenced place: see the SAFETY note on each block")]

mod byte_lock;
mod columns;
mod fork;
mod guard;
mod map;
mod prefetch;
mod search;
mod writeback;

pub use byte_lock::{lock_byte, unlock_bytes};
pub use columns::{AlignedBytes, Column, Item, PieceBytes, as_bytes, as_items};
pub use fork::fork_generation;
#[cfg(test)]
pub(crate) use fork::in_child;
pub use guard::install_guard;
pub use map::Map;
pub use prefetch::prefetch_start;
pub use search::{
    Buckets, CompareNode, Search, Tree, Vectors, group_from_root, group_in_bucket, prefetch, rank,
    search,
};
pub use writeback::start_writeback;

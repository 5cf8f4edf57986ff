//! The one place with `unsafe`: maps, casts of columns, vector search, signal guard.
//!
//! Everything else in the crate denies it; each block here says why it is sound.
#![expect(unsafe_code, reason = "the fenced place: see the SAFETY note on each block")]

mod columns;
mod map;

pub use columns::{as_u32s, as_u64s};
pub use map::Map;

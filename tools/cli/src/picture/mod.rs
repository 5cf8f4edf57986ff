//! Pictures in text: who owns what, and how layers stand on each other.

pub mod graph;
pub mod map;

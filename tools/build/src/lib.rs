//! Containerfiles into layers of sapwood, with a cache.

pub mod containerfile;

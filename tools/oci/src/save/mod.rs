//! Images out of a store.

mod layer;
mod prepare;

pub use layer::{OutgoingLayer, WrittenLayer};
pub use prepare::{OutgoingImage, manifest_of};

//! Images out of a store: as folders, as archives, and for registries.

mod archive;
mod layer;
mod layout;
mod prepare;
mod write;

pub use archive::{save_docker_archive, save_oci_archive};
pub use layer::{OutgoingLayer, WrittenLayer};
pub use layout::save_layout;
pub use prepare::OutgoingImage;
pub use write::{Save, SavedImage};

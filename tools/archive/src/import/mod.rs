//! Files into a tree: from a directory of the host, a tar stream, a layer of an image.

mod copy;
mod directory;
mod host;
mod lower;
mod name;
mod reading;
mod removal;
mod resolve;
mod stream;
mod target;
mod transfer;

pub use copy::{TreeSource, copy_file, copy_tree};
pub use directory::{import_directory, import_file};
pub use host::{HostDirectory, HostFile, Identity};
pub use name::WHITEOUT_PREFIX;
pub use stream::{import_layer, import_layer_recorded, import_tar};
pub use transfer::transfer_layer;

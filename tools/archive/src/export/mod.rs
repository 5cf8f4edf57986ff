//! Files out of a tree: to a directory of the host, a tar stream, a layer of an image.

mod content;
mod directory;
mod host;
mod layer;
mod member;
mod plan;
mod tar;

pub use content::{read as read_content, segments as segments_of};
pub use directory::{export_directory, export_file};
pub use layer::export_layer;
pub use member::member_of;
pub use plan::{MadeAnew, Plan, plan};
pub use tar::export_tar;

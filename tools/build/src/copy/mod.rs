//! `COPY` and `ADD`: files into a tree.

mod digest;
mod owner;
mod permissions;
mod place;
mod unpack;
mod way;

pub use self::digest::{Looked, digest};
pub use self::owner::Owner;
pub use self::permissions::Permissions;
pub use self::place::{Document, Placing, Target};
pub use self::unpack::unpack;
pub use self::way::make_directories;

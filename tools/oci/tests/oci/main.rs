//! Images in stores.

mod attacks;
mod crafted;
mod ids;
mod life;
mod load;
mod model;
mod page;
mod peers_in;
mod peers_out;
mod rebase;
mod registry;
mod residue;
mod save;
mod support;

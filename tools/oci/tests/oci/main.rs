//! Images in stores.

mod crafted;
mod life;
mod load;
mod model;
mod page;
mod save;
mod support;

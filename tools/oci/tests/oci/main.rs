//! Images in stores.

mod life;
mod model;
mod page;
mod save;
mod support;

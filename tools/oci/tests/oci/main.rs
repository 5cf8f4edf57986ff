//! Images in stores.

mod model;

//! sapwood: a copy-on-write block-level snapshot engine.

pub mod chain;
pub mod error;
pub mod extent;
pub mod format;
pub mod inspect;
pub mod layer;
pub mod medium;
pub mod raw;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod units;
pub mod volume;

pub use error::{Error, ErrorKind, Result};

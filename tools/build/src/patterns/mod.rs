//! Patterns of paths: for sources that are copied, and for files that are left out.

mod glob;
mod ignore;

pub use self::glob::Glob;
pub use self::ignore::Ignore;

//! Garbage collection: whole files that nothing reaches, and blocks that no kept view can see.
//!
//! `census` looks at every file, `reach` finds the layers that anybody needs, `see` the
//! blocks of removed ones among them, `plan` adds up what goes, and `sweep` takes it away. `unnamed`
//! finds what files of kept layers hold that nothing ever names. `left` is for those who only look,
//! where layers are lost or damaged, and `obstacles` tells what a collection refuses beside.

mod census;
mod journal;
mod left;
mod obstacles;
mod plan;
mod reach;
mod run;
mod see;
mod sweep;
mod unnamed;

pub(super) use census::{Census, was_never_durable, what_is_left};
pub(super) use journal::sources_of_open;
pub use left::LostLayer;
pub(super) use left::{Ends, look_at_what_is_left};
pub use obstacles::Obstacles;
pub(super) use obstacles::obstacles;
pub(super) use plan::{Assume, Plan, plan};
pub use run::{GcOptions, GcReport};
pub(super) use sweep::change_header;

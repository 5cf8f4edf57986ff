//! Doubles of the host for tests: one that records and loses power, one whose
//! calls fail, one that fills up; and a plain model of what a store must do.
//!
//! They are for tests of the engine and of what embeds it; see `docs/TESTING.md`.

mod capacity;
mod crash;
mod disk;
mod faults;
mod image;
mod layers;
mod model;
mod random;
mod settle;

pub use capacity::CapacityHost;
pub use crash::{CrashState, CrashStates, DistinctStates, Policy};
pub use disk::{CrashDisk, CrashHost};
pub use faults::{Call, Fault, FaultHost, FaultKind, Repeat};
pub use layers::{FolderLayers, LayerBuilder};
pub use model::{Model, ModelBlock, ModelLayer};
pub use random::Random;

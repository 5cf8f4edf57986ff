//! Stores: names, locks, leases, forks, usage, garbage collection.
//!
//! A store is a directory of layers, with names for some of them. Everything in it but
//! layers and names can be derived again.

mod cache;
mod collect;
mod digests;
mod flatten;
mod frame;
mod give_up;
mod handle;
mod headers;
mod history;
mod holders;
mod holdings;
mod home;
mod info;
mod lease;
mod locks;
mod making;
mod marks;
mod name;
mod names;
mod newer;
mod paths;
mod ranges;
mod reference;
mod released;
mod remove;
mod resolve;
mod seal;
mod snapshots;
mod tag;
mod usage;
mod usage_of_names;
mod volumes;

pub use collect::{GcOptions, GcReport, LostLayer, Obstacles};
pub use flatten::Progress;
pub use frame::{Mended, OWN_FILE};
pub use give_up::GivenUp;
pub use handle::{Store, StoreOptions};
pub use holdings::{HeldLayer, Holding, Holdings, Removal};
pub use info::{KeptSnapshot, LayerInfo, LineageLeft, NamesLeft};
pub use making::{Making, TagOfMaking};
pub use name::Name;
pub use names::{DamagedName, FOLDER};
pub use paths::LOST_AND_FOUND;
pub use remove::RemoveReport;
pub use resolve::{Resolved, ResolvedKind};
pub use tag::Replace;
pub use usage::{StoreUsage, Usage};
pub use usage_of_names::UsageOfNames;

#[cfg(test)]
mod tests;

//! Containerfiles into images of sapwood: one layer an instruction, and what did not change is not
//! made again.

mod base;
mod build;
mod cache;
mod configuration;
pub mod containerfile;
mod copy;
mod error;
mod event;
mod kept;
mod options;
mod origin;
mod patterns;
mod plan;
mod platform;
mod stage;
mod time;
mod variables;
mod workshop;

pub use build::{Report, build, silent};
pub use configuration::{Configuration, Execution, Healthcheck, History, RootFilesystem};
pub use error::{Cause, Error, Result};
pub use event::{Event, Listener, Outcome, Step, StepReport, Stream};
pub use kept::{RemovedDirectories, remove_kept_directories};
pub use options::{CacheUse, Options, SOURCE_DATE_EPOCH, Secret};
pub use patterns::Ignore;
pub use platform::parse as parse_platform;
pub use workshop::remove_abandoned;

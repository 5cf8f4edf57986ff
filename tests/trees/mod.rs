//! Trees of files against a plain model of them: random play, power cuts, failing hosts.

mod concurrency;
mod differences;
mod faults;
mod golden;
mod model;
mod play;
mod power_cuts;
mod random;
mod step;
mod subject;
mod workloads;

use crate::harness::store::options;

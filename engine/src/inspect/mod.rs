//! Check and dump: a second reading of the format, for files that do not open and for
//! anybody who wants to be sure.
//!
//! It stands on `format` and `medium` alone and shares no code with what serves volumes: a
//! mistake in one of the two readings shows as a difference between them. Nothing here
//! ever writes (INV-08), and both work beside a live writer: what is read is copied, and what
//! looks broken is looked at again before it is called so.

mod blocks;
mod check;
mod column;
mod dump;
mod file;
mod journal;
mod map;
mod report;
mod run;
mod slots;
#[cfg(test)]
mod tests;

pub use check::{CheckOptions, CheckProgress, check, check_layer};
pub use dump::{DumpField, DumpItem, DumpOptions, DumpValue, Verdict, dump};
pub use report::{CheckCounts, CheckReport, FINDINGS_MAX, Finding, Severity};

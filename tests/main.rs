//! Whole-system tests, one binary: a module for each question.

mod commit_protocol;
mod crash_disk;
mod documents;
mod failing_hosts;
mod harness;
mod harness_itself;
mod model;
mod power_cuts;
mod real_files;
mod structure;

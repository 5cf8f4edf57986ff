//! Whole-system tests, one binary: a module for each question.

mod commit_protocol;
mod concurrency;
mod crash_disk;
mod damage;
mod damage_of_files;
mod documents;
mod edges;
mod failing_hosts;
mod full_host;
mod harness;
mod harness_itself;
mod layer_samples;
mod limits;
mod many_processes;
mod model;
mod power_cuts;
mod real_files;
mod real_images;
mod real_processes;
mod structure;
mod trees;
mod versions;

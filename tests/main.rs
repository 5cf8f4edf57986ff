//! Whole-system tests, one binary: a module for each question.

mod commit_protocol;
mod crash_disk;
mod documents;
mod real_files;
mod structure;

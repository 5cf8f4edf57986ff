//! Real mounts, served by processes of their own.
//!
//! Where the machine cannot mount, each test says so and does nothing.

mod basics;
mod control;
mod crash;
mod handles;
mod harness;
mod held_back;
mod lists;
mod many;
mod nested;
mod options;
mod points;
mod posix;
mod postgres;
mod pressure;
mod programs;
mod random;
mod suites;
mod writers;

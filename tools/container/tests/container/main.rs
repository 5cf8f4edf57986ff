//! Processes over trees, by the runtime that this machine has: what they see, and what is left.

mod each;
mod many;
mod runs;
mod support;

//! Builds, from the Containerfile to the tree and the configuration.

mod buildah;
mod cache;
mod context;
mod newer;
mod refusals;
mod running;
mod set;
mod side_by_side;
mod support;
mod trips;

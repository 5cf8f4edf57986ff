//! Trees in and out: what goes in comes out, what is hostile stays out.

mod attacks;
mod compressed;
mod copies;
mod differences;
mod hosts;
mod interchange;
mod layers;
mod mutants;
mod numbers;
mod readers;
mod residue;
mod root_filesystem;
mod round_trips;
mod support;

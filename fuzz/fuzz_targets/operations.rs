//! Operations on a store in memory against the model, with what a check says of it at the end.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sapwood::medium::MemoryHost;
use sapwood_fuzz::world::{Operation, World};

fuzz_target!(|operations: Vec<Operation>| {
    let mut world = World::new(Arc::new(MemoryHost::new()));
    world.run(&operations);
    world.compare();
});

//! Operations on a tree of files in memory against the model, with deaths, reopens, snapshots,
//! and a check of each tree at the end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_fuzz::trees::Steps;
use sapwood_fuzz::trees::play::play;

fuzz_target!(|steps: Steps| {
    if let Err(difference) = play(&steps.0) {
        panic!("{difference}");
    }
});

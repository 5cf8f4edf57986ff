//! Several who build in one store, and who tidy it up meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sapwood_build::{CacheUse, Options, build, remove_abandoned, silent};

use crate::support::Bench;

/// Each build begins by looking after what others left that were killed: a volume that its build had just let go of to
/// remove it was locked then, and the build failed.
#[test]
fn builds_that_begin_are_in_the_way_of_none_that_ends_a_stage() {
    let bench = Bench::new();
    bench.write("a", "1");
    let text = "FROM scratch\nCOPY --link a /l1\nCOPY --link a /l2\nCOPY --link a /l3\nCOPY a /x\n";
    let options = Options { cache: CacheUse::Ignore, ..bench.options(text) };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    remove_abandoned(&bench.store).expect("nobody else is in the way either");
                }
            });
        }
        for _ in 0..12 {
            let built = build(&bench.store, &options, &silent);
            if built.is_err() {
                is_over.store(true, Ordering::Relaxed);
            }
            built.unwrap_or_else(|error| panic!("{error}"));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let names = bench.store.names().unwrap();
    // Whoever was the last to have one open has removed it.
    assert!(names.iter().all(|name| !name.name.starts_with("building:")), "{names:?}");
}

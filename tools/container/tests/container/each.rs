use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does something for each number below `count`, for `at_once` of them at a time.
pub fn each(count: usize, at_once: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let numbers = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count);
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| std::iter::from_fn(numbers).for_each(&work));
        }
    });
}

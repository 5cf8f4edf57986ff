//! The same for several things, on several threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;
use sapwood::Result;

/// Does `work` for each of `items`, on so many threads at most, and gives what came of each, in order.
///
/// Errors: the first in the order of `items`; those behind one that failed may not have been begun.
pub fn in_parallel<I: Sync, T: Send>(
    items: &[I],
    threads_max: usize,
    work: impl Fn(usize, &I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done: Vec<_> = items.iter().map(|_| Mutex::new(None)).collect();
    let go_on = || {
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            let came = work(index, item);
            failed.fetch_or(came.is_err(), Ordering::Relaxed);
            *done[index].lock() = Some(came);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads_max.min(items.len()) {
            scope.spawn(go_on);
        }
        go_on();
    });
    done.into_iter().filter_map(Mutex::into_inner).collect()
}

//! The threads that work is spread over: one set for the process, and not rayon's own, which is for whoever
//! links this crate to make as they want it.
//!
//! A process that may start none (a limit of its user, or of the control group that it runs in)
//! does all on the thread that asks. Rayon would end it.

use std::sync::OnceLock;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::raw::fork_generation;

/// How many files are worth starting threads for.
const FILES_MANY: usize = 256;

/// What `each` makes of every item, in their order.
pub fn map<T: Sync, R: Send>(items: &[T], each: impl Fn(&T) -> R + Send + Sync) -> Vec<R> {
    match pool() {
        Some(pool) => install(pool, || items.par_iter().map(each).collect()),
        None => items.iter().map(each).collect(),
    }
}

/// As [`map`], into results: one of the errors where there are some.
pub fn try_map<T: Sync, R: Send, E: Send>(
    items: &[T],
    each: impl Fn(&T) -> Result<R, E> + Send + Sync,
) -> Result<Vec<R>, E> {
    match pool() {
        Some(pool) => install(pool, || items.par_iter().map(each).collect()),
        None => items.iter().map(each).collect(),
    }
}

/// As [`try_map`], of small files that are read each for itself: thousands of them are thousands of calls,
/// and few are read before threads have started.
pub fn try_map_files<T: Sync, R: Send, E: Send>(
    files: &[T],
    read: impl Fn(&T) -> Result<R, E> + Send + Sync,
) -> Result<Vec<R>, E> {
    match files.len() {
        0..FILES_MANY => files.iter().map(read).collect(),
        _ => try_map(files, read),
    }
}

/// Has `work` spread its parts over the threads of `pool`. A thread of another set of rayon's spreads them
/// over that: while it waited for this one it would begin with the next thing that it has to do, and within
/// that with the next, until its stack ends.
fn install<R: Send>(pool: &ThreadPool, work: impl FnOnce() -> R + Send) -> R {
    match rayon::current_thread_index() {
        Some(_) => work(),
        None => pool.install(work),
    }
}

/// Does `job` beside the caller, or before it goes on.
pub fn spawn(job: impl FnOnce() + Send + 'static) {
    match pool() {
        Some(pool) => pool.spawn(job),
        None => job(),
    }
}

/// The threads, started when they are first wanted. What could not be started once is not tried again; nor
/// in a forked child, which has none of them and does all by itself.
fn pool() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<(u32, Option<ThreadPool>)> = OnceLock::new();
    let start = || {
        // Rayon would ask the environment.
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let builder = ThreadPoolBuilder::new().num_threads(threads);
        (fork_generation(), builder.thread_name(|number| format!("sapwood-{number}")).build().ok())
    };
    let (process, pool) = POOL.get_or_init(start);
    pool.as_ref().filter(|_| *process == fork_generation())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::in_child;

    /// It once took rayon's own set, of a size that the environment says, before whoever links this crate
    /// could make one.
    #[test]
    fn work_is_spread_over_threads_of_its_own() {
        let name = || std::thread::current().name().map(str::to_owned).unwrap_or_default();
        let names = map(&[(); 100], |()| name());
        assert!(names.iter().all(|name| name.starts_with("sapwood-")), "{names:?}");
        let (told, say) = std::sync::mpsc::channel();
        spawn(move || told.send(name()).unwrap());
        assert!(say.recv().unwrap().starts_with("sapwood-"));
    }
    #[test]
    fn who_is_in_another_set_waits_for_none() {
        let other = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let items = vec![(); 20_000];
        let sum: usize =
            other.install(|| items.par_iter().map(|()| map(&[1; 64], |one| *one).len()).sum());
        assert_eq!(sum, 64 * items.len());
    }

    /// A child waited for threads that only its parent has, and with the lock of a store held for good.
    #[test]
    fn a_forked_child_does_all_by_itself() {
        let items: Vec<u32> = (0..100).collect();
        let expected = map(&items, |item| item + 1);
        assert!(in_child(|| map(&items, |item| item + 1) == expected));
    }
}

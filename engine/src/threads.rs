//! The threads that work is spread over: those of rayon, of which a process has one set.
//!
//! A process that may start none (a limit of its user, or of the control group that it runs in)
//! does all on the thread that asks. Rayon would end it.

use std::error::Error;
use std::sync::OnceLock;

use rayon::prelude::*;

/// How many files are worth starting threads for.
const FILES_MANY: usize = 256;

/// What `each` makes of every item, in their order.
pub fn map<T: Sync, R: Send>(items: &[T], each: impl Fn(&T) -> R + Send + Sync) -> Vec<R> {
    match there_are_some() {
        true => items.par_iter().map(each).collect(),
        false => items.iter().map(each).collect(),
    }
}

/// As [`map`], into results: one of the errors where there are some.
pub fn try_map<T: Sync, R: Send, E: Send>(
    items: &[T],
    each: impl Fn(&T) -> Result<R, E> + Send + Sync,
) -> Result<Vec<R>, E> {
    match there_are_some() {
        true => items.par_iter().map(each).collect(),
        false => items.iter().map(each).collect(),
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

/// Does `job` beside the caller, or before it goes on.
pub fn spawn(job: impl FnOnce() + Send + 'static) {
    match there_are_some() {
        true => rayon::spawn(job),
        false => job(),
    }
}

/// Whether rayon has its threads. What it could not start once it does not try again.
fn there_are_some() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| match rayon::ThreadPoolBuilder::new().build_global() {
        Ok(()) => true,
        // Without a source: they were started before, by whoever links this crate.
        Err(error) => error.source().is_none(),
    })
}

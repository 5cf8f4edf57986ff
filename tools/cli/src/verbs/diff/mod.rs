//! `diff`: lists what differs between two snapshots or volumes: ranges of blocks, or files.

mod blocks;
mod container;
mod files;
mod patch;

use crate::args::DiffArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::printable_bytes;

pub fn run(args: &DiffArgs, context: &Context<'_>) -> Result<Verdict> {
    match &args.b {
        None => container::list(args, context),
        Some(b) if args.files || args.patch => files::compare(args, b, context),
        Some(b) => blocks::compare(args, b, context),
    }
}

/// The answer, once it is printed.
fn verdict(printed: Result<()>, differs: bool) -> Result<Verdict> {
    match printed {
        // A reader that has seen enough of a list: the answer is known all the same.
        Err(CliError::ReaderGone) if differs => Ok(Verdict::No),
        Err(error) => Err(error),
        Ok(()) if differs => Ok(Verdict::No),
        Ok(()) => Ok(Verdict::Done),
    }
}

/// A path as people are shown it: without a slash in front, as `git` has them; the root is `.`.
fn shown_path(path: &[u8]) -> String {
    if path.is_empty() { ".".to_owned() } else { printable_bytes(path) }
}

//! `ls`: lists tags and volumes, or files in trees.

mod files;
mod names;

use crate::args::LsArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};

pub fn run(args: &LsArgs, context: &Context<'_>) -> Result<Verdict> {
    if args.paths.is_empty() { names::list(context) } else { files::list(args, context) }
}

//! `df`: tells what the whole store holds.

mod classes;
mod store;

use crate::args::DfArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};

pub fn run(args: &DfArgs, context: &Context<'_>) -> Result<Verdict> {
    match args.verbose {
        true => classes::tell(context),
        false => store::tell(context),
    }
}

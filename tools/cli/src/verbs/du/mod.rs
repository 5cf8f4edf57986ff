//! `du`: tells virtual, allocated, exclusive and shared bytes of names, or how much of a tree each
//! layer holds.

mod layers;
mod names;

use crate::args::DuArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};

pub fn run(args: &DuArgs, context: &Context<'_>) -> Result<Verdict> {
    match &args.reference {
        Some(reference) if args.layers => layers::tell(reference, context),
        _ => names::tell(args, context),
    }
}

//! `flush`: makes durable what was written into a volume, through its mount where it has one.

use std::io::{self, Write};

use serde::Serialize;

use crate::args::NameArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Flushed<'a> {
    name: &'a str,
}

impl Report for Flushed<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        writeln!(text, "flushed {}", self.name)
    }
}

pub fn run(args: &NameArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    match context.running_mount(&store, &args.name)? {
        Some(mut mount) => mount.flush()?,
        // Nobody has it open, or the one who has is told by name: each commit is durable already,
        // and opening makes what recovery finds durable too.
        None => store.open_volume(&args.name)?.close()?,
    }
    context.print(&Flushed { name: &args.name })
}

//! `resize`: changes the size of a volume.

use std::io::{self, Write};

use serde::Serialize;

use crate::args::ResizeArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Resized<'a> {
    name: &'a str,
    before_bytes: u64,
    size_bytes: u64,
}

impl Report for Resized<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let (before, now) = (text.units.size(self.before_bytes), text.units.size(self.size_bytes));
        writeln!(text, "resized {}: {before} -> {now}", self.name)
    }
}

pub fn run(args: &ResizeArgs, context: &Context<'_>) -> Result<Verdict> {
    let volume = context.open_store()?.open_volume(&args.name)?;
    let before_bytes = volume.size_bytes();
    if args.size < before_bytes && !args.shrink {
        return Err(CliError::usage(format!(
            "{} holds {before_bytes} bytes: --shrink drops what lies past byte {}",
            args.name, args.size
        )));
    }
    volume.resize(args.size)?;
    volume.flush()?;
    volume.close()?;
    context.print(&Resized { name: &args.name, before_bytes, size_bytes: args.size })
}

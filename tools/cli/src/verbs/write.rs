//! `write`: writes standard input into a volume.

use std::io::{self, Write};

use serde::Serialize;

use super::ranges::expect_disk;
use crate::args::WriteArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::image::{StreamSource, pump};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Written<'a> {
    name: &'a str,
    offset_bytes: u64,
    length_bytes: u64,
}

impl Report for Written<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let length = text.units.size(self.length_bytes);
        writeln!(text, "wrote {length} into {} at {}", self.name, self.offset_bytes)
    }
}

pub fn run(args: &WriteArgs, context: &Context<'_>) -> Result<Verdict> {
    let volume = context.open_store()?.open_volume(&args.name)?;
    expect_disk(volume.kind(), &args.name, "`cp - NAME:/path` writes a file")?;
    let progress = context.output.progress("writing", None);
    let mut length = 0;
    pump(
        |filler| StreamSource::fill(filler, args.offset),
        |offset, bytes| {
            volume.write_at(offset, bytes)?;
            length += bytes.len() as u64;
            progress.set(length);
            Ok(())
        },
    )?;
    volume.flush()?;
    volume.close()?;
    drop(progress);
    context.print(&Written { name: &args.name, offset_bytes: args.offset, length_bytes: length })
}

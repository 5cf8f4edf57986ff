//! `create`: makes an empty volume.

use std::io::{self, Write};

use serde::Serialize;

use crate::args::CreateArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Made<'a> {
    name: &'a str,
    layer: String,
    size_bytes: u64,
}

impl Report for Made<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let size = text.units.size(self.size_bytes);
        writeln!(text, "made the volume {}, {size}", self.name)
    }
}

pub fn run(args: &CreateArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_or_create_store()?;
    let volume = store.create_volume(&args.name, args.size)?;
    volume.flush()?;
    let layer = volume.layer_id().to_string();
    volume.close()?;
    context.print(&Made { name: &args.name, layer, size_bytes: args.size })
}

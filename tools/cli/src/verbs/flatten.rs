//! `flatten`: makes a layer without ancestors that reads the same, as a tag.

use std::io::{self, Write};

use serde::Serialize;

use crate::args::FlattenArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Flattened<'a> {
    reference: &'a str,
    tag: &'a str,
    layer: String,
    copied_bytes: u64,
}

impl Report for Flattened<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let copied = text.units.size(self.copied_bytes);
        writeln!(text, "flattened {} as {}: {copied} copied", self.reference, self.tag)
    }
}

pub fn run(args: &FlattenArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let bar = context.output.progress("flattening", None);
    let snapshot = context.making(&store, || {
        Ok(store.flatten(&args.reference, &args.tag, &mut |progress| {
            bar.set_of(progress.done_bytes, progress.total_bytes);
        })?)
    })?;
    drop(bar);
    let copied_bytes = store.layer(snapshot.layer_id())?.data_blocks * store.block_size().bytes();
    let layer = snapshot.layer_id().to_string();
    context.print(&Flattened { reference: &args.reference, tag: &args.tag, layer, copied_bytes })
}

//! `fork`: makes a volume on top of a snapshot.

use std::io::{self, Write};

use serde::Serialize;

use crate::args::ForkArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Forked<'a> {
    name: &'a str,
    layer: String,
    parent: &'a str,
    parent_layer: Option<String>,
    size_bytes: u64,
}

impl Report for Forked<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        writeln!(text, "forked {} from {}", self.name, self.parent)
    }
}

pub fn run(args: &ForkArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let volume = store.fork(&args.reference, &args.name)?;
    let forked = Forked {
        name: &args.name,
        layer: volume.layer_id().to_string(),
        parent: &args.reference,
        parent_layer: volume.parent().map(|parent| parent.id.to_string()),
        size_bytes: volume.size_bytes(),
    };
    // In the library a fork is not durable before its first flush; here done means done.
    if !args.no_sync {
        volume.close()?;
    }
    context.print(&forked)
}

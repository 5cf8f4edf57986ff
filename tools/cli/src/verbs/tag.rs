//! `tag`: gives a snapshot a name.

use std::io::{self, Write};

use sapwood::store::Replace;
use sapwood_oci::by_id;
use serde::Serialize;

use crate::args::TagArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Tagged<'a> {
    reference: &'a str,
    tag: &'a str,
    layer: String,
}

impl Report for Tagged<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        writeln!(text, "tagged {} as {}", self.reference, self.tag)
    }
}

pub fn run(args: &TagArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let replace = if args.force { Replace::Move } else { Replace::Refuse };
    store.tag(&by_id(&store, &args.reference)?, &args.tag, replace)?;
    let layer = store.resolve(&args.tag)?.layer.to_string();
    context.print(&Tagged { reference: &args.reference, tag: &args.tag, layer })
}

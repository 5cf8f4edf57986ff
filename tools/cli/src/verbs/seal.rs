//! `seal`: names a snapshot, and all below it, by the digest of its content.

use std::io::{self, Write};

use serde::Serialize;

use crate::args::ReferenceArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Sealed<'a> {
    reference: &'a str,
    layer: String,
    digest: String,
}

impl Report for Sealed<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        writeln!(text, "{}", self.digest)
    }
}

pub fn run(args: &ReferenceArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let layer = store.resolve(&args.reference)?.layer.to_string();
    let digest = store.seal(&args.reference)?.to_string();
    context.print(&Sealed { reference: &args.reference, layer, digest })
}

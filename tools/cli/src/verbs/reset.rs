//! `reset`: drops what a volume holds over its parent.

use std::io::{self, Write};

use sapwood::files::{Files, FilesOptions};
use sapwood::format::LayerKind;
use sapwood::store::Store;
use serde::Serialize;

use crate::args::NameArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Reset<'a> {
    name: &'a str,
    layer: String,
}

impl Report for Reset<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        writeln!(text, "reset {} to its parent", self.name)
    }
}

/// A tree that stands on nothing is empty now, without even its root: it is given one.
fn give_root(store: &Store, name: &str) -> Result<()> {
    let volume = store.open_volume(name)?;
    if volume.kind() == LayerKind::Disk || volume.parent().is_some() {
        return Ok(volume.close()?);
    }
    let files = Files::open(volume, FilesOptions::default())?;
    files.flush()?;
    Ok(files.close()?)
}

pub fn run(args: &NameArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    store.reset(&args.name)?;
    give_root(&store, &args.name)?;
    let layer = store.resolve(&args.name)?.layer.to_string();
    context.print(&Reset { name: &args.name, layer })
}

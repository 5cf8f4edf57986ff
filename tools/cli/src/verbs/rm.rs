//! `rm`: removes tags, volumes or snapshots.

use std::io::{self, Write};

use serde::Serialize;

use crate::args::RmArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::size::counted;
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Removals<'a> {
    removed: Vec<Removal<'a>>,
}

#[derive(Serialize)]
struct Removal<'a> {
    reference: &'a str,
    layers_removed: Vec<String>,
}

impl Report for Removals<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        for removal in &self.removed {
            let layers = counted(removal.layers_removed.len() as u64, "layer");
            writeln!(text, "removed {}: {layers} left to `gc`", removal.reference)?;
        }
        Ok(())
    }
}

pub fn run(args: &RmArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    // A word that is mistyped stops the whole line before anything is gone.
    for reference in &args.references {
        store.resolve(reference)?;
    }
    let mut removed = Vec::new();
    for reference in &args.references {
        let report = store.remove(reference)?;
        let layers_removed = report.layers.iter().map(|layer| layer.to_string()).collect();
        removed.push(Removal { reference, layers_removed });
    }
    context.print(&Removals { removed })
}

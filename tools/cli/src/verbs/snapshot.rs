//! `snapshot`: freezes what a volume holds.

use std::io::{self, Write};

use sapwood::store::Replace;
use serde::Serialize;

use super::annotate::annotations;
use crate::args::SnapshotArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Taken<'a> {
    name: &'a str,
    layer: String,
    tag: Option<&'a str>,
}

impl Report for Taken<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let tag = self.tag.map(|tag| format!(", tagged {tag}")).unwrap_or_default();
        writeln!(text, "snapshot of {}: {}{tag}", self.name, self.layer)
    }

    fn write_quiet(&self, text: &mut Text<'_>) -> io::Result<()> {
        writeln!(text, "{}", self.layer)
    }
}

pub fn run(args: &SnapshotArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    if let Some(tag) = &args.tag {
        store.expect_free(tag)?;
    }
    let annotations = annotations("snapshot", args.comment.as_deref(), &args.labels);
    let layer = match context.running_mount(&store, &args.name)? {
        Some(mut mount) => mount.snapshot(&annotations)?,
        None => {
            let volume = store.open_volume(&args.name)?;
            let layer = volume.snapshot(&annotations)?.layer_id();
            volume.close()?;
            layer
        }
    }
    .to_string();
    if let Some(tag) = &args.tag {
        store.tag(&layer, tag, Replace::Refuse)?;
    }
    context.print(&Taken { name: &args.name, layer, tag: args.tag.as_deref() })
}

//! `commit`: makes an image of what a container holds.

mod change;

use std::io::{self, Write};

use sapwood::Replace;
use sapwood_container::{Commit, Sealing, commit};
use serde::Serialize;

use self::change::Changes;
use super::annotate::annotations;
use crate::args::CommitArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::time::rfc3339;
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Done<'a> {
    name: &'a str,
    tag: &'a str,
    layer: String,
    image_layer: String,
    /// The digest of the image's configuration.
    image: String,
}

impl Report for Done<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        writeln!(text, "committed {} as {}: {}", self.name, self.tag, self.image)
    }
}

pub fn run(args: &CommitArgs, context: &Context<'_>) -> Result<Verdict> {
    let changes = Changes::read(&args.changes)?;
    let store = context.open_store()?;
    let annotations = annotations("commit", args.comment.as_deref(), &[]);
    let created = rfc3339(annotations.created.unwrap_or_default());
    let done = commit(
        &store,
        &args.name,
        &Commit {
            tag: &args.tag,
            replace: if args.force { Replace::Move } else { Replace::Refuse },
            annotations: &annotations,
            created: &created,
            author: args.author.as_deref(),
            sealing: if args.no_seal { Sealing::Leave } else { Sealing::Seal },
            change: &|config| changes.apply(config),
        },
    )?;
    context.print(&Done {
        name: &args.name,
        tag: &args.tag,
        layer: done.layer.to_string(),
        image_layer: done.image.snapshot().layer_id().to_string(),
        image: done.image.configuration().digest().to_string(),
    })
}

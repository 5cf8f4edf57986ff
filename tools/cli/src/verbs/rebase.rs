//! `rebase`: applies the layers of an image on another base.

use std::io::{self, Write};

use sapwood_oci::{Image, RebaseOptions, rebase};
use serde::Serialize;

use crate::args::RebaseArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::size::counted;
use crate::output::table::{Column, Table};
use crate::output::{Report, Text, printable_bytes};
use crate::reports::short_digest;
use crate::tree::PathReport;

#[derive(Serialize)]
struct Moved<'a> {
    image: &'a str,
    onto: &'a str,
    old_base: String,
    new_base: Option<String>,
    tag: Option<&'a str>,
    id: Option<String>,
    layers: u64,
    conflicts: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    path: PathReport,
    #[serde(skip)]
    shown: String,
    base: &'static str,
    layers: &'static str,
}

impl Report for Moved<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let mut table =
            Table::new(&[Column::Left("BASE"), Column::Left("LAYERS"), Column::Left("PATH")]);
        for row in &self.conflicts {
            table.row([row.base, row.layers, &row.shown]);
        }
        if !self.conflicts.is_empty() {
            table.write(text)?;
        }
        let conflicts = counted(self.conflicts.len() as u64, "conflict");
        match (self.tag, &self.id) {
            (Some(tag), Some(id)) => {
                let layers = counted(self.layers, "layer");
                let over = if self.conflicts.is_empty() {
                    String::new()
                } else {
                    format!(", over {conflicts}")
                };
                let id = short_digest(id);
                writeln!(
                    text,
                    "moved {layers} of {} onto {} as {tag} ({id}){over}",
                    self.image, self.onto
                )
            }
            _ => writeln!(text, "{conflicts}: nothing was made; --force takes the layers' side"),
        }
    }
}

pub fn run(args: &RebaseArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let image = Image::open(&store, &args.image)?;
    let onto = Image::open(&store, &args.onto)?;
    let (tag, replace) =
        super::squash::target(&store, &args.image, args.tag.as_deref(), args.force)?;
    let options = RebaseOptions { from: args.from.as_deref(), force: args.force, replace };
    let done = rebase(&store, &image, &onto, tag, &options)?;
    let conflicts = done.conflicts.iter().map(|conflict| Row {
        path: PathReport::new(&conflict.path),
        shown: printable_bytes(&conflict.path),
        base: conflict.base.as_str(),
        layers: conflict.layers.as_str(),
    });
    let made = done.image.as_ref();
    let id = made.map(|made| made.image.configuration().digest().to_string());
    context.print(&Moved {
        image: &args.image,
        onto: &args.onto,
        old_base: done.old_base.to_string(),
        new_base: done.new_base.map(|layer| layer.to_string()),
        tag: made.map(|_| tag),
        id,
        layers: made.map_or(0, |made| made.layers),
        conflicts: conflicts.collect(),
    })?;
    Ok(if made.is_some() { Verdict::Done } else { Verdict::No })
}

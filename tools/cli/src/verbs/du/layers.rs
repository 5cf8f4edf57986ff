//! How much of a tree each layer holds, from metadata alone, and what the tree is made of.

use std::collections::HashMap;
use std::io::{self, Write};

use sapwood::files::{TreeUsage, shares, usage};
use serde::Serialize;

use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::size::counted;
use crate::output::table::{Column, Table};
use crate::output::{Report, Text};
use crate::reports::{names_of_layers, short};
use crate::tree::open_view;

#[derive(Serialize)]
struct Shares<'a> {
    reference: &'a str,
    layers: Vec<Row>,
    files: u64,
    directories: u64,
    content_bytes: u64,
    inline_bytes: u64,
    block_bytes: u64,
    tail_bytes: u64,
    metadata_bytes: u64,
    attachments: u64,
    attachment_bytes: u64,
}

#[derive(Serialize)]
struct Row {
    layer: String,
    names: Vec<String>,
    content_bytes: u64,
    metadata_bytes: u64,
}

impl Report for Shares<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let units = text.units;
        let mut table = Table::new(&[
            Column::Left("LAYER"),
            Column::Right("CONTENT"),
            Column::Right("METADATA"),
            Column::Left("NAMES"),
        ]);
        for row in &self.layers {
            table.row([
                short(&row.layer).to_owned(),
                units.size(row.content_bytes),
                units.size(row.metadata_bytes),
                row.names.join(", "),
            ]);
        }
        table.write(text)?;
        let directories = match self.directories {
            1 => "1 directory".to_owned(),
            count => format!("{count} directories"),
        };
        let others = self.files.saturating_sub(self.directories);
        writeln!(text, "{}, {directories}", counted(others, "file"))?;
        writeln!(
            text,
            "{} of content: {} beside the names, {} in blocks, of which {} past the ends of files",
            units.size(self.content_bytes),
            units.size(self.inline_bytes),
            units.size(self.block_bytes),
            units.size(self.tail_bytes),
        )?;
        if self.attachments > 0 {
            let (attachments, bytes) =
                (counted(self.attachments, "attachment"), units.size(self.attachment_bytes));
            writeln!(text, "{attachments} beside the tree: {bytes}")?;
        }
        Ok(())
    }
}

pub fn tell(reference: &str, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let view = open_view(&store, reference)?;
    let shares = shares(&view)?;
    let names = names_of_layers(&store, reference, shares.keys().copied())?;
    // From the top down, as `log` has them.
    let depths: HashMap<_, _> = store
        .lineage(reference)?
        .iter()
        .enumerate()
        .map(|(depth, info)| (info.id, depth))
        .collect();
    let mut shares: Vec<_> = shares.into_iter().collect();
    shares.sort_by_key(|(layer, _)| depths.get(layer).copied().unwrap_or(usize::MAX));
    let row = |(layer, share): (sapwood::units::LayerId, sapwood::files::Share)| Row {
        layer: layer.to_string(),
        names: names.get(&layer).cloned().unwrap_or_default(),
        content_bytes: share.content_bytes,
        metadata_bytes: share.metadata_bytes,
    };
    let TreeUsage {
        files,
        directories,
        content_bytes,
        inline_bytes,
        block_bytes,
        tail_bytes,
        metadata_bytes,
        attachments,
        attachment_bytes,
    } = usage(&view)?;
    context.print(&Shares {
        reference,
        layers: shares.into_iter().map(row).collect(),
        files,
        directories,
        content_bytes,
        inline_bytes,
        block_bytes,
        tail_bytes,
        metadata_bytes,
        attachments,
        attachment_bytes,
    })
}

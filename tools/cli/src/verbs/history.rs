//! `history`: tells how an image came to be, and what each layer has in vain.

use std::io::{self, Write};

use sapwood_oci::{HistoryEntry, Image, history};
use serde::Serialize;

use crate::args::HistoryArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::table::{Column, Table};
use crate::output::{Report, Text, printable, printable_bytes};
use crate::reports::{short, when};
use crate::tree::PathReport;

/// How much is told of what made a layer, unless all is asked for.
const CREATED_BY_CHARS: usize = 45;

#[derive(Serialize)]
struct History<'a> {
    image: &'a str,
    id: String,
    history: Vec<Row>,
    content_bytes: u64,
    wasted_bytes: u64,
    #[serde(skip)]
    whole: bool,
    #[serde(skip)]
    worst: usize,
}

#[derive(Serialize)]
struct Row {
    layer: Option<String>,
    diff_id: Option<String>,
    created: Option<i64>,
    created_by: Option<String>,
    comment: Option<String>,
    empty_layer: bool,
    bytes: u64,
    wasted_bytes: u64,
    wasted: Vec<Wasted>,
}

#[derive(Serialize)]
struct Wasted {
    #[serde(flatten)]
    path: PathReport,
    #[serde(skip)]
    shown: String,
    bytes: u64,
}

impl Report for History<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let units = text.units;
        let mut table = Table::new(&[
            Column::Left("LAYER"),
            Column::Left("CREATED"),
            Column::Left("CREATED BY"),
            Column::Right("SIZE"),
            Column::Right("WASTED"),
            Column::Left("COMMENT"),
        ]);
        let id = |layer: &String| if self.whole { layer.clone() } else { short(layer).to_owned() };
        for row in &self.history {
            let size = |bytes: u64| match row.empty_layer {
                true => String::new(),
                false => units.size(bytes),
            };
            let by = printable(row.created_by.as_deref().unwrap_or_default());
            table.row([
                row.layer.as_ref().map_or("-".to_owned(), id),
                when(row.created),
                if self.whole { by } else { cut(&by) },
                size(row.bytes),
                size(row.wasted_bytes),
                printable(row.comment.as_deref().unwrap_or_default()),
            ]);
        }
        table.write(text)?;
        writeln!(
            text,
            "{} in layers, of which {} shows nowhere",
            units.size(self.content_bytes),
            units.size(self.wasted_bytes),
        )?;
        for row in &self.history {
            for file in row.wasted.iter().take(self.worst) {
                let layer = row.layer.as_ref().map_or(String::new(), id);
                let size = units.size(file.bytes);
                writeln!(text, "  {layer}  {size:>9}  {}", file.shown)?;
            }
        }
        Ok(())
    }
}

/// The beginning of a long text.
fn cut(text: &str) -> String {
    match text.char_indices().nth(CREATED_BY_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

pub fn run(args: &HistoryArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let image = Image::open(&store, &args.image)?;
    let history: Vec<Row> = history(&store, &image)?.into_iter().map(row).collect();
    context.print(&History {
        image: &args.image,
        id: image.configuration().digest().to_string(),
        content_bytes: history.iter().map(|row| row.bytes).sum(),
        wasted_bytes: history.iter().map(|row| row.wasted_bytes).sum(),
        history,
        whole: args.no_trunc,
        worst: args.worst,
    })
}

fn row(entry: HistoryEntry) -> Row {
    let mut row = Row {
        layer: None,
        diff_id: None,
        created: entry.created,
        created_by: entry.created_by,
        comment: entry.comment,
        empty_layer: entry.layer.is_none(),
        bytes: 0,
        wasted_bytes: 0,
        wasted: Vec::new(),
    };
    if let Some((layer, content)) = entry.layer {
        row.layer = Some(layer.id.to_string());
        row.diff_id = layer.diff_id.map(|digest| digest.to_string());
        row.bytes = content.content_bytes;
        row.wasted_bytes = content.hidden_bytes;
        row.wasted = content
            .hidden
            .iter()
            .map(|file| Wasted {
                path: PathReport::new(&file.path),
                shown: printable_bytes(&file.path),
                bytes: file.bytes,
            })
            .collect();
    }
    row
}

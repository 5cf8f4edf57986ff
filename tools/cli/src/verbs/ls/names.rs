//! Tags and volumes.

use std::io;

use serde::Serialize;

use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::table::{Column, Table};
use crate::output::{Report, Text};
use crate::reports::{LayerReport, name_kind, short, when};

#[derive(Serialize)]
struct Listing {
    names: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    kind: &'static str,
    #[serde(flatten)]
    layer: LayerReport,
}

impl Report for Listing {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let mut table = Table::new(&[
            Column::Left("NAME"),
            Column::Left("KIND"),
            Column::Right("SIZE"),
            Column::Right("ALLOCATED"),
            Column::Left("LAYER"),
            Column::Left("CREATED"),
        ]);
        for row in &self.names {
            table.row([
                row.name.clone(),
                row.kind.to_owned(),
                // A tree has no size of its own.
                match row.layer.layer_kind {
                    "tree" => "tree".to_owned(),
                    _ => text.units.size(row.layer.size_bytes),
                },
                text.units.size(row.layer.allocated_bytes),
                short(&row.layer.layer).to_owned(),
                when(row.layer.created),
            ]);
        }
        table.write(text)
    }
}

pub fn list(context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let mut names = store.names()?;
    names.sort_by(|a, b| a.name.cmp(&b.name));
    let names = names
        .into_iter()
        .map(|entry| {
            let layer = LayerReport::new(&store.layer(entry.top)?, &store);
            Ok(Row { name: entry.name, kind: name_kind(entry.kind), layer })
        })
        .collect::<Result<_>>()?;
    context.print(&Listing { names })
}

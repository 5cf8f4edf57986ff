//! Tags and volumes.

use std::io::{self, Write};

use sapwood::ErrorKind;
use sapwood::format::name::NameEntry;
use sapwood::store::{DamagedName, NamesLeft, Store};
use serde::Serialize;

use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::table::{Column, Table};
use crate::output::{Report, Text, printable};
use crate::reports::{LayerReport, short, unreadable, when};

#[derive(Serialize)]
struct Listing {
    names: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    kind: String,
    #[serde(flatten)]
    layer: Layer,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Layer {
    Known(LayerReport),
    /// Its file is lost, or cannot be read; none where that of the name cannot.
    Damaged {
        layer: Option<String>,
        damage: String,
        /// Nothing is wrong with it: a newer version made it.
        newer: bool,
    },
}

impl Row {
    fn new(entry: NameEntry, store: &Store) -> Result<Row> {
        let layer = match store.layer(entry.top) {
            Ok(info) => Layer::Known(LayerReport::new(&info, store)),
            Err(error) if error.is_of_one_file() || error.kind() == ErrorKind::NotFound => {
                Layer::Damaged {
                    layer: Some(entry.top.to_string()),
                    damage: error.to_string(),
                    newer: error.is_newer(),
                }
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Row { name: entry.name, kind: entry.kind.to_string(), layer })
    }

    fn damaged(DamagedName { name, kind, damage, is_newer }: DamagedName) -> Row {
        let layer = Layer::Damaged { layer: None, damage, newer: is_newer };
        Row { name, kind: kind.to_string(), layer }
    }

    fn damage(&self) -> Option<&str> {
        match &self.layer {
            Layer::Known(_) => None,
            Layer::Damaged { damage, .. } => Some(damage),
        }
    }
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
            let (name, kind) = (row.name.clone(), row.kind.clone());
            let (size, allocated, layer, created) = match &row.layer {
                Layer::Known(layer) => (
                    // A tree has no size of its own.
                    match layer.layer_kind {
                        "tree" => "tree".to_owned(),
                        _ => text.units.size(layer.size_bytes),
                    },
                    text.units.size(layer.allocated_bytes),
                    short(&layer.layer),
                    when(layer.created),
                ),
                Layer::Damaged { layer, newer, .. } => {
                    let layer = layer.as_deref().map(short).unwrap_or_default();
                    (unreadable(*newer).to_owned(), String::new(), layer, String::new())
                }
            };
            table.row([name, kind, size, allocated, layer.to_owned(), created]);
        }
        table.write(text)?;
        for row in &self.names {
            if let Some(damage) = row.damage() {
                writeln!(text, "{}: {}", printable(&row.name), printable(damage))?;
            }
        }
        Ok(())
    }
}

pub fn list(context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let NamesLeft { names, damaged } = store.names_left()?;
    let mut names: Vec<_> =
        names.into_iter().map(|entry| Row::new(entry, &store)).collect::<Result<_>>()?;
    names.extend(damaged.into_iter().map(Row::damaged));
    names.sort_by(|a, b| a.name.cmp(&b.name));
    let is_whole = names.iter().all(|row| row.damage().is_none());
    context.print_what_is_left(&Listing { names }, is_whole)
}

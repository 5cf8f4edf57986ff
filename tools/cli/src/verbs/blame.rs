//! `blame`: tells which layer wrote which range of a file, from metadata alone.

use std::collections::{BTreeMap, HashMap};
use std::io;

use sapwood::files::{Paths, blame};
use sapwood::store::Store;
use sapwood::units::LayerId;
use serde::Serialize;

use crate::args::BlameArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::table::{Column, Table};
use crate::output::{Report, Text, printable};
use crate::reports::{names_of_layers, short, when};
use crate::tree::{PathReport, open_view};

#[derive(Serialize)]
struct Blamed<'a> {
    reference: &'a str,
    #[serde(flatten)]
    path: PathReport,
    ranges: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    offset_bytes: u64,
    length_bytes: u64,
    /// None for zeros that nobody wrote.
    layer: Option<String>,
    names: Vec<String>,
    created: Option<i64>,
    comment: Option<String>,
}

impl Report for Blamed<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let mut table = Table::new(&[
            Column::Right("OFFSET"),
            Column::Right("LENGTH"),
            Column::Left("LAYER"),
            Column::Left("CREATED"),
            Column::Left("NAMES"),
            Column::Left("COMMENT"),
        ]);
        for row in &self.ranges {
            table.row([
                row.offset_bytes.to_string(),
                text.units.size(row.length_bytes),
                row.layer.as_deref().map_or("zeros", short).to_owned(),
                when(row.created),
                row.names.join(", "),
                printable(row.comment.as_deref().unwrap_or_default()),
            ]);
        }
        table.write(text)
    }
}

pub fn run(args: &BlameArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let place = &args.path;
    let view = open_view(&store, &place.reference)?;
    let inode = place.named(Paths::new(&view).resolve(&place.path))?;
    let ranges = place.named(blame(&store, &view, inode))?;
    let owners = ranges.iter().filter_map(|range| range.layer);
    let names = names_of_layers(&store, &place.reference, owners)?;
    let mut layers = Layers { store: &store, names, known: HashMap::new() };
    let ranges = ranges
        .into_iter()
        .map(|range| layers.row(range.start, range.end - range.start, range.layer))
        .collect::<Result<_>>()?;
    let path = PathReport::new(place.path.as_os_str().as_encoded_bytes());
    context.print(&Blamed { reference: &place.reference, path, ranges })
}

/// What is known of layers, each asked for once.
struct Layers<'a> {
    store: &'a Store,
    names: BTreeMap<LayerId, Vec<String>>,
    known: HashMap<LayerId, (Option<i64>, Option<String>)>,
}

impl Layers<'_> {
    fn row(&mut self, offset: u64, length: u64, layer: Option<LayerId>) -> Result<Row> {
        let (created, comment) = match layer {
            Some(layer) => self.annotations(layer)?,
            None => (None, None),
        };
        Ok(Row {
            offset_bytes: offset,
            length_bytes: length,
            layer: layer.map(|layer| layer.to_string()),
            names: layer.and_then(|layer| self.names.get(&layer)).cloned().unwrap_or_default(),
            created,
            comment,
        })
    }

    fn annotations(&mut self, layer: LayerId) -> Result<(Option<i64>, Option<String>)> {
        if let Some(known) = self.known.get(&layer) {
            return Ok(known.clone());
        }
        let annotations = self.store.layer(layer)?.annotations;
        let known = (annotations.created, annotations.comment);
        self.known.insert(layer, known.clone());
        Ok(known)
    }
}

//! What names take.

use std::io;

use sapwood::store::{LostLayer, Usage, UsageOfNames};
use sapwood::units::LayerId;
use serde::Serialize;

use crate::args::DuArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::table::{Column, Table};
use crate::output::{Report, Text};
use crate::reports::{DamageReport, short, unreadable};

#[derive(Serialize)]
struct Usages {
    usage: Vec<Row>,
    /// Layers that are lost, damaged or of a newer version, and names that are.
    damaged: Vec<DamageReport>,
}

#[derive(Serialize)]
struct Row {
    reference: String,
    #[serde(flatten)]
    usage: RowUsage,
}

#[derive(Serialize)]
#[serde(untagged)]
enum RowUsage {
    Known(Bytes),
    /// At this layer its history ends.
    Damaged {
        layer: String,
        newer: bool,
    },
}

#[derive(Serialize)]
struct Bytes {
    virtual_bytes: u64,
    allocated_bytes: u64,
    exclusive_bytes: u64,
    shared_bytes: u64,
}

impl Report for Usages {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let mut table = Table::new(&[
            Column::Left("NAME"),
            Column::Right("VIRTUAL"),
            Column::Right("ALLOCATED"),
            Column::Right("EXCLUSIVE"),
            Column::Right("SHARED"),
        ]);
        for row in &self.usage {
            let size = |bytes| text.units.size(bytes);
            let [virtual_size, allocated, exclusive, shared] = match &row.usage {
                RowUsage::Known(bytes) => [
                    bytes.virtual_bytes,
                    bytes.allocated_bytes,
                    bytes.exclusive_bytes,
                    bytes.shared_bytes,
                ]
                .map(size),
                RowUsage::Damaged { layer, newer } => {
                    let on = format!("on {}", short(layer));
                    [unreadable(*newer).to_owned(), on, String::new(), String::new()]
                }
            };
            table.row([row.reference.clone(), virtual_size, allocated, exclusive, shared]);
        }
        table.write(text)?;
        DamageReport::write_all(&self.damaged, text)
    }
}

pub fn tell(args: &DuArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let UsageOfNames { names, lost, damaged } = match &args.reference {
        Some(reference) => {
            let names = vec![(reference.clone(), Ok(store.usage_of(reference)?))];
            UsageOfNames { names, ..UsageOfNames::default() }
        }
        None => store.usage_of_names()?,
    };
    let is_whole = lost.is_empty() && damaged.is_empty();
    let is_newer = |layer: &LayerId| lost.get(layer).is_some_and(|lost| lost.is_newer);
    let row = |usage: Result<Usage, LayerId>| match usage {
        Ok(Usage { virtual_bytes, allocated_bytes, exclusive_bytes, shared_bytes, .. }) => {
            RowUsage::Known(Bytes { virtual_bytes, allocated_bytes, exclusive_bytes, shared_bytes })
        }
        Err(layer) => RowUsage::Damaged { layer: layer.to_string(), newer: is_newer(&layer) },
    };
    let usage = names.into_iter().map(|(reference, usage)| Row { reference, usage: row(usage) });
    let usage = usage.collect();
    let of_layer =
        |(id, lost): (_, LostLayer)| DamageReport::of_layer(id, lost.damage, lost.is_newer);
    let layers = lost.into_iter().map(of_layer);
    let damaged = damaged.into_iter().map(DamageReport::of_name).chain(layers);
    let report = Usages { usage, damaged: damaged.collect() };
    context.print_what_is_left(&report, is_whole)
}

//! `show`: tells what is known of one layer.

use std::io;

use serde::Serialize;

use crate::args::ReferenceArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::table::write_fields;
use crate::output::{Report, Text, printable};
use crate::reports::{LayerReport, when};

#[derive(Serialize)]
struct Shown<'a> {
    reference: &'a str,
    names: Vec<String>,
    #[serde(flatten)]
    layer: LayerReport,
    block_bytes: u64,
}

impl Report for Shown<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let layer = &self.layer;
        let units = text.units;
        let mut fields = vec![
            ("layer", layer.layer.clone()),
            ("names", self.names.join(", ")),
            ("kind", layer.layer_kind.to_owned()),
            ("state", layer.state_text()),
            ("digest", layer.digest.clone().unwrap_or_else(|| "not sealed".to_owned())),
            ("parent", layer.parent.clone().unwrap_or_else(|| "none".to_owned())),
            ("size", units.size(layer.size_bytes)),
            ("block", units.size(self.block_bytes)),
            ("own data", layer.data_bytes.map(|bytes| units.size(bytes)).unwrap_or_default()),
            ("file", units.size(layer.file_bytes)),
            ("allocated", units.size(layer.allocated_bytes)),
            ("created", when(layer.created)),
            ("created by", printable(layer.created_by.as_deref().unwrap_or_default())),
            ("comment", printable(layer.comment.as_deref().unwrap_or_default())),
        ];
        for (key, value) in &layer.labels {
            fields.push(("label", printable(&format!("{key}={value}"))));
        }
        fields.retain(|(_, value)| !value.is_empty());
        write_fields(text, &fields)
    }
}

pub fn run(args: &ReferenceArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let resolved = store.resolve(&args.reference)?;
    let info = store.layer_of(&resolved)?;
    let names = match &resolved.name {
        Some(name) if resolved.is_live() => vec![name.clone()],
        _ => store.names_of(&[info.id].into())?.into_values().flatten().collect(),
    };
    context.print(&Shown {
        reference: &args.reference,
        names,
        layer: LayerReport::new(&info, &store),
        block_bytes: store.block_size().bytes(),
    })
}

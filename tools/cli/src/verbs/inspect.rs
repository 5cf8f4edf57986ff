//! `inspect`: tells the configuration of an image or a container, and its layers.

use std::io::{self, Write};

use sapwood::{ErrorKind, NameKind};
use sapwood_container::container;
use sapwood_oci::{Image, by_id, history};
use serde::Serialize;

use crate::args::InspectArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::table::{Column, Table, write_fields};
use crate::output::{Report, Text, printable};
use crate::reports::{short, short_digest};

#[derive(Serialize)]
struct Inspected<'a> {
    image: &'a str,
    /// The digest of the configuration, which is the image's id.
    id: String,
    tags: Vec<String>,
    /// The volume, of a container.
    container: Option<&'a str>,
    layer: String,
    configuration: serde_json::Value,
    layers: Vec<Row>,
    content_bytes: u64,
    wasted_bytes: u64,
}

/// A filesystem layer, lowest first.
#[derive(Serialize)]
struct Row {
    layer: String,
    /// The digest of its content in the store, once it is sealed.
    digest: Option<String>,
    diff_id: Option<String>,
    chain_id: Option<String>,
    created: Option<i64>,
    created_by: Option<String>,
    comment: Option<String>,
    bytes: u64,
    wasted_bytes: u64,
    allocated_bytes: u64,
}

impl Report for Inspected<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let units = text.units;
        let mut fields = vec![
            ("image", self.image.to_owned()),
            ("id", self.id.clone()),
            ("tags", self.tags.join(", ")),
            ("layer", self.layer.clone()),
            ("content", units.size(self.content_bytes)),
            ("wasted", units.size(self.wasted_bytes)),
        ];
        if let Some(container) = self.container {
            fields.insert(1, ("container", container.to_owned()));
        }
        write_fields(text, &fields)?;
        let mut table = Table::new(&[
            Column::Left("LAYER"),
            Column::Left("DIGEST"),
            Column::Left("DIFF ID"),
            Column::Right("SIZE"),
            Column::Right("ALLOCATED"),
            Column::Left("CREATED BY"),
        ]);
        let digest = |digest: &Option<String>| {
            digest.as_deref().map(short_digest).unwrap_or_default().to_owned()
        };
        for row in &self.layers {
            table.row([
                short(&row.layer).to_owned(),
                digest(&row.digest),
                digest(&row.diff_id),
                units.size(row.bytes),
                units.size(row.allocated_bytes),
                printable(row.created_by.as_deref().unwrap_or_default()),
            ]);
        }
        if !self.layers.is_empty() {
            writeln!(text)?;
            table.write(text)?;
        }
        let configuration = serde_json::to_string_pretty(&self.configuration)?;
        writeln!(text, "\nconfiguration:")?;
        configuration.lines().try_for_each(|line| writeln!(text, "{}", printable(line)))
    }
}

pub fn run(args: &InspectArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let image = Image::open(&store, &args.image)?;
    let reference = by_id(&store, &args.image)?;
    let resolved = store.resolve(&reference)?;
    let names = store.names_left()?.names;
    let layer = image.snapshot().layer_id();
    let is_container = |name: &&str| {
        names.iter().any(|entry| entry.name == **name && entry.kind == NameKind::Volume)
    };
    let mut layers = Vec::new();
    for (layer, content) in history(&store, &image)?.into_iter().rev().filter_map(|step| step.layer)
    {
        let info = store.layer(layer.id)?;
        layers.push(Row {
            layer: layer.id.to_string(),
            digest: info.digest.map(|digest| digest.to_string()),
            diff_id: layer.diff_id.map(|digest| digest.to_string()),
            chain_id: layer.chain_id.map(|digest| digest.to_string()),
            created: layer.created,
            created_by: layer.created_by,
            comment: layer.comment,
            bytes: content.content_bytes,
            wasted_bytes: content.hidden_bytes,
            allocated_bytes: info.allocated_bytes,
        });
    }
    let tags = names.iter().filter(|entry| entry.kind == NameKind::Tag && entry.top == layer);
    let volume = resolved.name.as_deref().filter(is_container);
    let made_of = match volume.map(|name| container(&store, name)) {
        // A volume that nothing ran over.
        Some(Err(error)) if error.kind() == ErrorKind::NotFound => None,
        made => made.transpose()?.map(|container| container.record.image),
    };
    context.print(&Inspected {
        image: made_of.as_deref().unwrap_or(&args.image),
        id: image.configuration().digest().to_string(),
        tags: tags.map(|entry| entry.name.clone()).collect(),
        container: volume,
        layer: layer.to_string(),
        configuration: image.configuration().to_value(),
        content_bytes: layers.iter().map(|row| row.bytes).sum(),
        wasted_bytes: layers.iter().map(|row| row.wasted_bytes).sum(),
        layers,
    })
}

//! The store as a whole: names, layers, and what they take.

use std::collections::BTreeSet;
use std::io;

use sapwood::units::LayerId;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::size::counted;
use crate::output::table::write_fields;
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Disk {
    store: String,
    block_bytes: u64,
    tags: u64,
    volumes: u64,
    layers: u64,
    virtual_bytes: u64,
    allocated_bytes: u64,
    exclusive_bytes: u64,
    shared_bytes: u64,
    unnamed_bytes: u64,
    index_bytes: u64,
    host_free_bytes: u64,
    /// Layers at which histories end that are not whole.
    lost_layers: Vec<String>,
    /// Those of a newer version, at which others end.
    newer_layers: Vec<String>,
    /// Names that do not verify.
    damaged_names: Vec<String>,
    /// Names of a newer version.
    newer_names: Vec<String>,
}

impl Report for Disk {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let units = text.units;
        let names = format!("{}, {}", counted(self.tags, "tag"), counted(self.volumes, "volume"));
        let mut fields = vec![
            ("store", self.store.clone()),
            ("names", names),
            ("layers", self.layers.to_string()),
            ("virtual", units.size(self.virtual_bytes)),
            ("allocated", units.size(self.allocated_bytes)),
            ("exclusive", units.size(self.exclusive_bytes)),
            ("shared", units.size(self.shared_bytes)),
            ("unnamed", units.size(self.unnamed_bytes)),
            ("indexes", units.size(self.index_bytes)),
            ("free on host", units.size(self.host_free_bytes)),
        ];
        // What lies below such a layer counts as no name's.
        fields.extend(self.lost_layers.iter().map(|layer| ("lost or damaged", layer.clone())));
        fields.extend(self.newer_layers.iter().map(|layer| ("newer layer", layer.clone())));
        fields.extend(self.damaged_names.iter().map(|name| ("damaged name", name.clone())));
        fields.extend(self.newer_names.iter().map(|name| ("newer name", name.clone())));
        write_fields(text, &fields)
    }
}

pub fn tell(context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let usage = store.usage()?;
    let host = rustix::fs::statvfs(store.path()).map_err(|error| {
        CliError::file("ask the host for its free space", store.path())(error.into())
    })?;
    let ids = |layers: &BTreeSet<LayerId>| layers.iter().map(ToString::to_string).collect();
    let names = |are_newer: bool| {
        let names = usage.damaged_names.iter().filter(|name| name.is_newer == are_newer);
        names.map(|name| name.name.clone()).collect()
    };
    let is_whole =
        usage.lost.is_empty() && usage.newer.is_empty() && usage.damaged_names.is_empty();
    let report = Disk {
        store: context.store_path()?.display().to_string(),
        block_bytes: store.block_size().bytes(),
        tags: usage.tags,
        volumes: usage.volumes,
        layers: usage.layers,
        virtual_bytes: usage.virtual_bytes,
        allocated_bytes: usage.allocated_bytes,
        exclusive_bytes: usage.exclusive_bytes,
        shared_bytes: usage.shared_bytes,
        unnamed_bytes: usage.unnamed_bytes,
        index_bytes: usage.index_bytes,
        host_free_bytes: host.f_bavail.saturating_mul(host.f_frsize),
        lost_layers: ids(&usage.lost),
        newer_layers: ids(&usage.newer),
        damaged_names: names(false),
        newer_names: names(true),
    };
    context.print_what_is_left(&report, is_whole)
}

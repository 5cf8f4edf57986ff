//! `gc`: gives the space of removed layers back, and says what frees how much.

use std::io::{self, Write};

use sapwood::store::GcOptions;
use serde::Serialize;

use crate::args::GcArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::obstacles::{advised, whether_needed};
use crate::output::size::counted;
use crate::output::table::{Column, Table};
use crate::output::{Report, Text};
use crate::reports::short;

#[derive(Serialize)]
struct Collected {
    dry_run: bool,
    freed_bytes: u64,
    freed: Vec<Freed>,
    thinned: Vec<Gain>,
    other_files: u64,
    kept_layers: u64,
    host_cannot_punch: bool,
    /// Snapshots that lost their names, and stay.
    held_back: Vec<Gain>,
    /// Lost layers that may stand on those.
    layers_unknown: Vec<String>,
}

#[derive(Serialize)]
struct Gain {
    layer: String,
    bytes: u64,
}

/// A layer whose file goes.
#[derive(Serialize)]
struct Freed {
    layer: String,
    bytes: u64,
    /// It holds what a volume that has no name any more had written since its last snapshot.
    nameless: bool,
}

impl Report for Collected {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let mut table =
            Table::new(&[Column::Left("LAYER"), Column::Right("SPACE"), Column::Left("HOW")]);
        for Freed { layer, bytes, nameless } in &self.freed {
            let how = match (nameless, self.dry_run) {
                (false, _) => "file removed",
                (true, true) => {
                    "file removed: last writes of a volume without a name, `export ID FILE` reads them"
                }
                (true, false) => "file removed: last writes of a volume without a name",
            };
            table.row([short(layer), &text.units.size(*bytes), how]);
        }
        for Gain { layer, bytes } in &self.thinned {
            table.row([short(layer), &text.units.size(*bytes), "blocks punched, the rest stays"]);
        }
        if !(self.freed.is_empty() && self.thinned.is_empty()) {
            table.write(text)?;
        }
        if self.host_cannot_punch {
            writeln!(text, "the host cannot give space inside files back: punched blocks stay")?;
        }
        if !self.held_back.is_empty() {
            let snapshots = counted(self.held_back.len() as u64, "snapshot");
            let bytes = text.units.size(self.held_back.iter().map(|gain| gain.bytes).sum());
            let why = whether_needed(&self.layers_unknown);
            writeln!(text, "held back: {snapshots} without a name, {bytes}, to go {why}")?;
        }
        let verb = if self.dry_run { "would free" } else { "freed" };
        let (freed, kept) = (text.units.size(self.freed_bytes), counted(self.kept_layers, "layer"));
        writeln!(text, "{verb} {freed}; kept: {kept}")
    }
}

pub fn run(args: &GcArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let report = store.collect(&GcOptions { dry_run: args.dry_run });
    let report = report.map_err(|error| advised(&store, error))?;
    let gains = |of: &[(sapwood::units::LayerId, u64)]| -> Vec<Gain> {
        of.iter().map(|&(layer, bytes)| Gain { layer: layer.to_string(), bytes }).collect()
    };
    let freed = report.freed.iter().map(|&(layer, bytes)| Freed {
        layer: layer.to_string(),
        bytes,
        nameless: report.nameless.contains(&layer),
    });
    context.print(&Collected {
        dry_run: args.dry_run,
        freed_bytes: report.freed_bytes(),
        freed: freed.collect(),
        thinned: gains(&report.thinned),
        other_files: report.other_files,
        kept_layers: report.kept_layers,
        host_cannot_punch: report.host_cannot_punch,
        held_back: gains(&report.held_back),
        layers_unknown: report.unknown.iter().map(ToString::to_string).collect(),
    })
}

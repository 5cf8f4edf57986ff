//! `prune`: takes away what builds left and what no image needs, and says what each freed.

use std::collections::BTreeSet;
use std::io::{self, Write};

use sapwood_oci::{PruneOptions, prune, usage};
use serde::Serialize;

use crate::args::PruneArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::{Report, Text};
use crate::reports::short;

#[derive(Serialize)]
struct Gone {
    dry_run: bool,
    freed_bytes: u64,
    garbage_bytes: u64,
    build_cache: Part,
    layers: Part,
    images: Part,
    containers: Part,
}

#[derive(Serialize)]
struct Part {
    removed: Vec<String>,
    freed_bytes: u64,
}

impl Report for Gone {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let units = text.units;
        let parts = [
            ("tag of the build cache", "tags of the build cache", &self.build_cache),
            ("layer that nothing needs", "layers that nothing needs", &self.layers),
            ("image", "images", &self.images),
            ("container", "containers", &self.containers),
        ];
        let verb = if self.dry_run { "would remove" } else { "removed" };
        for (one, several, part) in parts.iter().filter(|(_, _, part)| !part.removed.is_empty()) {
            let what = if part.removed.len() == 1 { one } else { several };
            let (count, freed) = (part.removed.len(), units.size(part.freed_bytes));
            writeln!(text, "{verb} {count} {what}: {freed}")?;
            for name in &part.removed {
                let is_layer = std::ptr::eq(*part, &self.layers);
                writeln!(text, "  {}", if is_layer { short(name) } else { name })?;
            }
        }
        if self.garbage_bytes > 0 {
            writeln!(text, "of what was removed before: {}", units.size(self.garbage_bytes))?;
        }
        let verb = if self.dry_run { "would free" } else { "freed" };
        writeln!(text, "{verb} {}", units.size(self.freed_bytes))
    }
}

pub fn run(args: &PruneArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let mut containers = BTreeSet::new();
    if args.containers {
        let found = usage(&store)?.containers.into_iter();
        containers.extend(found.filter(|found| !found.in_use).map(|found| found.name));
    }
    if !args.dry_run {
        // What is beside their volumes goes first.
        containers.iter().try_for_each(|name| sapwood_container::remove_record(&store, name))?;
    }
    let options = PruneOptions { unused_images: args.all, containers, dry_run: args.dry_run };
    let pruned = prune(&store, &options)?;
    let part = |(names, freed_bytes): &(BTreeSet<String>, u64)| Part {
        removed: names.iter().cloned().collect(),
        freed_bytes: *freed_bytes,
    };
    let (layers, freed_bytes) = &pruned.layers;
    let removed = layers.iter().map(ToString::to_string).collect();
    context.print(&Gone {
        dry_run: args.dry_run,
        freed_bytes: pruned.freed_bytes(),
        garbage_bytes: pruned.garbage_bytes,
        build_cache: part(&pruned.cache),
        layers: Part { removed, freed_bytes: *freed_bytes },
        images: part(&pruned.images),
        containers: part(&pruned.containers),
    })
}

//! `prune`: takes away what builds left and what no image needs, and says what each freed.

use std::collections::BTreeSet;
use std::io::{self, Write};

use sapwood_build::{RemovedDirectories, remove_abandoned, remove_kept_directories};
use sapwood_oci::{PruneOptions, prune, usage};
use serde::Serialize;

use crate::args::PruneArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::size::counted;
use crate::output::{Report, Text};
use crate::reports::short;

#[derive(Serialize)]
struct Gone {
    dry_run: bool,
    freed_bytes: u64,
    garbage_bytes: u64,
    build_cache: Part,
    kept_directories: Directories,
    stale_containers: u64,
    layers: Part,
    images: Part,
    containers: Part,
}

#[derive(Serialize)]
struct Directories {
    removed: u64,
    freed_bytes: u64,
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
        let Directories { removed, freed_bytes } = self.kept_directories;
        if removed > 0 {
            let (one, several) = ("directory that builds kept", "directories that builds kept");
            let what = if removed == 1 { one } else { several };
            writeln!(text, "{verb} {removed} {what}: {}", units.size(freed_bytes))?;
        }
        if self.stale_containers > 0 {
            let records = counted(self.stale_containers, "record");
            writeln!(text, "{verb} {records} of containers that are gone")?;
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
    let (dry_run, keep_cache) = (args.dry_run, args.keep_cache);
    if !dry_run {
        remove_abandoned(&store)?;
    }
    let stale_containers = sapwood_container::remove_stale(&store, dry_run)?;
    let directories = match keep_cache {
        true => RemovedDirectories::default(),
        false => remove_kept_directories(&store, dry_run)?,
    };
    let options = PruneOptions { unused_images: args.all, containers, keep_cache, dry_run };
    let pruned = prune(&store, &options)?;
    let part = |(names, freed_bytes): &(BTreeSet<String>, u64)| Part {
        removed: names.iter().cloned().collect(),
        freed_bytes: *freed_bytes,
    };
    let (layers, freed_bytes) = &pruned.layers;
    let removed = layers.iter().map(ToString::to_string).collect();
    context.print(&Gone {
        dry_run: args.dry_run,
        freed_bytes: pruned.freed_bytes() + directories.freed_bytes,
        kept_directories: Directories {
            removed: directories.count,
            freed_bytes: directories.freed_bytes,
        },
        stale_containers,
        garbage_bytes: pruned.garbage_bytes,
        build_cache: part(&pruned.cache),
        layers: Part { removed, freed_bytes: *freed_bytes },
        images: part(&pruned.images),
        containers: part(&pruned.containers),
    })
}

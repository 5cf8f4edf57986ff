//! `prune`: takes away what builds left and what no image needs, and says what each freed.

use std::collections::BTreeSet;
use std::io::{self, Write};

use sapwood::Store;
use sapwood_build::{RemovedDirectories, remove_abandoned, remove_kept_directories};
use sapwood_container::{list, unfinished};
use sapwood_fuse::remove_stale_sockets;
use sapwood_oci::{PruneOptions, prune, usage};
use serde::Serialize;

use super::mount;
use crate::args::PruneArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::obstacles::advised;
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
    killed_containers: u64,
    stale_mounts: u64,
    temporary_forks: u64,
    layers: Part,
    containers: Part,
    images: Part,
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
            ("container", "containers", &self.containers),
            ("image", "images", &self.images),
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
        if self.killed_containers > 0 {
            let what = counted(self.killed_containers, "container");
            writeln!(text, "{verb} what {what} left whose server was killed")?;
        }
        if self.stale_mounts > 0 {
            let sockets = counted(self.stale_mounts, "socket");
            writeln!(text, "{verb} {sockets} of mounts that are gone")?;
        }
        if self.temporary_forks > 0 {
            let forks = counted(self.temporary_forks, "fork");
            writeln!(text, "{verb} {forks} of temporary mounts that are gone")?;
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
    let containers = match args.containers {
        true => idle_containers(&store, args.made_before)?,
        false => BTreeSet::new(),
    };
    if !args.dry_run {
        // What is beside their volumes goes first.
        containers.iter().try_for_each(|name| sapwood_container::remove_record(&store, name))?;
    }
    let (dry_run, keep_cache) = (args.dry_run, args.keep_cache);
    if !dry_run {
        remove_abandoned(&store)?;
    }
    let stale_containers = sapwood_container::remove_stale(&store, dry_run)?;
    let killed_containers = sapwood_container::clear_killed(&store, dry_run)?;
    let temporary_forks = mount::remove_abandoned(&store, dry_run)?;
    let stale_mounts = remove_stale_sockets(&store, dry_run)?;
    let made_before = args.made_before;
    let directories = match keep_cache {
        true => RemovedDirectories::default(),
        false => remove_kept_directories(&store, made_before, dry_run)?,
    };
    let options =
        PruneOptions { unused_images: args.all, containers, keep_cache, made_before, dry_run };
    let pruned = prune(&store, &options).map_err(|error| advised(&store, error))?;
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
        killed_containers,
        stale_mounts,
        temporary_forks,
        garbage_bytes: pruned.garbage_bytes,
        build_cache: part(&pruned.cache),
        layers: Part { removed, freed_bytes: *freed_bytes },
        containers: part(&pruned.containers),
        images: part(&pruned.images),
    })
}

/// The containers that nobody has open, those that were made before then. A volume that somebody forked from an
/// image is none, and what stands in it is nowhere else.
fn idle_containers(store: &Store, made_before: Option<i64>) -> Result<BTreeSet<String>> {
    let is_old = |created| made_before.is_none_or(|before| created < before);
    let recorded = list(store)?.into_iter().filter(|container| is_old(container.record.created));
    let mut containers: BTreeSet<String> = recorded.map(|container| container.name).collect();
    if made_before.is_none() {
        containers.extend(unfinished(store)?);
    }
    let found = usage(store, &containers)?.containers.into_iter();
    let idle = found.filter(|found| !found.in_use && containers.contains(&found.name));
    Ok(idle.map(|found| found.name).collect())
}

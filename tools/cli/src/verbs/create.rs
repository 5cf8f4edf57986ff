//! `create`: makes an empty volume, a disk or a tree of files.

use std::io::{self, Write};

use rustix::process::{getegid, geteuid};
use sapwood::files::{Files, FilesOptions, Inode, SetAttributes};
use sapwood::store::Store;
use serde::Serialize;

use crate::args::CreateArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Made<'a> {
    name: &'a str,
    layer: String,
    layer_kind: &'static str,
    size_bytes: Option<u64>,
}

impl Report for Made<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        match self.size_bytes {
            Some(bytes) => {
                let size = text.units.size(bytes);
                writeln!(text, "made the volume {}, {size}", self.name)
            }
            None => writeln!(text, "made the volume {}, a tree of files", self.name),
        }
    }
}

pub fn run(args: &CreateArgs, context: &Context<'_>) -> Result<Verdict> {
    context.with_store(|store| {
        let (layer, layer_kind) = match args.size {
            Some(size_bytes) => (create_disk(store, &args.name, size_bytes)?, "disk"),
            None => (create_tree(store, &args.name)?, "tree"),
        };
        context.print(&Made { name: &args.name, layer, layer_kind, size_bytes: args.size })
    })
}

fn create_disk(store: &Store, name: &str, size_bytes: u64) -> Result<String> {
    let volume = store.create_volume(name, size_bytes)?;
    volume.flush()?;
    let layer = volume.layer_id().to_string();
    volume.close()?;
    Ok(layer)
}

fn create_tree(store: &Store, name: &str) -> Result<String> {
    let files = Files::open(store.create_tree(name)?, FilesOptions::default())?;
    // Mounted, it is to be of use to who made it.
    if !geteuid().is_root() {
        let (owner, group) = (Some(geteuid().as_raw()), Some(getegid().as_raw()));
        let own = SetAttributes { owner, group, ..SetAttributes::default() };
        files.set_attributes(Inode::ROOT, &own)?;
    }
    files.flush()?;
    let layer = files.volume().layer_id().to_string();
    files.close()?;
    Ok(layer)
}

//! Raw disk images.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use sapwood::Replace;
use sapwood::chain::Snapshot;
use sapwood::volume::Volume;
use sapwood_archive::is_archive;
use serde::Serialize;

use super::super::annotate::annotations;
use super::or_discard;
use crate::args::ImportArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::image::{RawSource, StreamSource, pump};
use crate::output::progress::Progress;
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Imported<'a> {
    file: String,
    tag: &'a str,
    layer: String,
    size_bytes: u64,
    data_bytes: u64,
}

impl Report for Imported<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let (size, data) = (text.units.size(self.size_bytes), text.units.size(self.data_bytes));
        writeln!(text, "imported {} as {}: {size}, {data} of data", self.file, self.tag)
    }
}

pub fn import(args: &ImportArgs, context: &Context<'_>) -> Result<Verdict> {
    // What can be refused is refused before a store is made.
    let source = match args.file.as_path() {
        file if file == Path::new("-") => None,
        file => Some(RawSource::open(file)?),
    };
    context.with_store(|store| {
        let size = source.as_ref().map(RawSource::size);
        let progress = context.output.progress("importing", size);
        let make = || -> Result<Snapshot> {
            let making = store.make(&args.tag, size.unwrap_or(0), Replace::Refuse)?;
            match &source {
                Some(source) => fill_from_file(source, making.volume(), &progress)?,
                None => fill_from_stream(making.volume(), &progress)?,
            }
            let comment = args.comment.as_deref();
            Ok(making.finish(&annotations("import", comment, &args.labels))?)
        };
        let snapshot = or_discard(store, make())?;
        drop(progress);
        let layer = snapshot.layer_id();
        let size_bytes = snapshot.size_bytes();
        let data_bytes = store.layer(layer)?.data_blocks * store.block_size().bytes();
        let layer = layer.to_string();
        let file = args.file.display().to_string();
        if args.format.is_none() && source.is_some() && is_tar(&args.file) {
            let how =
                format!("{file} is a tar: imported as a disk image; --format tar makes a tree");
            context.output.note(&how);
        }
        context.print(&Imported { file, tag: &args.tag, layer, size_bytes, data_bytes })
    })
}

/// Whether a file is a tar stream; one that cannot be read is none.
fn is_tar(path: &Path) -> bool {
    File::open(path).is_ok_and(|mut file| is_archive(&mut file))
}

fn fill_from_file(source: &RawSource, volume: &Volume, progress: &Progress) -> Result<()> {
    pump(
        |filler| source.fill(filler),
        |offset, bytes| {
            volume.write_at(offset, bytes)?;
            progress.set(offset + bytes.len() as u64);
            Ok(())
        },
    )
}

fn fill_from_stream(volume: &Volume, progress: &Progress) -> Result<()> {
    pump(
        |filler| StreamSource::fill(filler, 0),
        |offset, bytes| {
            // How long a stream is shows when it ends.
            volume.resize(offset + bytes.len() as u64)?;
            volume.write_at(offset, bytes)?;
            progress.set(offset + bytes.len() as u64);
            Ok(())
        },
    )
}

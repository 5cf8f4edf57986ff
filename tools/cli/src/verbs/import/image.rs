//! Raw disk images.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use sapwood::Replace;
use sapwood::volume::Volume;
use sapwood_archive::is_archive;
use serde::Serialize;

use super::super::annotate::annotations;
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
    let mut source = Source::open(&args.file)?;
    context.with_store(|store| {
        let size = source.size();
        let progress = context.output.progress("importing", size);
        let snapshot = context.making(store, || {
            let making = store.make(&args.tag, size.unwrap_or(0), Replace::Refuse)?;
            match &mut source {
                Source::File(file) => fill_from_file(file, making.volume(), &progress)?,
                Source::Stream(stream) => fill_from_stream(stream, making.volume(), &progress)?,
            }
            let comment = args.comment.as_deref();
            Ok(making.finish(&annotations("import", comment, &args.labels))?)
        })?;
        drop(progress);
        let layer = snapshot.layer_id();
        let size_bytes = snapshot.size_bytes();
        let data_bytes = store.layer(layer)?.data_blocks * store.block_size().bytes();
        let layer = layer.to_string();
        let file = args.file.display().to_string();
        if args.format.is_none() && matches!(source, Source::File(_)) && is_tar(&args.file) {
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

/// Where an image comes from.
enum Source {
    File(RawSource),
    Stream(StreamSource),
}

impl Source {
    fn open(path: &Path) -> Result<Source> {
        if path == Path::new("-") {
            return Ok(Source::Stream(StreamSource::stdin_of_image()?));
        }
        Ok(match StreamSource::open_pipe(path)? {
            Some(pipe) => Source::Stream(pipe),
            None => Source::File(RawSource::open(path)?),
        })
    }

    /// Its size in bytes, where that is known before it was read.
    fn size(&self) -> Option<u64> {
        match self {
            Source::File(file) => Some(file.size()),
            Source::Stream(_) => None,
        }
    }
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

fn fill_from_stream(stream: &mut StreamSource, volume: &Volume, progress: &Progress) -> Result<()> {
    pump(
        |filler| stream.fill(filler, 0),
        |offset, bytes| {
            // How long a stream is shows when it ends.
            volume.resize(offset + bytes.len() as u64)?;
            volume.write_at(offset, bytes)?;
            progress.set(offset + bytes.len() as u64);
            Ok(())
        },
    )
}

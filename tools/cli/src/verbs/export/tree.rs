//! Trees: directories, tar streams and image layers.

use std::io::{self, Write};
use std::path::Path;

use sapwood::chain::Snapshot;
use sapwood::files::{FilesView, Inode};
use sapwood::store::Store;
use sapwood_archive::{ExportOptions, Holes, Progress, Report as Counts, export_layer, export_tar};
use serde::Serialize;

use super::stream::write_stream;
use crate::args::{ExportArgs, ImageFormat};
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::image::{FileTarget, StreamTarget, Target};
use crate::output::size::counted;
use crate::output::{Report, Text};
use crate::tree::copy_out;

#[derive(Serialize)]
struct Exported<'a> {
    reference: &'a str,
    file: String,
    layer: String,
    since: Option<String>,
    entries: u64,
    data_bytes: u64,
    special_files_skipped: u64,
}

impl Report for Exported<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let (entries, data) = (self.entries, text.units.size(self.data_bytes));
        let (reference, file) = (self.reference, &self.file);
        write!(text, "exported {reference} to {file}: {entries} entries, {data} of data")?;
        match self.special_files_skipped {
            0 => writeln!(text),
            skipped => writeln!(text, ", {} left out", counted(skipped, "special file")),
        }
    }
}

pub fn export(
    store: &Store,
    snapshot: Snapshot,
    format: Option<ImageFormat>,
    args: &ExportArgs,
    context: &Context<'_>,
) -> Result<Verdict> {
    if args.since.is_some() && format != Some(ImageFormat::Layer) {
        return Err(CliError::usage("--since goes with --format layer: what changed since"));
    }
    let is_tar = matches!(format, Some(ImageFormat::Tar | ImageFormat::Layer));
    if args.sparse && !is_tar {
        return Err(CliError::usage("--sparse is of tar streams: a directory gets holes always"));
    }
    let holes = if args.sparse { Holes::Keep } else { Holes::Expand };
    let options = ExportOptions { holes, ..args.tree.export_options() };
    let layer = snapshot.layer_id();
    let view = FilesView::open(snapshot)?;
    let bar = context.output.progress("exporting", None);
    let mut tell = |progress: Progress| bar.set(progress.bytes);
    let mut since = None;
    let counts = match format {
        None | Some(ImageFormat::Raw) => into_directory(&view, args, &options, &mut tell)?,
        Some(ImageFormat::Tar) => write_stream(target(args)?, |output| {
            Ok(export_tar(&view, Inode::ROOT, output, &options, &mut tell)?.0)
        })?,
        Some(ImageFormat::Layer) => {
            since = match &args.since {
                Some(since) => Some(since.clone()),
                None => store.layer(layer)?.parent.map(|parent| parent.id.to_string()),
            };
            let before = since.as_deref().map(|since| store.snapshot_of(since)).transpose()?;
            let before = before.map(FilesView::open).transpose()?;
            write_stream(target(args)?, |output| {
                Ok(export_layer(before.as_ref(), &view, output, &options, &mut tell)?.0)
            })?
        }
    };
    drop(bar);
    let exported = Exported {
        reference: &args.reference,
        file: args.file.display().to_string(),
        layer: layer.to_string(),
        since,
        entries: counts.entries,
        data_bytes: counts.bytes,
        special_files_skipped: counts.skipped,
    };
    if is_stream(args) { context.print_beside_data(&exported) } else { context.print(&exported) }
}

fn into_directory(
    view: &FilesView,
    args: &ExportArgs,
    options: &ExportOptions,
    tell: &mut dyn FnMut(Progress),
) -> Result<Counts> {
    if is_stream(args) || args.force {
        let what = if args.force { "--force replaces a file" } else { "`-` is a stream" };
        return Err(CliError::usage(format!(
            "{what}: with --format tar or layer; without, a tree goes into a directory"
        )));
    }
    copy_out(view, Inode::ROOT, &args.file, options, tell)
}

fn target(args: &ExportArgs) -> Result<Box<dyn Target>> {
    Ok(match is_stream(args) {
        true => Box::new(StreamTarget::starting_at(0)?),
        false => Box::new(FileTarget::create(&args.file, args.force, 0o666)?),
    })
}

fn is_stream(args: &ExportArgs) -> bool {
    args.file == Path::new("-")
}

//! Directories, tar streams and image layers: trees of files.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sapwood::files::{Files, FilesOptions, Inode};
use sapwood::store::{Replace, Store};
use sapwood_archive::{Progress, Report as Counts};
use sapwood_archive::{decompressed, import_directory, import_layer, import_tar};
use serde::Serialize;

use super::super::annotate::annotations;
use crate::args::ImportArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::size::counted;
use crate::output::{Report, Text};

/// What a tree is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Directory,
    Tar,
    Layer,
}

#[derive(Serialize)]
struct Imported<'a> {
    file: String,
    tag: &'a str,
    layer: String,
    parent: Option<&'a str>,
    entries: u64,
    data_bytes: u64,
    special_files_skipped: u64,
}

impl Report for Imported<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let (entries, data) = (self.entries, text.units.size(self.data_bytes));
        let parent = self.parent.map(|parent| format!(" on {parent}")).unwrap_or_default();
        let (file, tag) = (&self.file, self.tag);
        write!(text, "imported {file} as {tag}{parent}: {entries} entries, {data} of data")?;
        match self.special_files_skipped {
            0 => writeln!(text),
            skipped => writeln!(text, ", {} left out", counted(skipped, "special file")),
        }
    }
}

pub fn import(args: &ImportArgs, form: Form, context: &Context<'_>) -> Result<Verdict> {
    // What can be refused is refused before a store is made.
    let mut source = Source::open(&args.file, form)?;
    let bar = context.output.progress("importing", None);
    let mut import = |store: &Store| {
        context.making(store, || {
            make(store, args, |files| {
                let mut tell = |progress: Progress| bar.set(progress.bytes);
                let options = args.tree.import_options();
                Ok(match &mut source {
                    Source::Directory(path) => {
                        import_directory(files, Inode::ROOT, path, &options, &mut tell)?
                    }
                    Source::Tar(input) => {
                        import_tar(files, Inode::ROOT, input, &options, &mut tell)?
                    }
                    Source::Layer(input) => import_layer(files, input, &options, &mut tell)?,
                })
            })
        })
    };
    let (layer, counts) = match &args.parent {
        Some(_) => import(&context.open_store()?)?,
        None => context.with_store(import)?,
    };
    drop(bar);
    context.print(&Imported {
        file: args.file.display().to_string(),
        tag: &args.tag,
        layer,
        parent: args.parent.as_deref(),
        entries: counts.entries,
        data_bytes: counts.bytes,
        special_files_skipped: counts.skipped,
    })
}

/// Makes a tagged snapshot of what `fill` puts into a tree: seen when it is whole, or never.
fn make(
    store: &Store,
    args: &ImportArgs,
    fill: impl FnOnce(&Files) -> Result<Counts>,
) -> Result<(String, Counts)> {
    let making = match &args.parent {
        Some(parent) => store.make_on(parent, &args.tag, Replace::Refuse)?,
        None => store.make_tree(&args.tag, Replace::Refuse)?,
    };
    let (volume, tag) = making.into_parts();
    let files = Files::open(volume, FilesOptions::default())?;
    let counts = fill(&files)?;
    let annotations = annotations("import", args.comment.as_deref(), &args.labels);
    let snapshot = files.snapshot(&annotations)?;
    let top = files.volume().layer_id();
    drop(files);
    tag.give(&snapshot, top)?;
    Ok((snapshot.layer_id().to_string(), counts))
}

/// Where a tree comes from.
enum Source<'a> {
    Directory(&'a Path),
    Tar(Box<dyn Read>),
    Layer(Box<dyn Read>),
}

impl Source<'_> {
    fn open(path: &Path, form: Form) -> Result<Source<'_>> {
        Ok(match form {
            Form::Directory => Source::Directory(path),
            Form::Tar => Source::Tar(open_stream(path)?),
            Form::Layer => Source::Layer(open_stream(path)?),
        })
    }
}

fn open_stream(path: &Path) -> Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(decompressed(io::stdin())?);
    }
    if path.is_dir() {
        let path = path.display();
        return Err(CliError::usage(format!("{path} is a directory, not a tar stream")));
    }
    let file = File::open(path).map_err(CliError::file("open", path))?;
    Ok(decompressed(file)?)
}

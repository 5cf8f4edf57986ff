//! `save`: writes images out, for other tools and other stores.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};
use sapwood::files::Inode;
use sapwood::{Replace, Store};
use sapwood_archive::{ExportOptions, SpecialFiles, export_tar};
use sapwood_oci::{
    Compression, Image, Save, SavedImage, by_id, save_docker_archive, save_layout, save_oci_archive,
};
use serde::Serialize;
use tempfile::TempDir;

use super::export::stream::write_stream;
use crate::args::{SaveArgs, SaveFormat};
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::image::{FileTarget, StreamTarget, Target, aside_failed};
use crate::output::size::counted;
use crate::output::{Report, Text};
use crate::reports::short_digest;
use crate::unfinished::Unfinished;

#[derive(Serialize)]
struct Saved {
    path: String,
    images: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    image: String,
    /// The digest of the configuration.
    id: String,
    /// The digest of the manifest, where there is one.
    manifest: Option<String>,
    layers: Vec<Layer>,
    sockets_left_out: u64,
}

#[derive(Serialize)]
struct Layer {
    diff_id: String,
    digest: String,
    bytes: u64,
}

impl Report for Saved {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        for row in &self.images {
            write!(text, "saved {} to {}", row.image, self.path)?;
            if row.manifest.is_some() {
                let layers = counted(row.layers.len() as u64, "layer");
                let size = row.layers.iter().map(|layer| layer.bytes).sum();
                write!(text, ": {layers}, {}", text.units.size(size))?;
            }
            if row.sockets_left_out > 0 {
                write!(text, ", {} left out", counted(row.sockets_left_out, "socket"))?;
            }
            writeln!(text, " ({})", short_digest(&row.id))?;
        }
        Ok(())
    }
}

pub fn run(args: &SaveArgs, context: &Context<'_>) -> Result<Verdict> {
    let is_stream = args.path() == Path::new("-");
    let compression = compression(args)?;
    if is_stream && args.format == SaveFormat::Oci {
        return Err(CliError::usage("--format oci is a folder: with `-`, --format oci-archive"));
    }
    let store = context.open_store()?;
    let names = args.images();
    let images = names.iter().map(|reference| Named::find(&store, reference));
    let images = images.collect::<Result<Vec<_>>>()?;
    let saves: Vec<Save<'_>> = images.iter().map(Named::save).collect();
    let bar = context.output.progress("saving", None);
    let tell = |bytes| bar.add(bytes);
    let saved = match args.format {
        SaveFormat::Oci => into_folder(&store, &saves, args, compression, &tell)?,
        SaveFormat::Tar => root_filesystem(&saves, args, &tell)?,
        SaveFormat::OciArchive | SaveFormat::DockerArchive => {
            let scratch = if is_stream { store.path() } else { folder_of(args.path()) };
            write_stream(target(args)?, |output| match args.format {
                SaveFormat::DockerArchive => {
                    save_docker_archive(&store, &saves, output, scratch, &tell)
                }
                _ => save_oci_archive(&store, &saves, output, scratch, compression, &tell),
            })?
            .into_iter()
            .map(row)
            .collect()
        }
    };
    drop(bar);
    let images = names.iter().zip(saved);
    let images = images.map(|(image, row)| Row { image: image.clone(), ..row }).collect();
    let saved = Saved { path: args.path().display().to_string(), images };
    if is_stream { context.print_beside_data(&saved) } else { context.print(&saved) }
}

fn compression(args: &SaveArgs) -> Result<Compression> {
    let asked = args.compression.map(Compression::from);
    match args.format {
        SaveFormat::Oci | SaveFormat::OciArchive => Ok(asked.unwrap_or_default()),
        _ if asked.is_none_or(|asked| asked == Compression::None) => Ok(Compression::None),
        _ => {
            let which = "with --format oci or oci-archive";
            Err(CliError::usage(format!("--compression is for layers, {which}")))
        }
    }
}

/// An image as it was asked for.
struct Named {
    image: Image,
    /// Its whole name, where it was asked for by that.
    name: Option<String>,
}

impl Named {
    fn find(store: &Store, reference: &str) -> Result<Named> {
        let resolved = store.resolve(&by_id(store, reference)?)?;
        let name = resolved.name.filter(|_| resolved.index == 0);
        Ok(Named { image: Image::open(store, reference)?, name })
    }

    fn save(&self) -> Save<'_> {
        Save { image: &self.image, name: self.name.as_deref() }
    }
}

fn row(saved: SavedImage) -> Row {
    let layer = |layer: sapwood_oci::WrittenLayer| Layer {
        diff_id: layer.diff_id.to_string(),
        digest: layer.descriptor.digest().to_string(),
        bytes: layer.descriptor.size(),
    };
    Row {
        image: saved.name.unwrap_or_default(),
        id: saved.configuration.digest().to_string(),
        manifest: Some(saved.manifest.digest().to_string()),
        sockets_left_out: saved.layers.iter().map(|layer| layer.sockets_left_out).sum(),
        layers: saved.layers.into_iter().map(layer).collect(),
    }
}

fn root_filesystem(
    saves: &[Save<'_>],
    args: &SaveArgs,
    tell: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Row>> {
    let [Save { image, .. }] = saves else {
        return Err(CliError::usage("--format tar holds one image"));
    };
    let mut told = 0;
    let special_files = SpecialFiles::SkipSockets;
    let options = ExportOptions { special_files, ..ExportOptions::default() };
    let sockets_left_out = write_stream(target(args)?, |output| {
        let done = export_tar(image.view(), Inode::ROOT, output, &options, &mut |progress| {
            tell(progress.bytes - told);
            told = progress.bytes;
        });
        Ok(done?.0.skipped)
    })?;
    let id = image.configuration().digest().to_string();
    let (image, layers) = (String::new(), Vec::new());
    Ok(vec![Row { image, id, manifest: None, layers, sockets_left_out }])
}

fn target(args: &SaveArgs) -> Result<Box<dyn Target>> {
    Ok(match args.path() == Path::new("-") {
        true => Box::new(StreamTarget::starting_at(0)?),
        false => Box::new(FileTarget::create(args.path(), args.force, 0o666)?),
    })
}

/// Into a layout that is there, file by file; a new one appears whole or not at all.
fn into_folder(
    store: &Store,
    saves: &[Save<'_>],
    args: &SaveArgs,
    compression: Compression,
    tell: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Row>> {
    let path = args.path();
    let is_there = match path.metadata() {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(CliError::file("look for", path)(error)),
    };
    let replace = if args.force { Replace::Move } else { Replace::Refuse };
    let (aside, unfinished) = Unfinished::make(
        || make_aside(if is_there { path } else { folder_of(path) }),
        TempDir::path,
    )?;
    let folder = if is_there { path } else { aside.path() };
    let saved = save_layout(store, saves, folder, aside.path(), compression, replace, tell)?;
    if !is_there {
        let aside = aside.keep();
        let renamed = rustix::fs::renameat_with(CWD, &aside, CWD, path, RenameFlags::NOREPLACE);
        if let Err(errno) = renamed {
            // What was to be made is what the error is about.
            let _ = fs::remove_dir_all(&aside);
            return Err(match errno {
                rustix::io::Errno::EXIST => CliError::FileExists(path.to_owned()),
                errno => CliError::file("rename", path)(errno.into()),
            });
        }
        let folder = folder_of(path);
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(CliError::file("make the name durable in", folder))?;
    }
    drop(unfinished);
    Ok(saved.into_iter().map(row).collect())
}

fn make_aside(folder: &Path) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix(".sapwood-")
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(folder)
        .map_err(aside_failed(folder))
}

/// The folder that a path is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

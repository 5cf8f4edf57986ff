//! `import`: brings a disk image, a directory, a tar stream or an image layer in, as a tag.

mod image;
mod tree;

use crate::args::{ImageFormat, ImportArgs};
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};

pub fn run(args: &ImportArgs, context: &Context<'_>) -> Result<Verdict> {
    match args.format {
        Some(ImageFormat::Tar) => tree::import(args, tree::Form::Tar, context),
        Some(ImageFormat::Layer) => tree::import(args, tree::Form::Layer, context),
        None if args.file.is_dir() => tree::import(args, tree::Form::Directory, context),
        None | Some(ImageFormat::Raw) if args.is_for_tree() => Err(CliError::usage(format!(
            "{} is no directory: a disk stands on nothing and has no files to choose from \
             (--format tar and --format layer make trees)",
            args.file.display()
        ))),
        None | Some(ImageFormat::Raw) => image::import(args, context),
    }
}

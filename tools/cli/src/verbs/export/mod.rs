//! `export`: writes a snapshot or a volume out: a disk as an image, a tree as a directory, a tar
//! stream or an image layer.

mod image;
pub mod stream;
mod tree;

use sapwood::format::LayerKind;

use super::ranges::not_a_disk;
use crate::args::{ExportArgs, ImageFormat};
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};

pub fn run(args: &ExportArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let snapshot = store.snapshot_of(&args.reference)?;
    match (snapshot.kind(), args.format) {
        (LayerKind::Tree, Some(ImageFormat::Raw)) => {
            Err(not_a_disk(&args.reference, "leave --format raw out"))
        }
        (LayerKind::Tree, format) => tree::export(&store, snapshot, format, args, context),
        (LayerKind::Disk, Some(ImageFormat::Tar | ImageFormat::Layer)) => {
            Err(not_a_tree(&args.reference))
        }
        (LayerKind::Disk, _) if args.is_for_tree() => Err(not_a_tree(&args.reference)),
        (LayerKind::Disk, _) => image::export(&snapshot, args, context),
    }
}

fn not_a_tree(reference: &str) -> CliError {
    CliError::usage(format!("{reference} is a disk, not a tree of files"))
}

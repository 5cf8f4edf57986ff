//! The words of the verbs that bring things in and out.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::tree::TreeOptions;
use super::volume::parse_pair;

/// The form of an image. A file is raw unless this says otherwise, never by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageFormat {
    /// The bytes of a disk, nothing else
    Raw,
    /// A tree as a tar stream
    Tar,
    /// What changed in a tree as an image layer: a tar stream with whiteouts
    Layer,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood import image.raw golden:1
  sapwood import rootfs base:1
  sapwood import --format layer layer.tar base:2 --parent base:1")]
pub struct ImportArgs {
    /// A directory, which becomes a tree; an image; or `-`, an image on standard input
    pub file: PathBuf,
    /// The tag it gets
    pub tag: String,
    /// The form of the image [default: raw]
    #[arg(long, value_enum)]
    pub format: Option<ImageFormat>,
    /// Put a tree on top of this snapshot of one
    #[arg(long, value_name = "REF")]
    pub parent: Option<String>,
    #[command(flatten)]
    pub tree: TreeOptions,
    /// A comment for people
    #[arg(long)]
    pub comment: Option<String>,
    /// A label, as often as needed
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub labels: Vec<(String, String)>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood export vm image.raw
  sapwood export --format tar base:1 - | tar t
  sapwood export --format layer web:1 layer.tar --since base:1")]
pub struct ExportArgs {
    /// What to write out; of a volume, its last commit
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Of a disk the image to make, or a block device; of a tree the directory, which must not be there
    /// or be empty; `-` for standard output
    pub file: PathBuf,
    /// The form of the image [default: raw of a disk, a directory of a tree]
    #[arg(long, value_enum)]
    pub format: Option<ImageFormat>,
    /// With --format layer: what changed since this snapshot [default: the layer below]
    #[arg(long, value_name = "REF")]
    pub since: Option<String>,
    #[command(flatten)]
    pub tree: TreeOptions,
    /// Of a tar stream: leave the holes of files out, in the sparse form of GNU tar
    #[arg(long)]
    pub sparse: bool,
    /// Replace a file that is there, whose owner and permissions stay; write onto a block device
    #[arg(long)]
    pub force: bool,
}

impl ImportArgs {
    /// Whether anything is asked for that only trees have.
    pub fn is_for_tree(&self) -> bool {
        self.parent.is_some() || self.tree.is_any()
    }
}

impl ExportArgs {
    /// Whether anything is asked for that only trees have.
    pub fn is_for_tree(&self) -> bool {
        self.since.is_some() || self.sparse || self.tree.is_any()
    }
}

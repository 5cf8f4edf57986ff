//! The words of the verbs that bring images in and out.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sapwood_oci::Compression;

#[derive(Args, Debug)]
pub struct SaveArgs {
    /// The images; several into one file or folder
    #[arg(value_name = "REF", required = true)]
    pub images: Vec<String>,
    /// The file to make, or `-` for standard output; of --format oci the folder, to which images are
    /// added where it is a layout already
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The form
    #[arg(long, value_enum, default_value = "oci-archive")]
    pub format: SaveFormat,
    /// How layers are compressed [default: gzip; with --format docker-archive none]
    #[arg(long, value_enum)]
    pub compression: Option<CompressionWord>,
    /// Replace a file that is there, or an image of the same name in the folder
    #[arg(long)]
    pub force: bool,
}

/// The form of images in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SaveFormat {
    /// A folder in OCI's layout
    Oci,
    /// The same as a tar stream
    OciArchive,
    /// What `docker save` makes and `docker load` takes
    DockerArchive,
    /// The root filesystem alone, as a tar stream
    Tar,
}

/// How layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompressionWord {
    /// Not at all
    None,
    /// As every reader knows it
    Gzip,
    /// Smaller and faster, for newer readers
    Zstd,
}

impl From<CompressionWord> for Compression {
    fn from(word: CompressionWord) -> Compression {
        match word {
            CompressionWord::None => Compression::None,
            CompressionWord::Gzip => Compression::Gzip,
            CompressionWord::Zstd => Compression::Zstd,
        }
    }
}

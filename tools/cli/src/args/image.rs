//! The words of the verbs that bring images in and out.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sapwood_oci::{ArchiveForm, Compression, Platform};

use super::several::{SeveralInto, Wording};
use crate::output::size::parse_size;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood load app.tar
  docker save alpine:3 | sapwood load -
  sapwood load rootfs.tar base:1 --format tar")]
pub struct LoadArgs {
    /// The archive or folder, or `-` for standard input
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The tag of the image [default: its names in the archive]
    #[arg(value_name = "TAG")]
    pub tag: Option<String>,
    /// The image to take of several, by its name in the archive [default: all]
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
    /// The form [default: what is in it says]
    #[arg(long, value_enum)]
    pub format: Option<LoadFormat>,
    /// The platform, where there is a choice [default: this machine's]
    #[arg(long, value_name = "[OS/]ARCH[/VARIANT]", value_parser = str::parse::<Platform>)]
    pub platform: Option<Platform>,
    /// Refuse what unpacks to more than this
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub limit: Option<u64>,
    /// Move the tag if it is there already
    #[arg(long)]
    pub force: bool,
}

/// The form of images that come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoadFormat {
    /// A folder in OCI's layout
    Oci,
    /// The same as a tar
    OciArchive,
    /// What `docker save` makes
    DockerArchive,
    /// A root filesystem alone, as a tar
    Tar,
}

impl From<LoadFormat> for ArchiveForm {
    fn from(format: LoadFormat) -> ArchiveForm {
        match format {
            LoadFormat::Oci => ArchiveForm::Layout,
            LoadFormat::OciArchive => ArchiveForm::LayoutTar,
            LoadFormat::DockerArchive => ArchiveForm::Docker,
            LoadFormat::Tar => ArchiveForm::Root,
        }
    }
}

#[derive(Args, Debug)]
#[command(
    override_usage = "sapwood save [OPTIONS] <REF>... <PATH>",
    after_help = "\
Examples:
  sapwood save app:1 app.tar
  sapwood save app:1 app:2 images --format oci --compression zstd
  sapwood save app:1 - --format docker-archive | docker load"
)]
pub struct SaveArgs {
    #[command(flatten)]
    words: SeveralInto<ImagesAndPath>,
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

/// What `save` is given.
#[derive(Clone, Debug)]
struct ImagesAndPath;

impl Wording for ImagesAndPath {
    const NAMES: &'static str = "REF|PATH";
    const HELP: &'static str = "The images, several into one file or folder; and last the file to make, or `-` for \
        standard output; of --format oci the folder, to which images are added where it is a layout already";
    const LACKING: &'static str = "an image and the file to make are needed: <REF>... <PATH>";
}

impl SaveArgs {
    /// The images.
    pub fn images(&self) -> Vec<String> {
        // What is no UTF-8 names nothing.
        self.words.sources.iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        Path::new(&self.words.target)
    }
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

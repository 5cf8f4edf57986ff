//! The words of the verbs for the life of an image.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
pub struct DfArgs {
    /// Tell of images, containers, what builds left, and all else, each byte counted once
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Args, Debug)]
pub struct ImagesArgs {
    /// List the tags that keep what builds left, too
    #[arg(short, long)]
    pub all: bool,
}

#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// The image, or a container
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Tell ids and what made a layer in full
    #[arg(long)]
    pub no_trunc: bool,
    /// How many files to name that a layer has in vain
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    pub worst: usize,
}

#[derive(Args, Debug)]
pub struct InspectArgs {
    /// The image, or a container
    #[arg(value_name = "IMAGE|CONTAINER")]
    pub image: String,
}

#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Remove images that no container stands on, too
    #[arg(short, long)]
    pub all: bool,
    /// Remove containers that nobody has open, too
    #[arg(long)]
    pub containers: bool,
    /// Leave what builds left for the next one: layers, and directories that their programs keep
    #[arg(long)]
    pub keep_cache: bool,
    /// Say what would go, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args, Debug)]
pub struct RebaseArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The image that it is to stand on
    #[arg(long, value_name = "BASE")]
    pub onto: String,
    /// What it stands on now, an image or a layer [default: the topmost layer in common]
    #[arg(long, value_name = "OLD")]
    pub from: Option<String>,
    /// The tag of what comes of it [default: the image's own, moved]
    #[arg(short, long)]
    pub tag: Option<String>,
    /// Do it though there are conflicts: what the image's layers say counts; and move the tag if it
    /// is there already
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub struct SquashArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The tag of what comes of it [default: the image's own, moved]
    #[arg(short, long)]
    pub tag: Option<String>,
    /// Keep this layer, and those below it [default: all become one]
    #[arg(long, value_name = "LAYER")]
    pub from: Option<String>,
    /// Move the tag if it is there already
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub struct ReportArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The file to make; `-` for standard output
    #[arg(short, long, value_name = "FILE.html")]
    pub output: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    pub force: bool,
}

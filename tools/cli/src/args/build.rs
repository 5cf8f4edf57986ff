//! The grammar of `build`.

use std::path::PathBuf;

use clap::Args;
use sapwood_build::{SOURCE_DATE_EPOCH, parse_platform};
use sapwood_oci::Platform;

use super::volume::parse_pair;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood build -t app:1 app
  sapwood build --explain --target test -f app/Containerfile app")]
pub struct BuildArgs {
    /// The directory that files are copied from
    pub context: PathBuf,
    /// A tag for the image, as often as needed; one that is there moves
    #[arg(short, long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// The Containerfile; `-` for standard input [default: Containerfile or Dockerfile in CONTEXT]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Build this stage, by name or number [default: the last one]
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// A value for an ARG; without a value that of the environment
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub arguments: Vec<String>,
    /// A further directory that `--from=NAME` means
    #[arg(long = "build-context", value_name = "NAME=DIR", value_parser = parse_pair)]
    pub contexts: Vec<(String, String)>,
    /// A label for the image, as often as needed
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub labels: Vec<(String, String)>,
    /// A secret for `RUN --mount=type=secret`: a file, or a variable of the environment
    #[arg(long = "secret", value_name = "id=ID[,src=FILE|,env=NAME]")]
    pub secrets: Vec<String>,
    /// What the image runs on [default: this machine]
    #[arg(long, value_name = "[linux/]ARCH[/VARIANT]", value_parser = parse_platform)]
    pub platform: Option<Platform>,
    /// The time of all that is made, in seconds since 1970: no file of it is newer, and equal steps
    /// make equal images
    #[arg(long, value_name = "SECONDS", env = SOURCE_DATE_EPOCH, hide_env_values = true)]
    pub source_date_epoch: Option<i64>,
    /// Make all layers anew
    #[arg(long)]
    pub no_cache: bool,
    /// Count the layers of this image of the store, built elsewhere, as made before
    #[arg(long, value_name = "REF", conflicts_with = "no_cache")]
    pub cache_from: Vec<String>,
    /// Tell of each step that was not made before what differed
    #[arg(long)]
    pub explain: bool,
    /// The OCI runtime of RUN [default: runc, crun or youki, whichever is there]
    #[arg(long, value_name = "NAME", env = "SAPWOOD_RUNTIME", hide_env_values = true)]
    pub runtime: Option<String>,
}

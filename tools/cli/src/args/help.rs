//! The words of the verbs that show the command itself.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood tour
  sapwood tour image.raw --forks 10")]
pub struct TourArgs {
    /// A disk image, or a directory to make one of [default: what /usr/share holds]
    pub path: Option<PathBuf>,
    /// How many forks to make
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub forks: u32,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  eval \"$(sapwood completions bash)\"
  sapwood completions fish > sapwood.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood man fork | man -l -
  sapwood man --directory pages")]
pub struct ManArgs {
    /// The verb to print the page of [default: the command's own page]
    pub verb: Option<String>,
    /// Write every page into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    pub directory: Option<PathBuf>,
}

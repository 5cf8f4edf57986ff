//! The words of the verbs that look into a store and change nothing.

use clap::Args;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood log vm
  sapwood log vm --graph")]
pub struct LogArgs {
    /// The newest layer to list
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Draw the whole tree that the layer stands in
    #[arg(long)]
    pub graph: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood map vm
  sapwood map vm --since golden:1")]
pub struct MapArgs {
    /// What to picture; of a volume, its last commit
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Only the ranges that changed since this one
    #[arg(long, value_name = "REF")]
    pub since: Option<String>,
    /// How many cells the picture has [default: as many as fit]
    #[arg(long, value_name = "CELLS", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub width: Option<u16>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood diff golden:1 vm
  sapwood diff --patch base:1 web
  sapwood diff box")]
pub struct DiffArgs {
    /// The one; alone, a container: what it added (A), changed (C) and deleted (D) of its image
    pub a: String,
    /// The other
    pub b: Option<String>,
    /// List the files of trees that came (A), went (D), changed (M) or were renamed (R)
    #[arg(long, requires = "b")]
    pub files: bool,
    /// Show what differs in the text of these files, too
    #[arg(short, long, requires = "b")]
    pub patch: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood du
  sapwood du web:1 --layers")]
pub struct DuArgs {
    /// What to tell about [default: every name]
    #[arg(value_name = "REF")]
    pub reference: Option<String>,
    /// Tell how much of a tree each layer holds
    #[arg(long, requires = "reference")]
    pub layers: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood check
  sapwood check --data")]
pub struct CheckArgs {
    /// Verify the checksum of every data block too
    #[arg(long)]
    pub data: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood dump vm@1
  sapwood dump ./damaged.layer")]
pub struct DumpArgs {
    /// A file of a store, beginning with `/` or `./`, or a REF
    #[arg(value_name = "LAYER|REF")]
    pub layer: String,
}

//! The words of the verbs that make, change and remove volumes and snapshots.

use std::ffi::OsString;

use clap::Args;

use super::NAMES;
use crate::output::size::parse_size;
use crate::tree::Word;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood init
  sapwood --store disks init --block-size 16K")]
pub struct InitArgs {
    /// The size of a block, a power of two from 4K to 64K
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = parse_size,
        default_value = "4K",
        conflicts_with = "mend"
    )]
    pub block_size: u64,
    /// Make what a store has lost besides names and layers: folders and locks, which copies leave out where
    /// they are empty, and its own file, anew with the size of blocks that its layers say; and take away what
    /// is derived from layers: it is made anew
    #[arg(long)]
    pub mend: bool,
}

#[derive(Args, Debug)]
#[command(after_help = format!("{NAMES}

Examples:
  sapwood create vm 10G
  sapwood create --tree web"))]
pub struct CreateArgs {
    /// The volume's name
    pub name: String,
    /// Its size, of a disk
    #[arg(value_parser = parse_size, required_unless_present = "tree")]
    pub size: Option<u64>,
    /// Make a tree of files, which has no size of its own
    #[arg(long, conflicts_with = "size")]
    pub tree: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood fork golden:1 vm
  sapwood fork vm@1 vm-again")]
pub struct ForkArgs {
    /// The snapshot
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The new volume's name
    pub name: String,
    /// Do not wait until it is durable: a power cut may take it, until something of it is committed
    #[arg(long)]
    pub no_sync: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood snapshot vm -t vm:tested --comment \"after the greeting\"
  sapwood snapshot web --label build=7")]
pub struct SnapshotArgs {
    /// The volume
    pub name: String,
    /// Give the snapshot this tag
    #[arg(short, long)]
    pub tag: Option<String>,
    /// A label, as often as needed
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub labels: Vec<(String, String)>,
    /// A comment for people
    #[arg(long)]
    pub comment: Option<String>,
}

#[derive(Args, Debug)]
pub struct ReferenceArgs {
    /// The layer
    #[arg(value_name = "REF")]
    pub reference: String,
}

#[derive(Args, Debug)]
#[command(after_help = format!("{NAMES}

Examples:
  sapwood tag vm@1 vm:good
  sapwood tag vm@1 vm:latest --force"))]
pub struct TagArgs {
    /// The snapshot
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Its new tag
    pub tag: String,
    /// Move the tag if it is there already
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood rm vm:tested
  sapwood rm vm@2
  sapwood rm -r web:/etc/apt")]
pub struct RmArgs {
    /// Tags, volumes, snapshots as NAME@N, or files in volumes as NAME:/path
    #[arg(value_name = "REF|NAME:/PATH", required = true, value_parser = Word::parser())]
    pub words: Vec<Word>,
    /// Remove directories in trees with all below them
    #[arg(short, long)]
    pub recursive: bool,
    /// Kill what runs in containers that are to be removed, and leave out what is not there
    #[arg(short, long)]
    pub force: bool,
    /// Give up names and layers that `check` says cannot be read, and that stop `gc`; what stood on
    /// such a layer stays unreadable
    #[arg(long, conflicts_with_all = ["recursive", "force"])]
    pub damaged: bool,
}

#[derive(Args, Debug)]
pub struct NameArgs {
    /// The volume
    pub name: String,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood resize vm 20G
  sapwood resize vm 5G --shrink")]
pub struct ResizeArgs {
    /// The volume
    pub name: String,
    /// Its new size
    #[arg(value_parser = parse_size)]
    pub size: u64,
    /// Allow a smaller size: what lies past it is gone
    #[arg(long)]
    pub shrink: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood read vm --offset 1M --length 4K | od -c
  sapwood read web:/usr/large > large")]
pub struct ReadArgs {
    /// What to read, a disk or a file in a tree; of a volume, its last commit
    #[arg(value_name = "REF[:/PATH]")]
    pub reference: OsString,
    /// Where to begin
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "0")]
    pub offset: u64,
    /// How much to read [default: up to the end]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub length: Option<u64>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  head -c 4096 /dev/urandom | sapwood write vm --offset 1M
  echo app-1 | sapwood write web:/etc/hostname")]
pub struct WriteArgs {
    /// The volume, or a file in its tree, which must be there
    #[arg(value_name = "NAME[:/PATH]")]
    pub name: OsString,
    /// Where to begin
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "0")]
    pub offset: u64,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood gc --dry-run
  sapwood gc")]
pub struct GcArgs {
    /// Say what would be freed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood flatten vm@1 flat:1")]
pub struct FlattenArgs {
    /// What to flatten
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The tag of the new layer
    pub tag: String,
}

/// A key and its value, as they are typed.
pub(super) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("KEY=VALUE is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_have_a_key() {
        assert_eq!(parse_pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert_eq!(parse_pair("a=").unwrap(), ("a".to_owned(), String::new()));
        assert!(parse_pair("=b").is_err());
        assert!(parse_pair("a").is_err());
    }
}

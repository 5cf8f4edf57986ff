//! The words of the verbs that reach into trees of files.

use std::ffi::OsString;

use clap::Args;
use sapwood_archive::{
    ExportOptions, ExtendedAttributes, Holes, ImportOptions, Ownership, SpecialFiles,
};

use super::several::{SeveralInto, Wording};
use crate::tree::TreePath;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood ls
  sapwood ls -l base:1:/etc
  sapwood ls -R web:/")]
pub struct LsArgs {
    /// What to list; of a volume, its last commit [default: the names of the store]
    #[arg(value_name = "REF:/PATH", value_parser = TreePath::parser())]
    pub paths: Vec<TreePath>,
    /// Tell kind, permissions, links, owner, group, size and time
    #[arg(short, long, requires = "paths")]
    pub long: bool,
    /// List all below, each with its whole path, as `find` does
    #[arg(short = 'R', long, requires = "paths")]
    pub recursive: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood cat web:/etc/hostname")]
pub struct CatArgs {
    /// The files; of a volume, as in its last commit
    #[arg(value_name = "REF:/PATH", required = true, value_parser = TreePath::parser())]
    pub paths: Vec<TreePath>,
}

#[derive(Args, Debug)]
#[command(
    override_usage = "sapwood cp [OPTIONS] <SOURCE>... <TARGET>",
    after_help = "\
Examples:
  sapwood cp -a web:1:/etc ./etc
  sapwood cp -r notes web:/srv
  echo app-1 | sapwood cp - web:/etc/hostname"
)]
pub struct CpArgs {
    #[command(flatten)]
    pub words: SeveralInto<FilesAndTarget>,
    /// Copy each as what it is: directories with all below them, symlinks and devices as such, with
    /// times, links and holes, without owners
    #[arg(short, long)]
    pub recursive: bool,
    /// As --recursive, with owners and extended attributes too
    #[arg(short, long)]
    pub archive: bool,
}

/// What `cp` is given.
#[derive(Clone, Debug)]
pub struct FilesAndTarget;

impl Wording for FilesAndTarget {
    const NAMES: &'static str = "SOURCE|TARGET";
    const HELP: &'static str = "The files: REF:/PATH in a tree, else a path of the host, which begins with `/` or `.` \
        where it holds `:/`; `-` is standard input. And last where to: NAME:/PATH or a path of the host; in a \
        directory each keeps its name";
    const LACKING: &'static str = "a file and where to are needed: <SOURCE>... <TARGET>";
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood blame web:/usr/large")]
pub struct BlameArgs {
    /// The file; of a volume, as in its last commit
    #[arg(value_name = "REF:/PATH", value_parser = TreePath::parser())]
    pub path: TreePath,
}

// What of a tree is left behind on its way in or out; all else is taken along, or an error. No comment
// that documents: a flattened group would give it to the verb.
#[derive(Args, Clone, Copy, Debug)]
pub struct TreeOptions {
    /// Of a tree: leave owners out. In the store all belong to user and group 0 then, on the host
    /// to who exports; set-id bits and capabilities of files go with their owners
    #[arg(long)]
    pub no_owners: bool,
    /// Of a tree: leave devices, pipes and sockets out
    #[arg(long)]
    pub no_special_files: bool,
    /// Of a tree: leave sockets out, which no tar stream can hold
    #[arg(long)]
    pub no_sockets: bool,
    /// Of a tree: leave extended attributes out
    #[arg(long)]
    pub no_extended_attributes: bool,
}

impl TreeOptions {
    /// What `cp -r` takes along.
    pub const PLAIN: TreeOptions =
        TreeOptions { no_owners: true, no_extended_attributes: true, ..TreeOptions::ALL };
    /// All there is.
    pub const ALL: TreeOptions = TreeOptions {
        no_owners: false,
        no_special_files: false,
        no_sockets: false,
        no_extended_attributes: false,
    };

    /// Whether anything is left behind.
    pub fn is_any(self) -> bool {
        let TreeOptions { no_owners, no_special_files, no_sockets, no_extended_attributes } = self;
        no_owners || no_special_files || no_sockets || no_extended_attributes
    }

    /// For the way in.
    pub fn import_options(self) -> ImportOptions {
        ImportOptions {
            ownership: self.ownership(),
            special_files: self.special_files(),
            extended_attributes: self.extended_attributes(),
            ..ImportOptions::default()
        }
    }

    /// For the way out.
    pub fn export_options(self) -> ExportOptions {
        ExportOptions {
            ownership: self.ownership(),
            special_files: self.special_files(),
            extended_attributes: self.extended_attributes(),
            holes: Holes::default(),
        }
    }

    fn ownership(self) -> Ownership {
        if self.no_owners { Ownership::Default } else { Ownership::Keep }
    }

    fn special_files(self) -> SpecialFiles {
        match (self.no_special_files, self.no_sockets) {
            (true, _) => SpecialFiles::Skip,
            (false, true) => SpecialFiles::SkipSockets,
            (false, false) => SpecialFiles::Make,
        }
    }

    fn extended_attributes(self) -> ExtendedAttributes {
        match self.no_extended_attributes {
            true => ExtendedAttributes::Skip,
            false => ExtendedAttributes::Keep,
        }
    }
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood stat web:/etc/hostname")]
pub struct StatArgs {
    /// The file; of a volume, as in its last commit. A symlink is told of itself
    #[arg(value_name = "REF:/PATH", value_parser = TreePath::parser())]
    pub path: TreePath,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood mkdir -p web:/srv/www")]
pub struct MkdirArgs {
    /// The directories
    #[arg(value_name = "NAME:/PATH", required = true, value_parser = TreePath::parser())]
    pub paths: Vec<TreePath>,
    /// Make those above them too; what is there already is right
    #[arg(short, long)]
    pub parents: bool,
    /// Their permissions, in octal
    #[arg(short, long, value_name = "MODE", value_parser = parse_permissions)]
    pub mode: Option<u16>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood ln web:/etc/hostname web:/etc/name
  sapwood ln -s hostname web:/etc/alias")]
pub struct LnArgs {
    /// The file that gets another name, as NAME:/PATH; with --symbolic any text
    #[arg(value_name = "TARGET")]
    pub target: OsString,
    /// The new name
    #[arg(value_name = "NAME:/PATH", value_parser = TreePath::parser())]
    pub link: TreePath,
    /// Make a symlink
    #[arg(short, long)]
    pub symbolic: bool,
}

fn parse_permissions(text: &str) -> Result<u16, String> {
    u16::from_str_radix(text, 8)
        .ok()
        .filter(|&mode| mode <= 0o7777)
        .ok_or_else(|| "permissions are octal, from 0 to 7777".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_octal() {
        assert_eq!(parse_permissions("1755"), Ok(0o1755));
        for bad in ["", "8", "17777", "u+x", "-1"] {
            assert!(parse_permissions(bad).is_err(), "{bad}");
        }
    }
}

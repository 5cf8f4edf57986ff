//! The grammar of the command line.

mod build;
pub mod container;
mod image;
mod life;
mod registry;
mod tree;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use sapwood_fuse::IdRange;

use crate::output::size::parse_size;
use crate::tree::Word;

pub use self::build::BuildArgs;
pub use self::container::{CommitArgs, ExecArgs, LogsArgs, PsArgs, RunArgs, StartArgs, StopArgs};
pub use self::image::{LoadArgs, SaveArgs, SaveFormat};
pub use self::life::{
    DfArgs, HistoryArgs, ImagesArgs, InspectArgs, PruneArgs, RebaseArgs, ReportArgs, SquashArgs,
};
pub use self::registry::{PullArgs, PushArgs, RegistryArgs};
pub use self::tree::{
    BlameArgs, CatArgs, CpArgs, LnArgs, LsArgs, MkdirArgs, StatArgs, TreeOptions,
};

const REFERENCES: &str = "\
References (REF):
  NAME        a tag or a volume; a name without `:tag` is looked up as it is,
              then with `:latest`
  NAME@N      0 the current state, 1 the newest snapshot, and so on back;
              removed snapshots are not counted
  ID, DIGEST  a layer id or digest, or a unique prefix of one (4 digits or more)

Files in trees: REF:/path, split at the first `:/`, as in debian:12:/etc/passwd.

Sizes and offsets are in bytes, or end in K, M, G, T, P or E (also KiB, MiB, ...;
powers of 1024), or in kB, MB, GB, ... (powers of 1000).";

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   the answer is no: `diff` found differences, `check` found damage, `rebase`
      found conflicts, a program that `build` ran failed
  2   the command line is wrong, or asks for what cannot be: to list a file, to
      remove a directory that is not empty, a name that is too long
  3   no store
  4   locked by another writer
  5   corrupt: stored bytes do not verify
  6   wrong parent: a layer is not the one its child recorded
  7   no space
  8   not found: no such name, layer, digest or file
  9   already exists
  10  another I/O error
`run`, `start` and `exec` end with what the process ended with, or
  125 it did not come to run
  126 the command is there and cannot be executed
  127 there is no such command

With --json every verb prints one JSON document on standard output, with
`schema` (1) and `verb`; an error is one on standard error, with `error`. Where
standard output carries data (`read`, `cat`, `export REF -`), the document goes
to standard error. A path that is no UTF-8 has `path_hex` beside `path`.";

/// Copy-on-write block-level snapshots in plain files: store, fork, snapshot, diff and read
/// disk images and trees of files without root, daemon or kernel module
#[derive(Debug, Parser)]
#[command(
    name = "sapwood",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 100,
    after_help = REFERENCES,
    after_long_help = format!("{REFERENCES}\n\n{EXIT_CODES}")
)]
pub struct Command {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb understands.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// The store [default: `sapwood` in the user's data directory]
    #[arg(long, global = true, value_name = "DIR", env = "SAPWOOD_STORE", hide_env_values = true)]
    pub store: Option<PathBuf>,
    /// Print JSON, errors included
    #[arg(long, global = true)]
    pub json: bool,
    /// Print sizes in bytes instead of KiB, MiB, ...
    #[arg(long, global = true)]
    pub bytes: bool,
    /// Print no progress and no confirmations
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Use a store on a network filesystem, where locks and syncs may promise less
    #[arg(long, global = true)]
    pub network_filesystem: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a store
    Init(InitArgs),
    /// Make an empty volume: a disk, or a tree of files
    Create(CreateArgs),
    /// Bring a disk image, a directory, a tar stream or an image layer in, as a tag
    Import(ImportArgs),
    /// Write a disk out as an image; a tree as a directory, a tar stream or an image layer
    Export(ExportArgs),
    /// Bring images in: an OCI layout, a docker archive, a root filesystem
    Load(LoadArgs),
    /// Build an image from a Containerfile, a layer an instruction
    Build(BuildArgs),
    /// Write images out, for other tools and other stores
    Save(SaveArgs),
    /// Bring an image in from a registry: what of it is not here
    Pull(PullArgs),
    /// Send an image to a registry: what of it is not there
    Push(PushArgs),
    /// Make a volume on top of a snapshot
    Fork(ForkArgs),
    /// Freeze what a volume holds
    Snapshot(SnapshotArgs),
    /// Name a snapshot, and all below it, by the digest of its content
    Seal(ReferenceArgs),
    /// List tags and volumes, or the files at REF:/path
    Ls(LsArgs),
    /// Write the content of files in a tree to standard output
    Cat(CatArgs),
    /// Copy files into a tree, out of it, or from tree to tree
    Cp(CpArgs),
    /// Tell what is known of a file in a tree
    Stat(StatArgs),
    /// Make directories in a tree
    Mkdir(MkdirArgs),
    /// Give a file in a tree another name, or make a symlink
    Ln(LnArgs),
    /// Tell what is known of one layer
    Show(ReferenceArgs),
    /// List a layer and its ancestors, newest first, each with its own size
    Log(LogArgs),
    /// Give a snapshot a name
    Tag(TagArgs),
    /// Remove tags, volumes or snapshots, whose space `gc` then frees; or files in trees
    Rm(RmArgs),
    /// Drop what a volume holds over its parent
    Reset(NameArgs),
    /// Change the size of a volume
    Resize(ResizeArgs),
    /// Show a tree on a directory: a volume to read and write, a snapshot to read
    Mount(MountArgs),
    /// Take a mounted tree away, once what was written into it is committed
    Umount(UmountArgs),
    /// Make durable what was written into a volume, through its mount where it has one
    Flush(NameArgs),
    /// Write bytes of a disk, or of a file in a tree, to standard output
    Read(ReadArgs),
    /// Write standard input into a disk, or into a file in a tree
    Write(WriteArgs),
    /// Picture which layer owns what, and list the extents
    Map(MapArgs),
    /// List the ranges that differ, from metadata alone, or the files of trees; a range rewritten
    /// with the same bytes counts
    Diff(DiffArgs),
    /// Tell which layer wrote which range of a file in a tree, and when
    Blame(BlameArgs),
    /// Tell virtual, allocated, exclusive and shared bytes of names
    Du(DuArgs),
    /// Tell what the whole store holds
    Df(DfArgs),
    /// List images
    Images(ImagesArgs),
    /// Tell how an image came to be, what each layer brought, and what of it shows nowhere
    History(HistoryArgs),
    /// Tell the configuration of an image or a container, and its layers
    Inspect(InspectArgs),
    /// Apply the layers of an image on another base
    Rebase(RebaseArgs),
    /// Make layers of an image one
    Squash(SquashArgs),
    /// Write a page of HTML on an image: layers, files by layer, waste, what it shares
    Report(ReportArgs),
    /// Remove what builds left and what no image needs, and give its space back
    Prune(PruneArgs),
    /// Give the space of removed layers back
    Gc(GcArgs),
    /// Make a layer without ancestors that reads the same, as a tag
    Flatten(FlattenArgs),
    /// Run a process over a fork of an image, and keep the fork as a container
    Run(RunArgs),
    /// Run the process of a container that ended once more
    Start(StartArgs),
    /// Run a further process in a container that runs
    Exec(ExecArgs),
    /// Make an image of what a container holds, while it runs or not
    Commit(CommitArgs),
    /// List the containers that run
    Ps(PsArgs),
    /// Write what a detached container said to standard output
    Logs(LogsArgs),
    /// End containers that run
    Stop(StopArgs),
    /// Verify every structure of the store; writes nothing
    Check(CheckArgs),
    /// Print every structure of a layer with its file offset; works on damaged files
    Dump(DumpArgs),
    /// Show the main job on real input, in a temporary store
    Tour(TourArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual
    Man(ManArgs),
}

impl Verb {
    /// The verb as it is typed.
    pub fn name(&self) -> &'static str {
        match self {
            Verb::Init(_) => "init",
            Verb::Create(_) => "create",
            Verb::Import(_) => "import",
            Verb::Export(_) => "export",
            Verb::Load(_) => "load",
            Verb::Build(_) => "build",
            Verb::Save(_) => "save",
            Verb::Pull(_) => "pull",
            Verb::Push(_) => "push",
            Verb::Fork(_) => "fork",
            Verb::Snapshot(_) => "snapshot",
            Verb::Seal(_) => "seal",
            Verb::Ls(_) => "ls",
            Verb::Cat(_) => "cat",
            Verb::Cp(_) => "cp",
            Verb::Stat(_) => "stat",
            Verb::Mkdir(_) => "mkdir",
            Verb::Ln(_) => "ln",
            Verb::Show(_) => "show",
            Verb::Log(_) => "log",
            Verb::Tag(_) => "tag",
            Verb::Rm(_) => "rm",
            Verb::Reset(_) => "reset",
            Verb::Resize(_) => "resize",
            Verb::Mount(_) => "mount",
            Verb::Umount(_) => "umount",
            Verb::Flush(_) => "flush",
            Verb::Read(_) => "read",
            Verb::Write(_) => "write",
            Verb::Map(_) => "map",
            Verb::Diff(_) => "diff",
            Verb::Blame(_) => "blame",
            Verb::Du(_) => "du",
            Verb::Df(_) => "df",
            Verb::Images(_) => "images",
            Verb::History(_) => "history",
            Verb::Inspect(_) => "inspect",
            Verb::Rebase(_) => "rebase",
            Verb::Squash(_) => "squash",
            Verb::Report(_) => "report",
            Verb::Prune(_) => "prune",
            Verb::Gc(_) => "gc",
            Verb::Flatten(_) => "flatten",
            Verb::Run(_) => "run",
            Verb::Start(_) => "start",
            Verb::Exec(_) => "exec",
            Verb::Commit(_) => "commit",
            Verb::Ps(_) => "ps",
            Verb::Logs(_) => "logs",
            Verb::Stop(_) => "stop",
            Verb::Check(_) => "check",
            Verb::Dump(_) => "dump",
            Verb::Tour(_) => "tour",
            Verb::Completions(_) => "completions",
            Verb::Man(_) => "man",
        }
    }
}

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
pub struct InitArgs {
    /// The size of a block, a power of two from 4K to 64K
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "4K")]
    pub block_size: u64,
}

#[derive(Args, Debug)]
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
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub labels: Vec<(String, String)>,
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    /// What to write out; of a volume, its last commit
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Of a disk the image to make; of a tree the directory, which must not be there or be empty;
    /// `-` for standard output
    pub file: PathBuf,
    /// The form of the image [default: raw of a disk, a directory of a tree]
    #[arg(long, value_enum)]
    pub format: Option<ImageFormat>,
    /// With --format layer: what changed since this snapshot [default: the layer below]
    #[arg(long, value_name = "REF")]
    pub since: Option<String>,
    #[command(flatten)]
    pub tree: TreeOptions,
    /// Replace a file that is there
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
        self.since.is_some() || self.tree.is_any()
    }
}

#[derive(Args, Debug)]
pub struct ForkArgs {
    /// The snapshot
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The new volume's name
    pub name: String,
}

#[derive(Args, Debug)]
pub struct SnapshotArgs {
    /// The volume
    pub name: String,
    /// Give the snapshot this tag
    #[arg(short, long)]
    pub tag: Option<String>,
    /// A label, as often as needed
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
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
pub struct LogArgs {
    /// The newest layer to list
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Draw the whole tree that the layer stands in
    #[arg(long)]
    pub graph: bool,
}

#[derive(Args, Debug)]
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
pub struct RmArgs {
    /// Tags, volumes, snapshots as NAME@N, or files in volumes as NAME:/path
    #[arg(value_name = "REF|NAME:/PATH", required = true, value_parser = Word::parser())]
    pub words: Vec<Word>,
    /// Remove directories in trees with all below them
    #[arg(short, long)]
    pub recursive: bool,
    /// Kill what runs in containers that are to be removed
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub struct NameArgs {
    /// The volume
    pub name: String,
}

#[derive(Args, Debug)]
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
pub struct MountArgs {
    /// What to mount: a volume, to read and write; of all else the frozen files
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The directory it is shown on
    pub directory: PathBuf,
    /// Mount a fork of the snapshot, which goes with the unmount
    #[arg(long, conflicts_with = "read_only")]
    pub temporary: bool,
    /// Mount the last commit of a volume, to be read only
    #[arg(long)]
    pub read_only: bool,
    /// Stay, and serve in this process
    #[arg(short, long)]
    pub foreground: bool,
    /// Commit at the unmount only: `fsync` does nothing, and what is written may be lost
    #[arg(long)]
    pub volatile: bool,
    /// Commit at least so often, though nobody asks for it
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..),
        conflicts_with = "volatile")]
    pub commit_every: Option<u64>,
    /// What the volume's own layer may take
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub quota: Option<u64>,
    /// Let other users in, as far as the files' permissions go
    #[arg(long)]
    pub allow_other: bool,
    /// Show users of the tree as others of the host, as often as needed
    #[arg(long = "map-users", value_name = "HOST:TREE:COUNT")]
    pub map_users: Vec<IdRange>,
    /// Show groups of the tree as others of the host, as often as needed
    #[arg(long = "map-groups", value_name = "HOST:TREE:COUNT")]
    pub map_groups: Vec<IdRange>,
    /// Enforce POSIX access control lists
    #[arg(long)]
    pub acl: bool,
    /// Let set-user-id bits count
    #[arg(long)]
    pub suid: bool,
    /// Let device nodes be opened
    #[arg(long)]
    pub dev: bool,
    /// Do not note when files are read
    #[arg(long = "no-atime")]
    pub no_access_times: bool,
    /// Where failures are told that users only see as an error number
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Say when the mount is there, to the process that started this one
    #[arg(long, hide = true, requires = "foreground")]
    pub ready: bool,
}

#[derive(Args, Debug)]
pub struct UmountArgs {
    /// The directory
    pub directory: PathBuf,
    /// Let it go from its directory though somebody is in it; what was written so far is committed
    #[arg(long)]
    pub lazy: bool,
}

#[derive(Args, Debug)]
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
pub struct WriteArgs {
    /// The volume, or a file in its tree, which must be there
    #[arg(value_name = "NAME[:/PATH]")]
    pub name: OsString,
    /// Where to begin
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "0")]
    pub offset: u64,
}

#[derive(Args, Debug)]
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
pub struct DuArgs {
    /// What to tell about [default: every name]
    #[arg(value_name = "REF")]
    pub reference: Option<String>,
    /// Tell how much of a tree each layer holds
    #[arg(long, requires = "reference")]
    pub layers: bool,
}

#[derive(Args, Debug)]
pub struct GcArgs {
    /// Say what would be freed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args, Debug)]
pub struct FlattenArgs {
    /// What to flatten
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The tag of the new layer
    pub tag: String,
}

#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Verify the checksum of every data block too
    #[arg(long)]
    pub data: bool,
}

#[derive(Args, Debug)]
pub struct DumpArgs {
    /// A file of a store, beginning with `/` or `./`, or a REF
    #[arg(value_name = "LAYER|REF")]
    pub layer: String,
}

#[derive(Args, Debug)]
pub struct TourArgs {
    /// A disk image, or a directory to make one of [default: what /usr/share holds]
    pub path: Option<PathBuf>,
    /// How many forks to make
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub forks: u32,
}

#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub struct ManArgs {
    /// The verb to print the page of [default: the command's own page]
    pub verb: Option<String>,
    /// Write every page into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    pub directory: Option<PathBuf>,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Command::command().debug_assert();
    }

    #[test]
    fn every_verb_is_named_as_it_is_typed() {
        let typed = |words: &[&str]| Command::try_parse_from(words).unwrap().verb.name();
        let words: &[&[&str]] = &[
            &["init"],
            &["create", "a", "1G"],
            &["import", "a", "b"],
            &["export", "a", "b"],
            &["load", "a"],
            &["build", "."],
            &["save", "i", "f"],
            &["pull", "r"],
            &["push", "i", "r"],
            &["fork", "a", "b"],
            &["snapshot", "a"],
            &["seal", "a"],
            &["ls"],
            &["cat", "a:/b"],
            &["cp", "a:/b", "c"],
            &["stat", "a:/b"],
            &["mkdir", "a:/b"],
            &["ln", "a:/b", "a:/c"],
            &["show", "a"],
            &["log", "a"],
            &["tag", "a", "b"],
            &["rm", "a"],
            &["reset", "a"],
            &["resize", "a", "1G"],
            &["mount", "a", "b"],
            &["umount", "a"],
            &["flush", "a"],
            &["read", "a"],
            &["write", "a"],
            &["map", "a"],
            &["diff", "a", "b"],
            &["blame", "a:/b"],
            &["du"],
            &["df"],
            &["images"],
            &["history", "i"],
            &["inspect", "i"],
            &["rebase", "i", "--onto", "b"],
            &["squash", "i"],
            &["report", "i", "-o", "f"],
            &["prune"],
            &["gc"],
            &["flatten", "a", "b"],
            &["run", "a"],
            &["start", "a"],
            &["exec", "a", "b"],
            &["commit", "a", "b"],
            &["ps"],
            &["logs", "a"],
            &["stop", "a"],
            &["check"],
            &["dump", "a"],
            &["tour"],
            &["completions", "bash"],
            &["man"],
        ];
        let known: Vec<_> =
            Command::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        assert_eq!(words.iter().map(|words| words[0]).collect::<Vec<_>>(), known);
        for words in words {
            assert_eq!(typed(&[&["sapwood"], *words].concat()), words[0]);
        }
    }

    #[test]
    fn labels_have_a_key() {
        assert_eq!(parse_label("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert_eq!(parse_label("a=").unwrap(), ("a".to_owned(), String::new()));
        assert!(parse_label("=b").is_err());
        assert!(parse_label("a").is_err());
    }
}

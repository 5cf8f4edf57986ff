//! The grammar of the command line.

mod build;
pub mod container;
mod elsewhere;
mod help;
mod image;
mod life;
mod look;
mod mount;
mod registry;
mod several;
mod transfer;
mod tree;
mod volume;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use self::build::BuildArgs;
pub use self::container::{CommitArgs, ExecArgs, LogsArgs, PsArgs, RunArgs, StartArgs, StopArgs};
pub use self::help::{CompletionsArgs, ManArgs, TourArgs};
pub use self::image::{LoadArgs, SaveArgs, SaveFormat};
pub use self::life::{
    DfArgs, HistoryArgs, ImagesArgs, InspectArgs, PruneArgs, RebaseArgs, ReportArgs, SquashArgs,
};
pub use self::look::{CheckArgs, DiffArgs, DuArgs, DumpArgs, LogArgs, MapArgs};
pub use self::mount::{MountArgs, UmountArgs};
pub use self::registry::{PullArgs, PushArgs, RegistryArgs};
pub use self::transfer::{ExportArgs, ImageFormat, ImportArgs};
pub use self::tree::{
    BlameArgs, CatArgs, CpArgs, LnArgs, LsArgs, MkdirArgs, StatArgs, TreeOptions,
};
pub use self::volume::{
    CreateArgs, FlattenArgs, ForkArgs, GcArgs, InitArgs, NameArgs, ReadArgs, ReferenceArgs,
    ResizeArgs, RmArgs, SnapshotArgs, TagArgs, WriteArgs,
};

/// What a name may be.
const NAMES: &str = "\
Names of tags and volumes: 1 to 200 bytes of printable characters, `/` and `:`
among them (team/app:1); no white space, no `@` and no `:/`, no `-` or `.` in
front; nothing that looks like an id or a digest (12 hexadecimal digits or more
that are not all decimal, or `sha256:` in front). A tag is not named as a volume.";

const REFERENCES: &str = "\
References (REF):
  NAME        a tag or a volume; a name without `:tag` is looked up as it is,
              then with `:latest`
  NAME@N      0 the current state, 1 the newest snapshot, and so on back;
              removed snapshots are not counted
  ID, DIGEST  a layer id or digest, or a unique prefix of one (4 digits or more);
              where images are meant also the id of one (12 digits or more)

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
  5   corrupt: stored bytes do not verify, or only a newer version can read them;
      `ls`, `df`, `log --graph` and `check` tell the rest
  6   wrong parent: a layer is not the one its child recorded
  7   no space
  8   not found: no such name, layer, digest or file
  9   already exists
  10  another I/O error
`run`, `start` and `exec` end with what the process ended with, or
  125 it did not come to run, or the command line is wrong
  126 the command is there and cannot be executed
  127 there is no such command

With --json every verb prints one JSON document on standard output, with
`schema` (1) and `verb`; an error is one on standard error, with `error`. Where
standard output carries data (`read`, `cat`, `export REF -`, `save REF -`,
`report -o -`, `run`, `start`, `exec`, `logs`), the document goes to standard
error. A path that is no UTF-8 has `path_hex` beside `path`. docs/JSON.md tells
of every field.";

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
    after_long_help = format!("{REFERENCES}\n\n{NAMES}\n\n{EXIT_CODES}")
)]
pub struct Command {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What help calls the options that every verb understands: after those of the verb.
const OF_EVERY_VERB: &str = "Options of every verb";

/// What every verb understands.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// The store, which `create`, `import`, `load`, `pull` and `build` make where nothing is [default:
    /// `SAPWOOD_STORE`, or `sapwood` in the user's data directory]
    #[arg(long, global = true, value_name = "DIR", help_heading = OF_EVERY_VERB)]
    pub store: Option<PathBuf>,
    /// Print JSON, errors included
    #[arg(long, global = true, help_heading = OF_EVERY_VERB)]
    pub json: bool,
    /// Print sizes in bytes instead of KiB, MiB, ...
    #[arg(long, global = true, help_heading = OF_EVERY_VERB)]
    pub bytes: bool,
    /// Print no progress and no confirmations; `images` and `ps` print names alone, `build` and `snapshot`
    /// the id of what they made
    #[arg(short, long, global = true, help_heading = OF_EVERY_VERB)]
    pub quiet: bool,
    /// Use a store on a network filesystem, where locks and syncs may promise less
    #[arg(long, global = true, help_heading = OF_EVERY_VERB)]
    pub network_filesystem: bool,
}

/// What to do. The grammar of a verb is made when that verb is met: all of them take longer to make
/// than many a verb takes.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
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
    #[command(after_help = "Examples:\n  sapwood seal golden:1")]
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
    #[command(after_help = "Examples:\n  sapwood show golden:1\n  sapwood show vm@1")]
    Show(ReferenceArgs),
    /// List a layer and its ancestors, newest first, each with its own size
    Log(LogArgs),
    /// Give a snapshot a name
    Tag(TagArgs),
    /// Remove tags, volumes or snapshots, whose space `gc` then frees; or files in trees
    Rm(RmArgs),
    /// Drop what a volume holds over its parent
    #[command(after_help = "Examples:\n  sapwood reset vm")]
    Reset(NameArgs),
    /// Change the size of a volume
    Resize(ResizeArgs),
    /// Show a tree on a directory: a volume to read and write, a snapshot to read
    Mount(MountArgs),
    /// Take a mounted tree away, once what was written into it is committed
    Umount(UmountArgs),
    /// Make durable what was written into a volume, through its mount where it has one
    #[command(after_help = "Examples:\n  sapwood flush web")]
    Flush(NameArgs),
    /// Write bytes of a disk, or of a file in a tree, to standard output
    Read(ReadArgs),
    /// Write standard input into a disk, or into a file in a tree
    Write(WriteArgs),
    /// Picture which layer owns what, and list the extents
    Map(MapArgs),
    /// List the ranges that differ, from metadata alone, one rewritten with the same bytes too; or
    /// the files of trees
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
    #[command(after_help = "\
Examples:
  sapwood run --rm -it base:1 sh
  sapwood run -d --name box base:1 sh -c 'sleep 60'
  sapwood run --rm -v ./data:/data:ro --network=none base:1 cat /data/file")]
    Run(RunArgs),
    /// Run the process of a container that ended once more
    #[command(after_help = "Examples:\n  sapwood start -d box")]
    Start(StartArgs),
    /// Run a further process in a container that runs
    #[command(
        after_help = "Examples:\n  sapwood exec -it box sh\n  sapwood exec box cat /etc/motd"
    )]
    Exec(ExecArgs),
    /// Make an image of what a container holds, while it runs or not
    #[command(
        after_help = "Examples:\n  sapwood commit box base:motd --change 'CMD [\"cat\", \"/etc/motd\"]'"
    )]
    Commit(CommitArgs),
    /// List the containers that run
    #[command(after_help = "Examples:\n  sapwood ps\n  sapwood ps --all")]
    Ps(PsArgs),
    /// Write what a detached container said to standard output
    #[command(after_help = "Examples:\n  sapwood logs -f box")]
    Logs(LogsArgs),
    /// End containers that run
    #[command(after_help = "Examples:\n  sapwood stop box\n  sapwood stop --time 30 box")]
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

impl Command {
    /// What was typed, and the verb as it was.
    pub fn read(
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<(Command, String), clap::Error> {
        let words: Vec<OsString> = words.into_iter().collect();
        let mut grammar = <Command as CommandFactory>::command();
        let matches = match read_one_verb(&grammar, &words) {
            Some(matches) => matches,
            None => grammar.try_get_matches_from_mut(words).map_err(elsewhere::explain)?,
        };
        let verb = matches.subcommand_name().expect("clap asks for a verb").to_owned();
        let command = Command::from_arg_matches(&matches);
        // With the usage of the verb, where it is one of its words that lacks.
        let of_verb = |error: clap::Error| match grammar.find_subcommand_mut(&verb) {
            Some(of_verb) => error.format(of_verb),
            None => error.format(&mut grammar),
        };
        Ok((command.map_err(of_verb)?, verb))
    }
}

/// The verb that was typed, though the rest may not be understood.
pub fn typed_verb(words: impl IntoIterator<Item = OsString>) -> Option<String> {
    let whole = <Command as CommandFactory>::command();
    let verb = words.into_iter().skip(1).find_map(|word| whole.find_subcommand(&word));
    verb.map(|verb| verb.get_name().to_owned())
}

/// What was typed, by a grammar that has but the verb in it: in the whole one, what every verb
/// understands is copied into each of them, which takes longer than many a verb takes. None where
/// this grammar refuses: the whole one says why.
fn read_one_verb(whole: &clap::Command, words: &[OsString]) -> Option<ArgMatches> {
    let verb = words.iter().skip(1).find_map(|word| whole.find_subcommand(word))?;
    let grammar = Global::augment_args(clap::Command::new("sapwood")).subcommand(verb.clone());
    grammar.subcommand_required(true).try_get_matches_from(words).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command as Process, Stdio};

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Command::command().debug_assert();
    }

    /// Each line goes through a shell, in which no program is there and `sapwood` tells its words alone.
    #[test]
    fn every_verb_has_examples_that_can_be_typed() {
        const SHELL: &str = "/bin/sh";
        let place = tempfile::tempdir().unwrap();
        let said = place.path().join("said");
        let mut whole = Command::command();
        whole.build();
        for verb in whole.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let name = verb.get_name();
            let help = verb.get_after_help().unwrap_or_else(|| panic!("{name}: none")).to_string();
            let (_, examples) = help.split_once("Examples:\n").expect(name);
            let examples: Vec<&str> = examples.lines().collect();
            assert!((1..=3).contains(&examples.len()), "{name}: {examples:?}");
            for example in examples {
                assert!(example.starts_with("  ") && example.len() <= 80, "{name}: {example}");
                let script = format!(
                    "sapwood() {{ printf '%s\\0' sapwood \"$@\" >&3; }}\n{{ {example}\n}} 3>said"
                );
                let mut shell = Process::new(SHELL);
                shell.args(["-c", &script]).current_dir(&place).env("PATH", "");
                shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                shell.status().unwrap();
                let words = fs::read_to_string(&said).unwrap();
                let words = words.split_terminator('\0').map(OsString::from);
                let (_, typed) =
                    Command::read(words).unwrap_or_else(|error| panic!("{example}: {error}"));
                assert_eq!(typed, name, "{example}");
            }
        }
    }

    #[test]
    fn a_verb_is_named_as_it_is_typed() {
        let typed = |words: &[&str]| Command::read(words.iter().map(OsString::from)).unwrap().1;
        assert_eq!(typed(&["sapwood", "--json", "show", "a"]), "show");
        assert_eq!(typed(&["sapwood", "create", "ls", "1G"]), "create");
        assert_eq!(typed(&["sapwood", "--store", "fork", "ls", "-q"]), "ls");
    }
}

//! What a Containerfile says, as it is written: variables are replaced when it is built.

use std::time::Duration;

use super::heredoc::Heredoc;
use super::place::{Position, Text, Word};

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// All of it, its lines joined.
    pub text: Text,
    /// The documents behind it.
    pub heredocs: Vec<Heredoc>,
    /// What it says.
    pub kind: Kind,
}

impl Instruction {
    /// Where it begins.
    pub fn position(&self) -> Position {
        self.text.position(0)
    }
}

/// What an instruction says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ADD`
    Add(CopyFiles),
    /// `ARG`
    Arg(Vec<Argument>),
    /// `CMD`
    Cmd(CommandLine),
    /// `COPY`
    Copy(CopyFiles),
    /// `ENTRYPOINT`
    Entrypoint(CommandLine),
    /// `ENV`: names and values.
    Env(Vec<(Word, Word)>),
    /// `EXPOSE`
    Expose(Vec<Word>),
    /// `FROM`
    From(From),
    /// `HEALTHCHECK`
    Healthcheck(Healthcheck),
    /// `LABEL`: names and values.
    Label(Vec<(Word, Word)>),
    /// `MAINTAINER`
    Maintainer(String),
    /// `ONBUILD`: an instruction for those who build on the image.
    OnBuild(String),
    /// `RUN`
    Run(Run),
    /// `SHELL`
    Shell(Vec<String>),
    /// `STOPSIGNAL`
    StopSignal(Word),
    /// `USER`
    User(Word),
    /// `VOLUME`
    Volume(Vec<Word>),
    /// `WORKDIR`
    Workdir(Word),
}

/// A variable of the build, with its default value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its value where nobody gives one.
    pub default: Option<Word>,
}

/// What a program is called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// By a shell.
    Shell(String),
    /// As it is: the program and its arguments.
    Exec(Vec<String>),
}

/// Files to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFiles {
    /// From where; documents are not among them.
    pub sources: Vec<Word>,
    /// Documents that become files, by their places in [`Instruction::heredocs`].
    pub documents: Vec<usize>,
    /// To where.
    pub destination: Word,
    /// `--from`: a stage, an image or a further context.
    pub from: Option<Word>,
    /// `--chown`
    pub owner: Option<Word>,
    /// `--chmod`
    pub permissions: Option<Word>,
    /// `--exclude`
    pub exclude: Vec<Word>,
    /// `--link`
    pub link: bool,
    /// `--parents`
    pub parents: bool,
    /// `--unpack`, of `ADD`: whether archives are unpacked.
    pub unpack: Option<bool>,
}

/// The beginning of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// An image, an earlier stage, or `scratch`.
    pub image: Word,
    /// The name of the stage, in small letters.
    pub name: Option<String>,
    /// `--platform`
    pub platform: Option<Word>,
}

/// How to find out whether a container is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    /// Not at all, whatever the base says.
    None,
    /// By this program.
    Command {
        /// The program.
        command: CommandLine,
        /// `--interval`
        interval: Option<Duration>,
        /// `--timeout`
        timeout: Option<Duration>,
        /// `--start-period`
        start_period: Option<Duration>,
        /// `--start-interval`
        start_interval: Option<Duration>,
        /// `--retries`
        retries: Option<u32>,
    },
}

/// A program that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The program.
    pub command: CommandLine,
    /// `--mount`
    pub mounts: Vec<Mount>,
    /// `--network`
    pub network: Network,
}

/// The network of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// That of whoever builds.
    #[default]
    Default,
    /// That of the host.
    Host,
    /// None.
    None,
}

/// What a program sees besides the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The word that says what kind; none for a bind.
    pub kind: Option<Word>,
    /// Its options, as they are written.
    pub fields: Vec<(Word, Option<Word>)>,
    /// All of it.
    pub text: Word,
}

/// What kind of a thing is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    Bind,
    /// A directory that stays from build to build.
    Cache,
    /// An empty directory in memory.
    Tmpfs,
    /// A file that must not get into the image.
    Secret,
}

impl Kind {
    /// The instruction's name.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Add(_) => "ADD",
            Kind::Arg(_) => "ARG",
            Kind::Cmd(_) => "CMD",
            Kind::Copy(_) => "COPY",
            Kind::Entrypoint(_) => "ENTRYPOINT",
            Kind::Env(_) => "ENV",
            Kind::Expose(_) => "EXPOSE",
            Kind::From(_) => "FROM",
            Kind::Healthcheck(_) => "HEALTHCHECK",
            Kind::Label(_) => "LABEL",
            Kind::Maintainer(_) => "MAINTAINER",
            Kind::OnBuild(_) => "ONBUILD",
            Kind::Run(_) => "RUN",
            Kind::Shell(_) => "SHELL",
            Kind::StopSignal(_) => "STOPSIGNAL",
            Kind::User(_) => "USER",
            Kind::Volume(_) => "VOLUME",
            Kind::Workdir(_) => "WORKDIR",
        }
    }
}

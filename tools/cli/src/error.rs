//! What a verb fails with, and the exit code that says so.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sapwood::ErrorKind;
use sapwood::store::{FOLDER, OWN_FILE};
use sapwood_container::exit_code;

/// How the command ends. The numbers are part of its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The answer is no: `diff` found differences, `check` found damage, a program that `build` ran
    /// failed.
    No = 1,
    /// The command line is not understood, or asks for what cannot be.
    Usage = 2,
    /// The directory is not a store.
    NoStore = 3,
    /// Somebody else writes there.
    Locked = 4,
    /// Stored bytes do not verify, cannot be read, are lost, or are of a newer version.
    Corrupt = 5,
    /// A layer is not the parent that its child recorded.
    WrongParent = 6,
    /// The host has no room.
    NoSpace = 7,
    /// No such name, layer, digest or file.
    NotFound = 8,
    /// The name, layer or file is there already.
    AlreadyExists = 9,
    /// Any other I/O error.
    Io = 10,
}

impl Exit {
    /// The exit that another process of the command ended with.
    pub fn of_code(code: Option<i32>) -> Exit {
        let exits = [
            Exit::Done,
            Exit::No,
            Exit::Usage,
            Exit::NoStore,
            Exit::Locked,
            Exit::Corrupt,
            Exit::WrongParent,
            Exit::NoSpace,
            Exit::NotFound,
            Exit::AlreadyExists,
        ];
        exits.into_iter().find(|exit| Some(i32::from(*exit as u8)) == code).unwrap_or(Exit::Io)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// The answer of a verb that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done, or yes.
    Done,
    /// The answer is no.
    No,
    /// The answer lacks what is lost, damaged or of a newer version, and says so.
    Damaged,
    /// What a process in a container ended with.
    Process(u8),
}

impl Verdict {
    /// The exit code of the answer.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Done => Exit::Done as u8,
            Verdict::No => Exit::No as u8,
            Verdict::Damaged => Exit::Corrupt as u8,
            Verdict::Process(code) => code,
        }
    }
}

/// What every verb returns.
pub type Result<T, E = CliError> = std::result::Result<T, E>;

/// What stops a verb.
#[derive(Debug)]
pub enum CliError {
    /// The engine's own error.
    Engine(sapwood::Error),
    /// A build's: a place in a Containerfile, a step, a program.
    Build(Box<sapwood_build::Error>),
    /// A volume that is in use, and what uses it.
    InUse { volume: String, holder: String, user: String },
    /// The arguments fit the grammar, but not each other or the world.
    Usage(String),
    /// A file of the user, by name or a standard stream.
    File { operation: &'static str, path: PathBuf, source: io::Error },
    /// Nobody reads the report any more: a reason to stop, not to complain.
    ReaderGone,
    /// A file of the user that is there already and must not be replaced.
    FileExists(PathBuf),
    /// Another process of the command failed, and has said why.
    Told(u8),
    /// A program that the tour calls did not do its part.
    Program { command: String, said: String },
    /// A process did not come to run in a container: the exit code is as shells have it.
    NotRun(Box<CliError>),
    /// A container's own.
    Container(sapwood_container::Error),
    /// A container ended, and what it wrote last could not be committed.
    Lost { name: String, why: String },
    /// What a registry, or the way to it, said.
    Registry(sapwood::Error),
    /// The engine's own error, and what to do about it.
    Advised { cause: sapwood::Error, advice: String },
}

impl CliError {
    /// A misuse, in words.
    pub fn usage(text: impl Into<String>) -> CliError {
        CliError::Usage(text.into())
    }

    /// What the host said of the user's own file.
    pub fn file(
        operation: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> CliError {
        let path = path.as_ref().to_owned();
        move |source| CliError::File { operation, path, source }
    }

    /// What the host said of standard output, where a report goes.
    pub fn report(source: io::Error) -> CliError {
        if source.kind() == io::ErrorKind::BrokenPipe {
            CliError::ReaderGone
        } else {
            CliError::file("write the report", "standard output")(source)
        }
    }

    /// The kind, as JSON names it.
    pub fn kind(&self) -> &'static str {
        match self {
            CliError::Engine(error) | CliError::Registry(error) => error.kind().as_str(),
            CliError::Advised { cause, .. } => cause.kind().as_str(),
            CliError::Build(error) => match (error.engine(), &**error) {
                (Some(error), _) => error.kind().as_str(),
                (None, sapwood_build::Error::Containerfile { .. }) => "containerfile",
                (None, _) => "program",
            },
            CliError::NotRun(cause) => cause.kind(),
            _ => match self.exit() {
                Exit::Locked => ErrorKind::Locked.as_str(),
                Exit::Usage => "usage",
                Exit::NoSpace => "no space",
                Exit::NotFound => "not found",
                Exit::AlreadyExists => "already exists",
                _ => "I/O error",
            },
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            CliError::Engine(error) | CliError::Advised { cause: error, .. } => exit_of(error),
            CliError::Build(error) => match (error.engine(), &**error) {
                (Some(error), _) => exit_of(error),
                (None, sapwood_build::Error::Containerfile { .. }) => Exit::Usage,
                (None, _) => Exit::No,
            },
            // That it lets somebody else only in is no misuse of the command.
            CliError::Registry(error) => match error.kind() {
                ErrorKind::NotPermitted => Exit::Io,
                kind => exit_of_kind(kind),
            },
            CliError::InUse { .. } => Exit::Locked,
            CliError::Usage(_) => Exit::Usage,
            CliError::ReaderGone => Exit::Done,
            CliError::Told(code) => Exit::of_code(Some((*code).into())),
            CliError::FileExists(_) => Exit::AlreadyExists,
            CliError::Program { .. } => Exit::Io,
            CliError::NotRun(cause) => cause.exit(),
            CliError::Container(sapwood_container::Error::Engine(error)) => exit_of(error),
            CliError::Container(_) | CliError::Lost { .. } => Exit::Io,
            CliError::File { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Exit::NotFound,
                io::ErrorKind::AlreadyExists => Exit::AlreadyExists,
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => Exit::NoSpace,
                _ => Exit::Io,
            },
        }
    }

    /// The number that the command ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::NotRun(cause) => match &**cause {
                CliError::Container(error) => error.exit_code(),
                CliError::Told(code) => *code,
                _ => exit_code::FAILED,
            },
            _ => self.exit() as u8,
        }
    }

    /// Whether the error is worth a line: a closed pipe is its own message.
    pub fn is_silent(&self) -> bool {
        match self {
            CliError::ReaderGone | CliError::Told(_) => true,
            CliError::NotRun(cause) => cause.is_silent(),
            CliError::Container(sapwood_container::Error::Runtime { is_told, .. }) => *is_told,
            CliError::File { source, .. } => source.kind() == io::ErrorKind::BrokenPipe,
            _ => false,
        }
    }
}

fn exit_of(error: &sapwood::Error) -> Exit {
    match error.is_newer() {
        true => Exit::Corrupt,
        false => exit_of_kind(error.kind()),
    }
}

fn exit_of_kind(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::NoStore => Exit::NoStore,
        ErrorKind::Locked => Exit::Locked,
        ErrorKind::Corrupt | ErrorKind::Unreadable => Exit::Corrupt,
        ErrorKind::WrongParent => Exit::WrongParent,
        ErrorKind::NoSpace => Exit::NoSpace,
        ErrorKind::NotFound => Exit::NotFound,
        ErrorKind::AlreadyExists => Exit::AlreadyExists,
        ErrorKind::NoAttribute => Exit::NotFound,
        ErrorKind::InvalidInput
        | ErrorKind::Ambiguous
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::NotEmpty
        | ErrorKind::NameTooLong
        | ErrorKind::SymlinkLoop
        | ErrorKind::TooManyLinks
        | ErrorKind::FileTooLarge
        | ErrorKind::NotPermitted => Exit::Usage,
        _ => Exit::Io,
    }
}

/// The way out where the file that makes a folder a store is lost or damaged.
pub const MEND_OWN_FILE: &str = "`init --mend` writes it anew";

/// The way out where a store lacks what is not names and layers.
fn way_out(error: &sapwood::Error) -> Option<&'static str> {
    match error.field() {
        Some(OWN_FILE) => Some(MEND_OWN_FILE),
        Some(FOLDER) => Some("`init --mend` makes it"),
        None if error.kind() == ErrorKind::NoStore => {
            Some("`init` makes one; --store and SAPWOOD_STORE name another")
        }
        _ => None,
    }
}

impl From<sapwood::Error> for CliError {
    fn from(error: sapwood::Error) -> CliError {
        CliError::Engine(error)
    }
}

impl From<sapwood_build::Error> for CliError {
    fn from(error: sapwood_build::Error) -> CliError {
        CliError::Build(Box::new(error))
    }
}

impl From<sapwood_container::Error> for CliError {
    fn from(error: sapwood_container::Error) -> CliError {
        match error {
            sapwood_container::Error::Engine(error) => CliError::Engine(error),
            error => CliError::Container(error),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Engine(error) => match way_out(error) {
                Some(way) => write!(f, "{error} ({way})"),
                None => error.fmt(f),
            },
            CliError::Registry(error) => error.fmt(f),
            CliError::Advised { cause, advice } => write!(f, "{cause} ({advice})"),
            CliError::Build(error) => error.fmt(f),
            CliError::InUse { volume, holder, user } => {
                write!(f, "{}: {volume} is {holder}: {user}", ErrorKind::Locked.as_str())
            }
            CliError::Usage(text) => f.write_str(text),
            CliError::File { operation, path, source } => {
                write!(f, "{operation}: {}: {source}", path.display())
            }
            CliError::ReaderGone => f.write_str("nobody reads standard output"),
            CliError::Told(_) => f.write_str("the process that serves it has failed"),
            CliError::FileExists(path) => {
                write!(f, "already exists: {} (--force replaces it)", path.display())
            }
            CliError::Program { command, said } => write!(f, "{command}: {said}"),
            CliError::NotRun(cause) => cause.fmt(f),
            CliError::Container(error) => error.fmt(f),
            CliError::Lost { name, why } => {
                write!(f, "{name} ended, and what it wrote since its last commit is lost: {why}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_engine_has_its_documented_exit_code() {
        let codes = [
            (ErrorKind::NoStore, 3),
            (ErrorKind::Locked, 4),
            (ErrorKind::Corrupt, 5),
            (ErrorKind::Unreadable, 5),
            (ErrorKind::WrongParent, 6),
            (ErrorKind::NoSpace, 7),
            (ErrorKind::NotFound, 8),
            (ErrorKind::AlreadyExists, 9),
            (ErrorKind::InvalidInput, 2),
            (ErrorKind::Ambiguous, 2),
            (ErrorKind::NotADirectory, 2),
            (ErrorKind::IsADirectory, 2),
            (ErrorKind::NotEmpty, 2),
            (ErrorKind::NameTooLong, 2),
            (ErrorKind::SymlinkLoop, 2),
            (ErrorKind::TooManyLinks, 2),
            (ErrorKind::FileTooLarge, 2),
            (ErrorKind::NotPermitted, 2),
            (ErrorKind::NoAttribute, 8),
            (ErrorKind::Poisoned, 10),
            (ErrorKind::Stale, 10),
            (ErrorKind::Unsupported, 10),
            (ErrorKind::Io, 10),
        ];
        for (kind, code) in codes {
            let error = CliError::from(sapwood::Error::new(kind, "test"));
            assert_eq!(error.exit() as u8, code, "{kind:?}");
        }
    }

    #[test]
    fn what_a_newer_version_made_cannot_be_read_here() {
        let newer = sapwood::Error::newer("test", "version", 2, 1);
        assert_eq!(newer.kind(), ErrorKind::Unsupported);
        assert_eq!(CliError::from(newer).exit(), Exit::Corrupt);
    }

    #[test]
    fn files_of_the_user_map_to_the_same_codes() {
        let exit = |kind: io::ErrorKind| CliError::file("read", "x")(kind.into()).exit();
        assert_eq!(exit(io::ErrorKind::NotFound), Exit::NotFound);
        assert_eq!(exit(io::ErrorKind::AlreadyExists), Exit::AlreadyExists);
        assert_eq!(exit(io::ErrorKind::StorageFull), Exit::NoSpace);
        assert_eq!(exit(io::ErrorKind::PermissionDenied), Exit::Io);
    }
}

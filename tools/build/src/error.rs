//! What stops a build.

use std::fmt;
use std::path::{Path, PathBuf};

use sapwood::ErrorKind;

use crate::containerfile::{ParseError, Position};

/// What every fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What stops a build.
#[derive(Debug)]
pub enum Error {
    /// The Containerfile says what cannot be.
    Containerfile {
        /// Which one.
        file: PathBuf,
        /// What and where.
        error: Box<ParseError>,
        /// The line.
        line: String,
    },
    /// A step could not be done.
    Step {
        /// The Containerfile.
        file: PathBuf,
        /// Where its instruction begins.
        position: Position,
        /// The instruction.
        instruction: String,
        /// Why.
        cause: Box<Cause>,
    },
    /// Something else than a step: the store, the context.
    Engine(sapwood::Error),
}

/// Why a step could not be done.
#[derive(Debug)]
pub enum Cause {
    /// The engine, the host, or what was asked of them.
    Engine(sapwood::Error),
    /// The program ended with this code, and not with 0.
    Exit(u8),
    /// The program did not come to run.
    Container(sapwood_container::Error),
}

impl Error {
    /// The error of a Containerfile, with the line that it is about.
    pub fn in_file(error: ParseError, file: &Path, text: &[u8]) -> Error {
        let number = error.position.line as usize;
        let line = text.split(|&byte| byte == b'\n').nth(number.saturating_sub(1));
        let line = String::from_utf8_lossy(line.unwrap_or_default()).trim_end().to_owned();
        Error::Containerfile { file: file.to_owned(), error: Box::new(error), line }
    }

    /// The engine's error, where it is one.
    pub fn engine(&self) -> Option<&sapwood::Error> {
        match self {
            Error::Engine(error) => Some(error),
            Error::Step { cause, .. } => match &**cause {
                Cause::Engine(error) => Some(error),
                Cause::Exit(_) => None,
                Cause::Container(sapwood_container::Error::Engine(error)) => Some(error),
                Cause::Container(_) => None,
            },
            Error::Containerfile { .. } => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Engine(error) => error.fmt(f),
            Error::Containerfile { file, error, line } => {
                write!(f, "{}:{error}", file.display())?;
                if !line.is_empty() {
                    let column = error.position.column.saturating_sub(1) as usize;
                    // As wide as what stands before it: tabs stay tabs.
                    let before = legible(&line.chars().take(column).collect::<String>());
                    let indent: String =
                        before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
                    write!(f, "\n    {}\n    {indent}^", legible(line))?;
                }
                Ok(())
            }
            Error::Step { file, position, instruction, cause } => {
                let instruction = legible(instruction);
                write!(f, "{}:{position}: {instruction}: {cause}", file.display())
            }
        }
    }
}

/// Text of a Containerfile as it may go to a terminal: what could draw anything anywhere is escaped.
fn legible(text: &str) -> String {
    let escape = |c: char| -> String {
        let is_plain = !c.is_control() || matches!(c, '\t' | '\n');
        if is_plain { c.into() } else { c.escape_default().collect() }
    };
    text.chars().map(escape).collect()
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Engine(error) => error.fmt(f),
            Cause::Exit(code) => write!(f, "the program ended with exit code {code}"),
            Cause::Container(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Engine(error) => error.source(),
            Error::Containerfile { error, .. } => Some(&**error),
            Error::Step { cause, .. } => match &**cause {
                Cause::Engine(error) => Some(error),
                _ => None,
            },
        }
    }
}

impl From<sapwood::Error> for Error {
    fn from(error: sapwood::Error) -> Error {
        Error::Engine(error)
    }
}

/// What stops a step: a part of its instruction, with its place, or a cause.
#[derive(Debug)]
pub(crate) enum Stop {
    Parse(ParseError),
    Cause(Cause),
    /// Another stage failed, and has said why.
    Abandoned,
}

impl From<ParseError> for Stop {
    fn from(error: ParseError) -> Stop {
        Stop::Parse(error)
    }
}

impl From<sapwood::Error> for Stop {
    fn from(error: sapwood::Error) -> Stop {
        Stop::Cause(Cause::Engine(error))
    }
}

impl From<sapwood_container::Error> for Stop {
    fn from(error: sapwood_container::Error) -> Stop {
        Stop::Cause(Cause::Container(error))
    }
}

/// A path goes round and round.
pub(crate) fn too_many_symlinks(path: &[u8]) -> sapwood::Error {
    let found = format!("\"{}\"", path.escape_ascii());
    let error = sapwood::Error::new(ErrorKind::SymlinkLoop, "follow symlinks");
    error.about("path", found, "a way with an end")
}

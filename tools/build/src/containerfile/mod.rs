//! Containerfiles, also called Dockerfiles: read as Docker reads them, nothing done yet.
//!
//! What stands where is kept: each error says line and column, those of later steps too.

mod directives;
mod duration;
mod error;
mod expand;
mod flags;
mod heredoc;
mod instruction;
mod lines;
mod mount;
mod place;
mod read;
#[cfg(test)]
mod tests;
mod words;

pub use self::directives::Directives;
pub use self::duration::parse as parse_duration;
pub use self::error::{ParseError, Problem};
pub use self::expand::{Mode, Variables, expand, expand_words};
pub use self::heredoc::{Heredoc, is_alone};
pub use self::instruction::{
    Argument, CommandLine, CopyFiles, From, Healthcheck, Instruction, Kind, Mount, MountKind,
    Network, Run,
};
pub use self::place::{Position, Text, Word};

use self::lines::Lines;

/// The largest Containerfile in bytes: it is read whole, and people write them.
pub const CONTAINERFILE_BYTES_MAX: usize = 1 << 20;

/// A Containerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Containerfile {
    /// What its first lines tell.
    pub directives: Directives,
    /// The arguments before the first stage.
    pub arguments: Vec<Instruction>,
    /// The stages, in order; one at least.
    pub stages: Vec<Stage>,
}

/// A stage: `FROM`, and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What it stands on.
    pub from: From,
    /// The text of that instruction.
    pub text: Text,
    /// What is done on it.
    pub instructions: Vec<Instruction>,
}

/// Reads a Containerfile.
///
/// Errors: the first thing that cannot be, with its place.
pub fn parse(bytes: &[u8]) -> Result<Containerfile, ParseError> {
    let text = decode(bytes)?;
    let mut lines = Lines::new(text);
    let directives = directives::read(&mut lines)?;
    let mut file = Containerfile { directives, arguments: Vec::new(), stages: Vec::new() };
    while let Some(instruction) = next(&mut lines, file.directives.escape)? {
        let Instruction { text, kind, .. } = instruction;
        match (kind, file.stages.last_mut()) {
            (Kind::From(from), _) => {
                file.stages.push(Stage { from, text, instructions: Vec::new() });
            }
            (kind, Some(stage)) => {
                stage.instructions.push(Instruction { text, kind, ..instruction });
            }
            (kind @ Kind::Arg(_), None) => {
                file.arguments.push(Instruction { text, kind, ..instruction });
            }
            (kind, None) => {
                return Err(Problem::new(0, "instruction", kind.name(), "FROM or ARG before it")
                    .in_text(&text));
            }
        }
    }
    match file.stages.is_empty() {
        false => Ok(file),
        true => Err(ParseError {
            position: Position::START,
            field: "Containerfile".into(),
            found: "no stage".into(),
            expected: "FROM".into(),
        }),
    }
}

/// Reads the one instruction that an image leaves to those who build on it.
pub fn parse_trigger(text: &str) -> Result<Instruction, ParseError> {
    parse_one(text, '\\')
}

/// Reads a text that is one instruction.
pub fn parse_one(text: &str, escape: char) -> Result<Instruction, ParseError> {
    let mut lines = Lines::new(text);
    let instruction = next(&mut lines, escape)?;
    let wrong = |found: &str| ParseError {
        position: Position::START,
        field: "ONBUILD".into(),
        found: found.into(),
        expected: "one instruction".into(),
    };
    let instruction = instruction.ok_or_else(|| wrong("none"))?;
    match next(&mut lines, escape)? {
        None => Ok(instruction),
        Some(_) => Err(wrong("several")),
    }
}

/// The next instruction, with its documents.
fn next(lines: &mut Lines<'_>, escape: char) -> Result<Option<Instruction>, ParseError> {
    let Some(text) = lines.next_joined(escape) else { return Ok(None) };
    let read = read::instruction(text.as_str(), 0, escape);
    let (mut kind, begun) = read.map_err(|problem| problem.in_text(&text))?;
    let heredocs = heredoc::read(lines, &text, begun)?;
    if let Kind::OnBuild(trigger) = &mut kind {
        for heredoc in &heredocs {
            *trigger += &format!("\n{}{}", heredoc.content, heredoc.name);
        }
    }
    Ok(Some(Instruction { text, heredocs, kind }))
}

fn decode(bytes: &[u8]) -> Result<&str, ParseError> {
    let wrong = |position, found: String, expected: String| ParseError {
        position,
        field: "Containerfile".into(),
        found,
        expected,
    };
    if bytes.len() > CONTAINERFILE_BYTES_MAX {
        let found = format!("{} bytes", bytes.len());
        let expected = format!("at most {CONTAINERFILE_BYTES_MAX}");
        return Err(wrong(Position::START, found, expected));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let position = Position { line: count(line), column: count(column) };
        wrong(position, "bytes that are no text".into(), "UTF-8".into())
    })
}

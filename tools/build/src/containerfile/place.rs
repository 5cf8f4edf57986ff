//! Where something stands in a Containerfile.

use std::fmt;

/// A place in a Containerfile. Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The character in the line.
    pub column: u32,
}

impl Position {
    /// The first character of a file.
    pub const START: Position = Position { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The text of an instruction, its lines joined, that knows where in the file it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    text: String,
    /// Where each line begins in `text`, and where that was.
    lines: Vec<(usize, Position)>,
}

impl Text {
    /// Joins what stands at `position` on.
    pub fn join(&mut self, position: Position, text: &str) {
        self.lines.push((self.text.len(), position));
        self.text.push_str(text);
    }

    /// The joined text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where byte `at` of the joined text stands in the file.
    pub fn position(&self, at: usize) -> Position {
        let line = self.lines.partition_point(|(start, _)| *start <= at).saturating_sub(1);
        let Some(&(start, position)) = self.lines.get(line) else { return Position::START };
        let before = self.text.get(start..at).unwrap_or_default();
        let columns = u32::try_from(before.chars().count()).unwrap_or(u32::MAX);
        Position { column: position.column.saturating_add(columns), ..position }
    }
}

/// A word of an instruction, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its characters, quotes and escapes included.
    pub text: String,
    /// Where it begins in the instruction's [`Text`].
    pub at: usize,
}

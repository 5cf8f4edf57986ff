//! What is wrong with a Containerfile, and where.

use std::fmt;

use super::place::{Position, Text};

/// A Containerfile says what cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Where.
    pub position: Position,
    /// What is wrong: a part of an instruction.
    pub field: String,
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ParseError { position, field, found, expected } = self;
        write!(f, "{position}: {field}: found {found}, expected {expected}")
    }
}

impl std::error::Error for ParseError {}

/// What is wrong with a word or an instruction, before it is known where in a file that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The byte of the text that was read.
    pub at: usize,
    /// What is wrong: a part of it.
    pub field: String,
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: String,
}

impl Problem {
    /// A problem at byte `at`.
    pub fn new(
        at: usize,
        field: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Problem {
        Problem { at, field: field.into(), found: found.into(), expected: expected.into() }
    }

    /// The error of an instruction with this text.
    pub fn in_text(self, text: &Text) -> ParseError {
        let Problem { at, field, found, expected } = self;
        ParseError { position: text.position(at), field, found, expected }
    }
}

/// Text of a Containerfile as people may see it.
pub fn shown(text: &str) -> String {
    const SHOWN_CHARACTERS_MAX: usize = 80;
    let cut: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
    let rest = if cut.len() < text.len() { "..." } else { "" };
    format!("\"{}{rest}\"", cut.escape_debug())
}

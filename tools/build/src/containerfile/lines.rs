//! The lines of a Containerfile: comments left out, continued ones joined.

use super::place::{Position, Text};

/// The lines that are still to be read.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a str,
    /// The number of the next line.
    number: u32,
}

/// A line as it stands in the file.
#[derive(Clone, Copy, Debug)]
pub struct RawLine<'a> {
    /// With the characters that end it.
    pub text: &'a str,
    pub number: u32,
}

impl<'a> RawLine<'a> {
    /// Without the characters that end it.
    pub fn content(&self) -> &'a str {
        let text = self.text.strip_suffix('\n').unwrap_or(self.text);
        text.strip_suffix('\r').unwrap_or(text)
    }

    /// Whether it is a comment or empty, and nothing of an instruction.
    fn says_nothing(&self) -> bool {
        let trimmed = self.content().trim_start();
        trimmed.is_empty() || trimmed.starts_with('#')
    }
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Lines<'a> {
        Lines { rest: text, number: 1 }
    }

    /// The next line as it is.
    pub fn next_raw(&mut self) -> Option<RawLine<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        let (text, rest) = self.rest.split_at(end);
        let line = RawLine { text, number: self.number };
        self.rest = rest;
        self.number = self.number.saturating_add(1);
        Some(line)
    }

    /// The next line that says something, joined with those that continue it.
    ///
    /// A line goes on in the next one where an escape character ends it, blanks behind that not
    /// counted. Comments and empty lines in between are left out.
    pub fn next_joined(&mut self, escape: char) -> Option<Text> {
        let first = loop {
            let line = self.next_raw()?;
            if !line.says_nothing() {
                break line;
            }
        };
        let content = first.content();
        let trimmed = content.trim_start();
        let indent = content[..content.len() - trimmed.len()].chars().count();
        let column = u32::try_from(indent).unwrap_or(u32::MAX).saturating_add(1);
        let mut text = Text::default();
        let mut position = Position { line: first.number, column };
        let mut rest = trimmed;
        loop {
            let continued = strip_continuation(rest, escape);
            text.join(position, continued.unwrap_or(rest));
            if continued.is_none() {
                return Some(text);
            }
            loop {
                let Some(line) = self.next_raw() else { return Some(text) };
                if !line.says_nothing() {
                    (rest, position) = (line.content(), Position { line: line.number, column: 1 });
                    break;
                }
            }
        }
    }
}

/// What stands before the escape character that ends a line; none where none does, or two do.
fn strip_continuation(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!before.ends_with(escape)).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> Vec<String> {
        let mut lines = Lines::new(text);
        std::iter::from_fn(|| lines.next_joined('\\'))
            .map(|text| text.as_str().to_owned())
            .collect()
    }

    #[test]
    fn continued_lines_are_joined_without_comments_and_empty_lines() {
        let text = "# a\n\n  RUN a \\\n  # b\n\n  && b\\  \n\tc\nRUN d\\\\\nRUN e \\";
        assert_eq!(joined(text), ["RUN a   && b\tc", "RUN d\\\\", "RUN e "]);
        assert_eq!(joined("A b\r\nC \\\r\n d\r\n"), ["A b", "C  d"]);
    }

    #[test]
    fn places_are_those_of_the_file() {
        let mut lines = Lines::new("\n  RUN ä \\\n # no\n   bc");
        let text = lines.next_joined('\\').unwrap();
        let at = |needle| text.position(text.as_str().find(needle).unwrap());
        assert_eq!(at("RUN"), Position { line: 2, column: 3 });
        assert_eq!(at("ä"), Position { line: 2, column: 7 });
        assert_eq!(at("c"), Position { line: 4, column: 5 });
    }
}

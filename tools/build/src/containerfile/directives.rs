//! The directives at the top of a Containerfile.

use super::error::{ParseError, shown};
use super::lines::Lines;
use super::place::Position;

/// What the comments at the top of a Containerfile tell whoever reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// The name of the language, as an image that reads it elsewhere.
    pub syntax: Option<String>,
    /// What continues lines and escapes characters: `\` or a backtick.
    pub escape: char,
    /// Options for checks of style.
    pub check: Option<String>,
}

/// The images by which others name this language.
const OWN_SYNTAX: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];

/// Reads the directives, and stops behind the last one.
///
/// Anything else, an empty line or a comment too, ends them. `syntax` must name the language that
/// is read here: a file in another one would be misunderstood.
pub fn read(lines: &mut Lines<'_>) -> Result<Directives, ParseError> {
    let mut directives = Directives { syntax: None, escape: '\\', check: None };
    let mut seen: Vec<String> = Vec::new();
    loop {
        let mut ahead = lines.clone();
        let Some(line) = ahead.next_raw() else { return Ok(directives) };
        let Some((name, value)) = split(line.content()) else { return Ok(directives) };
        let name = name.to_ascii_lowercase();
        let column =
            line.content().rfind(value).map_or(1, |at| line.content()[..at].chars().count() + 1);
        let column = u32::try_from(column).unwrap_or(u32::MAX);
        let wrong = |found: String, expected: &str| ParseError {
            position: Position { line: line.number, column },
            field: format!("directive {name}"),
            found,
            expected: expected.to_owned(),
        };
        if seen.contains(&name) {
            return Err(wrong("it a second time".into(), "each directive once"));
        }
        match name.as_str() {
            "syntax" if is_own(value) => directives.syntax = Some(value.to_owned()),
            "syntax" => return Err(wrong(shown(value), "docker/dockerfile, in any version")),
            "escape" => {
                directives.escape = match value {
                    "\\" => '\\',
                    "`" => '`',
                    _ => return Err(wrong(shown(value), "\\ or a backtick")),
                }
            }
            "check" => directives.check = Some(value.to_owned()),
            _ => return Ok(directives),
        }
        seen.push(name);
        *lines = ahead;
    }
}

/// `# name = value`.
fn split(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let mut characters = name.chars();
    let is_name = characters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && characters.all(|character| character.is_ascii_alphanumeric());
    (is_name && !value.is_empty()).then_some((name, value))
}

fn is_own(syntax: &str) -> bool {
    let name = syntax.strip_prefix("docker.io/").unwrap_or(syntax);
    let name = name.split(['@', ':']).next().unwrap_or_default();
    OWN_SYNTAX.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(text: &str) -> Result<Directives, ParseError> {
        read(&mut Lines::new(text))
    }

    #[test]
    fn directives_end_with_the_first_line_that_is_none() {
        let read =
            directives("# syntax=docker/dockerfile:1\n#ESCAPE = `\n# check=skip=all\nFROM x");
        let read = read.unwrap();
        assert_eq!(read.syntax.as_deref(), Some("docker/dockerfile:1"));
        assert_eq!((read.escape, read.check.as_deref()), ('`', Some("skip=all")));
        for text in ["\n# escape=`\n", "# about\n# escape=`\n", "# other=1\n# escape=`\n"] {
            assert_eq!(directives(text).unwrap().escape, '\\', "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_told_with_its_place() {
        let error = directives("# escape=x\n").unwrap_err();
        assert_eq!(error.position, Position { line: 1, column: 10 });
        let error = directives("# escape=`\n# escape=`\n").unwrap_err();
        assert_eq!(error.position, Position { line: 2, column: 10 });
        assert!(directives("# syntax=example.org/other:1\n").is_err());
    }
}

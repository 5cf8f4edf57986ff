//! The options of instructions: `--name=value`.

use super::error::{Problem, shown};
use super::place::Word;

/// An option as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    pub name: String,
    /// What stands behind `=`.
    pub value: Option<Word>,
    /// Where it begins.
    pub at: usize,
}

/// The options from `start` on, and where the rest begins.
pub fn read(text: &str, start: usize, escape: char) -> Result<(Vec<Flag>, usize), Problem> {
    let mut flags = Vec::new();
    let mut at = start;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if !text[at..].starts_with("--") {
            return Ok((flags, at));
        }
        let end = end_of_word(text, at, escape)?;
        let word = &text[at..end];
        if word == "--" {
            return Ok((flags, end + text[end..].len() - text[end..].trim_start().len()));
        }
        flags.push(match word.split_once('=') {
            Some((name, value)) => {
                let value = Word { text: value.to_owned(), at: end - value.len() };
                Flag { name: name[2..].to_owned(), value: Some(value), at }
            }
            None => Flag { name: word[2..].to_owned(), value: None, at },
        });
        at = end;
    }
}

/// Where the word that begins at `start` ends.
fn end_of_word(text: &str, start: usize, escape: char) -> Result<usize, Problem> {
    let mut quote: Option<char> = None;
    let mut characters = text[start..].char_indices();
    while let Some((at, character)) = characters.next() {
        match quote {
            Some(open) if character == open => quote = None,
            _ if character == escape && quote != Some('\'') => {
                characters.next();
            }
            Some(_) => {}
            None if character.is_whitespace() => return Ok(start + at),
            None if matches!(character, '"' | '\'') => quote = Some(character),
            None => {}
        }
    }
    match quote {
        None => Ok(text.len()),
        Some(open) => {
            let found = shown(&text[start..]);
            Err(Problem::new(start, "option", found, format!("another {open} behind it")))
        }
    }
}

/// The options of one instruction, each taken once.
#[derive(Debug)]
pub struct Flags {
    flags: Vec<Flag>,
}

impl Flags {
    /// Refuses options that the instruction does not have, and those that come twice.
    pub fn check(
        flags: Vec<Flag>,
        instruction: &str,
        once: &[&str],
        often: &[&str],
    ) -> Result<Flags, Problem> {
        for (place, flag) in flags.iter().enumerate() {
            let name = flag.name.as_str();
            if !once.contains(&name) && !often.contains(&name) {
                let found = shown(&format!("--{name}"));
                let all: Vec<_> =
                    once.iter().chain(often).map(|name| format!("--{name}")).collect();
                let expected = match all.is_empty() {
                    true => "no options".to_owned(),
                    false => format!("one of {}", all.join(", ")),
                };
                let field = format!("option of {instruction}");
                return Err(Problem::new(flag.at, field, found, expected));
            }
            if once.contains(&name) && flags[..place].iter().any(|before| before.name == name) {
                let field = format!("option --{name}");
                return Err(Problem::new(flag.at, field, "it a second time", "it once"));
            }
        }
        Ok(Flags { flags })
    }

    /// An option as it is written.
    pub fn take(&mut self, name: &str) -> Option<Flag> {
        let place = self.flags.iter().position(|flag| flag.name == name)?;
        Some(self.flags.remove(place))
    }

    /// The value of an option that has one.
    pub fn value(&mut self, name: &str) -> Result<Option<Word>, Problem> {
        let mut values = self.values(name)?;
        Ok(values.pop())
    }

    /// The values of an option that may come often.
    pub fn values(&mut self, name: &str) -> Result<Vec<Word>, Problem> {
        let mut values = Vec::new();
        for flag in self.flags.extract_if(.., |flag| flag.name == name) {
            let field = format!("option --{name}");
            match flag.value {
                Some(value) if !value.text.is_empty() => values.push(value),
                _ => return Err(Problem::new(flag.at, field, "no value", "--NAME=VALUE")),
            }
        }
        Ok(values)
    }

    /// An option that is on or off.
    pub fn switch(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        let Some(flag) = self.take(name) else { return Ok(None) };
        match flag.value.as_ref().map(|value| value.text.as_str()) {
            None | Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => {
                let field = format!("option --{name}");
                Err(Problem::new(flag.at, field, shown(other), "true or false"))
            }
        }
    }
}

//! Variables and quotes in words, as shells and Docker have them.

mod pattern;

use std::str::Chars;

use self::pattern::Pattern;
use super::error::{Problem, shown};

/// How deep one `${...}` may stand in another.
const DEPTH_MAX: u32 = 32;
/// How long a word may become: variables that hold each other twice grow without bounds.
const EXPANDED_BYTES_MAX: usize = 1 << 20;

/// What becomes of quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They quote, and go.
    Unquote,
    /// They are characters like others.
    Verbatim,
}

/// The values of variables.
pub type Variables<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A word with its variables replaced and its escapes gone.
///
/// `$name`, `${name}`; `${name:-word}`, `:+` and `:?`, and the same without the colon, where an
/// empty value counts as one; `#`, `##`, `%` and `%%` with a pattern; `${name/pattern/word}` and
/// `//`, whose word keeps its escapes. A variable without a value is empty. In patterns `*` and `?` are wild.
///
/// Errors: their `at` is the byte in `word`.
pub fn expand(
    word: &str,
    escape: char,
    mode: Mode,
    variables: &Variables<'_>,
) -> Result<String, Problem> {
    let mut reader = Reader { word, rest: word.chars(), escape, mode, variables, depth: 0 };
    reader.until(None, Escapes::Remove).map(|expanded| expanded.text)
}

/// As [`expand`], and split between blanks that were neither quoted nor escaped, those that
/// variables bring along too.
pub fn expand_words(
    word: &str,
    escape: char,
    variables: &Variables<'_>,
) -> Result<Vec<String>, Problem> {
    let mode = Mode::Unquote;
    let mut reader = Reader { word, rest: word.chars(), escape, mode, variables, depth: 0 };
    let Expanded { text, blanks } = reader.until(None, Escapes::Remove)?;
    let mut words = Vec::new();
    let mut from = 0;
    for at in blanks.into_iter().chain([text.len()]) {
        let part = text.get(from..at).unwrap_or_default();
        if !part.is_empty() {
            words.push(part.to_owned());
        }
        from = at + text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    }
    Ok(words)
}

/// What becomes of escape characters outside quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Remove,
    Keep,
}

#[derive(Default)]
struct Expanded {
    text: String,
    /// Where blanks stand that split words.
    blanks: Vec<usize>,
}

impl Expanded {
    /// Adds what splits words.
    fn add_bare(&mut self, text: &str) {
        for character in text.chars() {
            if character.is_whitespace() {
                self.blanks.push(self.text.len());
            }
            self.text.push(character);
        }
    }
}

struct Reader<'a> {
    word: &'a str,
    rest: Chars<'a>,
    escape: char,
    mode: Mode,
    variables: &'a Variables<'a>,
    depth: u32,
}

impl<'a> Reader<'a> {
    fn at(&self) -> usize {
        self.word.len() - self.rest.as_str().len()
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    /// All up to `stop`, which is taken, or to the end.
    fn until(&mut self, stop: Option<char>, escapes: Escapes) -> Result<Expanded, Problem> {
        let begun = self.at();
        let mut expanded = Expanded::default();
        loop {
            let at = self.at();
            let Some(character) = self.rest.next() else { break };
            match character {
                _ if Some(character) == stop => return Ok(expanded),
                '$' => {
                    let value = self.variable(at)?;
                    expanded.add_bare(&value);
                }
                '\'' if self.mode == Mode::Unquote => self.single_quoted(at, &mut expanded.text)?,
                '"' if self.mode == Mode::Unquote => {
                    self.double_quoted(at, escapes, &mut expanded.text)?;
                }
                _ if character == self.escape => {
                    if escapes == Escapes::Keep {
                        expanded.text.push(character);
                    }
                    expanded.text.extend(self.rest.next());
                }
                _ => expanded.add_bare(character.encode_utf8(&mut [0; 4])),
            }
            if expanded.text.len() > EXPANDED_BYTES_MAX {
                let expected = format!("at most {EXPANDED_BYTES_MAX} bytes");
                return Err(Problem::new(at, "variables", "a longer value", expected));
            }
        }
        match stop {
            Some(stop) => {
                let found = "the end of the word";
                Err(Problem::new(begun, "variable", found, format!("a {stop:?} before it")))
            }
            None => Ok(expanded),
        }
    }

    fn single_quoted(&mut self, at: usize, text: &mut String) -> Result<(), Problem> {
        loop {
            match self.rest.next() {
                None => return Err(unclosed(at, "single quote")),
                Some('\'') => return Ok(()),
                Some(character) => text.push(character),
            }
        }
    }

    fn double_quoted(
        &mut self,
        begun: usize,
        escapes: Escapes,
        text: &mut String,
    ) -> Result<(), Problem> {
        loop {
            let at = self.at();
            match self.rest.next() {
                None => return Err(unclosed(begun, "double quote")),
                Some('"') => return Ok(()),
                Some('$') => text.push_str(&self.variable(at)?),
                Some(character) if character == self.escape => match self.peek() {
                    // Before all else it is a character like others.
                    Some(next) if matches!(next, '"' | '$') || next == self.escape => {
                        if escapes == Escapes::Keep {
                            text.push(character);
                        }
                        self.rest.next();
                        text.push(next);
                    }
                    Some(_) => text.push(character),
                    None => {}
                },
                Some(character) => text.push(character),
            }
            if text.len() > EXPANDED_BYTES_MAX {
                let expected = format!("at most {EXPANDED_BYTES_MAX} bytes");
                return Err(Problem::new(at, "variables", "a longer value", expected));
            }
        }
    }

    /// What stands for a variable whose `$`, at `at`, was taken.
    fn variable(&mut self, at: usize) -> Result<String, Problem> {
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(match name.is_empty() {
                true => "$".to_owned(),
                false => (self.variables)(&name).unwrap_or_default(),
            });
        }
        self.rest.next();
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let expected = format!("at most {DEPTH_MAX} in each other");
            return Err(Problem::new(at, "variable", "one in too many others", expected));
        }
        let value = self.braced(at);
        self.depth -= 1;
        value
    }

    fn braced(&mut self, at: usize) -> Result<String, Problem> {
        let name = self.name();
        if name.is_empty() {
            let found = shown(&self.word[at..]);
            return Err(Problem::new(at, "variable", found, "a name behind \"${\""));
        }
        let value = (self.variables)(&name);
        let modifier_at = self.at();
        let mut modifier = self.rest.next();
        let counts_empty = modifier != Some(':');
        if !counts_empty {
            modifier = self.rest.next();
        }
        let is_there = value.as_ref().is_some_and(|value| counts_empty || !value.is_empty());
        match modifier {
            None => Err(unclosed(at, "\"{\"")),
            Some('}') if counts_empty => Ok(value.unwrap_or_default()),
            Some('-') => {
                let word = self.until(Some('}'), Escapes::Remove)?.text;
                Ok(if is_there { value.unwrap_or_default() } else { word })
            }
            Some('+') => {
                let word = self.until(Some('}'), Escapes::Remove)?.text;
                Ok(if is_there { word } else { String::new() })
            }
            Some('?') => {
                let word = self.until(Some('}'), Escapes::Remove)?.text;
                match value.filter(|_| is_there) {
                    Some(value) => Ok(value),
                    None => {
                        let expected = if word.is_empty() { "a value".to_owned() } else { word };
                        Err(Problem::new(at, format!("variable {name}"), "none", expected))
                    }
                }
            }
            Some(edge @ ('#' | '%')) if counts_empty => {
                let word = self.until(Some('}'), Escapes::Keep)?.text;
                let (pattern, longest) = match word.strip_prefix(edge) {
                    Some(pattern) => (pattern, true),
                    None => (&word[..], false),
                };
                let pattern = self.pattern(modifier_at, pattern)?;
                let value = value.unwrap_or_default();
                Ok(match edge {
                    '#' => pattern.without_prefix(&value, longest),
                    _ => pattern.without_suffix(&value, longest),
                })
            }
            Some('/') if counts_empty => {
                let all = self.peek() == Some('/');
                if all {
                    self.rest.next();
                }
                let pattern = self.until(Some('/'), Escapes::Keep)?.text;
                let pattern = self.pattern(modifier_at, &pattern)?;
                let word = self.until(Some('}'), Escapes::Keep)?.text;
                let value = pattern.replaced(&value.unwrap_or_default(), &word, all);
                match value.len() > EXPANDED_BYTES_MAX {
                    false => Ok(value),
                    true => {
                        let expected = format!("at most {EXPANDED_BYTES_MAX} bytes");
                        Err(Problem::new(at, "variables", "a longer value", expected))
                    }
                }
            }
            Some(_) => {
                let found = shown(&self.word[modifier_at..]);
                let expected = "}, or one of :- :+ :? - + ? # ## % %% / //";
                Err(Problem::new(modifier_at, "modifier of a variable", found, expected))
            }
        }
    }

    fn pattern(&self, at: usize, text: &str) -> Result<Pattern, Problem> {
        Pattern::parse(text).map_err(|character| {
            let expected = r"one of \* \? \\ \} \/";
            Problem::new(at, "pattern", format!("\\{character}"), expected)
        })
    }

    /// A name: letters, digits and underscores; digits alone; or one of the characters that name
    /// parameters of shells, which have no value here.
    fn name(&mut self) -> String {
        let rest = self.rest.as_str();
        let length = match rest.chars().next() {
            Some(first) if first.is_numeric() => prefix(rest, char::is_numeric),
            Some(first) if "@*#?-$!".contains(first) => first.len_utf8(),
            _ => prefix(rest, |character| character.is_alphanumeric() || character == '_'),
        };
        let (name, rest) = rest.split_at(length);
        self.rest = rest.chars();
        name.to_owned()
    }
}

fn prefix(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|character| !belongs(character)).unwrap_or(text.len())
}

fn unclosed(at: usize, what: &str) -> Problem {
    Problem::new(at, format!("{what} that is opened"), "the end of the word", "one that closes it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Option<String> {
        let value = match name {
            "a" => "one two",
            "empty" => "",
            "path" => "/usr/local/lib/x.tar.gz",
            "star" => "a*b",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn expanded(word: &str) -> String {
        expand(word, '\\', Mode::Unquote, &value).unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    #[test]
    fn variables_and_quotes() {
        let cases = [
            ("$a", "one two"),
            ("x${a}y", "xone twoy"),
            ("$none.", "."),
            ("$", "$"),
            ("a$/b", "a$/b"),
            ("$1$12x$@", "x"),
            (r"\$a", "$a"),
            (r#"'$a'"$a"'"'"#, r#"$aone two""#),
            (r#""\$a \" \\ \n""#, r#"$a " \ \n"#),
            (r"a\ b\nc", "a bnc"),
            ("${none:-x$a}", "xone two"),
            ("${empty:-x}|${empty-x}", "x|"),
            ("${a:+x}|${empty:+x}|${empty+x}|${none+x}", "x||x|"),
            ("${a:?no}", "one two"),
            ("${none:-'}'}", "}"),
            ("${none:-${none:-${a}}}", "one two"),
            ("${path#*/}|${path##*/}", "usr/local/lib/x.tar.gz|x.tar.gz"),
            ("${path%.*}|${path%%.*}", "/usr/local/lib/x.tar|/usr/local/lib/x"),
            ("${path#x}|${path%?z}", "/usr/local/lib/x.tar.gz|/usr/local/lib/x.tar."),
            (r"${star#a\*}|${star%\*?}", "b|a"),
            ("${a/o/0}|${a//o/0}|${a/ *t/}", "0ne two|0ne tw0|onewo"),
            (r"${path/\/usr/}", "/local/lib/x.tar.gz"),
            (r"${path//\//-}", "-usr-local-lib-x.tar.gz"),
            (r"${path//\//\/}", r"\/usr\/local\/lib\/x.tar.gz"),
            ("${a/x/y}", "one two"),
        ];
        for (word, expected) in cases {
            assert_eq!(expanded(word), expected, "{word}");
        }
    }

    #[test]
    fn what_cannot_be_is_told_with_its_place() {
        let cases = [
            ("x'a", 1),
            ("x\"a", 1),
            ("x${a", 1),
            ("x${}", 1),
            ("x${:-a}", 1),
            ("${none?}", 0),
            ("${none:?tell me}", 0),
            ("${a^}", 3),
            ("${a:#x}", 3),
            ("${a/ *}", 4),
            (r"${a#\x}", 3),
        ];
        for (word, at) in cases {
            let problem = expand(word, '\\', Mode::Unquote, &value).unwrap_err();
            assert_eq!(problem.at, at, "{word}: {problem:?}");
        }
    }

    #[test]
    fn documents_keep_their_quotes() {
        let verbatim = |word| expand(word, '\\', Mode::Verbatim, &value).unwrap();
        assert_eq!(verbatim("it's \"$a\" \\$a"), "it's \"one two\" $a");
    }

    #[test]
    fn words_are_split_where_blanks_are_bare() {
        let words = |word| expand_words(word, '\\', &value).unwrap();
        assert_eq!(words("$a"), ["one", "two"]);
        assert_eq!(words("\"$a\" x\\ y  z"), ["one two", "x y", "z"]);
        assert_eq!(words(" $none "), Vec::<String>::new());
    }

    #[test]
    fn growth_and_depth_are_bounded() {
        let long = |_: &str| Some("x".repeat(EXPANDED_BYTES_MAX / 2));
        assert!(expand("$a", '\\', Mode::Unquote, &long).is_ok());
        assert!(expand("$a$a$a", '\\', Mode::Unquote, &long).is_err());
        assert!(expand("\"$a$a$a\"", '\\', Mode::Unquote, &long).is_err());
        let deep = "${a:-".repeat(40) + &"}".repeat(40);
        assert!(expand(&deep, '\\', Mode::Unquote, &|_| None).is_err());
    }
}

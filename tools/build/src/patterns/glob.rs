//! One pattern of a path.

/// A pattern of whole paths. A path is bytes; what is UTF-8 in it counts by character.
///
/// `*` is any characters but slashes, `?` one of them, `[a-z]` and `[^a-z]` one of a class;
/// `\` makes the next character one without a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// This character.
    Is(u32),
    /// Any character but a slash.
    One,
    /// One of these ranges, or none of them.
    Class { ranges: Vec<(u32, u32)>, negated: bool },
    /// Any characters but slashes.
    Names,
    /// Any characters.
    All,
    /// Nothing, or any characters up to a slash.
    Directories,
}

/// How `**` is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stars {
    /// As two of `*`.
    Plain,
    /// As any number of directories.
    Deep,
}

const SLASH: u32 = b'/' as u32;

impl Glob {
    /// A pattern in which `**` means no more than `*`.
    ///
    /// Errors: what is wrong with it, in words.
    pub fn new(pattern: &[u8]) -> Result<Glob, &'static str> {
        Glob::parse(pattern, Stars::Plain)
    }

    /// A pattern in which `**` is any number of directories.
    pub fn deep(pattern: &[u8]) -> Result<Glob, &'static str> {
        Glob::parse(pattern, Stars::Deep)
    }

    /// Whether a path, or a name, has characters that mean something.
    pub fn is_wild(pattern: &[u8]) -> bool {
        let mut bytes = pattern.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'*' | b'?' | b'[' => return true,
                b'\\' => {
                    bytes.next();
                }
                _ => {}
            }
        }
        false
    }

    fn parse(pattern: &[u8], stars: Stars) -> Result<Glob, &'static str> {
        let mut characters = characters(pattern).peekable();
        let mut parts = Vec::new();
        let is = |character: u32, wanted: u8| character == u32::from(wanted);
        while let Some(character) = characters.next() {
            parts.push(match character {
                _ if is(character, b'*') => {
                    let doubled = stars == Stars::Deep
                        && characters.next_if(|next| is(*next, b'*')).is_some();
                    if doubled {
                        characters.next_if(|next| *next == SLASH);
                        match characters.peek() {
                            None => Part::All,
                            Some(_) => Part::Directories,
                        }
                    } else {
                        Part::Names
                    }
                }
                _ if is(character, b'?') => Part::One,
                _ if is(character, b'[') => class(&mut characters)?,
                _ if is(character, b'\\') => match characters.next() {
                    Some(escaped) => Part::Is(escaped),
                    None => return Err("nothing behind a backslash"),
                },
                other => Part::Is(other),
            });
        }
        Ok(Glob { parts })
    }

    /// Whether the whole path is what the pattern says.
    pub fn matches(&self, path: &[u8]) -> bool {
        let end = self.parts.len();
        // The parts that may come next, and the directories that are begun.
        let mut next = vec![false; end + 1];
        let mut begun = vec![false; end + 1];
        next[0] = true;
        self.skip(&mut next);
        for character in characters(path) {
            let mut after = vec![false; end + 1];
            let mut after_begun = vec![false; end + 1];
            for (place, part) in self.parts.iter().enumerate() {
                if !next[place] && !begun[place] {
                    continue;
                }
                match part {
                    Part::Is(wanted) => after[place + 1] |= *wanted == character,
                    Part::One => after[place + 1] |= character != SLASH,
                    Part::Class { ranges, negated } => {
                        let is_in = ranges.iter().any(|(a, b)| (*a..=*b).contains(&character));
                        after[place + 1] |= is_in != *negated && character != SLASH;
                    }
                    Part::Names => after[place] |= character != SLASH,
                    Part::All => after[place] = true,
                    Part::Directories => {
                        after_begun[place] = true;
                        after[place + 1] |= character == SLASH;
                    }
                }
            }
            self.skip(&mut after);
            (next, begun) = (after, after_begun);
            if !next.contains(&true) && !begun.contains(&true) {
                return false;
            }
        }
        next[end]
    }

    /// What may be nothing.
    fn skip(&self, next: &mut [bool]) {
        for (place, part) in self.parts.iter().enumerate() {
            if matches!(part, Part::Names | Part::All | Part::Directories) {
                next[place + 1] |= next[place];
            }
        }
    }
}

/// A class whose bracket was taken.
fn class(characters: &mut dyn Iterator<Item = u32>) -> Result<Part, &'static str> {
    let open = "a bracket that nothing closes";
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    let mut negated = false;
    let mut is_first = true;
    let mut lower: Option<u32> = None;
    loop {
        let character = characters.next().ok_or(open)?;
        let plain = match character {
            c if is_first && c == u32::from(b'^') => {
                negated = true;
                is_first = false;
                continue;
            }
            c if c == u32::from(b']') && (lower.is_some() || !ranges.is_empty()) => {
                ranges.extend(lower.map(|only| (only, only)));
                return Ok(Part::Class { ranges, negated });
            }
            c if c == u32::from(b'-') => match lower.take() {
                Some(from) => {
                    let mut to = characters.next().ok_or(open)?;
                    match to {
                        c if c == u32::from(b'\\') => to = characters.next().ok_or(open)?,
                        c if c == u32::from(b']') => return Err("a range without an end"),
                        _ => {}
                    }
                    ranges.push((from, to));
                    continue;
                }
                None => return Err("a range without a beginning"),
            },
            c if c == u32::from(b']') => return Err("a class of nothing"),
            c if c == u32::from(b'\\') => characters.next().ok_or(open)?,
            c => c,
        };
        is_first = false;
        ranges.extend(lower.replace(plain).map(|only| (only, only)));
    }
}

/// The characters of bytes; each that is not UTF-8 is one of its own, past all of Unicode.
fn characters(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    const NO_CHARACTER: u32 = 0x11_0000;
    bytes.utf8_chunks().flat_map(|chunk| {
        let invalid = chunk.invalid().iter().map(|byte| NO_CHARACTER + u32::from(*byte));
        chunk.valid().chars().map(u32::from).chain(invalid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_names() {
        let cases: [(&str, &str, bool); 24] = [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*", "a/b", false),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("[\\]a]", "]", true),
        ];
        for (pattern, path, expected) in cases {
            let glob = Glob::new(pattern.as_bytes()).unwrap();
            assert_eq!(glob.matches(path.as_bytes()), expected, "{pattern} {path}");
        }
        for wrong in ["[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "a[", "\\"] {
            assert!(Glob::new(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn patterns_of_trees() {
        let cases: [(&str, &str, bool); 16] = [
            ("**", "a/b/c", true),
            ("**/", "a", true),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("**/c", "c", true),
            ("**/c", "a/b/c", true),
            ("**/c", "a/bc", false),
            ("a/**/c", "a/c", true),
            ("a/**/c", "a/x/y/c", true),
            ("**/*.txt", "a/b.txt", true),
            ("a**b", "ab", true),
            ("a**b", "a/x/b", true),
            ("a**b", "axb", false),
            ("dir/**/file", "dir/x", false),
            ("**a**", "a/x", true),
            ("**/b/**", "a/b/c", true),
        ];
        for (pattern, path, expected) in cases {
            let glob = Glob::deep(pattern.as_bytes()).unwrap();
            assert_eq!(glob.matches(path.as_bytes()), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let glob = Glob::new("*a".repeat(300).as_bytes()).unwrap();
        assert!(!glob.matches(&[b'a'; 299]));
        assert!(Glob::deep(&b"**/".repeat(300)).unwrap().matches(&b"a/".repeat(400)));
    }
}

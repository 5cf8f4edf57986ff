//! Patterns that variables are cut and replaced by: `*` any characters, `?` one.

/// A pattern, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Any characters.
    Many,
    /// Any character.
    One,
    /// This character.
    Is(char),
}

impl Pattern {
    /// Reads a pattern. `\` makes `*`, `?`, itself, and what ends patterns, into characters.
    ///
    /// Errors: the character behind another `\`.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let mut parts = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            parts.push(match character {
                '*' if parts.last() == Some(&Part::Many) => continue,
                '*' => Part::Many,
                '?' => Part::One,
                '\\' => match characters.next() {
                    Some(escaped @ ('*' | '?' | '\\' | '}' | '/')) => Part::Is(escaped),
                    other => return Err(other.map(String::from).unwrap_or_default()),
                },
                other => Part::Is(other),
            });
        }
        Ok(Pattern(parts))
    }

    /// `value` without what the pattern is at its beginning.
    pub fn without_prefix(&self, value: &str, longest: bool) -> String {
        let ends = self.ends(value);
        let end = if longest { ends.last() } else { ends.first() };
        value[end.copied().unwrap_or(0)..].to_owned()
    }

    /// `value` without what the pattern is at its end.
    pub fn without_suffix(&self, value: &str, longest: bool) -> String {
        let backwards = Pattern(self.0.iter().rev().copied().collect());
        let reversed: String = value.chars().rev().collect();
        let rest = backwards.without_prefix(&reversed, longest);
        value[..rest.len()].to_owned()
    }

    /// `value` with what the pattern is, the longest that begins first, replaced once or always.
    pub fn replaced(&self, value: &str, by: &str, always: bool) -> String {
        let mut replaced = String::with_capacity(value.len());
        let mut rest = value;
        loop {
            let end = self.ends(rest).last().copied();
            if let Some(end) = end {
                replaced.push_str(by);
                rest = &rest[end..];
                if !always {
                    return replaced + rest;
                }
            }
            if end.is_none_or(|end| end == 0) {
                let Some(character) = rest.chars().next() else { return replaced };
                replaced.push(character);
                rest = &rest[character.len_utf8()..];
            } else if rest.is_empty() {
                return replaced;
            }
        }
    }

    /// Where the pattern can end that begins with `value`, in ascending order.
    fn ends(&self, value: &str) -> Vec<usize> {
        // The parts that can come next, a step for each character.
        let mut states = vec![false; self.0.len() + 1];
        states[0] = true;
        self.skip_many(&mut states);
        let mut ends = Vec::new();
        for (at, character) in value.char_indices() {
            if states[self.0.len()] {
                ends.push(at);
            }
            let mut next = vec![false; states.len()];
            for (part, _) in self.0.iter().zip(&states).enumerate().filter(|(_, (_, on))| **on) {
                match self.0[part] {
                    Part::Many => next[part] = true,
                    Part::One => next[part + 1] = true,
                    Part::Is(wanted) => next[part + 1] |= wanted == character,
                }
            }
            self.skip_many(&mut next);
            states = next;
            if !states.contains(&true) {
                return ends;
            }
        }
        if states[self.0.len()] {
            ends.push(value.len());
        }
        ends
    }

    /// Any characters may be none.
    fn skip_many(&self, states: &mut [bool]) {
        for (part, _) in self.0.iter().enumerate().filter(|(_, part)| **part == Part::Many) {
            states[part + 1] |= states[part];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_the_shortest_and_the_longest() {
        let pattern = |text| Pattern::parse(text).unwrap();
        assert_eq!(pattern("*a").without_prefix("banana", false), "nana");
        assert_eq!(pattern("*a").without_prefix("banana", true), "");
        assert_eq!(pattern("a*").without_suffix("banana", false), "banan");
        assert_eq!(pattern("a*").without_suffix("banana", true), "b");
        assert_eq!(pattern("?").without_suffix("ä€", false), "ä");
        assert_eq!(pattern("n*a").replaced("banana", "-", false), "ba-");
        assert_eq!(pattern("na").replaced("banana", "-", true), "ba--");
        assert_eq!(pattern("*").replaced("banana", "-", true), "-");
        assert_eq!(pattern("x").replaced("banana", "-", true), "banana");
        assert_eq!(pattern("").replaced("ab", "-", false), "-ab");
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = Pattern::parse(&"*a".repeat(200)).unwrap();
        assert_eq!(pattern.without_prefix(&"a".repeat(199), true).len(), 199);
    }
}

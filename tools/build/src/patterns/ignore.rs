//! Lists of patterns of what is left out: `.dockerignore` and `--exclude`.

use super::glob::Glob;

/// What is left out, and what is taken in again. The last pattern that says something counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Vec<Pattern>,
    takes_in: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    glob: Glob,
    /// It begins with `!`.
    takes_in: bool,
}

impl Ignore {
    /// Reads the lines of a file. Empty ones, and those that begin with `#`, say nothing.
    ///
    /// Errors: the number of a line, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Ignore, (usize, String)> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut ignore = Ignore::default();
        for (number, line) in text.lines().enumerate() {
            if !line.starts_with('#') {
                ignore.add(line).map_err(|wrong| (number + 1, wrong))?;
            }
        }
        Ok(ignore)
    }

    /// Adds a pattern: that of a path, from the top of what is copied on.
    ///
    /// Errors: what is wrong with it.
    pub fn add(&mut self, pattern: &str) -> Result<(), String> {
        let pattern = pattern.trim();
        let (takes_in, path) = match pattern.strip_prefix('!') {
            Some(path) => (true, path.trim()),
            None => (false, pattern),
        };
        if pattern.is_empty() {
            return Ok(());
        }
        if path.is_empty() {
            return Err("an exclamation mark alone".to_owned());
        }
        let path = clean(path);
        // The top itself is never left out.
        if path != "." {
            let glob = Glob::deep(path.as_bytes()).map_err(str::to_owned)?;
            self.patterns.push(Pattern { glob, takes_in });
            self.takes_in |= takes_in;
        }
        Ok(())
    }

    /// Whether nothing is ever left out.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether the file at a path is left out, by itself or with a directory that it is in.
    pub fn ignores(&self, path: &[u8]) -> bool {
        let mut ignored = false;
        for pattern in &self.patterns {
            // It would change nothing.
            if pattern.takes_in != ignored {
                continue;
            }
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let mut ends = ends.map(|(at, _)| at).chain([path.len()]);
            if ends.any(|end| pattern.glob.matches(&path[..end])) {
                ignored = !pattern.takes_in;
            }
        }
        ignored
    }

    /// Whether a directory that is left out may hold what is taken in again.
    pub fn may_take_in(&self) -> bool {
        self.takes_in
    }
}

/// A path without `.`, empty names and a slash at its ends; `..` takes a name away. One that leads out
/// stays one that does, and means nothing; but for `/`, out of which nothing leads.
fn clean(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => match names.last() {
                None if path.starts_with('/') => {}
                None | Some(&"..") => names.push(name),
                Some(_) => drop(names.pop()),
            },
            name => names.push(name),
        }
    }
    if names.is_empty() { ".".to_owned() } else { names.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(patterns: &str, path: &str) -> bool {
        Ignore::parse(patterns).unwrap().ignores(path.as_bytes())
    }

    #[test]
    fn the_last_pattern_counts() {
        let cases = [
            ("*", "a", true),
            ("*", "a/b", true),
            ("*\n!a", "a", false),
            ("*\n!a", "a/b", false),
            ("*\n!a/b", "a", true),
            ("*\n!a/b", "a/b", false),
            ("*\n!a/b", "a/c", true),
            ("*.md\n!README*.md\nREADME-secret.md", "README.md", false),
            ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
            ("*.md\nREADME-secret.md\n!README*.md", "README-secret.md", false),
            ("*/temp*", "a/temporary.txt", true),
            ("*/temp*", "temporary.txt", false),
            ("*/*/temp*", "a/b/temporary.txt", true),
            ("temp?", "tempa", true),
            ("/a", "a", true),
            ("./a//b/", "a/b", true),
            ("a/../b", "b", true),
            ("../b", "b", false),
            ("a/../../b", "b", false),
            ("/../b", "b", true),
            ("a/", "a", true),
            ("/", "a", false),
            ("\u{feff}a\r\n!a/b\r\n", "a/c", true),
            ("\u{feff}a\r\n!a/b\r\n", "a/b", false),
            (" # a", "a", false),
            (" # a", "# a", true),
            ("**/*.o", "x/y.o", true),
            ("a", "b/a", false),
            ("# a\n\na", "a", true),
            (" ! a\n", "a", false),
            ("a\n  !a  ", "a", false),
            (".", "a", false),
            ("a/**\n!a/keep", "a/keep", false),
        ];
        for (patterns, path, expected) in cases {
            assert_eq!(ignored(patterns, path), expected, "{patterns:?} {path}");
        }
        assert_eq!(Ignore::parse("a\n!\n").unwrap_err().0, 2);
        assert_eq!(Ignore::parse("[a").unwrap_err().0, 1);
    }
}

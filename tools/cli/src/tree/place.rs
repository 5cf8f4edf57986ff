//! Where a file of a tree is, as it is typed: `REF:/path`.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::error::{CliError, Result};
use crate::output::printable_bytes;

/// A file of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreePath {
    /// The tree.
    pub reference: String,
    /// The path in it, from its root on.
    pub path: PathBuf,
}

/// A word that is a path in a tree where it looks like one, else something else: a name, or a path
/// of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A path in a tree.
    Tree(TreePath),
    /// Anything else.
    Other(OsString),
}

impl TreePath {
    /// Reads `REF:/path`: what stands before the first `:/` is the reference. Nothing else has
    /// that form but paths of the host, which begin with `/` or `.` where they must be told apart.
    pub fn parse(word: &OsStr) -> Option<TreePath> {
        let bytes = word.as_bytes();
        let colon = bytes.windows(2).position(|pair| pair == b":/")?;
        let (reference, path) = (&bytes[..colon], &bytes[colon + 1..]);
        let reference = std::str::from_utf8(reference).ok()?;
        if reference.is_empty() || reference.starts_with(['.', '/']) {
            return None;
        }
        let path = OsString::from_vec(path.to_vec()).into();
        Some(TreePath { reference: reference.to_owned(), path })
    }

    /// Reads such a word of the command line.
    pub fn parser() -> impl TypedValueParser<Value = TreePath> {
        OsStringValueParser::new().try_map(|word| {
            TreePath::parse(&word).ok_or("a file in a tree is REF:/path, as in debian:12:/etc")
        })
    }

    /// The path of `name` in this directory.
    pub fn join(&self, name: &OsStr) -> TreePath {
        TreePath { reference: self.reference.clone(), path: self.path.join(name) }
    }

    /// What the engine said of this place, by its name.
    pub fn named<T>(&self, done: sapwood::Result<T>) -> Result<T> {
        done.map_err(|error| match error.path() {
            Some(path) if path != self.path => error.into(),
            _ => error.with_file(self.to_string()).into(),
        })
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.reference, printable_bytes(self.path.as_os_str().as_bytes()))
    }
}

impl Word {
    /// Reads a word of the command line.
    pub fn parser() -> impl TypedValueParser<Value = Word> {
        OsStringValueParser::new().map(|word| Word::parse(&word))
    }

    /// Reads a word.
    pub fn parse(word: &OsStr) -> Word {
        TreePath::parse(word).map_or_else(|| Word::Other(word.to_owned()), Word::Tree)
    }
}

/// A word that is no path in a tree, as a name or reference of the store.
pub fn as_reference(word: &OsStr) -> Result<&str> {
    word.to_str().ok_or_else(|| {
        let word = printable_bytes(word.as_bytes());
        CliError::usage(format!("{word} is no reference: they are UTF-8"))
    })
}

/// The places in their order, those of one tree that follow each other together: each group is
/// one commit.
pub fn runs_of_one_tree(places: &[TreePath]) -> impl Iterator<Item = &[TreePath]> {
    places.chunk_by(|a, b| a.reference == b.reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_colon_and_slash_part_reference_and_path() {
        let parsed = |word: &str| {
            TreePath::parse(OsStr::new(word))
                .map(|place| (place.reference, place.path.to_str().unwrap().to_owned()))
        };
        let some = |reference: &str, path: &str| Some((reference.to_owned(), path.to_owned()));
        assert_eq!(parsed("debian:12:/etc/passwd"), some("debian:12", "/etc/passwd"));
        assert_eq!(parsed("box@1:/a:/b"), some("box@1", "/a:/b"));
        assert_eq!(parsed("box:/"), some("box", "/"));
        for none in ["debian:12", "box", ":/x", "./a:/b", "/a:/b", ""] {
            assert_eq!(parsed(none), None, "{none}");
        }
        let odd = TreePath::parse(OsStr::from_bytes(b"box:/a\xff")).unwrap();
        assert_eq!(odd.to_string(), "box:/a\\xff");
    }
}

//! Names of members as ways down a tree.

use sapwood::{Error, Result};

/// The names on the way from the root of the tree down to `name`; none for the root itself.
///
/// A name is taken from the root of the tree, with a slash before it or not; empty parts and `.`
/// mean nothing. `..` is refused wherever it stands: there is no use of it but to get out.
pub fn components(name: &[u8]) -> Result<Vec<&[u8]>> {
    let mut components = Vec::new();
    for component in name.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                let found = name.escape_ascii();
                return Err(Error::invalid("import", "name", found, "no `..` in it"));
            }
            component => components.push(component),
        }
    }
    Ok(components)
}

/// What a name of an image layer means.
#[derive(Debug, PartialEq, Eq)]
pub enum LayerName<'a> {
    /// A file of the layer.
    File(Vec<&'a [u8]>),
    /// A file of the layers below that is gone: the way to its directory, and its name.
    Whiteout(Vec<&'a [u8]>, &'a [u8]),
    /// A directory of whose files in the layers below none is left.
    Opaque(Vec<&'a [u8]>),
    /// What AUFS kept for itself beside the files of a layer, and older layers of Docker hold: it means nothing.
    Leftover,
}

/// What all names begin with that do not mean themselves in an image layer.
pub const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// The name that makes its directory opaque.
pub const OPAQUE_NAME: &[u8] = b".wh..wh..opq";
/// What AUFS keeps in the root of a branch: links that it only pretends, files that are gone but open, and a
/// mark that the branch is its own.
const AUFS_NAMES: [&[u8]; 3] = [b".wh..wh.plnk", b".wh..wh.orph", b".wh..wh.aufs"];

impl<'a> LayerName<'a> {
    /// Reads a name of an image layer.
    ///
    /// A file whose name begins with `.wh.` cannot be said in a layer, so such a name is an error
    /// as a directory on the way, as the target of a hard link, and with nothing, `.`, `..` or
    /// another `.wh.` behind it.
    pub fn parse(name: &'a [u8]) -> Result<LayerName<'a>> {
        let mut components = components(name)?;
        if components.first().is_some_and(|first| AUFS_NAMES.contains(first)) {
            return Ok(LayerName::Leftover);
        }
        let last = components.last().copied().unwrap_or_default();
        if last == OPAQUE_NAME {
            components.pop();
            expect_plain(name, &components)?;
            return Ok(LayerName::Opaque(components));
        }
        let Some(hidden) = last.strip_prefix(WHITEOUT_PREFIX) else {
            expect_plain(name, &components)?;
            return Ok(LayerName::File(components));
        };
        components.pop();
        expect_plain(name, &components)?;
        if matches!(hidden, b"" | b"." | b"..") || hidden.starts_with(WHITEOUT_PREFIX) {
            return Err(unsayable(name));
        }
        Ok(LayerName::Whiteout(components, hidden))
    }
}

/// The way to the target of a hard link in an image layer.
pub fn layer_target(target: &[u8]) -> Result<Vec<&[u8]>> {
    let components = components(target)?;
    expect_plain(target, &components)?;
    Ok(components)
}

fn expect_plain(name: &[u8], components: &[&[u8]]) -> Result<()> {
    match components.iter().any(|component| component.starts_with(WHITEOUT_PREFIX)) {
        true => Err(unsayable(name)),
        false => Ok(()),
    }
}

fn unsayable(name: &[u8]) -> Error {
    let expected = "`.wh.` only before the name of a file that is gone";
    Error::invalid("import an image layer", "name", name.escape_ascii(), expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_down_from_the_root_and_never_up() {
        for name in ["a/b", "/a/b", "./a//./b/", "//a/b"] {
            assert_eq!(components(name.as_bytes()).unwrap(), [b"a", b"b"]);
        }
        for name in ["", "/", ".", "./", "/./"] {
            assert!(components(name.as_bytes()).unwrap().is_empty());
        }
        for name in ["..", "../a", "a/../b", "/..", "a/.."] {
            assert_eq!(components(name.as_bytes()).unwrap_err().field(), Some("name"));
        }
        assert_eq!(components(b"...").unwrap(), [b"..."]);
    }

    #[test]
    fn whiteouts_hide_one_plain_name() {
        let parse = |name: &'static str| LayerName::parse(name.as_bytes());
        assert_eq!(parse("a/.wh.b").unwrap(), LayerName::Whiteout(vec![b"a"], b"b"));
        assert_eq!(parse("./.wh..b").unwrap(), LayerName::Whiteout(vec![], b".b"));
        assert_eq!(parse("a/.wh..wh..opq").unwrap(), LayerName::Opaque(vec![b"a"]));
        assert_eq!(parse(".wh..wh..opq").unwrap(), LayerName::Opaque(vec![]));
        assert_eq!(parse("a/.wh").unwrap(), LayerName::File(vec![b"a", b".wh"]));
        for name in [
            ".wh.",
            ".wh..",
            ".wh...",
            "a/.wh.",
            ".wh.a/b",
            ".wh..wh.other",
            "a/.wh..wh.plnk",
            ".wh..wh..opq/a",
            "a/.wh.b/.wh.c",
            "../.wh.a",
        ] {
            assert!(parse(name).is_err(), "{name}");
        }
        for name in [".wh..wh.plnk", "./.wh..wh.orph/", ".wh..wh.aufs", ".wh..wh.plnk/12.34"] {
            assert_eq!(parse(name).unwrap(), LayerName::Leftover);
        }
        assert!(layer_target(b"a/.wh.b").is_err());
        assert!(layer_target(b".wh..wh.plnk/12.34").is_err(), "nothing is there");
    }
}

//! The files that a source means, with all below them.

use sapwood::{Error, ErrorKind, Result};
use sapwood_archive::tar::MemberKind;

use super::{Found, Ignored, Origin, PATH_BYTES_MAX, names};
use crate::patterns::{Glob, Ignore};

/// How sources are read.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// What is left out, by paths from each source on.
    pub exclude: Ignore,
    /// Whether the directories that a source stands in come along.
    pub parents: bool,
}

/// A file that a source means, or a directory and all below it.
#[derive(Clone, Debug)]
pub struct Group {
    /// The last name of the source: what a file is called where it is copied to.
    pub name: Vec<u8>,
    /// The directories that come along, from the top down.
    pub parents: Vec<Item>,
    /// The file, or the directory and what is below it; each directory before what is in it.
    pub items: Vec<Item>,
}

/// A file that is copied.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name in the directory that it is in.
    pub name: Vec<u8>,
    /// The place of that directory among the items; none of the first.
    pub above: Option<usize>,
    /// What it is.
    pub file: Found,
}

/// The files that a source means. A pattern may mean none.
///
/// Errors: [`NotFound`](ErrorKind::NotFound) for a path that leads nowhere, or to a socket, or is ignored;
/// [`InvalidInput`](ErrorKind::InvalidInput) for what is no pattern.
pub fn select(origin: &Origin, source: &str, selection: &Selection) -> Result<Vec<Group>> {
    let (pivot, path) = match source.split_once("/./").filter(|_| selection.parents) {
        Some((before, behind)) => (cleaned(before.as_bytes()).len(), format!("{before}/{behind}")),
        None => (0, source.to_owned()),
    };
    let path = cleaned(path.as_bytes());
    let wild = path.iter().position(|name| Glob::is_wild(name));
    let matches = match wild {
        None => vec![path.join(&b'/')],
        Some(first) => matches(origin, &path[..first], &path[first..], source)?,
    };
    let mut groups = Vec::new();
    for path in matches {
        let Some(file) = origin.resolve(&path)? else {
            let found = what_leads_nowhere(origin, &path)?;
            return Err(match wild {
                Some(_) => missing(source, &format!("{}: {found}", path.escape_ascii())),
                None => missing(source, found),
            });
        };
        if file.member.kind == MemberKind::Socket {
            match wild {
                Some(_) => continue,
                None => return Err(missing(source, "a socket")),
            }
        }
        let taken = match origin.ignores(&file.path) {
            _ if file.path.is_empty() => true,
            Ignored::No => origin.ignores(&path) == Ignored::No,
            Ignored::Itself => file.is_directory(),
            Ignored::Whole => false,
        };
        if !taken {
            match wild {
                Some(_) => continue,
                None => return Err(missing(source, "a file that the ignore file leaves out")),
            }
        }
        groups.extend(group(origin, &path, pivot, file, selection)?);
    }
    Ok(groups)
}

/// What is at a path that leads to no file.
fn what_leads_nowhere(origin: &Origin, path: &[u8]) -> Result<&'static str> {
    let (above, name) = match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&path[..0], path),
    };
    let directory = origin.resolve(above)?.filter(Found::is_directory);
    let found = directory.map(|directory| origin.child(&directory, name)).transpose()?.flatten();
    match found {
        Some(_) => Ok("a symlink that leads nowhere inside of what is copied from"),
        None => Ok("nothing"),
    }
}

/// The names of a path, `..` taken away with what stands before it, never past the top.
fn cleaned(path: &[u8]) -> Vec<&[u8]> {
    let mut cleaned = Vec::new();
    for name in names(path) {
        match name {
            b".." => {
                cleaned.pop();
            }
            name => cleaned.push(name),
        }
    }
    cleaned
}

/// The paths that a pattern means below a directory.
fn matches(
    origin: &Origin,
    way: &[&[u8]],
    pattern: &[&[u8]],
    source: &str,
) -> Result<Vec<Vec<u8>>> {
    let Some(from) = origin.resolve(&way.join(&b'/'))? else { return Ok(Vec::new()) };
    // A name is never more than one of the pattern's: no part of one stands for a slash.
    let mut found = vec![from];
    for name in pattern {
        let glob = Glob::new(name).map_err(|wrong| {
            let expected = "a pattern of * ? and [a-z]";
            Error::invalid("copy", "source", format!("{source:?}: {wrong}"), expected)
        })?;
        let mut next = Vec::new();
        for directory in found.iter().filter(|found| found.is_directory()) {
            let children = origin.children(directory)?.into_iter();
            next.extend(children.filter(|child| {
                let last = child.path.rsplit(|&byte| byte == b'/').next();
                last.is_some_and(|last| glob.matches(last))
            }));
        }
        found = next;
    }
    Ok(found.into_iter().map(|found| found.path).collect())
}

/// A file with all below it; none where it is left out.
fn group(
    origin: &Origin,
    path: &[u8],
    pivot: usize,
    file: Found,
    selection: &Selection,
) -> Result<Option<Group>> {
    let way: Vec<&[u8]> = names(path).collect();
    let name = way.last().map(|name| name.to_vec()).unwrap_or_default();
    let mut parents = Vec::new();
    if selection.parents {
        for length in pivot + 1..way.len() {
            let above = way[..length].join(&b'/');
            let Some(file) = origin.resolve(&above)? else { continue };
            parents.push(Item { name: way[length - 1].to_vec(), above: None, file });
        }
    }
    if !file.is_directory() && selection.exclude.ignores(&name) {
        return Ok(None);
    }
    let items = below(origin, file, &selection.exclude)?;
    Ok(Some(Group { name, parents, items }))
}

/// A file and all below it, without what is ignored or excluded.
fn below(origin: &Origin, top: Found, exclude: &Ignore) -> Result<Vec<Item>> {
    let skipped = top.path.len() + usize::from(!top.path.is_empty());
    // Whether an item is taken by itself; a directory is also taken for what is in it.
    let mut items = vec![(Item { name: Vec::new(), above: None, file: top }, true)];
    let mut next = 0;
    while next < items.len() {
        let place = next;
        next += 1;
        if !items[place].0.file.is_directory() {
            continue;
        }
        let children = origin.children(&items[place].0.file)?;
        for file in children {
            if file.path.len() > PATH_BYTES_MAX {
                let found = format!("{} bytes", file.path.len());
                let expected = format!("at most {PATH_BYTES_MAX}");
                let error = Error::new(ErrorKind::NameTooLong, "copy files");
                return Err(error.about("path", found, expected));
            }
            let relative = &file.path[skipped..];
            let excluded = match (exclude.ignores(relative), exclude.may_take_in()) {
                (false, _) => Ignored::No,
                (true, true) => Ignored::Itself,
                (true, false) => Ignored::Whole,
            };
            let taken = match (origin.ignores(&file.path), excluded) {
                (Ignored::Whole, _) | (_, Ignored::Whole) => continue,
                (Ignored::No, Ignored::No) => true,
                _ if file.is_directory() => false,
                _ => continue,
            };
            let name = file.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default().to_vec();
            items.push((Item { name, above: Some(place), file }, taken));
        }
    }
    Ok(without_untaken(items))
}

/// Without the directories that are neither taken nor hold anything that is.
fn without_untaken(mut items: Vec<(Item, bool)>) -> Vec<Item> {
    for place in (0..items.len()).rev() {
        let (Item { above: Some(above), .. }, true) = items[place] else { continue };
        items[above].1 = true;
    }
    let mut places = Vec::with_capacity(items.len());
    let mut taken = Vec::with_capacity(items.len());
    for (mut item, is_taken) in items {
        places.push(taken.len());
        if is_taken {
            item.above = item.above.map(|above| places[above]);
            taken.push(item);
        }
    }
    taken
}

fn missing(source: &str, found: &str) -> Error {
    let expected = "a file, or a directory";
    Error::new(ErrorKind::NotFound, "copy files").about(
        "source",
        format!("{source:?}: {found}"),
        expected,
    )
}

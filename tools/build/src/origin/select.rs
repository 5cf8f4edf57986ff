//! The files that a source means, with all below them.

use sapwood::{Error, ErrorKind, Result};
use sapwood_archive::tar::MemberKind;

use super::{Found, Ignored, Origin, PATH_BYTES_MAX, join, names};
use crate::patterns::{Glob, Ignore};

/// How sources are read.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// What is left out, by paths from each source on; where directories come along, from the first of
    /// them on.
    pub exclude: Ignore,
    /// Whether the directories that a source stands in come along, those behind `/./` where it has that.
    /// Then `**` is any number of directories, and a symlink is copied as one.
    pub parents: bool,
}

/// A file that a source means, or a directory and all below it.
#[derive(Clone, Debug)]
pub struct Group {
    /// The last name of the source: what a file is called where it is copied to.
    pub name: Vec<u8>,
    /// The directories that come along, from the top down: a directory then keeps its own name below
    /// them. None where only what is in it is copied.
    pub parents: Option<Vec<Item>>,
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
    let (before, behind) = match source.split_once("/./").filter(|_| selection.parents) {
        Some((before, behind)) => (cleaned(before.as_bytes()), cleaned(behind.as_bytes())),
        None => (Vec::new(), cleaned(source.as_bytes())),
    };
    let pivot = before.len();
    let path = [before, behind].concat();
    let wild = path.iter().position(|name| Glob::is_wild(name));
    let matches = match wild {
        None => vec![path.join(&b'/')],
        Some(first) => {
            let deep_from =
                if selection.parents { pivot.saturating_sub(first) } else { usize::MAX };
            matches(origin, &path[..first], &path[first..], deep_from, source)?
        }
    };
    let mut groups = Vec::new();
    for path in matches {
        let found = match selection.parents {
            true => at(origin, &path)?,
            false => origin.resolve(&path)?,
        };
        let Some(file) = found else {
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

/// The file at a path, a symlink at its end too.
fn at(origin: &Origin, path: &[u8]) -> Result<Option<Found>> {
    let (above, name) = parted(path);
    if name.is_empty() {
        return origin.resolve(path);
    }
    let directory = origin.resolve(above)?.filter(Found::is_directory);
    Ok(directory.map(|directory| origin.child(&directory, name)).transpose()?.flatten())
}

/// A path without its last name, and that.
fn parted(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&path[..0], path),
    }
}

/// What is at a path that leads to no file.
fn what_leads_nowhere(origin: &Origin, path: &[u8]) -> Result<&'static str> {
    match at(origin, path)? {
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

/// The paths that a pattern means below a directory. In its names from `deep_from` on `**` is any number
/// of directories.
fn matches(
    origin: &Origin,
    way: &[&[u8]],
    pattern: &[&[u8]],
    deep_from: usize,
    source: &str,
) -> Result<Vec<Vec<u8>>> {
    let wrong = |wrong: &str| {
        let expected = "a pattern of * ? and [a-z]";
        Error::invalid("copy", "source", format!("{source:?}: {wrong}"), expected)
    };
    let Some(from) = origin.resolve(&way.join(&b'/'))? else { return Ok(Vec::new()) };
    // A name is never more than one of the pattern's: no part of one stands for a slash.
    let mut found = vec![from];
    for (place, name) in pattern.iter().enumerate() {
        if place >= deep_from && name.windows(2).any(|two| two == b"**") {
            let glob = Glob::deep(&pattern[place..].join(&b'/')).map_err(wrong)?;
            found = matches_below(origin, found, &glob)?;
            break;
        }
        let glob = Glob::new(name).map_err(wrong)?;
        let mut next = Vec::new();
        for directory in found.iter().filter(|found| found.is_directory()) {
            let children = origin.children(directory)?.into_iter();
            next.extend(children.filter(|child| glob.matches(parted(&child.path).1)));
        }
        found = next;
    }
    Ok(found.into_iter().map(|found| found.path).collect())
}

/// What a pattern means of all below directories, by paths from these on. All that is in a directory that
/// it means comes with that.
fn matches_below(origin: &Origin, from: Vec<Found>, glob: &Glob) -> Result<Vec<Found>> {
    let mut matches = Vec::new();
    for top in from {
        let skipped = top.path.len() + usize::from(!top.path.is_empty());
        let mut left = vec![top];
        while let Some(next) = left.pop() {
            if next.path.len() > skipped && glob.matches(&next.path[skipped..]) {
                matches.push(next);
            } else if next.is_directory() && origin.ignores(&next.path) != Ignored::Whole {
                short_enough(&next.path)?;
                left.extend(origin.children(&next)?.into_iter().rev());
            }
        }
    }
    Ok(matches)
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
    let mut parents = None;
    let mut above = Vec::new();
    // Of `a/./.`, or of the top, there is no name to keep.
    if selection.parents && way.len() > pivot {
        above = way[pivot..].join(&b'/');
        let found = (pivot + 1..way.len()).map(|length| {
            let found = origin.resolve(&way[..length].join(&b'/'))?;
            Ok(found.map(|file| Item { name: way[length - 1].to_vec(), above: None, file }))
        });
        let found: Result<Vec<Option<Item>>> = found.collect();
        parents = Some(found?.into_iter().flatten().collect());
    }
    if parents.is_none() && !file.is_directory() && selection.exclude.ignores(&name) {
        return Ok(None);
    }
    let items = below(origin, file, &above, &selection.exclude)?;
    Ok((!items.is_empty()).then_some(Group { name, parents, items }))
}

/// A file and all below it, without what is ignored or excluded. `above` is its own path as patterns of
/// what is excluded see it.
fn below(origin: &Origin, top: Found, above: &[u8], exclude: &Ignore) -> Result<Vec<Item>> {
    let skipped = top.path.len() + usize::from(!top.path.is_empty());
    let excluded = |path: &[u8]| match (exclude.ignores(path), exclude.may_take_in()) {
        (false, _) => Ignored::No,
        (true, true) => Ignored::Itself,
        (true, false) => Ignored::Whole,
    };
    // Whether an item is taken by itself; a directory is also taken for what is in it.
    let is_taken = |file: &Found, path: &[u8]| match (origin.ignores(&file.path), excluded(path)) {
        (Ignored::Whole, _) | (_, Ignored::Whole) => None,
        (Ignored::No, Ignored::No) => Some(true),
        _ => file.is_directory().then_some(false),
    };
    // Where it is to have no name of its own, what is left out is in it at most.
    let taken = if above.is_empty() { Some(true) } else { is_taken(&top, above) };
    let Some(taken) = taken else { return Ok(Vec::new()) };
    let mut items = vec![(Item { name: Vec::new(), above: None, file: top }, taken)];
    let mut next = 0;
    while next < items.len() {
        let place = next;
        next += 1;
        if !items[place].0.file.is_directory() {
            continue;
        }
        let children = origin.children(&items[place].0.file)?;
        for file in children {
            short_enough(&file.path)?;
            let path = join(above, &file.path[skipped..]);
            let Some(taken) = is_taken(&file, &path) else { continue };
            let name = parted(&file.path).1.to_vec();
            items.push((Item { name, above: Some(place), file }, taken));
        }
    }
    Ok(without_untaken(items))
}

/// Errors: [`NameTooLong`](ErrorKind::NameTooLong).
fn short_enough(path: &[u8]) -> Result<()> {
    if path.len() <= PATH_BYTES_MAX {
        return Ok(());
    }
    let found = format!("{} bytes", path.len());
    let expected = format!("at most {PATH_BYTES_MAX}");
    Err(Error::new(ErrorKind::NameTooLong, "copy files").about("path", found, expected))
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

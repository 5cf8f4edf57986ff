//! Differences of text, in the form that `git apply` and `patch` take.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use sapwood::files::{Attributes, ChangeKind, FileChange, FileKind, FilesView, Inode, ReadFiles};
use similar::TextDiff;

use crate::error::Result;

/// Longer files are not compared line by line: each side is held in memory.
const TEXT_BYTES_MAX: u64 = 16 << 20;
/// A zero byte in so much of the beginning says that a file is no text.
const LOOKED_AT_BYTES: usize = 8 << 10;
/// After so much time the lines are still told apart rightly, but no longer with the fewest
/// differences: what is compared may be made to take long.
const SEARCH_MAX: Duration = Duration::from_secs(5);
/// How many equal lines are shown around those that differ.
const CONTEXT_LINES: usize = 3;

/// What a change is, as a patch.
pub struct Patch {
    /// The lines; none for what holds no content, as directories.
    pub bytes: Vec<u8>,
    /// Whether the content differs but is not shown, as it is no text, or too long.
    pub is_binary: bool,
}

/// One side of a file.
enum Content {
    Absent,
    Text(Vec<u8>),
    Binary,
}

/// The patches of the changes between two trees. A patch knows no directories: what moved along with one
/// is renamed file by file, and what is different in it was before where that one was.
pub struct Patches<'a> {
    a: &'a FilesView,
    b: &'a FilesView,
    /// Where directories were that moved, by the paths where they are.
    moved: BTreeMap<&'a [u8], &'a [u8]>,
    /// Paths after of which a change tells.
    told: BTreeSet<&'a [u8]>,
}

impl<'a> Patches<'a> {
    pub fn new(changes: &'a [FileChange], a: &'a FilesView, b: &'a FilesView) -> Patches<'a> {
        let is_directory = |change: &FileChange| {
            change.after.is_some_and(|after| after.kind == FileKind::Directory)
        };
        let moved = changes.iter().filter_map(|change| match &change.kind {
            ChangeKind::Renamed { from, .. } if is_directory(change) => {
                Some((&change.path[..], &from[..]))
            }
            _ => None,
        });
        let is_there = |change: &&FileChange| change.kind != ChangeKind::Deleted;
        let told = changes.iter().filter(is_there).map(|change| &change.path[..]);
        Patches { a, b, moved: moved.collect(), told: told.collect() }
    }

    /// The patch of one of them.
    pub fn of(&self, change: &FileChange) -> Result<Patch> {
        let after = change.after.as_ref().filter(|after| after.kind == FileKind::Directory);
        match (&change.kind, after) {
            (ChangeKind::Renamed { .. }, Some(directory)) => {
                self.of_moved(&change.path, directory.inode)
            }
            (ChangeKind::Renamed { from, .. }, None) => self.of_file(change, from),
            (ChangeKind::Modified(_), _) => self.of_file(change, &self.path_before(&change.path)),
            _ => self.of_file(change, &change.path),
        }
    }

    /// Where a file was before that is no news itself.
    fn path_before(&self, path: &[u8]) -> Vec<u8> {
        let mut above = path;
        while let Some(slash) = above.iter().rposition(|&byte| byte == b'/') {
            above = &path[..slash];
            if let Some(from) = self.moved.get(above) {
                return [from, &path[slash..]].concat();
            }
        }
        path.to_vec()
    }

    /// The renames of all files that moved along with a directory, and are the same.
    fn of_moved(&self, top: &[u8], directory: Inode) -> Result<Patch> {
        let mut bytes = Vec::new();
        let mut left = vec![(top.to_vec(), directory)];
        while let Some((above, directory)) = left.pop() {
            let mut names = Vec::new();
            self.b.entries(directory, 0, &mut |entry| {
                names.push((entry.name.to_vec(), entry.inode, entry.kind));
                ControlFlow::Continue(())
            })?;
            names.sort_unstable();
            let mut below = Vec::new();
            for (name, inode, kind) in names {
                let path = [&above[..], b"/", &name].concat();
                match kind {
                    FileKind::Directory if self.moved.contains_key(&path[..]) => {}
                    FileKind::Directory => below.push((path, inode)),
                    FileKind::Regular | FileKind::Symlink if !self.told.contains(&path[..]) => {
                        let from = self.path_before(&path);
                        bytes.extend(head_line(&from, &path).bytes());
                        bytes.extend(rename_lines(&from, &path).bytes());
                    }
                    _ => {}
                }
            }
            left.extend(below.into_iter().rev());
        }
        Ok(Patch { bytes, is_binary: false })
    }

    /// The patch of a file that was at `path_before`.
    fn of_file(&self, change: &FileChange, path_before: &[u8]) -> Result<Patch> {
        let has_content = |attributes: &Attributes| {
            matches!(attributes.kind, FileKind::Regular | FileKind::Symlink)
        };
        // What became a directory, or was one, is gone or new.
        let sides = [change.before.filter(has_content), change.after.filter(has_content)];
        let (path_before, path) = match &sides {
            [None, None] => return Ok(Patch { bytes: Vec::new(), is_binary: false }),
            [None, Some(_)] => (&change.path[..], &change.path[..]),
            [Some(_), None] => (path_before, path_before),
            [Some(_), Some(_)] => (path_before, &change.path[..]),
        };
        let mut text = head_line(path_before, path);
        text += &mode_lines(&sides);
        if path_before != path {
            text += &rename_lines(path_before, path);
        }
        let is_same_content = match &change.kind {
            ChangeKind::Modified(difference) | ChangeKind::Renamed { difference, .. } => {
                !difference.content
            }
            _ => false,
        };
        if is_same_content {
            return Ok(Patch { bytes: text.into_bytes(), is_binary: false });
        }
        let [before, after] = &sides;
        let (a, b) = (Content::read(before, self.a)?, Content::read(after, self.b)?);
        let name = |content: &Content, side: &str, path: &[u8]| match content {
            Content::Absent => "/dev/null".to_owned(),
            _ => quoted(side, path),
        };
        let (from, to) = (name(&a, "a/", path_before), name(&b, "b/", path));
        let (Some(a), Some(b)) = (a.bytes(), b.bytes()) else {
            text += &format!("Binary files {from} and {to} differ\n");
            return Ok(Patch { bytes: text.into_bytes(), is_binary: true });
        };
        let mut bytes = text.into_bytes();
        let difference = TextDiff::configure().timeout(SEARCH_MAX).diff_lines(a, b);
        let mut unified = difference.unified_diff();
        unified
            .context_radius(CONTEXT_LINES)
            .header(&ended(from), &ended(to))
            .to_writer(&mut bytes)
            .expect("memory takes all bytes");
        Ok(Patch { bytes, is_binary: false })
    }
}

fn head_line(from: &[u8], to: &[u8]) -> String {
    format!("diff --git {} {}\n", quoted("a/", from), quoted("b/", to))
}

fn rename_lines(from: &[u8], to: &[u8]) -> String {
    format!("rename from {}\nrename to {}\n", quoted("", from), quoted("", to))
}

/// A path as `git` writes it into a patch: in quotes, as C has them, where a byte of it would end a line or a
/// quoted path, or is no text.
fn quoted(side: &str, path: &[u8]) -> String {
    let is_plain = |&byte: &u8| !matches!(byte, 0..0x20 | b'"' | b'\\' | 0x7f..);
    if path.iter().all(is_plain) {
        return format!("{side}{}", String::from_utf8_lossy(path));
    }
    let mut text = format!("\"{side}");
    for &byte in path {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b'\n' => text += "\\n",
            b'\t' => text += "\\t",
            byte if is_plain(&byte) => text.push(char::from(byte)),
            byte => text += &format!("\\{byte:03o}"),
        }
    }
    text + "\""
}

/// A name of one side at the end of its line: one with a space ends in a tab, where what reads patches would
/// end it at the space.
fn ended(name: String) -> String {
    if name.contains(' ') { name + "\t" } else { name }
}

/// What became of kind and permissions, as `git` says it.
fn mode_lines(sides: &[Option<Attributes>; 2]) -> String {
    let mode = |attributes: &Attributes| {
        // To `git` a symlink has no permissions.
        let permissions = match attributes.kind {
            FileKind::Symlink => 0,
            _ => attributes.permissions,
        };
        format!("{:06o}", attributes.kind.mode_bits() | permissions)
    };
    match sides {
        [None, Some(after)] => format!("new file mode {}\n", mode(after)),
        [Some(before), None] => format!("deleted file mode {}\n", mode(before)),
        [Some(before), Some(after)] if mode(before) != mode(after) => {
            format!("old mode {}\nnew mode {}\n", mode(before), mode(after))
        }
        _ => String::new(),
    }
}

impl Content {
    fn read(attributes: &Option<Attributes>, view: &FilesView) -> Result<Content> {
        let Some(attributes) = attributes else { return Ok(Content::Absent) };
        if attributes.kind == FileKind::Symlink {
            return Ok(Content::Text(view.read_link(attributes.inode)?));
        }
        if attributes.size > TEXT_BYTES_MAX {
            return Ok(Content::Binary);
        }
        let mut bytes = vec![0; attributes.size as usize];
        let read = view.read(attributes.inode, 0, &mut bytes)?;
        bytes.truncate(read);
        let is_text = !bytes[..read.min(LOOKED_AT_BYTES)].contains(&0);
        Ok(if is_text { Content::Text(bytes) } else { Content::Binary })
    }

    /// The bytes to compare; none of what is not compared.
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Content::Absent => Some(&[]),
            Content::Text(bytes) => Some(bytes),
            Content::Binary => None,
        }
    }
}

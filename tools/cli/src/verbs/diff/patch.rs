//! Differences of text, in the form that `git apply` and `patch` take.

use std::time::Duration;

use sapwood::files::{Attributes, ChangeKind, FileChange, FileKind, FilesView, ReadFiles};
use similar::TextDiff;

use super::shown_path;
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

/// The patch of a change.
pub fn patch_of(change: &FileChange, a: &FilesView, b: &FilesView) -> Result<Patch> {
    let has_content =
        |attributes: &Attributes| matches!(attributes.kind, FileKind::Regular | FileKind::Symlink);
    let sides = [&change.before, &change.after];
    if !sides.into_iter().flatten().all(has_content) {
        return Ok(Patch { bytes: Vec::new(), is_binary: false });
    }
    let (from, to) = match &change.kind {
        ChangeKind::Renamed { from, .. } => (shown_path(from), shown_path(&change.path)),
        _ => (shown_path(&change.path), shown_path(&change.path)),
    };
    let mut text = format!("diff --git a/{from} b/{to}\n");
    text += &mode_lines(change);
    if let ChangeKind::Renamed { .. } = change.kind {
        text += &format!("rename from {from}\nrename to {to}\n");
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
    let (a, b) = (Content::read(&change.before, a)?, Content::read(&change.after, b)?);
    let name = |content: &Content, side: &str, path: &str| match content {
        Content::Absent => "/dev/null".to_owned(),
        _ => format!("{side}/{path}"),
    };
    let (from, to) = (name(&a, "a", &from), name(&b, "b", &to));
    let (Some(a), Some(b)) = (a.bytes(), b.bytes()) else {
        text += &format!("Binary files {from} and {to} differ\n");
        return Ok(Patch { bytes: text.into_bytes(), is_binary: true });
    };
    let mut bytes = text.into_bytes();
    let difference = TextDiff::configure().timeout(SEARCH_MAX).diff_lines(a, b);
    let mut unified = difference.unified_diff();
    unified
        .context_radius(CONTEXT_LINES)
        .header(&from, &to)
        .to_writer(&mut bytes)
        .expect("memory takes all bytes");
    Ok(Patch { bytes, is_binary: false })
}

/// What became of kind and permissions, as `git` says it.
fn mode_lines(change: &FileChange) -> String {
    let mode = |attributes: &Attributes| {
        // To `git` a symlink has no permissions.
        let permissions = match attributes.kind {
            FileKind::Symlink => 0,
            _ => attributes.permissions,
        };
        format!("{:06o}", attributes.kind.mode_bits() | permissions)
    };
    match (&change.before, &change.after) {
        (None, Some(after)) => format!("new file mode {}\n", mode(after)),
        (Some(before), None) => format!("deleted file mode {}\n", mode(before)),
        (Some(before), Some(after)) if mode(before) != mode(after) => {
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

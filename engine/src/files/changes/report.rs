//! Changes, with the paths and the attributes of both sides.

use super::Place;
use super::paths::Paths;
use crate::error::Result;
use crate::files::change::{ChangeKind, Difference, FileChange};
use crate::files::compare::attributes_differ;
use crate::files::types::{FileKind, Inode};
use crate::files::view::{FilesView, ReadFiles};

/// Changes as they are found.
pub struct Report<'a> {
    before: Paths<'a>,
    after: Paths<'a>,
    found: Vec<FileChange>,
}

impl<'a> Report<'a> {
    pub fn new(before: &'a FilesView, after: &'a FilesView) -> Report<'a> {
        let (before, after) = (Paths::in_view(before), Paths::in_view(after));
        Report { before, after, found: Vec::new() }
    }

    /// All of them by path; what is gone from one before what came there.
    pub fn in_order(mut self) -> Vec<FileChange> {
        let is_there = |change: &FileChange| change.kind != ChangeKind::Deleted;
        self.found.sort_by(|a, b| (&a.path, is_there(a)).cmp(&(&b.path, is_there(b))));
        self.found
    }

    /// A file that has another name.
    pub fn renamed(&mut self, from: &Place, to: &Place, difference: Difference) -> Result<()> {
        let from_path = self.before.of(from)?;
        self.both(from, to, ChangeKind::Renamed { from: from_path, difference })
    }

    /// Another file under one path.
    pub fn another(&mut self, old: &Place, new: &Place) -> Result<()> {
        let (before, after) = (self.before.attributes(old)?, self.after.attributes(new)?);
        let (old_view, new_view) = (self.before.view, self.after.view);
        let is_directory = after.kind == FileKind::Directory;
        let difference = Difference {
            // Of a file it was written, though it may read the same.
            content: match (before.kind, after.kind) {
                (FileKind::Symlink, FileKind::Symlink) => {
                    old_view.read_link(before.inode)? != new_view.read_link(after.inode)?
                }
                (FileKind::Regular, _) => true,
                (old, new) => old != new,
            },
            attributes: attributes_differ(old_view, &before, new_view, &after)?,
            modified: before.modified != after.modified,
            names: is_directory,
        };
        self.both(old, new, ChangeKind::Modified(difference))
    }

    /// A name that came or went.
    pub fn one(&mut self, place: &Place, kind: ChangeKind) -> Result<()> {
        let paths = if kind == ChangeKind::Added { &mut self.after } else { &mut self.before };
        let path = paths.of(place)?;
        let attributes = Some(paths.attributes(place)?);
        let (before, after) = match kind {
            ChangeKind::Added => (None, attributes),
            _ => (attributes, None),
        };
        self.found.push(FileChange { path, kind, before, after });
        Ok(())
    }

    /// A name of a file that is in both trees.
    pub fn both(&mut self, old: &Place, new: &Place, kind: ChangeKind) -> Result<()> {
        let path = self.after.of(new)?;
        let before = Some(self.before.attributes(old)?);
        let after = Some(self.after.attributes(new)?);
        self.found.push(FileChange { path, kind, before, after });
        Ok(())
    }

    /// A name that leads to the same file as before, which is different.
    pub fn modified(
        &mut self,
        inode: Inode,
        directory: u32,
        name: &[u8],
        difference: Difference,
    ) -> Result<()> {
        let path = match inode {
            Inode::ROOT => Vec::new(),
            _ => self.after.of_name(directory, name)?,
        };
        let before = Some(self.before.view.attributes(inode)?);
        let after = Some(self.after.view.attributes(inode)?);
        self.found.push(FileChange { path, kind: ChangeKind::Modified(difference), before, after });
        Ok(())
    }
}

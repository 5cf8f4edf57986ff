//! A directory of one tree, put into another tree of the same store.

use std::collections::HashMap;

use sapwood::files::{Attributes, FileKind, Files, FilesView, Inode, ReadFiles};
use sapwood::{Error, ErrorKind, Result};

use super::target::{Content, Target, write_pieces};
use crate::export::{member_of, read_content, segments_of};
use crate::listing::{Name, sorted_names};
use crate::options::{ExportOptions, ImportOptions};
use crate::report::{Meter, Progress, Report};
use crate::tar::{Member, MemberKind, as_path};

/// How much one call shares.
const SHARE_BYTES: u64 = 1 << 30;

/// Where a tree comes from, which says what of it can be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeSource {
    /// A snapshot: all blocks are shared.
    Snapshot,
    /// The last commit of the target: blocks are shared of files that have not changed since.
    Target,
    /// The last commit of another volume, whose blocks may go: content is copied.
    Volume,
}

/// Puts the directory `from` of a tree, and all below it, into the directory `into` of another tree of
/// the same store, or of its own. What is there already is replaced by what has its name;
/// directories are joined. Nothing is flushed.
///
/// Memory is in proportion to the names of the directories on one way down, and to the files with
/// several names. Errors: those of [`Files`]; of kinds that the options refuse.
pub fn copy_tree(
    view: &FilesView,
    source: TreeSource,
    from: Inode,
    files: &Files,
    into: Inode,
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report> {
    let target = Target::new(files, into, options, Meter::new(progress));
    let mut copy = Copy { view, source, target, written: HashMap::new() };
    copy.put(&[], from)?;
    // Names from the top down that are still to be copied, the next one last.
    let mut stack = vec![names(view, from)?];
    let mut way: Vec<Vec<u8>> = Vec::new();
    while let Some(left) = stack.last_mut() {
        let Some(name) = left.pop() else {
            stack.pop();
            way.pop();
            continue;
        };
        way.push(name.name);
        copy.put(&way, name.inode).map_err(|error| error.in_file(as_path(&way.join(&b'/'))))?;
        if name.kind == FileKind::Directory {
            stack.push(names(view, name.inode)?);
        } else {
            way.pop();
        }
    }
    copy.target.finish()
}

/// Puts the file `from` of a tree, any but a directory, into the directory `into` of another tree of
/// the same store, or of its own, under the name `name`, in place of what is there: as [`copy_tree`]
/// does with one that it finds.
///
/// Errors: [`IsADirectory`](ErrorKind::IsADirectory); as [`copy_tree`].
pub fn copy_file(
    view: &FilesView,
    source: TreeSource,
    from: Inode,
    files: &Files,
    (into, name): (Inode, &[u8]),
    options: &ImportOptions,
) -> Result<Report> {
    if view.attributes(from)?.kind == FileKind::Directory {
        return Err(Error::new(ErrorKind::IsADirectory, "copy a file"));
    }
    let nothing = &mut |_| {};
    let target = Target::new(files, into, options, Meter::new(nothing));
    let mut copy = Copy { view, source, target, written: HashMap::new() };
    copy.put(&[name.to_vec()], from)?;
    copy.target.finish()
}

/// The names of a directory, the first one last.
fn names(view: &FilesView, directory: Inode) -> Result<Vec<Name>> {
    let mut names = sorted_names(view, directory)?;
    names.reverse();
    Ok(names)
}

struct Copy<'a> {
    view: &'a FilesView,
    source: TreeSource,
    target: Target<'a>,
    /// Where files with several names stand already.
    written: HashMap<Inode, Vec<Vec<u8>>>,
}

impl Copy<'_> {
    fn put(&mut self, way: &[Vec<u8>], inode: Inode) -> Result<()> {
        let components: Vec<&[u8]> = way.iter().map(Vec::as_slice).collect();
        let file = self.view.attributes(inode)?;
        let member = member_of(self.view, &file, &ExportOptions::default())?;
        if !self.target.takes(&member.kind)? {
            return Ok(());
        }
        if file.kind != FileKind::Directory && file.links > 1 {
            if let Some(first) = self.written.get(&inode) {
                let first: Vec<&[u8]> = first.iter().map(Vec::as_slice).collect();
                return self.target.put_link(&components, &first);
            }
            self.written.insert(inode, way.to_vec());
        }
        let mut content = Copied { view: self.view, source: self.source, file: &file };
        self.target.put(&components, &member, &mut content)
    }
}

/// The content of a file of the tree.
struct Copied<'a> {
    view: &'a FilesView,
    source: TreeSource,
    file: &'a Attributes,
}

impl Content for Copied<'_> {
    fn fill(
        &mut self,
        files: &Files,
        inode: Inode,
        member: &Member,
        tell: &mut dyn FnMut(usize),
    ) -> Result<()> {
        if member.kind != MemberKind::File {
            return Ok(());
        }
        match self.source {
            TreeSource::Snapshot => {
                let bytes = files.share_content(self.view, self.file.inode, inode)?;
                tell(usize::try_from(bytes).unwrap_or(usize::MAX));
                Ok(())
            }
            TreeSource::Target if self.is_unchanged_in(files)? => {
                self.share_own(files, inode, tell)
            }
            TreeSource::Target | TreeSource::Volume => {
                let segments = segments_of(self.view, self.file)?;
                let mut buffer = Vec::new();
                write_pieces(files, inode, member, tell, &mut |write| {
                    read_content(self.view, self.file, &segments, &mut buffer, write)
                })
            }
        }
    }
}

impl Copied<'_> {
    /// Whether the file still is what the view shows: whatever changes one notes when.
    fn is_unchanged_in(&self, files: &Files) -> Result<bool> {
        match files.attributes(self.file.inode) {
            Ok(now) => Ok(now.generation == self.file.generation
                && now.size == self.file.size
                && now.modified == self.file.modified
                && now.changed == self.file.changed),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn share_own(&self, files: &Files, to: Inode, tell: &mut dyn FnMut(usize)) -> Result<()> {
        let mut done = 0;
        while done < self.file.size {
            let length = SHARE_BYTES.min(self.file.size - done);
            let copied = files.copy_range(self.file.inode, done, to, done, length)?;
            if copied == 0 {
                let error = Error::new(ErrorKind::Stale, "copy a file");
                return Err(error.about("size", done, self.file.size));
            }
            tell(usize::try_from(copied).unwrap_or(usize::MAX));
            done += copied;
        }
        Ok(())
    }
}

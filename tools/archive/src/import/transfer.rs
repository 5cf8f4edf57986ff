//! What changed between two snapshots, made in another tree of the same store.

use std::collections::HashMap;

use sapwood::Result;
use sapwood::files::{Attributes, FileKind, Files, FilesView, Inode, ReadFiles, changes};

use super::name::components;
use super::target::{Content, Target};
use crate::export::{MadeAnew, Plan, member_of, plan};
use crate::options::{ExportOptions, ImportOptions};
use crate::report::{Meter, Progress, Report};
use crate::tar::{Member, MemberKind, as_path};

/// Applies on a tree what made the tree `after` out of the tree `before`, or out of nothing: as
/// [`import_layer`](super::import_layer) does with what [`export_layer`](crate::export_layer) of
/// the two says, but no content is read, and a directory that was made anew hides what stands in the one
/// of its name. Blocks are shared, so all three are of one store.
///
/// Cost is in proportion to what changed, and memory to its names. Nothing is flushed.
///
/// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput) for trees that do not come from one; those of
/// [`Files`].
pub fn transfer_layer(
    before: Option<&FilesView>,
    after: &FilesView,
    files: &Files,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report> {
    let everything = ExportOptions::default();
    let Plan { whiteouts, members } = match before {
        Some(before) => {
            plan(before, after, &changes(before, after)?, MadeAnew::Whole, &everything)?
        }
        None => Plan::of_all(after, &everything)?,
    };
    let options = ImportOptions::default();
    let mut target = Target::for_layer(files, &options, Meter::new(progress))?;
    for path in &whiteouts {
        let way = components(path)?;
        if let Some((name, above)) = way.split_last() {
            target.white_out(above, name).map_err(|error| error.in_file(as_path(path)))?;
        }
    }
    // Where files with several names stand already.
    let mut written = HashMap::new();
    for (path, inode) in &members {
        let file = after.attributes(*inode)?;
        put(&mut target, after, path, &file, &mut written)
            .map_err(|error| error.in_file(as_path(path)))?;
    }
    target.finish()
}

fn put<'a>(
    target: &mut Target<'_>,
    view: &FilesView,
    path: &'a [u8],
    file: &Attributes,
    written: &mut HashMap<Inode, &'a [u8]>,
) -> Result<()> {
    let way = components(path)?;
    if file.kind != FileKind::Directory && file.links > 1 {
        if let Some(first) = written.get(&file.inode) {
            return target.put_link(&way, &components(first)?);
        }
        written.insert(file.inode, path);
    }
    let mut member = member_of(view, file, &ExportOptions::default())?;
    member.name = path.to_vec();
    target.put(&way, &member, &mut Shared { view, inode: file.inode })
}

/// The content of a file of another tree.
struct Shared<'a> {
    view: &'a FilesView,
    inode: Inode,
}

impl Content for Shared<'_> {
    fn fill(
        &mut self,
        files: &Files,
        inode: Inode,
        member: &Member,
        tell: &mut dyn FnMut(usize),
    ) -> Result<()> {
        if member.kind == MemberKind::File {
            let bytes = files.share_content(self.view, self.inode, inode)?;
            tell(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        Ok(())
    }
}

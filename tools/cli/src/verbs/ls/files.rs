//! Files in trees.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use sapwood::files::{Attributes, FileKind, FilesView, Paths, ReadFiles};
use sapwood::store::Store;

use crate::args::LsArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Page, Text};
use crate::tree::{FileReport, TreePath, open_view, walk};

pub fn list(args: &LsArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    // What is not there is said before anything is listed.
    let subjects: Vec<Subject<'_>> =
        args.paths.iter().map(|path| Subject::open(&store, path, args)).collect::<Result<_>>()?;
    context.output.stream(context.verb, |page| match page {
        Page::Json(document) => document.list_from("entries", |list| {
            subjects
                .iter()
                .try_for_each(|subject| subject.each(args.recursive, |entry| list.element(&entry)))
        }),
        Page::Text(text) => {
            for (index, subject) in subjects.iter().enumerate() {
                if subjects.len() > 1 {
                    subject.write_heading(index, text).map_err(CliError::report)?;
                }
                subject.each(args.recursive, |entry| {
                    let written =
                        if args.long { entry.write_line(text) } else { entry.write_name(text) };
                    written.map_err(CliError::report)
                })?;
            }
            Ok(())
        }
    })?;
    Ok(Verdict::Done)
}

/// What one word of the command line asks to list.
struct Subject<'a> {
    place: &'a TreePath,
    view: FilesView,
    attributes: Attributes,
}

impl<'a> Subject<'a> {
    fn open(store: &Store, place: &'a TreePath, args: &LsArgs) -> Result<Subject<'a>> {
        let view = open_view(store, &place.reference)?;
        let paths = Paths::new(&view);
        // As elsewhere: a symlink is listed itself where its attributes are asked for.
        let mut attributes = place.named(paths.symlink_metadata(&place.path))?;
        let follows = !args.long && !args.recursive && attributes.kind == FileKind::Symlink;
        if follows && paths.exists(&place.path)? {
            attributes = paths.metadata(&place.path)?;
        }
        Ok(Subject { place, view, attributes })
    }

    /// Shows the entries one after the other.
    fn each(&self, recursive: bool, mut show: impl FnMut(FileReport) -> Result<()>) -> Result<()> {
        let typed = self.place.path.as_os_str().as_bytes();
        let report = |path: &[u8], name: &[u8], attributes: &Attributes| {
            FileReport::new(&self.place.reference, path, name, attributes, &self.view)
        };
        if recursive {
            return walk(&self.view, &self.place.path, |below, attributes| {
                let path = joined(typed, below);
                show(report(&path, &path, attributes)?)
            });
        }
        if self.attributes.kind != FileKind::Directory {
            return show(report(typed, typed, &self.attributes)?);
        }
        for entry in Paths::new(&self.view).read_dir(&self.place.path)? {
            let attributes = self.view.attributes(entry.inode)?;
            show(report(&joined(typed, &entry.name), &entry.name, &attributes)?)?;
        }
        Ok(())
    }

    fn write_heading(&self, index: usize, text: &mut Text<'_>) -> io::Result<()> {
        if index > 0 {
            writeln!(text)?;
        }
        writeln!(text, "{}:", self.place)
    }
}

/// The path of what stands at `below` in the directory `path`.
fn joined(path: &[u8], below: &[u8]) -> Vec<u8> {
    let mut joined = path.to_vec();
    if !below.is_empty() {
        if !joined.ends_with(b"/") {
            joined.push(b'/');
        }
        joined.extend(below);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_by_one_slash() {
        assert_eq!(joined(b"/", b"etc"), b"/etc");
        assert_eq!(joined(b"/etc", b"ssl/certs"), b"/etc/ssl/certs");
        assert_eq!(joined(b"/etc", b""), b"/etc");
    }
}

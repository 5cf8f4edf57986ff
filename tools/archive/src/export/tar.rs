//! A tree as a tar stream, always the same bytes for the same tree.

use std::collections::HashMap;
use std::io::Write;

use sapwood::Result;
use sapwood::files::{Attributes, FileKind, Inode, ReadFiles};

use super::content;
use super::member::{member_of, takes};
use crate::listing::{Name, sorted_names};
use crate::options::{ExportOptions, Holes};
use crate::report::{Meter, Progress, Report};
use crate::tar::{Member, MemberKind, TarWriter, as_path};

/// Writes the directory `from` and all below it as a tar stream; gives back the output, flushed.
///
/// Trees that are equal (names, kinds, content, owners, permissions, times, attributes, and which
/// names are one file) give equal bytes: members stand in the order of the bytes of their paths, the
/// root first as `./`, a file with several names under the first of them and then as hard links,
/// in the one form of [`TarWriter`]. Access times are left out. Memory is in proportion to the
/// names of the directories on one way down, and to the files with several names.
///
/// Errors: [`Unsupported`](sapwood::ErrorKind::Unsupported) for a socket, unless the options leave
/// it out; [`NotPermitted`](sapwood::ErrorKind::NotPermitted) for kinds that the options refuse;
/// [`Stale`](sapwood::ErrorKind::Stale) where a live tree changed meanwhile; what the output says.
pub fn export_tar<W: Write>(
    view: &dyn ReadFiles,
    from: Inode,
    output: W,
    options: &ExportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Report, W)> {
    let mut tar = TarOfTree::new(view, output, options, Meter::new(progress), |_| Ok(()));
    tar.put(b"./", from)?;
    tar.put_all_below(from)?;
    tar.finish()
}

/// A tar stream that files of one tree are written into.
pub struct TarOfTree<'a, W: Write> {
    view: &'a dyn ReadFiles,
    options: &'a ExportOptions,
    meter: Meter<'a>,
    writer: TarWriter<W>,
    /// Refuses what this kind of stream cannot say.
    allow: fn(&Member) -> Result<()>,
    /// Where files with several names stand in the stream.
    written: HashMap<Inode, Vec<u8>>,
    buffer: Vec<u8>,
}

impl<'a, W: Write> TarOfTree<'a, W> {
    pub fn new(
        view: &'a dyn ReadFiles,
        output: W,
        options: &'a ExportOptions,
        meter: Meter<'a>,
        allow: fn(&Member) -> Result<()>,
    ) -> TarOfTree<'a, W> {
        let (writer, written) = (TarWriter::new(output), HashMap::new());
        TarOfTree { view, options, meter, writer, allow, written, buffer: Vec::new() }
    }

    /// Writes one file under `path`, that of a directory with a slash at its end.
    pub fn put(&mut self, path: &[u8], inode: Inode) -> Result<()> {
        self.put_file(path, inode).map_err(|error| error.in_file(as_path(path)))
    }

    /// Writes an empty file of this name that nobody has: a whiteout.
    pub fn put_mark(&mut self, path: &[u8]) -> Result<()> {
        self.writer.begin(&Member::new(path, MemberKind::File, 0))?;
        self.meter.entry();
        Ok(())
    }

    /// Writes what is below the directory that is the root of the stream.
    pub fn put_all_below(&mut self, root: Inode) -> Result<()> {
        // Names from the top down that are still to be written, the next one last, and how long
        // the path to their directory is.
        let mut path = Vec::new();
        let mut stack = vec![(0, self.names(root, &path)?)];
        while let Some((length, names)) = stack.last_mut() {
            path.truncate(*length);
            let Some(name) = names.pop() else {
                stack.pop();
                continue;
            };
            path.extend(&name.name);
            if name.kind == FileKind::Directory {
                path.push(b'/');
            }
            self.put(&path, name.inode)?;
            if name.kind == FileKind::Directory {
                stack.push((path.len(), self.names(name.inode, &path)?));
            }
        }
        Ok(())
    }

    /// Ends the stream.
    pub fn finish(self) -> Result<(Report, W)> {
        let output = self.writer.finish()?;
        Ok((self.meter.report(), output))
    }

    /// The names of a directory, the first one last.
    fn names(&self, directory: Inode, path: &[u8]) -> Result<Vec<Name>> {
        let names = sorted_names(self.view, directory);
        let mut names = names.map_err(|error| error.in_file(as_path(path)))?;
        names.reverse();
        Ok(names)
    }

    fn put_file(&mut self, path: &[u8], inode: Inode) -> Result<()> {
        let file = self.view.attributes(inode)?;
        if !takes(file.kind, self.options)? {
            self.meter.skipped();
            return Ok(());
        }
        let mut member = member_of(self.view, &file, self.options)?;
        member.name = path.to_vec();
        (self.allow)(&member)?;
        if file.kind != FileKind::Directory && file.links > 1 {
            if let Some(first) = self.written.get(&inode) {
                member.kind = MemberKind::HardLink(first.clone());
                member.attributes.clear();
                member.size = 0;
            } else {
                self.written.insert(inode, path.to_vec());
            }
        }
        match member.kind {
            MemberKind::File => self.put_content(&member, &file)?,
            _ => self.writer.begin(&member)?,
        }
        self.meter.entry();
        Ok(())
    }

    fn put_content(&mut self, member: &Member, file: &Attributes) -> Result<()> {
        let segments = content::segments(self.view, file)?;
        let stored: u64 = segments.iter().map(|segment| segment.length).sum();
        let keeps_holes = self.options.holes == Holes::Keep && stored < file.size;
        match keeps_holes {
            true => self.writer.begin_sparse(member, &segments)?,
            false => self.writer.begin(member)?,
        }
        let (writer, meter) = (&mut self.writer, &mut self.meter);
        let mut at = 0;
        content::read(self.view, file, &segments, &mut self.buffer, &mut |offset, bytes| {
            if !keeps_holes {
                put_zeros(writer, offset - at)?;
            }
            at = offset + bytes.len() as u64;
            meter.bytes(bytes.len());
            writer.write(bytes)
        })?;
        match keeps_holes {
            true => Ok(()),
            false => put_zeros(writer, file.size - at),
        }
    }
}

/// Holes as the zeros that they read as.
fn put_zeros<W: Write>(writer: &mut TarWriter<W>, mut length: u64) -> Result<()> {
    const ZEROS: &[u8] = &[0; 64 << 10];
    while length > 0 {
        let now = length.min(ZEROS.len() as u64);
        writer.write(&ZEROS[..now as usize])?;
        length -= now;
    }
    Ok(())
}

//! A tree into a directory of the host.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sapwood::files::{Attributes, FileKind, Inode, ReadFiles};
use sapwood::{Error, ErrorKind, Result};

use super::content;
use super::host::{self, HostDirectory};
use super::member::{member_of, takes};
use crate::listing::{Name, names_behind};
use crate::options::ExportOptions;
use crate::report::{Meter, Progress, Report};
use crate::tar::{Member, MemberKind};

/// Writes the directory `from` and all below it into the directory `to` of the host, which is made
/// where it is missing and has to be empty.
///
/// Nothing is written outside of `to`, whatever the tree holds and whoever else writes there: no
/// symlink is followed, no file that is there is opened. Holes stay holes, hard links stay links,
/// times keep their nanoseconds. Until a directory is done only its owner can enter it. However
/// deep the tree is, a bounded number of directories is held open.
///
/// After an error what was written stays. Nothing is synced.
///
/// Errors: [`NotEmpty`](sapwood::ErrorKind::NotEmpty); [`NotPermitted`](sapwood::ErrorKind::NotPermitted)
/// for what takes privileges (owners, devices, some attributes) and for kinds that the options
/// refuse; [`Stale`](sapwood::ErrorKind::Stale) where somebody else changes `to`, or a live tree
/// changed; what the host says.
pub fn export_directory(
    view: &dyn ReadFiles,
    from: Inode,
    to: &Path,
    options: &ExportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report> {
    let mut export = Export::new(view, options, progress, to);
    let root = HostDirectory::open_empty(to)?;
    export.all(root, from)?;
    Ok(export.meter.report())
}

/// Makes the file `from` of a tree, any but a directory, as the file `to` of the host, which must
/// not be there: as [`export_directory`] does with one that it finds. Nothing is synced.
///
/// Errors: [`IsADirectory`](sapwood::ErrorKind::IsADirectory); as [`export_directory`].
pub fn export_file(
    view: &dyn ReadFiles,
    from: Inode,
    to: &Path,
    options: &ExportOptions,
) -> Result<Report> {
    let kind = view.attributes(from)?.kind;
    let (Some(above), Some(last)) = (to.parent(), to.file_name()) else {
        return Err(Error::new(ErrorKind::IsADirectory, "export a file").in_file(to));
    };
    if kind == FileKind::Directory {
        return Err(Error::new(ErrorKind::IsADirectory, "export a file").in_file(to));
    }
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    let directory = HostDirectory::open(above)?;
    let name = Name { name: last.as_bytes().to_vec(), inode: from, kind, cookie: 0 };
    let nothing = &mut |_| {};
    let mut export = Export::new(view, options, nothing, to);
    let put = export.put(&directory, &directory, &name, Path::new(last));
    put.map_err(|error| error.in_file(to))?;
    Ok(export.meter.report())
}

struct Export<'a> {
    view: &'a dyn ReadFiles,
    options: &'a ExportOptions,
    meter: Meter<'a>,
    /// Where it goes, for errors.
    to: PathBuf,
    /// Files with several names: the first one, from `to` on, and which file of the host it is.
    linked: HashMap<Inode, (PathBuf, (u64, u64))>,
    buffer: Vec<u8>,
}

/// How many directories are held open, besides `to`: hosts let a process open 1,024 files.
const OPEN_MAX: usize = 256;

/// A directory that is being filled.
struct Level {
    /// None where it waits far above the one that is being filled now.
    directory: Option<HostDirectory>,
    /// Which one of the host it is.
    identity: (u64, u64),
    inode: Inode,
    /// Names that were looked at, the next one last, and where to look on.
    names: Vec<Name>,
    after: u64,
}

impl Level {
    fn new(directory: HostDirectory, inode: Inode) -> Result<Level> {
        let identity = directory.identity()?;
        Ok(Level { directory: Some(directory), identity, inode, names: Vec::new(), after: 0 })
    }

    fn directory(&self) -> &HostDirectory {
        self.directory.as_ref().expect("the root and the lowest levels are held open")
    }

    fn next(&mut self, view: &dyn ReadFiles) -> Result<Option<Name>> {
        if self.names.is_empty() {
            self.names = names_behind(view, self.inode, self.after)?;
            self.after = self.names.last().map_or(self.after, |last| last.cookie);
            self.names.reverse();
        }
        Ok(self.names.pop())
    }
}

impl<'a> Export<'a> {
    fn new(
        view: &'a dyn ReadFiles,
        options: &'a ExportOptions,
        progress: &'a mut dyn FnMut(Progress),
        to: &Path,
    ) -> Export<'a> {
        Export {
            view,
            options,
            meter: Meter::new(progress),
            to: to.to_owned(),
            linked: HashMap::new(),
            buffer: Vec::new(),
        }
    }

    fn all(&mut self, root: HostDirectory, from: Inode) -> Result<()> {
        let mut levels = vec![Level::new(root, from)?];
        let mut path = PathBuf::new();
        while !levels.is_empty() {
            let done = self.step(&mut levels, &mut path);
            done.map_err(|error| error.in_file(self.to.join(&path)))?;
        }
        Ok(())
    }

    /// Makes the next file of the lowest level, or ends that level.
    fn step(&mut self, levels: &mut Vec<Level>, path: &mut PathBuf) -> Result<()> {
        let level = levels.last_mut().expect("the caller looked");
        let Some(name) = level.next(self.view)? else {
            self.finish(level)?;
            let done = levels.pop().expect("it was just looked at");
            if let Some(above) = levels.last_mut().filter(|above| above.directory.is_none()) {
                above.directory = Some(done.directory().open_above(above.identity)?);
            }
            path.pop();
            return Ok(());
        };
        path.push(OsStr::from_bytes(&name.name));
        let level = &levels[levels.len() - 1];
        if name.kind == FileKind::Directory {
            let made = level.directory().make_directory(&name.name)?;
            levels.push(Level::new(made, name.inode)?);
            // The root stays open: hard links are found from there.
            if let Some(far) = levels.len().checked_sub(OPEN_MAX).filter(|&far| far > 0) {
                levels[far].directory = None;
            }
            return Ok(());
        }
        self.put(levels[0].directory(), level.directory(), &name, path)?;
        path.pop();
        Ok(())
    }

    /// A directory gets its attributes when nothing is made in it any more.
    fn finish(&mut self, level: &Level) -> Result<()> {
        let file = self.view.attributes(level.inode)?;
        let member = member_of(self.view, &file, self.options)?;
        level.directory().set(&member, self.owner(&file))?;
        self.meter.entry();
        Ok(())
    }

    fn owner(&self, file: &Attributes) -> host::Owner {
        self.options.ownership.of(file.owner, file.group)
    }

    /// Makes a file that is no directory; `path` is its way from `root`.
    fn put(
        &mut self,
        root: &HostDirectory,
        directory: &HostDirectory,
        name: &Name,
        path: &Path,
    ) -> Result<()> {
        let file = self.view.attributes(name.inode)?;
        if !takes(file.kind, self.options)? {
            self.meter.skipped();
            return Ok(());
        }
        if let Some((first, identity)) = self.linked.get(&name.inode) {
            let found = root.find(first)?;
            if host::identity(&found)? != *identity {
                return Err(host::replaced());
            }
            directory.link(&found, &name.name)?;
            self.meter.entry();
            return Ok(());
        }
        let member = member_of(self.view, &file, self.options)?;
        let made = match member.kind {
            MemberKind::File => self.put_content(directory, &name.name, &file, &member)?,
            _ => directory.make_other(&name.name, &member.kind)?,
        };
        made.set(&member, self.owner(&file))?;
        if file.links > 1 {
            self.linked.insert(name.inode, (path.to_owned(), made.identity()?));
        }
        self.meter.entry();
        Ok(())
    }

    fn put_content(
        &mut self,
        directory: &HostDirectory,
        name: &[u8],
        file: &Attributes,
        member: &Member,
    ) -> Result<host::MadeFile> {
        let made = directory.make_file(name)?;
        let segments = content::segments(self.view, file)?;
        let (meter, mut end) = (&mut self.meter, 0);
        content::read(self.view, file, &segments, &mut self.buffer, &mut |offset, bytes| {
            end = offset + bytes.len() as u64;
            meter.bytes(bytes.len());
            made.write(offset, bytes)
        })?;
        if end < member.size {
            made.set_size(member.size)?;
        }
        Ok(made)
    }
}

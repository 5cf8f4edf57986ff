//! The tree that files are put into, one after the other.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use sapwood::files::{FileKind, Files, Inode, NewFile, ReadFiles, SetAttributes, SetMode, Time};
use sapwood::{Error, ErrorKind, Result};

use super::lower::{Brought, Lower};
use super::removal;
use super::resolve::{self, OnTheWay, unnamed_directory};
use crate::device;
use crate::listing::{Name, names_behind};
use crate::options::{ExtendedAttributes, ImportOptions, Replacement, SpecialFiles};
use crate::report::{Meter, Report};
use crate::residue::Recorder;
use crate::tar::{Attribute, Member, MemberKind};

/// The content of a file that is being imported.
pub trait Content {
    /// Puts it into a file that was just made for `member`, and tells bytes as they are done.
    fn fill(
        &mut self,
        files: &Files,
        inode: Inode,
        member: &Member,
        tell: &mut dyn FnMut(usize),
    ) -> Result<()>;
}

/// Content that comes as bytes.
pub trait Pieces {
    /// Hands all data to `write`: where it belongs in the file, and the bytes.
    fn write_to(&mut self, write: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()>;
}

impl<T: Pieces> Content for T {
    fn fill(
        &mut self,
        files: &Files,
        inode: Inode,
        member: &Member,
        tell: &mut dyn FnMut(usize),
    ) -> Result<()> {
        write_pieces(files, inode, member, tell, &mut |write| self.write_to(write))
    }
}

/// Takes a piece of a content: its offset in bytes, and the bytes.
type TakePiece<'a> = dyn FnMut(u64, &[u8]) -> Result<()> + 'a;

/// Puts all data that `pieces` hands out into a file, and makes it as long as it is to be.
pub fn write_pieces(
    files: &Files,
    inode: Inode,
    member: &Member,
    tell: &mut dyn FnMut(usize),
    pieces: &mut dyn FnMut(&mut TakePiece<'_>) -> Result<()>,
) -> Result<()> {
    let mut written = 0;
    pieces(&mut |offset, bytes| {
        files.write(inode, offset, bytes)?;
        written = offset + bytes.len() as u64;
        tell(bytes.len());
        Ok(())
    })?;
    if written < member.size {
        let size = Some(member.size);
        files.set_attributes(inode, &SetAttributes { size, ..SetAttributes::default() })?;
    }
    Ok(())
}

/// A tree below `root`, and what has to be known until all is in it.
pub struct Target<'a> {
    files: &'a Files,
    root: Inode,
    options: &'a ImportOptions,
    meter: Meter<'a>,
    /// When the import began: files are made and changed then, all at once. What is as usual
    /// takes no room in a tree.
    began: Time,
    /// Accessed and modified times that directories get at the end: to add a name changes them.
    times: HashMap<Inode, (Time, Time)>,
    /// Only where an image layer is applied.
    lower: Option<Lower>,
    /// The way that was followed last, and where it led.
    last_way: Option<(Vec<Vec<u8>>, Inode)>,
    /// Who takes down the stream.
    recorder: Option<SharedRecorder>,
}

/// A recorder that the stream and the tree both tell.
pub type SharedRecorder = Rc<RefCell<Recorder>>;

impl<'a> Target<'a> {
    pub fn new(
        files: &'a Files,
        root: Inode,
        options: &'a ImportOptions,
        meter: Meter<'a>,
    ) -> Target<'a> {
        let (began, times) = (Time::now(), HashMap::new());
        Target {
            files,
            root,
            options,
            meter,
            began,
            times,
            lower: None,
            last_way: None,
            recorder: None,
        }
    }

    /// The same for an image layer: what it brings is told from what lies below it.
    pub fn for_layer(
        files: &'a Files,
        options: &'a ImportOptions,
        meter: Meter<'a>,
    ) -> Result<Target<'a>> {
        let mut lower = Lower::default();
        if names_behind(files, Inode::ROOT, 0)?.is_empty() {
            lower.set_own(Inode::ROOT);
        }
        Ok(Target { lower: Some(lower), ..Target::new(files, Inode::ROOT, options, meter) })
    }

    /// Has the content of files kept that are replaced.
    pub fn record(&mut self, recorder: SharedRecorder) {
        self.recorder = Some(recorder);
    }

    /// The directory that `components` lead to, made where it is missing.
    pub fn directory(&mut self, components: &[&[u8]]) -> Result<Inode> {
        if let Some((way, directory)) = &self.last_way
            && way.iter().map(Vec::as_slice).eq(components.iter().copied())
        {
            return Ok(*directory);
        }
        let directory = resolve::make_directory(self.files, self.root, components, self)?;
        let way = components.iter().map(|name| name.to_vec()).collect();
        self.last_way = Some((way, directory));
        Ok(directory)
    }

    /// Puts a member at `components`: a directory over a directory replaces its attributes, all
    /// else replaces what is there.
    pub fn put(
        &mut self,
        components: &[&[u8]],
        member: &Member,
        content: &mut dyn Content,
    ) -> Result<()> {
        let Some((name, above)) = components.split_last() else {
            return match member.kind {
                MemberKind::Directory => {
                    self.set_directory(self.root, member)?;
                    self.meter.entry();
                    Ok(())
                }
                _ => Err(Error::invalid(
                    "import",
                    "kind of the root",
                    member.kind.as_str(),
                    "a directory",
                )),
            };
        };
        if !self.takes(&member.kind)? {
            return Ok(());
        }
        let directory = self.directory(above)?;
        match &member.kind {
            MemberKind::Directory => {
                let made = self.enter_directory(directory, name)?;
                self.set_directory(made, member)?;
            }
            _ => {
                self.put_file(directory, name, member, content)?;
            }
        }
        self.meter.entry();
        Ok(())
    }

    /// Whether a file of this kind is wanted; counts those that are left out.
    pub fn takes(&mut self, kind: &MemberKind) -> Result<bool> {
        let is_special = matches!(
            kind,
            MemberKind::CharDevice(..)
                | MemberKind::BlockDevice(..)
                | MemberKind::Fifo
                | MemberKind::Socket
        );
        match self.options.special_files {
            _ if !is_special => Ok(true),
            SpecialFiles::SkipSockets if *kind != MemberKind::Socket => Ok(true),
            SpecialFiles::Make => Ok(true),
            SpecialFiles::Skip | SpecialFiles::SkipSockets => {
                self.meter.skipped();
                Ok(false)
            }
            SpecialFiles::Refuse => {
                let expected = "files, directories and links alone";
                let error =
                    Error::invalid("import", "kind", format!("a {}", kind.as_str()), expected);
                Err(error.with_kind(ErrorKind::NotPermitted))
            }
        }
    }

    /// Counts a name.
    pub fn count_entry(&mut self) {
        self.meter.entry();
    }

    /// The directory `name`, made where there is none; another file is removed first.
    pub fn enter_directory(&mut self, directory: Inode, name: &[u8]) -> Result<Inode> {
        self.adds_to(directory)?;
        let new = NewFile::directory(0o700);
        let inode = match self.files.create(directory, name, &new) {
            Ok(made) => {
                self.made_directory(made.inode);
                made.inode
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let there = self.files.lookup(directory, name)?;
                if self.files.attributes(there)?.kind == FileKind::Directory {
                    there
                } else {
                    self.expect_replaceable(name, there, true)?;
                    self.remove(directory, name, there)?;
                    let made = self.files.create(directory, name, &new)?.inode;
                    self.made_directory(made);
                    made
                }
            }
            Err(error) => return Err(error),
        };
        self.bring(directory, name, Brought::Itself);
        Ok(inode)
    }

    /// Gives a directory all attributes of `member`, and no others.
    pub fn set_directory(&mut self, inode: Inode, member: &Member) -> Result<()> {
        let is_wanted = |name: &[u8]| member.attributes.iter().any(|(wanted, _)| wanted == name);
        if self.options.extended_attributes == ExtendedAttributes::Keep {
            for name in self.files.extended_attribute_names(inode)? {
                if !is_wanted(&name) {
                    self.files.remove_extended_attribute(inode, &name)?;
                }
            }
        }
        let times = self.set(inode, member, None)?;
        self.times.insert(inode, times);
        Ok(())
    }

    /// Makes a file of any kind but a directory or a further link, in place of what is there.
    pub fn put_file(
        &mut self,
        directory: Inode,
        name: &[u8],
        member: &Member,
        content: &mut dyn Content,
    ) -> Result<Inode> {
        self.adds_to(directory)?;
        let (owner, group) = self.owner_of(member);
        let permissions = self.options.ownership.permissions_of(member);
        let new = |kind, device| NewFile { kind, permissions, owner, group, device };
        let files = self.files;
        let make = || match &member.kind {
            MemberKind::Symlink(target) => files.symlink(directory, name, target, owner, group),
            MemberKind::CharDevice(major, minor) => files.create(
                directory,
                name,
                &new(FileKind::CharDevice, device::pack(*major, *minor)?),
            ),
            MemberKind::BlockDevice(major, minor) => files.create(
                directory,
                name,
                &new(FileKind::BlockDevice, device::pack(*major, *minor)?),
            ),
            MemberKind::Fifo => files.create(directory, name, &new(FileKind::Fifo, 0)),
            MemberKind::Socket => files.create(directory, name, &new(FileKind::Socket, 0)),
            _ => files.create(directory, name, &new(FileKind::Regular, 0)),
        };
        let made = match make() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let there = files.lookup(directory, name)?;
                self.expect_replaceable(name, there, false)?;
                self.remove(directory, name, there)?;
                make()?
            }
            made => made?,
        };
        let meter = &mut self.meter;
        content.fill(files, made.inode, member, &mut |bytes| meter.bytes(bytes))?;
        self.set(made.inode, member, Some(self.began))?;
        self.bring(directory, name, Brought::Itself);
        Ok(made.inode)
    }

    /// Gives the file at `target` the name at `components` too. Nothing is followed at its end.
    pub fn put_link(&mut self, components: &[&[u8]], target: &[&[u8]]) -> Result<()> {
        let nothing = || {
            let found = format!("\"{}\"", target.join(&b'/').escape_ascii());
            let error = Error::new(ErrorKind::NotFound, "make a hard link");
            error.about("target", found, "a file that is there already")
        };
        let ((name, above), (last, way)) = match (components.split_last(), target.split_last()) {
            (Some(name), Some(target)) => (name, target),
            _ => {
                let expected = "a file below the root";
                return Err(Error::invalid("make a hard link", "name", "the root", expected));
            }
        };
        let way = resolve::find_directory(self.files, self.root, way)?.ok_or_else(nothing)?;
        let inode = match self.files.lookup(way, last) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(nothing()),
            found => found?,
        };
        let directory = self.directory(above)?;
        self.link(inode, directory, name)?;
        self.meter.entry();
        Ok(())
    }

    /// Gives a file a further name, in place of what is there.
    pub fn link(&mut self, inode: Inode, directory: Inode, name: &[u8]) -> Result<()> {
        self.adds_to(directory)?;
        match self.files.link(inode, directory, name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let there = self.files.lookup(directory, name)?;
                if there != inode {
                    self.expect_replaceable(name, there, false)?;
                    self.remove(directory, name, there)?;
                    self.files.link(inode, directory, name)?;
                }
            }
            linked => {
                linked?;
            }
        }
        self.bring(directory, name, Brought::Itself);
        Ok(())
    }

    /// Hides what the layers below have as `name` in the directory at `above`.
    pub fn white_out(&mut self, above: &[&[u8]], name: &[u8]) -> Result<()> {
        self.meter.entry();
        let Some(directory) = self.lower_directory(above)? else { return Ok(()) };
        let inode = match self.files.lookup(directory, name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        let brought = self.lower.as_ref().and_then(|lower| lower.brought(directory, name));
        let Some(brought) = brought else {
            self.adds_to(directory)?;
            return self.remove(directory, name, inode);
        };
        if self.files.attributes(inode)?.kind != FileKind::Directory {
            return Ok(());
        }
        self.clear_lower(inode)?;
        // Of the directory below nothing is left, only that the layer has files in one of its name.
        if brought == Brought::OnTheWay {
            for name in self.files.extended_attribute_names(inode)? {
                self.files.remove_extended_attribute(inode, &name)?;
            }
            self.files.set_attributes(inode, &unnamed_directory())?;
            self.times.insert(inode, unnamed_times());
        }
        Ok(())
    }

    /// Hides all that the layers below have in the directory at `components`.
    pub fn make_opaque(&mut self, components: &[&[u8]]) -> Result<()> {
        self.meter.entry();
        match self.lower_directory(components)? {
            Some(directory) => self.clear_lower(directory),
            None => Ok(()),
        }
    }

    /// Gives directories their times, and says what was done.
    pub fn finish(self) -> Result<Report> {
        let mut times: Vec<_> = self.times.into_iter().collect();
        times.sort_unstable_by_key(|(inode, _)| *inode);
        for (inode, (accessed, modified)) in times {
            let (accessed, modified) = (Some(accessed), Some(modified));
            let set = SetAttributes { accessed, modified, ..SetAttributes::default() };
            self.files.set_attributes(inode, &set)?;
        }
        Ok(self.meter.report())
    }

    /// The directory at `components`, if the layers below may have something in it.
    fn lower_directory(&self, components: &[&[u8]]) -> Result<Option<Inode>> {
        let found = resolve::find_directory(self.files, self.root, components)?;
        let is_own =
            |directory: &Inode| self.lower.as_ref().is_some_and(|own| own.is_own(*directory));
        Ok(found.filter(|directory| !is_own(directory)))
    }

    /// Removes all that the layers below have in a directory, and below those of its directories
    /// that the layer brought too.
    fn clear_lower(&mut self, directory: Inode) -> Result<()> {
        let mut left = vec![directory];
        while let Some(directory) = left.pop() {
            if self.lower.as_ref().is_some_and(|lower| lower.is_own(directory)) {
                continue;
            }
            self.adds_to(directory)?;
            let mut after = 0;
            loop {
                let names = names_behind(self.files, directory, after)?;
                let Some(last) = names.last() else { break };
                after = last.cookie;
                for name in names {
                    let brought =
                        self.lower.as_ref().and_then(|lower| lower.brought(directory, &name.name));
                    match (brought, name.kind) {
                        (None, _) => self.remove_name(directory, &name)?,
                        (Some(_), FileKind::Directory) => left.push(name.inode),
                        (Some(_), _) => {}
                    }
                }
            }
            if let Some(lower) = &mut self.lower {
                lower.set_own(directory);
            }
        }
        Ok(())
    }

    fn expect_replaceable(&self, name: &[u8], there: Inode, by_directory: bool) -> Result<()> {
        let is_directory = self.files.attributes(there)?.kind == FileKind::Directory;
        if self.options.replacement == Replacement::Anything || is_directory == by_directory {
            return Ok(());
        }
        let (kind, found, expected) = match is_directory {
            true => (ErrorKind::IsADirectory, "a directory", "none, for what is none"),
            false => (ErrorKind::NotADirectory, "no directory", "one, for a directory"),
        };
        let found = format!("\"{}\", {found}", name.escape_ascii());
        Err(Error::new(kind, "replace a file").about("name", found, expected))
    }

    fn remove(&mut self, directory: Inode, name: &[u8], inode: Inode) -> Result<()> {
        let kind = self.files.attributes(inode)?.kind;
        self.remove_name(directory, &Name { name: name.to_vec(), inode, kind, cookie: 0 })
    }

    fn remove_name(&mut self, directory: Inode, name: &Name) -> Result<()> {
        // The way may have led through it.
        self.last_way = None;
        let recorder = &self.recorder;
        let mut goes = |inode| match recorder {
            Some(recorder) => recorder.borrow_mut().goes(inode),
            None => Ok(()),
        };
        let mut gone = |gone| {
            self.times.remove(&gone);
            if let Some(lower) = &mut self.lower {
                lower.forget(gone);
            }
        };
        removal::remove(self.files, directory, name, &mut gone, &mut goes)
    }

    fn made_directory(&mut self, made: Inode) {
        if let Some(lower) = &mut self.lower {
            lower.set_own(made);
        }
    }

    fn bring(&mut self, directory: Inode, name: &[u8], how: Brought) {
        if let Some(lower) = &mut self.lower {
            lower.bring(directory, name, how);
        }
    }

    fn owner_of(&self, member: &Member) -> (u32, u32) {
        self.options.ownership.of(member.owner, member.group).unwrap_or((0, 0))
    }

    /// Sets what `member` says of a file besides its content, and when one was made that was not
    /// there; gives its times.
    fn set(&self, inode: Inode, member: &Member, made: Option<Time>) -> Result<(Time, Time)> {
        if self.options.extended_attributes == ExtendedAttributes::Keep {
            let takes = |(name, _): &&Attribute| self.options.ownership.takes_attribute(name);
            for (name, value) in member.attributes.iter().filter(takes) {
                self.files.set_extended_attribute(inode, name, value, SetMode::Any)?;
            }
        }
        let (owner, group) = self.owner_of(member);
        let accessed = storable("accessed", member.accessed.unwrap_or(member.modified))?;
        let modified = storable("modified", member.modified)?;
        let is_symlink = matches!(member.kind, MemberKind::Symlink(_));
        let set = SetAttributes {
            permissions: (!is_symlink).then(|| self.options.ownership.permissions_of(member)),
            owner: Some(owner),
            group: Some(group),
            accessed: Some(accessed),
            modified: Some(modified),
            changed: made,
            created: made,
            ..SetAttributes::default()
        };
        self.files.set_attributes(inode, &set)?;
        Ok((accessed, modified))
    }
}

impl OnTheWay for Target<'_> {
    fn passes(&mut self, directory: Inode, name: &[u8]) {
        self.bring(directory, name, Brought::OnTheWay);
    }

    fn makes(&mut self, directory: Inode, name: &[u8], made: Inode) -> Result<()> {
        self.made_directory(made);
        self.bring(directory, name, Brought::OnTheWay);
        self.times.insert(made, unnamed_times());
        Ok(())
    }

    fn adds_to(&mut self, directory: Inode) -> Result<()> {
        if !self.times.contains_key(&directory) {
            let attributes = self.files.attributes(directory)?;
            self.times.insert(directory, (attributes.accessed, attributes.modified));
        }
        Ok(())
    }
}

fn unnamed_times() -> (Time, Time) {
    let time = Time { seconds: 0, nanoseconds: 0 };
    (time, time)
}

/// A time as it is, if a tree can keep it.
fn storable(field: &'static str, time: Time) -> Result<Time> {
    if time.clamped() != time {
        let found = format!("{} seconds since 1970", time.seconds);
        return Err(Error::invalid("import", field, found, "a time in the years 1901 to 2446"));
    }
    Ok(time)
}

//! Names made, removed and moved; attributes set.

use super::live::Files;
use super::names::{self, check_new_name};
use super::operation::{Editor, already_there, is_directory};
use super::read::not_found;
use super::types::{Attributes, FileKind, Inode, NewFile, RenameMode, SetAttributes, kind_of};
use crate::error::{Error, ErrorKind, Result};
use crate::format::files::entry::NamePlace;
use crate::format::files::{EntryValue, InodeRecord, ItemKind, Key};

/// The longest target of a symlink in bytes, as the host has it.
const TARGET_BYTES_MAX: usize = 4095;
/// How deep directories may stand in each other, for walks up to the root: a path is at most
/// 4,096 bytes long, but trees can be built deeper step by step.
const DEPTH_MAX: usize = 1 << 20;

impl Files {
    /// Makes a file of any kind but a symlink, under a name that is free.
    ///
    /// Errors: [`ErrorKind::AlreadyExists`], [`ErrorKind::NotADirectory`],
    /// [`ErrorKind::NameTooLong`], [`ErrorKind::NoSpace`].
    pub fn create(&self, directory: Inode, name: &[u8], new: &NewFile) -> Result<Attributes> {
        if new.kind == FileKind::Symlink {
            let expected = "a kind that has no target";
            return Err(Error::invalid("make a file", "kind", "a symlink", expected));
        }
        self.core.operate(making(new.kind), |operation| {
            operation.change(|editor| editor.make(new, Some((directory, name)), None))
        })
    }

    /// Makes a regular file without a name, held once: it goes when it is released, unless it was
    /// linked.
    pub fn create_unnamed(&self, new: &NewFile) -> Result<Attributes> {
        if new.kind != FileKind::Regular {
            let expected = "a regular file";
            return Err(Error::invalid("make a file", "kind", "another kind", expected));
        }
        self.core.operate("make a file without a name", |operation| {
            operation.change(|editor| {
                let made = editor.make(new, None, None)?;
                // Before anybody can find that nobody holds it.
                self.hold(made.inode);
                Ok(made)
            })
        })
    }

    /// Makes a symlink.
    ///
    /// Errors: [`ErrorKind::NameTooLong`] for a target past 4,095 bytes;
    /// [`ErrorKind::InvalidInput`] for an empty one, or one with a NUL.
    pub fn symlink(
        &self,
        directory: Inode,
        name: &[u8],
        target: &[u8],
        owner: u32,
        group: u32,
    ) -> Result<Attributes> {
        let operation = "make a symlink";
        if target.len() > TARGET_BYTES_MAX {
            let (found, expected) = (target.len(), format!("at most {TARGET_BYTES_MAX}"));
            let error = Error::new(ErrorKind::NameTooLong, operation);
            return Err(error.about("target bytes", found, expected));
        }
        if target.is_empty() || target.contains(&0) {
            let found = target.escape_ascii().to_string();
            return Err(Error::invalid(operation, "target", found, "a path"));
        }
        let kind = FileKind::Symlink;
        let new = NewFile { kind, permissions: 0o777, owner, group, device: 0 };
        self.core.operate(operation, |operation| {
            operation.change(|editor| editor.make(&new, Some((directory, name)), Some(target)))
        })
    }

    /// Gives a file another name.
    ///
    /// Errors: [`ErrorKind::NotPermitted`] for a directory; [`ErrorKind::NotFound`] for a file that
    /// is gone. One without a name that is held gets one.
    pub fn link(&self, inode: Inode, directory: Inode, name: &[u8]) -> Result<Attributes> {
        check_new_name("link a file", name)?;
        self.core.operate("link a file", |operation| {
            // What is being freed gets no name any more.
            let _content = self.core.content(inode).read();
            operation.change(|editor| {
                editor.directory(directory)?;
                let mut record = editor.record(inode)?;
                if is_directory(&record)? {
                    return Err(Error::new(ErrorKind::NotPermitted, "link a directory"));
                }
                if record.links == 0 && !editor.is_orphan(inode)? {
                    return Err(not_found("link a file", name));
                }
                editor.expect_may_be_linked(&record, directory)?;
                if names::find(&editor.reader().pages, directory, name)?.is_some() {
                    return Err(already_there("link a file", name));
                }
                let place = editor.put_name(directory, name, inode, kind_of(&record)?)?;
                editor.add_link(inode, &mut record, place)?;
                record.changed = editor.now;
                editor.put_record(inode, &record)?;
                editor.touch_directory(directory, 0)?;
                editor.attributes(inode)
            })
        })
    }

    /// Removes a name that is not a directory's. A file that has no name left, and is not held,
    /// goes with all its blocks.
    ///
    /// Errors: [`ErrorKind::NotFound`], [`ErrorKind::IsADirectory`].
    pub fn unlink(&self, directory: Inode, name: &[u8]) -> Result<()> {
        self.remove_name("remove a file", directory, name, |record| match is_directory(record)? {
            true => Err(Error::new(ErrorKind::IsADirectory, "remove a file")),
            false => Ok(()),
        })
    }

    /// Removes an empty directory.
    ///
    /// Errors: [`ErrorKind::NotFound`], [`ErrorKind::NotADirectory`], [`ErrorKind::NotEmpty`].
    pub fn remove_directory(&self, directory: Inode, name: &[u8]) -> Result<()> {
        let operation = "remove a directory";
        self.remove_name(operation, directory, name, |record| match is_directory(record)? {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::NotADirectory, operation)),
        })
    }

    fn remove_name(
        &self,
        name_of_operation: &'static str,
        directory: Inode,
        name: &[u8],
        allow: impl Fn(&InodeRecord) -> Result<()>,
    ) -> Result<()> {
        check_new_name(name_of_operation, name)?;
        self.core.operate(name_of_operation, |operation| {
            let gone = operation.change(|editor| {
                editor.directory(directory)?;
                let Some(found) = names::find(&editor.reader().pages, directory, name)? else {
                    return Err(not_found(name_of_operation, name));
                };
                allow(&editor.record(found.inode)?)?;
                let place = NamePlace { directory: directory.0, cookie: found.cookie };
                editor.remove(found.inode, place)
            })?;
            gone.map_or(Ok(()), |gone| operation.free_unless_held(gone))
        })
    }

    /// Moves a name, atomically; what is there already is replaced, refused or exchanged.
    ///
    /// Errors: [`ErrorKind::NotFound`]; [`ErrorKind::AlreadyExists`] with
    /// [`RenameMode::NoReplace`]; [`ErrorKind::InvalidInput`] for a directory into itself;
    /// [`ErrorKind::IsADirectory`], [`ErrorKind::NotADirectory`] and [`ErrorKind::NotEmpty`]
    /// for what cannot replace each other.
    pub fn rename(
        &self,
        from: Inode,
        from_name: &[u8],
        to: Inode,
        to_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        check_new_name("rename", from_name)?;
        check_new_name("rename", to_name)?;
        self.core.operate("rename", |operation| {
            let gone =
                operation.change(|editor| editor.rename(from, from_name, to, to_name, mode))?;
            gone.map_or(Ok(()), |gone| operation.free_unless_held(gone))
        })
    }

    /// Changes attributes; a new size cuts off, or adds zeros.
    ///
    /// Errors: [`ErrorKind::NotFound`]; for a size those of [`Files::write`].
    pub fn set_attributes(&self, inode: Inode, set: &SetAttributes) -> Result<Attributes> {
        self.core.operate("set attributes", |operation| {
            let _content = set.size.map(|_| self.core.content(inode).write());
            if let Some(size) = set.size {
                operation.resize(inode, size)?;
                // Of one piece with that: it finds no room before, or none of it.
                return operation.change_further(|editor| editor.set_attributes(inode, set));
            }
            operation.change(|editor| editor.set_attributes(inode, set))
        })
    }
}

impl Editor<'_, '_> {
    /// All but the size.
    fn set_attributes(&mut self, inode: Inode, set: &SetAttributes) -> Result<Attributes> {
        let mut record = self.record(inode)?;
        if let Some(permissions) = set.permissions {
            record.mode = record.mode & 0o170_000 | permissions & 0o7777;
        }
        record.owner = set.owner.unwrap_or(record.owner);
        record.group = set.group.unwrap_or(record.group);
        record.accessed = set.accessed.unwrap_or(record.accessed).clamped();
        record.modified = set.modified.unwrap_or(record.modified).clamped();
        record.created = set.created.unwrap_or(record.created).clamped();
        record.changed = set.changed.unwrap_or(self.now).clamped();
        if set.clear_privileges {
            self.clear_privileges(inode, &mut record)?;
        }
        self.put_record(inode, &record)?;
        self.attributes(inode)
    }

    fn is_orphan(&self, inode: Inode) -> Result<bool> {
        let key = Key::new(ItemKind::Orphan, inode.0, 0);
        Ok(self.reader().pages.get(key)?.is_some())
    }

    /// Takes a name away; gives the file and its generation, where that was its last one.
    fn remove(&mut self, inode: Inode, place: NamePlace) -> Result<Option<(Inode, u32)>> {
        let mut record = self.record(inode)?;
        let directory = is_directory(&record)?;
        if directory {
            self.expect_empty(inode)?;
        }
        self.take_name(place)?;
        self.touch_directory(Inode(place.directory), -i32::from(directory))?;
        self.move_link(inode, &mut record, place, None)?;
        record.links = match directory {
            true => 0,
            false => record.links.checked_sub(1).ok_or_else(|| {
                Error::corrupt(self.operation, "links of a named file", 0, "at least 1")
            })?,
        };
        record.changed = self.now;
        let gone = record.links == 0;
        if gone {
            record.name = NamePlace::default();
            self.change.put(Key::new(ItemKind::Orphan, inode.0, 0), &[])?;
        }
        self.put_record(inode, &record)?;
        Ok(gone.then_some((inode, record.generation)))
    }

    fn expect_empty(&self, directory: Inode) -> Result<()> {
        let (first, last) = Key::range(ItemKind::Entry, directory.0);
        let mut empty = true;
        self.reader().pages.scan(first, last, |_, _| {
            empty = false;
            Ok(std::ops::ControlFlow::Break(()))
        })?;
        if empty { Ok(()) } else { Err(Error::new(ErrorKind::NotEmpty, self.operation)) }
    }

    fn rename(
        &mut self,
        from: Inode,
        from_name: &[u8],
        to: Inode,
        to_name: &[u8],
        mode: RenameMode,
    ) -> Result<Option<(Inode, u32)>> {
        self.directory(from)?;
        self.directory(to)?;
        self.expect_no_crossing(from, to)?;
        let Some(moved) = names::find(&self.reader().pages, from, from_name)? else {
            return Err(not_found("rename", from_name));
        };
        let target = names::find(&self.reader().pages, to, to_name)?;
        let old = NamePlace { directory: from.0, cookie: moved.cookie };
        let record = self.record(moved.inode)?;
        let moves_directory = is_directory(&record)?;
        if moves_directory {
            self.expect_not_below(to, moved.inode)?;
        }
        match (mode, target) {
            (RenameMode::NoReplace, Some(_)) => Err(already_there("rename", to_name)),
            (RenameMode::Exchange, None) => Err(not_found("rename", to_name)),
            (RenameMode::Exchange, Some(other)) => {
                let other_place = NamePlace { directory: to.0, cookie: other.cookie };
                if is_directory(&self.record(other.inode)?)? {
                    self.expect_not_below(from, other.inode)?;
                }
                self.exchange(moved.inode, old, other.inode, other_place)?;
                Ok(None)
            }
            (_, Some(other)) if other.inode == moved.inode => Ok(None),
            (_, target) => {
                let mut gone = None;
                if let Some(other) = target {
                    match (moves_directory, is_directory(&self.record(other.inode)?)?) {
                        (true, false) => {
                            return Err(Error::new(ErrorKind::NotADirectory, "rename"));
                        }
                        (false, true) => return Err(Error::new(ErrorKind::IsADirectory, "rename")),
                        _ => {}
                    }
                    let place = NamePlace { directory: to.0, cookie: other.cookie };
                    gone = self.remove(other.inode, place)?;
                }
                // Read again: it may be the directory that a name was just taken from.
                self.take_name(old)?;
                let new = self.put_name(to, to_name, moved.inode, kind_of(&record)?)?;
                let mut record = self.record(moved.inode)?;
                self.move_link(moved.inode, &mut record, old, Some(new))?;
                record.changed = self.now;
                self.put_record(moved.inode, &record)?;
                let across = i32::from(moves_directory && from != to);
                self.touch_directory(from, -across)?;
                self.touch_directory(to, across)?;
                Ok(gone)
            }
        }
    }

    /// Lets two names lead to each other's files.
    fn exchange(
        &mut self,
        a: Inode,
        a_place: NamePlace,
        b: Inode,
        b_place: NamePlace,
    ) -> Result<()> {
        if a == b {
            return Ok(());
        }
        let kinds = [a, b].map(|inode| self.record(inode).and_then(|record| kind_of(&record)));
        let [a_kind, b_kind] = kinds;
        let (a_kind, b_kind) = (a_kind?, b_kind?);
        self.point_name(a_place, b, b_kind)?;
        self.point_name(b_place, a, a_kind)?;
        for (inode, old, new) in [(a, a_place, b_place), (b, b_place, a_place)] {
            let mut record = self.record(inode)?;
            self.move_link(inode, &mut record, old, Some(new))?;
            record.changed = self.now;
            self.put_record(inode, &record)?;
        }
        let [a_is, b_is] = [a_kind, b_kind].map(|kind| i32::from(kind == FileKind::Directory));
        let across = if a_place.directory == b_place.directory { 0 } else { b_is - a_is };
        self.touch_directory(Inode(a_place.directory), across)?;
        self.touch_directory(Inode(b_place.directory), -across)
    }

    fn point_name(&mut self, place: NamePlace, inode: Inode, kind: FileKind) -> Result<()> {
        let key = Key::new(ItemKind::Entry, place.directory, place.cookie);
        let Some(item) = self.reader().pages.get(key)? else {
            return Err(Error::corrupt(self.operation, "name", "none", "the one just found"));
        };
        let name = EntryValue::decode(&item)?.name;
        let kind = (kind.mode_bits() >> 12) as u8;
        let value = EntryValue { inode: inode.0, kind, name }.encode();
        self.change.put(key, &value)
    }

    /// That `directory` is neither `above` nor below it.
    fn expect_not_below(&self, directory: Inode, above: Inode) -> Result<()> {
        let mut at = directory;
        for _ in 0..DEPTH_MAX {
            if at == above {
                let expected = "a place outside of it";
                return Err(Error::invalid("rename", "target", "inside what is moved", expected));
            }
            if at == Inode::ROOT || self.is_attachments(at) {
                return Ok(());
            }
            at = Inode(self.record(at)?.name.directory);
        }
        Err(Error::corrupt("rename", "directories above", "more than 2^20", "a way to the root"))
    }

    /// What goes when somebody without privileges changes a file.
    pub fn clear_privileges(&mut self, inode: Inode, record: &mut InodeRecord) -> Result<()> {
        if kind_of(record)? == FileKind::Directory {
            return Ok(());
        }
        record.mode &= !0o4000;
        if record.mode & 0o010 != 0 {
            record.mode &= !0o2000;
        }
        self.take_attribute(inode, record, b"security.capability")?;
        Ok(())
    }
}

/// What making a file of this kind is called in errors.
pub(super) fn making(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Directory => "make a directory",
        _ => "make a file",
    }
}

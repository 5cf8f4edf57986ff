//! Files put where an instruction says.

use std::collections::HashMap;

use sapwood::files::{FileKind, Files, Inode, NewFile, ReadFiles, SetAttributes, SetMode, Time};
use sapwood::{Error, ErrorKind, Result};
use sapwood_archive::pack_device;
use sapwood_archive::tar::{Attribute, Member, MemberKind};

use super::digest::first_name;
use super::owner::Owner;
use super::permissions::Permissions;
use super::way::{self, make_directories};
use crate::origin::{Group, Item, Origin};

/// Zeros are left out in pieces of this size.
const PIECE_BYTES: usize = 16 << 10;

/// A file whose content stands in the Containerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it is called.
    pub name: String,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Where files go, and what becomes of them.
#[derive(Clone, Debug)]
pub struct Placing {
    /// From the root of the tree on. A slash at its end makes it a directory.
    pub destination: Vec<u8>,
    /// Whose they are; where nobody says it, root's, or those of a tree that they come from.
    pub owner: Option<Owner>,
    /// Their permissions, where they are not kept.
    pub permissions: Option<Permissions>,
}

/// A tree that files are put into.
pub struct Target<'a> {
    files: &'a Files,
    placing: &'a Placing,
    /// Directories that were made, and the times that they get at the end.
    times: Vec<(Inode, Time)>,
}

impl<'a> Target<'a> {
    /// The tree `files`.
    pub fn new(files: &'a Files, placing: &'a Placing) -> Target<'a> {
        Target { files, placing, times: Vec::new() }
    }

    /// Puts a file, or what is in a directory, at the destination.
    ///
    /// `contents` are the digests of what is expected, by the places of the items.
    ///
    /// Errors: [`Stale`](ErrorKind::Stale) for a file that is not what it was when it was looked at;
    /// [`IsADirectory`](ErrorKind::IsADirectory) and
    /// [`NotADirectory`](ErrorKind::NotADirectory) where another kind is in the way.
    pub fn put(
        &mut self,
        origin: &Origin,
        group: &Group,
        contents: &[Option<[u8; 32]>],
    ) -> Result<()> {
        let Some(top) = group.items.first() else { return Ok(()) };
        let is_directory = top.file.is_directory();
        let destination = match &group.parents {
            None => self.placing.destination.clone(),
            Some(parents) => self.put_parents(origin, group, parents)?,
        };
        let mut directories: HashMap<usize, Inode> = HashMap::new();
        let mut first_names = HashMap::new();
        let mut made: HashMap<usize, Inode> = HashMap::new();
        if is_directory {
            directories.insert(0, make_directories(self.files, &destination, self.owner())?);
        } else {
            let (above, name) = self.place_of(&destination, &group.name)?;
            let content = contents.first().copied().flatten();
            self.put_file(origin, above, &name, top, content)?;
        }
        for (place, item) in group.items.iter().enumerate().skip(1) {
            let Some(&above) = item.above.and_then(|above| directories.get(&above)) else {
                continue;
            };
            if item.file.is_directory() {
                let inode = self.merge_directory(origin, above, &item.name, &item.file.member)?;
                directories.insert(place, inode);
                continue;
            }
            let first = first_name(&item.file, place, &mut first_names);
            match made.get(&first) {
                Some(&inode) => {
                    self.clear(above, &item.name)?;
                    self.files.link(inode, above, &item.name)?;
                }
                None => {
                    let content = contents.get(place).copied().flatten();
                    let inode = self.put_file(origin, above, &item.name, item, content)?;
                    made.insert(first, inode);
                }
            }
        }
        Ok(())
    }

    /// Puts a document at the destination.
    pub fn put_document(&mut self, document: &Document) -> Result<()> {
        let destination = self.placing.destination.clone();
        let (above, name) = self.place_of(&destination, document.name.as_bytes())?;
        self.clear(above, &name)?;
        let Owner { user, group } = self.owner();
        let permissions = self.permissions(0o644, false);
        let new = NewFile { owner: user, group, ..NewFile::regular(permissions) };
        let inode = self.files.create(above, &name, &new)?.inode;
        self.files.write(inode, 0, &document.content)
    }

    /// The directory of the destination, made where it is missing.
    pub fn make_destination(&self) -> Result<Inode> {
        make_directories(self.files, &self.placing.destination, self.owner())
    }

    /// Gives directories their times, when nothing more is put into them.
    pub fn finish(self) -> Result<()> {
        for (inode, modified) in self.times {
            let set = SetAttributes { modified: Some(modified), ..SetAttributes::default() };
            self.files.set_attributes(inode, &set)?;
        }
        Ok(())
    }

    /// Makes the directories that come along, as they are in the origin; where the rest goes.
    fn put_parents(&mut self, origin: &Origin, group: &Group, parents: &[Item]) -> Result<Vec<u8>> {
        let mut above = self.make_destination()?;
        let mut path = self.placing.destination.clone();
        for parent in parents {
            above = self.merge_directory(origin, above, &parent.name, &parent.file.member)?;
            path.push(b'/');
            path.extend(&parent.name);
        }
        path.push(b'/');
        if group.items.first().is_some_and(|top| top.file.is_directory()) {
            path.extend(&group.name);
            let top = &group.items[0].file.member;
            self.merge_directory(origin, above, &group.name, top)?;
        }
        Ok(path)
    }

    /// The directory and the name that a file gets.
    fn place_of(&self, destination: &[u8], own_name: &[u8]) -> Result<(Inode, Vec<u8>)> {
        if destination.ends_with(b"/") {
            return Ok((
                make_directories(self.files, destination, self.owner())?,
                own_name.to_vec(),
            ));
        }
        let place = way::follow(self.files, destination, self.owner())?;
        match place.inode {
            Some(inode) if self.files.attributes(inode)?.kind == FileKind::Directory => {
                Ok((inode, own_name.to_vec()))
            }
            _ => Ok((place.directory, place.name)),
        }
    }

    /// A directory in another one, with all attributes of `member`.
    fn merge_directory(
        &mut self,
        origin: &Origin,
        above: Inode,
        name: &[u8],
        member: &Member,
    ) -> Result<Inode> {
        let inode = match self.files.lookup(above, name) {
            Ok(inode) if self.files.attributes(inode)?.kind == FileKind::Directory => inode,
            Ok(_) => {
                let found = format!("\"{}\"", name.escape_ascii());
                let error = Error::new(ErrorKind::NotADirectory, "copy a directory");
                return Err(error.about("name in the tree", found, "a directory"));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.files.create(above, name, &NewFile::directory(0o700))?.inode
            }
            Err(error) => return Err(error),
        };
        for there in self.files.extended_attribute_names(inode)? {
            if !member.attributes.iter().any(|(name, _)| *name == there) {
                self.files.remove_extended_attribute(inode, &there)?;
            }
        }
        self.set(origin, inode, member, &member.attributes)?;
        self.times.push((inode, member.modified.clamped()));
        Ok(inode)
    }

    fn put_file(
        &mut self,
        origin: &Origin,
        above: Inode,
        name: &[u8],
        item: &Item,
        expected: Option<[u8; 32]>,
    ) -> Result<Inode> {
        self.clear(above, name)?;
        let member = &item.file.member;
        let Owner { user, group } = self.owner_of(origin, member);
        let new = |kind, device| NewFile { kind, permissions: 0o600, owner: user, group, device };
        let device = |major: &u32, minor: &u32| pack_device(*major, *minor);
        let make = |new: NewFile| self.files.create(above, name, &new).map(|made| made.inode);
        let inode = match &member.kind {
            MemberKind::Symlink(target) => {
                self.files.symlink(above, name, target, user, group)?.inode
            }
            MemberKind::CharDevice(major, minor) => {
                make(new(FileKind::CharDevice, device(major, minor)?))?
            }
            MemberKind::BlockDevice(major, minor) => {
                make(new(FileKind::BlockDevice, device(major, minor)?))?
            }
            MemberKind::Fifo => make(new(FileKind::Fifo, 0))?,
            _ => make(new(FileKind::Regular, 0))?,
        };
        let attributes = match &member.kind {
            MemberKind::File => self.write(origin, inode, item, expected)?,
            _ => member.attributes.clone(),
        };
        self.set(origin, inode, member, &attributes)?;
        Ok(inode)
    }

    /// Writes the content of a file; gives its extended attributes.
    fn write(
        &self,
        origin: &Origin,
        inode: Inode,
        item: &Item,
        expected: Option<[u8; 32]>,
    ) -> Result<Vec<Attribute>> {
        if let Origin::Tree(tree) = origin {
            self.files.share_content(&tree.view, item.file.inode(), inode)?;
            return Ok(item.file.member.attributes.clone());
        }
        let mut own_attributes = Vec::new();
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        origin.read(
            &item.file,
            &mut |attributes| {
                own_attributes = attributes.to_vec();
                Ok(())
            },
            &mut |bytes| {
                hasher.update(bytes);
                for piece in bytes.chunks(PIECE_BYTES) {
                    if piece.iter().any(|&byte| byte != 0) {
                        self.files.write(inode, at, piece)?;
                    }
                    at += piece.len() as u64;
                }
                Ok(())
            },
        )?;
        if expected.is_some_and(|expected| expected != *hasher.finalize().as_bytes()) {
            let error = Error::new(ErrorKind::Stale, "copy a file: it changed meanwhile");
            return Err(error.in_file(String::from_utf8_lossy(&item.file.path).as_ref()));
        }
        let set = SetAttributes { size: Some(at), ..SetAttributes::default() };
        self.files.set_attributes(inode, &set)?;
        Ok(own_attributes)
    }

    /// Sets all that a file has besides its content.
    fn set(
        &self,
        origin: &Origin,
        inode: Inode,
        member: &Member,
        attributes: &[Attribute],
    ) -> Result<()> {
        let Owner { user, group } = self.owner_of(origin, member);
        for (name, value) in attributes {
            self.files.set_extended_attribute(inode, name, value, SetMode::Any)?;
        }
        let is_symlink = matches!(member.kind, MemberKind::Symlink(_));
        let is_directory = member.kind == MemberKind::Directory;
        let set = SetAttributes {
            permissions: (!is_symlink).then(|| self.permissions(member.permissions, is_directory)),
            owner: Some(user),
            group: Some(group),
            modified: Some(member.modified.clamped()),
            ..SetAttributes::default()
        };
        self.files.set_attributes(inode, &set)?;
        Ok(())
    }

    /// Makes a name free for a file.
    fn clear(&self, above: Inode, name: &[u8]) -> Result<()> {
        match self.files.unlink(above, name) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == ErrorKind::IsADirectory => {
                let found = format!("\"{}\"", name.escape_ascii());
                Err(Error::new(ErrorKind::IsADirectory, "copy a file").about(
                    "name in the tree",
                    found,
                    "a file, or nothing",
                ))
            }
            unlinked => unlinked,
        }
    }

    fn owner(&self) -> Owner {
        self.placing.owner.unwrap_or(Owner::ROOT)
    }

    fn owner_of(&self, origin: &Origin, member: &Member) -> Owner {
        match self.placing.owner {
            None if origin.keeps_owners() => Owner { user: member.owner, group: member.group },
            _ => self.owner(),
        }
    }

    fn permissions(&self, own: u16, is_directory: bool) -> u16 {
        match &self.placing.permissions {
            Some(permissions) => permissions.applied_to(own, is_directory),
            None => own,
        }
    }
}

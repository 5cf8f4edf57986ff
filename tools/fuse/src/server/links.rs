//! Making, naming and removing files.

use fuser::{Errno, INodeNo, RenameFlags, Request};
use sapwood::files::{FileKind, Inode, NewFile, RenameMode, SetMode};

use super::{Answer, Server, Told};
use crate::acl;

/// What a new file is to be, as the kernel asks for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub directory: INodeNo,
    pub name: &'a [u8],
    /// Kind and permissions; no kind means a regular file.
    pub mode: u32,
    /// Applied by the kernel already, unless it leaves that to default access lists.
    pub umask: u32,
    pub device: u32,
}

impl Server {
    /// Makes a file of any kind but a symlink.
    pub(super) fn make(&self, request: &Request, wanted: &Wanted<'_>) -> Answer<Told> {
        let files = self.tree.writer()?;
        let directory = self.inode_to_change(wanted.directory)?;
        let kind = match wanted.mode & 0o170_000 {
            0 => FileKind::Regular,
            bits => FileKind::from_mode(bits).ok_or(Errno::EINVAL)?,
        };
        let permissions = (wanted.mode & 0o7777) as u16;
        let beginning = self.beginning(directory, kind, permissions, wanted.umask)?;
        let (owner, group) = self.maker(request)?;
        let permissions = beginning.permissions;
        let new = NewFile { kind, permissions, owner, group, device: wanted.device };
        let made = self.with_room(0, || files.create(directory, wanted.name, &new))?;
        self.recent.forget(directory);
        files.hold(made.inode);
        let lists = [(acl::ACCESS, beginning.access), (acl::DEFAULT, beginning.default)];
        for (attribute, list) in lists {
            if let Some(list) = list {
                let set = files.set_extended_attribute(made.inode, attribute, &list, SetMode::Any);
                self.engine(set)?;
            }
        }
        Ok(self.told(&made))
    }

    /// Makes a symlink.
    pub(super) fn make_symlink(
        &self,
        request: &Request,
        directory: INodeNo,
        name: &[u8],
        target: &[u8],
    ) -> Answer<Told> {
        let files = self.tree.writer()?;
        let directory = self.inode_to_change(directory)?;
        let (owner, group) = self.maker(request)?;
        let made = self.with_room(0, || files.symlink(directory, name, target, owner, group))?;
        self.recent.forget(directory);
        files.hold(made.inode);
        Ok(self.told(&made))
    }

    /// Gives a file another name.
    pub(super) fn link(&self, file: INodeNo, directory: INodeNo, name: &[u8]) -> Answer<Told> {
        let files = self.tree.writer()?;
        let (file, directory) = (self.inode_to_change(file)?, self.inode_to_change(directory)?);
        let linked = self.with_room(0, || files.link(file, directory, name))?;
        self.recent.forget(directory);
        self.recent.forget(file);
        files.hold(linked.inode);
        Ok(self.told(&linked))
    }

    /// Removes the name of a file that is no directory.
    pub(super) fn unlink(&self, directory: INodeNo, name: &[u8]) -> Answer<()> {
        let files = self.tree.writer()?;
        self.expect_no_mount_point(directory, name)?;
        let directory = self.inode(directory)?;
        self.engine(files.unlink(directory, name))?;
        self.recent.forget(directory);
        self.room.may_have_grown();
        Ok(())
    }

    /// Removes an empty directory.
    pub(super) fn remove_directory(&self, directory: INodeNo, name: &[u8]) -> Answer<()> {
        let files = self.tree.writer()?;
        self.expect_no_mount_point(directory, name)?;
        let directory = self.inode(directory)?;
        self.expect_no_mount_point_in(directory, name)?;
        self.engine(files.remove_directory(directory, name))?;
        self.recent.forget(directory);
        self.room.may_have_grown();
        Ok(())
    }

    /// Moves a name.
    pub(super) fn rename(
        &self,
        from: (INodeNo, &[u8]),
        to: (INodeNo, &[u8]),
        flags: RenameFlags,
    ) -> Answer<()> {
        let files = self.tree.writer()?;
        let mode = match flags {
            _ if flags.is_empty() => RenameMode::Replace,
            RenameFlags::RENAME_NOREPLACE => RenameMode::NoReplace,
            RenameFlags::RENAME_EXCHANGE => RenameMode::Exchange,
            _ => return Err(Errno::EINVAL),
        };
        self.expect_no_mount_point(from.0, from.1)?;
        self.expect_no_mount_point(to.0, to.1)?;
        let (from, from_name) = (self.inode(from.0)?, from.1);
        let (to, to_name) = (self.inode_to_change(to.0)?, to.1);
        if mode == RenameMode::Replace {
            self.expect_no_mount_point_in(to, to_name)?;
        }
        self.engine(files.rename(from, from_name, to, to_name, mode))?;
        self.recent.forget(from);
        self.recent.forget(to);
        self.room.may_have_grown();
        Ok(())
    }

    /// What is to be mounted on stays where it is.
    fn expect_no_mount_point(&self, directory: INodeNo, name: &[u8]) -> Answer<()> {
        match self.points.lookup(directory, name) {
            Some(_) => Err(Errno::EBUSY),
            None => Ok(()),
        }
    }

    /// A directory that shows something is not empty.
    fn expect_no_mount_point_in(&self, directory: Inode, name: &[u8]) -> Answer<()> {
        if self.points.is_empty() {
            return Ok(());
        }
        match self.tree.reader().lookup(directory, name) {
            Ok(found) => match self.points.in_directory(self.points.number(found)).next() {
                Some(_) => Err(Errno::ENOTEMPTY),
                None => Ok(()),
            },
            Err(error) if error.kind() == sapwood::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Permissions and lists that a new file begins with.
    fn beginning(
        &self,
        directory: Inode,
        kind: FileKind,
        permissions: u16,
        umask: u32,
    ) -> Answer<acl::Beginning> {
        if !self.options.access_control_lists {
            return Ok(acl::Beginning { permissions, access: None, default: None });
        }
        let default = match self.tree.reader().extended_attribute(directory, acl::DEFAULT) {
            Ok(default) => Some(default),
            Err(error) if error.kind() == sapwood::ErrorKind::NoAttribute => None,
            Err(error) => return Err(self.fail(&error)),
        };
        Ok(acl::beginning(kind, permissions, (umask & 0o777) as u16, default.as_deref()))
    }
}

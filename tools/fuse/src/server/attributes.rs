//! Attributes: reading and setting them.

use std::time::SystemTime;

use fuser::{Errno, INodeNo, Request, TimeOrNow};
use sapwood::files::{FileKind, SetAttributes};

use super::{Answer, Server, Told};
use crate::acl;
use crate::attributes::{specific_time, tree_time};

/// What `setattr` asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub mode: Option<u32>,
    pub user: Option<u32>,
    pub group: Option<u32>,
    pub size: Option<u64>,
    pub accessed: Option<TimeOrNow>,
    pub modified: Option<TimeOrNow>,
    pub changed: Option<SystemTime>,
}

impl Server {
    /// The attributes of a file.
    pub(super) fn attributes(&self, number: INodeNo) -> Answer<Told> {
        if let Some(told) = self.shown(number) {
            return Ok(told);
        }
        let attributes = self.engine(self.tree.reader().attributes(self.inode(number)?))?;
        Ok(self.told(&attributes))
    }

    /// Changes attributes. That the caller may is the kernel's to check.
    pub(super) fn set_attributes(
        &self,
        request: &Request,
        number: INodeNo,
        change: &Change,
    ) -> Answer<Told> {
        let files = self.tree.writer()?;
        let number = self.inode_to_change(number)?;
        let user = change.user.map(|id| self.options.users.to_tree(id).ok_or(Errno::EOVERFLOW));
        let group = change.group.map(|id| self.options.groups.to_tree(id).ok_or(Errno::EOVERFLOW));
        let permissions = change.mode.map(|mode| (mode & 0o7777) as u16);
        let set = SetAttributes {
            permissions,
            owner: user.transpose()?,
            group: group.transpose()?,
            size: change.size,
            accessed: change.accessed.map(tree_time),
            modified: change.modified.map(tree_time),
            changed: change.changed.map(specific_time),
            created: None,
            clear_privileges: self.clears_privileges(request, number, change)?,
        };
        // Another size takes no blocks, and a smaller one is how many programs make room: the journal
        // of a database is undone by it.
        let attributes = self.engine(files.set_attributes(number, &set))?;
        self.recent.forget(number);
        if change.size.is_some() {
            self.room.may_have_grown();
        }
        if let Some(permissions) = permissions
            && attributes.kind != FileKind::Symlink
        {
            self.follow_mode(number, permissions)?;
        }
        Ok(self.told(&attributes))
    }

    /// Whether set-id bits and capabilities go: with a new owner always, as Linux has it, and
    /// when somebody other than root cuts the file.
    fn clears_privileges(
        &self,
        request: &Request,
        number: sapwood::files::Inode,
        change: &Change,
    ) -> Answer<bool> {
        if change.mode.is_some() {
            return Ok(false);
        }
        let is_given = change.user.is_some() || change.group.is_some();
        let is_cut = change.size.is_some() && request.uid() != 0;
        Ok((is_given || is_cut) && self.kind(number)? != FileKind::Directory)
    }

    /// The access list after a `chmod`, where there is one, whether it counts in this mount or not: it does in the
    /// next, and in what is made of the tree.
    fn follow_mode(&self, number: sapwood::files::Inode, permissions: u16) -> Answer<()> {
        let files = self.tree.writer()?;
        let value = match self.tree.reader().extended_attribute(number, acl::ACCESS) {
            Ok(value) => value,
            Err(error) if error.kind() == sapwood::ErrorKind::NoAttribute => return Ok(()),
            Err(error) => return Err(self.fail(&error)),
        };
        let Some(list) = acl::List::decode(&value) else { return Err(Errno::EIO) };
        let value = list.with_mode(permissions).encode();
        let mode = sapwood::files::SetMode::Any;
        self.engine(files.set_extended_attribute(number, acl::ACCESS, &value, mode))
    }
}

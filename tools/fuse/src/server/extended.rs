//! Extended attributes, and the access lists among them.

use fuser::{Errno, INodeNo};
use sapwood::files::{Inode, SetAttributes, SetMode};

use super::{Answer, Server};
use crate::acl::{self, Direction, List};

/// The flags of `setxattr`.
const CREATE: i32 = 1;
const REPLACE: i32 = 2;
/// What names of attributes begin with; the kernel lets all others through to a FUSE server.
const NAMESPACES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

impl Server {
    /// The value of an attribute.
    pub(super) fn extended_attribute(&self, number: INodeNo, name: &[u8]) -> Answer<Vec<u8>> {
        self.expect_name(name)?;
        if self.shown(number).is_some() {
            return Err(Errno::ENODATA);
        }
        let number = self.inode(number)?;
        let value = self.engine(self.tree.reader().extended_attribute(number, name))?;
        if !is_list(name) {
            return Ok(value);
        }
        let list = self.translate(&value, Direction::ToHost).ok_or(Errno::EIO)?;
        Ok(list.encode())
    }

    /// The names of all attributes, each with a NUL behind it.
    pub(super) fn extended_attribute_names(&self, number: INodeNo) -> Answer<Vec<u8>> {
        if self.shown(number).is_some() {
            return Ok(Vec::new());
        }
        let names =
            self.engine(self.tree.reader().extended_attribute_names(self.inode(number)?))?;
        let mut list = Vec::new();
        for name in names {
            list.extend_from_slice(&name);
            list.push(0);
        }
        Ok(list)
    }

    /// Sets an attribute.
    pub(super) fn set_extended_attribute(
        &self,
        number: INodeNo,
        name: &[u8],
        value: &[u8],
        flags: i32,
    ) -> Answer<()> {
        self.expect_name(name)?;
        let files = self.tree.writer()?;
        let number = self.inode_to_change(number)?;
        let mode = match flags {
            0 => SetMode::Any,
            CREATE => SetMode::Create,
            REPLACE => SetMode::Replace,
            _ => return Err(Errno::EINVAL),
        };
        if is_list(name) {
            return self.set_list(number, name, value, mode);
        }
        self.with_room(value.len() as u64, || {
            files.set_extended_attribute(number, name, value, mode)
        })
    }

    /// Removes an attribute.
    pub(super) fn remove_extended_attribute(&self, number: INodeNo, name: &[u8]) -> Answer<()> {
        let files = self.tree.writer()?;
        self.expect_name(name)?;
        self.engine(files.remove_extended_attribute(self.inode_to_change(number)?, name))
    }

    /// Sets an access list, and the permissions that go with it.
    fn set_list(&self, number: Inode, name: &[u8], value: &[u8], mode: SetMode) -> Answer<()> {
        let files = self.tree.writer()?;
        let list = self.translate(value, Direction::ToTree).ok_or(Errno::EINVAL)?;
        if name == acl::ACCESS {
            let attributes = self.engine(self.tree.reader().attributes(number))?;
            let (bits, is_all) = list.mode();
            let permissions = Some(attributes.permissions & !0o777 | bits);
            let set = SetAttributes { permissions, ..SetAttributes::default() };
            self.engine(files.set_attributes(number, &set))?;
            if is_all {
                // The permissions say it all; no list is kept.
                return match files.remove_extended_attribute(number, name) {
                    Err(error) if error.kind() == sapwood::ErrorKind::NoAttribute => Ok(()),
                    removed => self.engine(removed),
                };
            }
        }
        let value = list.encode();
        self.with_room(value.len() as u64, || {
            files.set_extended_attribute(number, name, &value, mode)
        })
    }

    /// Refuses names that no filesystem of the kernel has.
    fn expect_name(&self, name: &[u8]) -> Answer<()> {
        if is_list(name) {
            let lists = self.options.access_control_lists;
            return if lists { Ok(()) } else { Err(Errno::EOPNOTSUPP) };
        }
        match NAMESPACES.iter().find_map(|namespace| name.strip_prefix(*namespace)) {
            None => Err(Errno::EOPNOTSUPP),
            Some(b"") => Err(Errno::EINVAL),
            Some(_) => Ok(()),
        }
    }

    fn translate(&self, value: &[u8], direction: Direction) -> Option<List> {
        List::decode(value)?.translated(&self.options.users, &self.options.groups, direction)
    }
}

fn is_list(name: &[u8]) -> bool {
    name == acl::ACCESS || name == acl::DEFAULT
}

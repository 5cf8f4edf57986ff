//! Extended attributes set and removed.

use super::live::Files;
use super::operation::Editor;
use super::read::{ATTRIBUTE_SLOT_BITS, PIECE_BITS, first_attribute};
use super::types::{Inode, SetMode};
use crate::error::{Error, ErrorKind, Result};
use crate::format::files::entry::{ATTRIBUTE_VALUE_BYTES_MAX, AttributeHead, NAME_BYTES_MAX};
use crate::format::files::{InodeFlags, InodeRecord, ItemKind, Key};

impl Files {
    /// Sets an extended attribute, name with its namespace.
    ///
    /// Errors: [`ErrorKind::AlreadyExists`] and [`ErrorKind::NoAttribute`] as `mode` says;
    /// [`ErrorKind::NameTooLong`] past 255 bytes of name; [`ErrorKind::InvalidInput`] past
    /// 65,536 bytes of value.
    pub fn set_extended_attribute(
        &self,
        inode: Inode,
        name: &[u8],
        value: &[u8],
        mode: SetMode,
    ) -> Result<()> {
        let operation = "set an extended attribute";
        if name.len() > NAME_BYTES_MAX {
            let (found, expected) = (name.len(), format!("at most {NAME_BYTES_MAX}"));
            let error = Error::new(ErrorKind::NameTooLong, operation);
            return Err(error.about("bytes", found, expected));
        }
        if name.is_empty() || name.contains(&0) {
            let found = name.escape_ascii().to_string();
            return Err(Error::invalid(operation, "name", found, "bytes other than NUL"));
        }
        if value.len() > ATTRIBUTE_VALUE_BYTES_MAX {
            let expected = format!("at most {ATTRIBUTE_VALUE_BYTES_MAX}");
            return Err(Error::invalid(operation, "value bytes", value.len(), expected));
        }
        self.core.operate(operation, |under_way| {
            under_way.change(|editor| {
                let mut record = editor.record(inode)?;
                let there = editor.take_attribute(inode, &mut record, name)?;
                match (mode, there) {
                    (SetMode::Create, true) => {
                        return Err(Error::new(ErrorKind::AlreadyExists, operation));
                    }
                    (SetMode::Replace, false) => {
                        return Err(Error::new(ErrorKind::NoAttribute, operation));
                    }
                    _ => {}
                }
                editor.put_attribute(inode, name, value)?;
                record.flags = record.flags.with(InodeFlags::ATTRIBUTES, true);
                record.changed = editor.now;
                editor.put_record(inode, &record)
            })
        })
    }

    /// Removes an extended attribute.
    ///
    /// Errors: [`ErrorKind::NoAttribute`].
    pub fn remove_extended_attribute(&self, inode: Inode, name: &[u8]) -> Result<()> {
        let operation = "remove an extended attribute";
        self.core.operate(operation, |under_way| {
            under_way.change(|editor| {
                let mut record = editor.record(inode)?;
                if !editor.take_attribute(inode, &mut record, name)? {
                    return Err(Error::new(ErrorKind::NoAttribute, operation));
                }
                record.changed = editor.now;
                editor.put_record(inode, &record)
            })
        })
    }
}

impl Editor<'_, '_> {
    /// Takes an attribute away; whether there was one.
    pub fn take_attribute(
        &mut self,
        inode: Inode,
        record: &mut InodeRecord,
        name: &[u8],
    ) -> Result<bool> {
        if !record.flags.has(InodeFlags::ATTRIBUTES) {
            return Ok(false);
        }
        let Some((first, _)) = self.reader().find_attribute(inode, name)? else {
            return Ok(false);
        };
        let last = first | ((1 << PIECE_BITS) - 1);
        let key = |sub| Key::new(ItemKind::Attribute, inode.0, sub);
        self.change.remove_range(key(first), key(last))?;
        let mut any = false;
        let (first, last) = Key::range(ItemKind::Attribute, inode.0);
        self.reader().pages.scan(first, last, |_, _| {
            any = true;
            Ok(std::ops::ControlFlow::Break(()))
        })?;
        record.flags = record.flags.with(InodeFlags::ATTRIBUTES, any);
        Ok(true)
    }

    /// Puts an attribute that is not there, in pieces.
    fn put_attribute(&mut self, inode: Inode, name: &[u8], value: &[u8]) -> Result<()> {
        let first = self.free_attribute(inode, name)?;
        let piece_bytes = self.reader().piece_bytes();
        let (now, rest) =
            value.split_at(value.len().min(piece_bytes - AttributeHead::head_bytes(name)));
        let head = AttributeHead { name, value_bytes: value.len() as u32, first: now };
        let key = |piece: u64| Key::new(ItemKind::Attribute, inode.0, first + piece);
        self.change.put(key(0), &head.encode())?;
        for (piece, bytes) in rest.chunks(piece_bytes).enumerate() {
            self.change.put(key(piece as u64 + 1), bytes)?;
        }
        Ok(())
    }

    /// The first number of a free stretch among those for attributes of one hash.
    fn free_attribute(&self, inode: Inode, name: &[u8]) -> Result<u64> {
        let first = first_attribute(name);
        for slot in 0..1 << ATTRIBUTE_SLOT_BITS {
            let sub = first | slot << PIECE_BITS;
            let key = Key::new(ItemKind::Attribute, inode.0, sub);
            if self.reader().pages.get(key)?.is_none() {
                return Ok(sub);
            }
        }
        Err(Error::new(ErrorKind::NoSpace, self.operation).about(
            "attributes of one hash",
            1 << ATTRIBUTE_SLOT_BITS,
            "fewer",
        ))
    }
}

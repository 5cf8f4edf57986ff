//! What is told of a file of a tree.

use sapwood::files::{Attributes, FileKind, ReadFiles};
use sapwood::{Error, ErrorKind, Result};

use crate::device;
use crate::options::{ExportOptions, ExtendedAttributes, SpecialFiles};
use crate::tar::{Member, MemberKind};

/// The member that a file is, whose name is the caller's affair.
pub fn member_of(
    view: &dyn ReadFiles,
    file: &Attributes,
    options: &ExportOptions,
) -> Result<Member> {
    let (major, minor) = device::unpack(file.device);
    let kind = match file.kind {
        FileKind::Regular => MemberKind::File,
        FileKind::Directory => MemberKind::Directory,
        FileKind::Symlink => MemberKind::Symlink(view.read_link(file.inode)?),
        FileKind::CharDevice => MemberKind::CharDevice(major, minor),
        FileKind::BlockDevice => MemberKind::BlockDevice(major, minor),
        FileKind::Fifo => MemberKind::Fifo,
        FileKind::Socket => MemberKind::Socket,
    };
    let mut member = Member::new("", kind, file.permissions);
    (member.owner, member.group) = options.ownership.of(file.owner, file.group).unwrap_or((0, 0));
    member.permissions = options.ownership.permissions_of(&member);
    member.modified = file.modified;
    member.accessed = Some(file.accessed);
    if file.kind == FileKind::Regular {
        member.size = file.size;
    }
    if options.extended_attributes == ExtendedAttributes::Keep {
        for name in view.extended_attribute_names(file.inode)? {
            if !options.ownership.takes_attribute(&name) {
                continue;
            }
            let value = view.extended_attribute(file.inode, &name)?;
            member.attributes.push((name, value));
        }
    }
    Ok(member)
}

/// Whether a file of this kind is written.
pub fn takes(kind: FileKind, options: &ExportOptions) -> Result<bool> {
    let name = match kind {
        FileKind::Fifo => "pipe",
        FileKind::CharDevice | FileKind::BlockDevice => "device",
        FileKind::Socket => "socket",
        FileKind::Directory | FileKind::Regular | FileKind::Symlink => return Ok(true),
    };
    match options.special_files {
        SpecialFiles::Make => Ok(true),
        SpecialFiles::Skip => Ok(false),
        SpecialFiles::SkipSockets => Ok(kind != FileKind::Socket),
        SpecialFiles::Refuse => {
            let expected = "files, directories and links alone";
            let error = Error::invalid("export", "kind", format!("a {name}"), expected);
            Err(error.with_kind(ErrorKind::NotPermitted))
        }
    }
}

//! What the file view speaks in: numbers of files, kinds, attributes.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::format::files::{InodeFlags, InodeRecord, Superblock, Time};

/// The number of a file, the same for ever: through writes, renames, snapshots and forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inode(pub u32);

impl Inode {
    /// The root directory of every tree.
    pub const ROOT: Inode = Inode(1);
}

impl std::fmt::Display for Inode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A directory.
    Directory,
    /// A block device.
    BlockDevice,
    /// A file with content.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A Unix socket.
    Socket,
}

impl FileKind {
    const ALL: [FileKind; 7] = [
        FileKind::Fifo,
        FileKind::CharDevice,
        FileKind::Directory,
        FileKind::BlockDevice,
        FileKind::Regular,
        FileKind::Symlink,
        FileKind::Socket,
    ];

    /// The type bits of a mode: `S_IFREG` and so on.
    pub fn mode_bits(self) -> u16 {
        let bits: u16 = match self {
            FileKind::Fifo => 1,
            FileKind::CharDevice => 2,
            FileKind::Directory => 4,
            FileKind::BlockDevice => 6,
            FileKind::Regular => 8,
            FileKind::Symlink => 10,
            FileKind::Socket => 12,
        };
        bits << 12
    }

    /// The kind that a mode says; `None` for bits that mean none.
    pub fn from_mode(mode: u32) -> Option<FileKind> {
        Self::ALL.into_iter().find(|kind| u32::from(kind.mode_bits()) == mode & 0o170_000)
    }
}

impl Time {
    /// Now.
    pub fn now() -> Time {
        SystemTime::now().into()
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Time {
        let whole = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Time {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: since.subsec_nanos(),
            },
            Err(before) => {
                let before = before.duration();
                let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |before| -before);
                match before.subsec_nanos() {
                    0 => Time { seconds, nanoseconds: 0 },
                    nanoseconds => Time {
                        seconds: seconds.saturating_sub(1),
                        nanoseconds: 1_000_000_000 - nanoseconds,
                    },
                }
            }
        };
        whole.clamped()
    }
}

/// The attributes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Its number.
    pub inode: Inode,
    /// Tells files apart that had the same number one after the other.
    pub generation: u32,
    /// What it is.
    pub kind: FileKind,
    /// Permission, set-id and sticky bits: at most 0o7777.
    pub permissions: u16,
    /// How many names it has; of a directory 2 and one for each below it.
    pub links: u32,
    /// The owner's number.
    pub owner: u32,
    /// The group's number.
    pub group: u32,
    /// The number of a device, packed as Linux packs it into 32 bits; 0 for all else.
    pub device: u32,
    /// The size in bytes.
    pub size: u64,
    /// How many bytes of blocks it takes; 0 where its content stands in the metadata.
    pub allocated_bytes: u64,
    /// Last read.
    pub accessed: Time,
    /// Content last changed.
    pub modified: Time,
    /// Content or attributes last changed.
    pub changed: Time,
    /// When it was made.
    pub created: Time,
}

/// What a new file is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Any kind but a symlink.
    pub kind: FileKind,
    /// Permission, set-id and sticky bits.
    pub permissions: u16,
    /// The owner's number.
    pub owner: u32,
    /// The group's number; in a directory with the set-group-id bit its group counts.
    pub group: u32,
    /// Of a device its number.
    pub device: u32,
}

impl NewFile {
    /// A regular file of user and group 0.
    pub fn regular(permissions: u16) -> NewFile {
        NewFile { kind: FileKind::Regular, permissions, owner: 0, group: 0, device: 0 }
    }

    /// A directory of user and group 0.
    pub fn directory(permissions: u16) -> NewFile {
        NewFile { kind: FileKind::Directory, ..NewFile::regular(permissions) }
    }
}

/// Which attributes to change, and to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttributes {
    /// Permission, set-id and sticky bits.
    pub permissions: Option<u16>,
    /// The owner's number.
    pub owner: Option<u32>,
    /// The group's number.
    pub group: Option<u32>,
    /// The size: cut off, or longer by zeros.
    pub size: Option<u64>,
    /// Last read.
    pub accessed: Option<Time>,
    /// Content last changed.
    pub modified: Option<Time>,
    /// Last changed at all; now, where it is not given.
    pub changed: Option<Time>,
    /// When it was made.
    pub created: Option<Time>,
    /// Whether set-user-id and set-group-id go, and file capabilities, as when somebody without
    /// privileges writes.
    pub clear_privileges: bool,
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The file.
    pub inode: Inode,
    /// What it is.
    pub kind: FileKind,
    /// The name.
    pub name: &'a [u8],
    /// Where the name stands: unique in its directory, the same as long as it is there, at least
    /// 256 and below 2^63. To go on behind it, give it back.
    pub cookie: u64,
}

/// What to look for in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The next byte that is stored.
    Data,
    /// The next that is not; the end of the file counts as one.
    Hole,
}

/// What a rename does with a name that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// It is replaced.
    Replace,
    /// It is an error.
    NoReplace,
    /// The two change places.
    Exchange,
}

/// Whether a call may make a file longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeChange {
    /// The size stays.
    Keep,
    /// It grows to the end of the range.
    Extend,
}

/// Whether an extended attribute must be there, or must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetMode {
    /// Either.
    Any,
    /// It must not be there.
    Create,
    /// It must be there.
    Replace,
}

/// What a tree holds in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The size of a block in bytes.
    pub block_bytes: u64,
    /// How many files there are, directories and those without a name included.
    pub inodes: u64,
    /// How many names there are.
    pub entries: u64,
    /// How many bytes the metadata takes.
    pub metadata_bytes: u64,
}

impl Superblock {
    /// The directory of the attachments, where there is one.
    pub(super) fn attachments(&self) -> Option<Inode> {
        (self.attachments != 0).then_some(Inode(self.attachments))
    }
}

/// The kind that an inode's record says.
pub(super) fn kind_of(record: &InodeRecord) -> Result<FileKind> {
    FileKind::from_mode(record.mode.into()).ok_or_else(|| {
        Error::corrupt("read an inode", "mode", format!("{:#o}", record.mode), "that of a file")
    })
}

/// The attributes that a record says, of a file that takes `allocated_bytes`.
pub(super) fn attributes_of(
    inode: Inode,
    record: &InodeRecord,
    allocated_bytes: u64,
) -> Result<Attributes> {
    Ok(Attributes {
        inode,
        generation: record.generation,
        kind: kind_of(record)?,
        permissions: record.mode & 0o7777,
        links: record.links,
        owner: record.owner,
        group: record.group,
        device: record.device,
        size: record.size,
        allocated_bytes,
        accessed: record.accessed,
        modified: record.modified,
        changed: record.changed,
        created: record.created,
    })
}

/// Whether the content of a file stands in the metadata.
pub(super) fn is_inline(record: &InodeRecord) -> bool {
    record.flags.has(InodeFlags::INLINE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn kinds_are_their_mode_bits() {
        for kind in FileKind::ALL {
            assert_eq!(FileKind::from_mode(u32::from(kind.mode_bits()) | 0o7777), Some(kind));
        }
        assert_eq!(FileKind::from_mode(0o030_000), None);
    }

    #[test]
    fn times_before_1970_round_down() {
        let time = Time::from(UNIX_EPOCH - Duration::from_millis(250));
        assert_eq!(time, Time { seconds: -1, nanoseconds: 750_000_000 });
        assert_eq!(Time::from(UNIX_EPOCH - Duration::from_secs(3)).seconds, -3);
    }
}

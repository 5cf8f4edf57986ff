//! Attributes, kinds and times as the engine has them and as the kernel's protocol has them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};
use sapwood::files::{Attributes, FileKind, Inode, Time};

use crate::ids::IdMap;

/// The unit in which the protocol counts what a file takes, whatever the block size.
const SECTOR_BYTES: u64 = 512;

/// The first and the last second that a tree can note; what lies outside is set to these, as
/// other filesystems do it.
const SECONDS: std::ops::RangeInclusive<i64> = -(1 << 31)..=(1 << 34) - (1 << 31) - 1;

/// Attributes as the kernel wants them, owners as the host numbers them.
pub fn to_kernel(
    attributes: &Attributes,
    users: &IdMap,
    groups: &IdMap,
    block_bytes: u32,
) -> FileAttr {
    FileAttr {
        ino: INodeNo(attributes.inode.0.into()),
        size: attributes.size,
        blocks: attributes.allocated_bytes.div_ceil(SECTOR_BYTES),
        atime: system_time(attributes.accessed),
        mtime: system_time(attributes.modified),
        ctime: system_time(attributes.changed),
        crtime: system_time(attributes.created),
        kind: file_type(attributes.kind),
        perm: attributes.permissions,
        nlink: attributes.links,
        uid: users.to_host(attributes.owner),
        gid: groups.to_host(attributes.group),
        rdev: attributes.device,
        blksize: block_bytes,
        flags: 0,
    }
}

/// What the kernel keeps to know that a name is not there: an entry that leads nowhere.
pub fn of_nothing() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

/// The tree's number for one of the kernel's; the two are the same as far as the tree's go.
pub fn inode(number: INodeNo) -> Option<Inode> {
    u32::try_from(number.0).ok().map(Inode)
}

/// The kind in the protocol's words.
pub fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::Directory => FileType::Directory,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Regular => FileType::RegularFile,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Socket => FileType::Socket,
    }
}

/// A time as the tree notes it.
pub fn tree_time(time: TimeOrNow) -> Time {
    match time {
        TimeOrNow::Now => Time::now(),
        TimeOrNow::SpecificTime(time) => specific_time(time),
    }
}

/// A time that the kernel sent.
///
/// fuser 0.18 counts both parts of a time before 1970 backwards, though the kernel's
/// nanoseconds count forward; reading them back the same way gives what the kernel sent.
pub fn specific_time(time: SystemTime) -> Time {
    let (seconds, nanoseconds) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            (0_i64.saturating_sub_unsigned(before.as_secs()), before.subsec_nanos())
        }
    };
    match seconds {
        _ if seconds < *SECONDS.start() => Time { seconds: *SECONDS.start(), nanoseconds: 0 },
        _ if seconds > *SECONDS.end() => Time { seconds: *SECONDS.end(), nanoseconds: 0 },
        _ => Time { seconds, nanoseconds },
    }
}

fn system_time(time: Time) -> SystemTime {
    let nanoseconds = Duration::from_nanos(time.nanoseconds.into());
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    if time.seconds < 0 {
        UNIX_EPOCH - whole + nanoseconds
    } else {
        UNIX_EPOCH + whole + nanoseconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What fuser makes of a time from the kernel.
    fn as_fuser_reads(seconds: i64, nanoseconds: u32) -> SystemTime {
        let length = Duration::new(seconds.unsigned_abs(), nanoseconds);
        if seconds < 0 { UNIX_EPOCH - length } else { UNIX_EPOCH + length }
    }

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        for (seconds, nanoseconds) in
            [(-1, 0), (-1, 1), (-5, 750_000_000), (0, 3), (17, 999_999_999)]
        {
            let time = specific_time(as_fuser_reads(seconds, nanoseconds));
            assert_eq!(time, Time { seconds, nanoseconds });
            let forward = system_time(time);
            let expected =
                UNIX_EPOCH + Duration::from_secs(100) + Duration::from_nanos(nanoseconds.into());
            assert_eq!(forward + Duration::from_secs((100 - seconds) as u64), expected);
        }
    }

    #[test]
    fn times_that_no_tree_can_note_are_set_to_the_nearest() {
        assert_eq!(specific_time(as_fuser_reads(i64::MIN / 2, 7)).seconds, *SECONDS.start());
        assert_eq!(specific_time(as_fuser_reads(i64::MAX / 2, 7)).seconds, *SECONDS.end());
    }

    #[test]
    fn a_number_that_no_tree_has_is_none() {
        assert_eq!(inode(INodeNo(1)), Some(Inode::ROOT));
        assert_eq!(inode(INodeNo(1 << 32)), None);
    }
}

//! The record of an inode: 76 bytes.

use super::entry::NamePlace;
use crate::error::{Error, Result};
use crate::format::fields::{FieldReader, FieldWriter};

/// The size of a record in bytes.
pub const INODE_BYTES: usize = 76;

/// The fields of a record: offset and name.
pub const FIELDS: &[(usize, &str)] = &[
    (0, "mode"),
    (2, "flags"),
    (4, "owner"),
    (8, "group"),
    (12, "links"),
    (16, "generation"),
    (20, "device"),
    (24, "size"),
    (32, "accessed"),
    (40, "modified"),
    (48, "changed"),
    (56, "created"),
    (64, "directory"),
    (68, "cookie"),
];

/// The latest time that can be kept, in seconds since 1970: in the year 2446.
pub const SECONDS_MAX: i64 = (1 << 34) - (1 << 31) - 1;
/// The earliest: in the year 1901.
pub const SECONDS_MIN: i64 = -(1 << 31);

/// A moment, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds since 1970; negative before.
    pub seconds: i64,
    /// Nanoseconds after that second, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Time {
    /// The same moment, moved into the years that can be kept (1901 to 2446).
    pub fn clamped(self) -> Time {
        if self.seconds < SECONDS_MIN {
            return Time { seconds: SECONDS_MIN, nanoseconds: 0 };
        }
        if self.seconds > SECONDS_MAX {
            return Time { seconds: SECONDS_MAX, nanoseconds: 999_999_999 };
        }
        Time { nanoseconds: self.nanoseconds.min(999_999_999), ..self }
    }

    /// 34 bits of seconds above 30 bits of nanoseconds.
    fn to_bits(self) -> u64 {
        let time = self.clamped();
        ((time.seconds - SECONDS_MIN) as u64) << 30 | u64::from(time.nanoseconds)
    }

    fn from_bits(bits: u64) -> Option<Time> {
        let nanoseconds = (bits & ((1 << 30) - 1)) as u32;
        let seconds = (bits >> 30) as i64 + SECONDS_MIN;
        (nanoseconds < 1_000_000_000).then_some(Time { seconds, nanoseconds })
    }
}

/// What is known of a file beyond its attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InodeFlags(pub u16);

impl InodeFlags {
    /// The content stands in the tree, not in blocks.
    pub const INLINE: InodeFlags = InodeFlags(1);
    /// There may be holes between its blocks.
    pub const SPARSE: InodeFlags = InodeFlags(2);
    /// It has extended attributes.
    pub const ATTRIBUTES: InodeFlags = InodeFlags(4);
    /// All flags that there are.
    pub const ALL: InodeFlags = InodeFlags(7);

    /// Whether all flags of `other` are set.
    pub fn has(self, other: InodeFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// With those of `other` set, or not.
    #[must_use]
    pub fn with(self, other: InodeFlags, set: bool) -> InodeFlags {
        if set { InodeFlags(self.0 | other.0) } else { InodeFlags(self.0 & !other.0) }
    }
}

/// An inode as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeRecord {
    /// Type and permission bits, as `st_mode` has them.
    pub mode: u16,
    /// What is known beyond attributes.
    pub flags: InodeFlags,
    /// The owner's number.
    pub owner: u32,
    /// The group's number.
    pub group: u32,
    /// How many names it has; of a directory 2 and one for each below it.
    pub links: u32,
    /// Tells files apart that had the same number one after the other.
    pub generation: u32,
    /// The number of a device, as the kernel packs it into 32 bits; 0 for all else.
    pub device: u32,
    /// The size in bytes; of a directory 0.
    pub size: u64,
    /// Last read.
    pub accessed: Time,
    /// Content last changed.
    pub modified: Time,
    /// Content or attributes last changed.
    pub changed: Time,
    /// When it was made.
    pub created: Time,
    /// One of its names (of a directory its only one); all zero where it has none.
    pub name: NamePlace,
}

impl InodeRecord {
    /// The type bits, shifted down by 12: what `d_type` says.
    pub fn kind_bits(&self) -> u8 {
        (self.mode >> 12) as u8
    }

    /// The record on disk.
    pub fn encode(&self) -> [u8; INODE_BYTES] {
        let mut bytes = [0; INODE_BYTES];
        FieldWriter::new(&mut bytes)
            .u16(self.mode)
            .u16(self.flags.0)
            .u32(self.owner)
            .u32(self.group)
            .u32(self.links)
            .u32(self.generation)
            .u32(self.device)
            .u64(self.size)
            .u64(self.accessed.to_bits())
            .u64(self.modified.to_bits())
            .u64(self.changed.to_bits())
            .u64(self.created.to_bits())
            .u32(self.name.directory)
            .u64(self.name.cookie);
        bytes
    }

    /// What the record says.
    pub fn decode(bytes: &[u8]) -> Result<InodeRecord> {
        if bytes.len() != INODE_BYTES {
            return Err(Error::corrupt("read an inode", "length", bytes.len(), INODE_BYTES));
        }
        let mut fields = FieldReader::new("an inode", bytes);
        let mode = fields.u16("mode")?;
        if !matches!(mode >> 12, 1 | 2 | 4 | 6 | 8 | 10 | 12) {
            return Err(fields.bad("mode", 2, format!("{mode:#o}"), "the mode of a file"));
        }
        let flags = InodeFlags(fields.u16("flags")?);
        if !InodeFlags::ALL.has(flags) {
            return Err(fields.bad("flags", 2, flags.0, "none but 1, 2 and 4"));
        }
        let owner = fields.u32("owner")?;
        let group = fields.u32("group")?;
        let links = fields.u32("links")?;
        let generation = fields.u32("generation")?;
        let device = fields.u32("device")?;
        let size = fields.u64("size")?;
        let mut time = |field| {
            let bits = fields.u64(field)?;
            let bad = || fields.bad(field, 8, bits, "nanoseconds below 1000000000");
            Time::from_bits(bits).ok_or_else(bad)
        };
        let accessed = time("accessed")?;
        let modified = time("modified")?;
        let changed = time("changed")?;
        let created = time("created")?;
        let directory = fields.u32("directory")?;
        let cookie = fields.u64("cookie")?;
        Ok(InodeRecord {
            mode,
            flags,
            owner,
            group,
            links,
            generation,
            device,
            size,
            accessed,
            modified,
            changed,
            created,
            name: NamePlace { directory, cookie },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_what_was_written() {
        let record = InodeRecord {
            mode: 0o104_755,
            flags: InodeFlags::INLINE.with(InodeFlags::ATTRIBUTES, true),
            owner: 1000,
            group: u32::MAX,
            links: 2,
            generation: 3,
            device: 0,
            size: 1 << 43,
            accessed: Time { seconds: SECONDS_MAX, nanoseconds: 999_999_999 },
            modified: Time { seconds: SECONDS_MIN, nanoseconds: 1 },
            changed: Time { seconds: -1, nanoseconds: 999_999_999 },
            created: Time::default(),
            name: NamePlace { directory: 1, cookie: 1 << 62 },
        };
        let bytes = record.encode();
        assert_eq!(InodeRecord::decode(&bytes).unwrap(), record);
        assert!(InodeRecord::decode(&bytes[1..]).is_err());
        for (at, value) in [(1, 0x30), (2, 0xff), (32, 0xff)] {
            let mut bad = bytes;
            bad[at..at + 4].fill(value);
            assert!(InodeRecord::decode(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn times_outside_the_years_that_can_be_kept_are_moved_to_their_ends() {
        let late = Time { seconds: i64::MAX, nanoseconds: u32::MAX };
        assert_eq!(Time::from_bits(late.to_bits()), Some(late.clamped()));
        let early = Time { seconds: i64::MIN, nanoseconds: 5 };
        assert_eq!(Time::from_bits(early.to_bits()).unwrap().seconds, SECONDS_MIN);
    }
}

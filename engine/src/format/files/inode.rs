//! The record of an inode: what most files have, and of the rest what is not as usual.

use super::entry::NamePlace;
use crate::error::{Error, Result};
use crate::format::fields::{FieldReader, FieldWriter};
use crate::units::BlockSize;

/// The size of the part that every record has, in bytes.
pub const INODE_BYTES: usize = 48;
/// How many blocks a file can have: their numbers are 32 bits, and one is kept for the end.
const FILE_BLOCKS_MAX: u64 = u32::MAX as u64;
/// The size of the largest file in bytes, where blocks are largest.
const SIZE_MAX: u64 = FILE_BLOCKS_MAX << 16;
/// The size of the longest record in bytes.
const INODE_BYTES_MAX: usize = INODE_BYTES + 28;

/// The fields that every record has: offset and name.
pub const FIELDS: &[(usize, &str)] = &[
    (0, "mode"),
    (2, "flags"),
    (3, "further fields"),
    (4, "owner"),
    (8, "group"),
    (12, "size"),
    (20, "modified"),
    (28, "changed"),
    (36, "directory"),
    (40, "cookie"),
];

/// The fields that may follow, in this order: bit, size in bytes, name.
pub const FURTHER_FIELDS: &[(u8, usize, &str)] = &[
    (LINKS, 4, "links"),
    (GENERATION, 4, "generation"),
    (DEVICE, 4, "device"),
    (ACCESSED, 8, "accessed"),
    (CREATED, 8, "created"),
];
const LINKS: u8 = 1;
const GENERATION: u8 = 2;
const DEVICE: u8 = 4;
const ACCESSED: u8 = 8;
const CREATED: u8 = 16;

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
pub struct InodeFlags(pub u8);

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
    pub fn encode(&self) -> Vec<u8> {
        let further = self.further();
        let mut bytes = vec![0; INODE_BYTES_MAX];
        let mut fields = FieldWriter::new(&mut bytes);
        fields
            .u16(self.mode)
            .u8(self.flags.0)
            .u8(further)
            .u32(self.owner)
            .u32(self.group)
            .u64(self.size)
            .u64(self.modified.to_bits())
            .u64(self.changed.to_bits())
            .u32(self.name.directory)
            .u64(self.name.cookie);
        let mut length = INODE_BYTES;
        for &(bit, field_bytes, _) in FURTHER_FIELDS {
            if further & bit == 0 {
                continue;
            }
            length += field_bytes;
            match bit {
                LINKS => fields.u32(self.links),
                GENERATION => fields.u32(self.generation),
                DEVICE => fields.u32(self.device),
                ACCESSED => fields.u64(self.accessed.to_bits()),
                _ => fields.u64(self.created.to_bits()),
            };
        }
        bytes.truncate(length);
        bytes
    }

    /// The bits of the fields that are not as usual.
    fn further(&self) -> u8 {
        let bit = |is_unusual: bool, bit: u8| if is_unusual { bit } else { 0 };
        bit(self.links != 1, LINKS)
            | bit(self.generation != 1, GENERATION)
            | bit(self.device != 0, DEVICE)
            | bit(self.accessed != self.modified, ACCESSED)
            | bit(self.created != self.changed, CREATED)
    }

    /// What the record says.
    pub fn decode(bytes: &[u8]) -> Result<InodeRecord> {
        let mut fields = FieldReader::new("an inode", bytes);
        let mode = fields.u16("mode")?;
        if !matches!(mode >> 12, 1 | 2 | 4 | 6 | 8 | 10 | 12) {
            return Err(fields.bad("mode", 2, format!("{mode:#o}"), "the mode of a file"));
        }
        let flags = InodeFlags(fields.u8("flags")?);
        if !InodeFlags::ALL.has(flags) {
            return Err(fields.bad("flags", 1, flags.0, "none but 1, 2 and 4"));
        }
        let further = fields.u8("further fields")?;
        let mut length = INODE_BYTES;
        for &(bit, bytes, _) in FURTHER_FIELDS {
            length += if further & bit != 0 { bytes } else { 0 };
        }
        if further >= 2 * CREATED || bytes.len() != length {
            let found = format!("{further:#x} in {} bytes", bytes.len());
            return Err(fields.bad("further fields", 1, found, "bits below 32, and what they say"));
        }
        let (owner, group) = (fields.u32("owner")?, fields.u32("group")?);
        let size = fields.u64("size")?;
        if size > SIZE_MAX {
            return Err(fields.bad("size", 8, size, format!("at most {SIZE_MAX}")));
        }
        let modified = time(&mut fields, "modified")?;
        let changed = time(&mut fields, "changed")?;
        let name = NamePlace { directory: fields.u32("directory")?, cookie: fields.u64("cookie")? };
        let has = |bit: u8| further & bit != 0;
        let links = if has(LINKS) { fields.u32("links")? } else { 1 };
        let generation = if has(GENERATION) { fields.u32("generation")? } else { 1 };
        let device = if has(DEVICE) { fields.u32("device")? } else { 0 };
        let accessed = if has(ACCESSED) { time(&mut fields, "accessed")? } else { modified };
        let created = if has(CREATED) { time(&mut fields, "created")? } else { changed };
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
            name,
        })
    }

    /// That the file is no larger than one in blocks of this size can be.
    pub fn expect_size(&self, block_size: BlockSize) -> Result<()> {
        let most = file_bytes_max(block_size);
        match self.size > most {
            true => {
                let expected = format!("at most {most}");
                Err(Error::corrupt("read an inode", "size", self.size, expected))
            }
            false => Ok(()),
        }
    }
}

/// The size of the largest file in bytes, in blocks of this size.
pub fn file_bytes_max(block_size: BlockSize) -> u64 {
    FILE_BLOCKS_MAX << block_size.log2()
}

fn time(fields: &mut FieldReader<'_>, field: &'static str) -> Result<Time> {
    let bits = fields.u64(field)?;
    let bad = || fields.bad(field, 8, bits, "nanoseconds below 1000000000");
    Time::from_bits(bits).ok_or_else(bad)
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
        assert_eq!(bytes.len(), INODE_BYTES_MAX - 4, "all but a device");
        assert_eq!(InodeRecord::decode(&bytes).unwrap(), record);
        assert!(InodeRecord::decode(&bytes[1..]).is_err());
        assert!(InodeRecord::decode(&bytes[..bytes.len() - 1]).is_err());
        for size in [SIZE_MAX + 1, u64::MAX] {
            let error = InodeRecord::decode(&InodeRecord { size, ..record }.encode()).unwrap_err();
            assert_eq!(error.field(), Some("size"), "{size}");
        }
        for (at, value) in [(1, 0x30), (2, 0xff), (3, 0x3f), (20, 0xff)] {
            let mut bad = bytes.clone();
            bad[at..at + 4].fill(value);
            assert!(InodeRecord::decode(&bad).is_err(), "byte {at}");
        }
        // Each further field alone, and none.
        let usual = InodeRecord {
            links: 1,
            generation: 1,
            accessed: record.modified,
            created: record.changed,
            ..record
        };
        assert_eq!(usual.encode().len(), INODE_BYTES);
        for unusual in [
            usual,
            InodeRecord { links: 0, ..usual },
            InodeRecord { generation: 0, ..usual },
            InodeRecord { device: 7, ..usual },
            InodeRecord { accessed: Time::default(), ..usual },
            InodeRecord { created: Time::default(), ..usual },
        ] {
            assert_eq!(InodeRecord::decode(&unusual.encode()).unwrap(), unusual);
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

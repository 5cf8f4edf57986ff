//! The first page of a file tree: where its root is, and what it counts.

use super::page::{LEVELS_MAX, MAGIC};
use crate::error::{Error, Result};
use crate::format::fields::{FieldReader, FieldWriter};
use crate::format::page::expect_version;
use crate::units::{BlockSize, LayerId};

/// The version of the file tree's form.
pub const VERSION: u16 = 1;
/// The first number that is given to a file: 1 is the root.
const FIRST_INODE: u32 = 2;
/// What tells this page from those of the tree.
const SUPERBLOCK_KIND: u16 = 0;
const WHAT: &str = "the first page of a file tree";

/// The fields of the page: offset and name.
pub const FIELDS: &[(usize, &str)] = &[
    (0, "magic"),
    (4, "kind"),
    (6, "version"),
    (8, "incompatible features"),
    (16, "read-only compatible features"),
    (24, "compatible features"),
    (32, "block size"),
    (36, "root page"),
    (40, "levels"),
    (44, "past-the-end page"),
    (48, "next inode"),
    (52, "first inode of the layer"),
    (56, "layer"),
    (72, "name key"),
    (104, "inodes"),
    (112, "entries"),
    (120, "pages"),
    (128, "attachments"),
    (132, "reserved"),
];

/// What the first page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Features that whoever does not know must not open.
    pub incompatible: u64,
    /// Features that whoever does not know must not write.
    pub read_only_compatible: u64,
    /// Features that whoever does not know may ignore.
    pub compatible: u64,
    /// The page of the tree's root.
    pub root: u32,
    /// How many levels the tree has, at least 1.
    pub levels: u8,
    /// All pages are below this one.
    pub pages_end: u32,
    /// The number of the next new file; no number at or above it was ever given.
    pub next_inode: u32,
    /// The first number that was given in the open layer `layer`.
    pub first_of_layer: u32,
    /// The layer that `first_of_layer` speaks of.
    pub layer: LayerId,
    /// What the hashes of names are keyed with.
    pub name_key: [u8; 32],
    /// How many inodes there are.
    pub inodes: u64,
    /// How many names there are.
    pub entries: u64,
    /// How many pages are in use, this one included.
    pub pages: u64,
    /// The directory of the attachments; 0 where there is none.
    pub attachments: u32,
}

impl Superblock {
    /// What the first page of a new tree says: one empty leaf, and no file yet.
    pub fn of_new_tree(layer: LayerId, name_key: [u8; 32]) -> Superblock {
        Superblock {
            incompatible: 0,
            read_only_compatible: 0,
            compatible: 0,
            root: 1,
            levels: 1,
            pages_end: 2,
            next_inode: FIRST_INODE,
            first_of_layer: FIRST_INODE,
            layer,
            name_key,
            inodes: 0,
            entries: 0,
            pages: 2,
            attachments: 0,
        }
    }

    /// That this version may write to the tree.
    ///
    /// Errors: that it is of a [newer version](Error::is_newer), which can be read here, and not written.
    pub fn expect_writable(&self) -> Result<()> {
        match self.read_only_compatible {
            0 => Ok(()),
            unknown => {
                let (found, field) = (format!("{unknown:#x}"), "read-only compatible features");
                Err(Error::newer("open a tree of files to write", field, found, "none of these"))
            }
        }
    }

    /// The page on disk.
    pub fn encode(&self, block_size: BlockSize) -> Vec<u8> {
        let mut page = vec![0; block_size.bytes_usize()];
        FieldWriter::new(&mut page)
            .u32(MAGIC)
            .u16(SUPERBLOCK_KIND)
            .u16(VERSION)
            .u64(self.incompatible)
            .u64(self.read_only_compatible)
            .u64(self.compatible)
            .u32(block_size.bytes() as u32)
            .u32(self.root)
            .u32(u32::from(self.levels))
            .u32(self.pages_end)
            .u32(self.next_inode)
            .u32(self.first_of_layer)
            .layer_id(self.layer)
            .raw(&self.name_key)
            .u64(self.inodes)
            .u64(self.entries)
            .u64(self.pages)
            .u32(self.attachments);
        page
    }

    /// What the page says.
    ///
    /// Errors: that it is of a [newer version](Error::is_newer), or has features that must be known;
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
    pub fn decode(page: &[u8], block_size: BlockSize) -> Result<Superblock> {
        let mut fields = FieldReader::new(WHAT, page);
        let magic = fields.u32("magic")?;
        fields.expect("magic", 4, magic, MAGIC)?;
        let kind = fields.u16("kind")?;
        fields.expect("kind", 2, kind, SUPERBLOCK_KIND)?;
        let version = fields.u16("version")?;
        expect_version(WHAT, version, VERSION)?;
        let incompatible = fields.u64("incompatible features")?;
        if incompatible != 0 {
            let (found, field) = (format!("{incompatible:#x}"), "incompatible features");
            let error = Error::newer(format!("read {WHAT}"), field, found, "none of these");
            return Err(error.at_offset(8));
        }
        let read_only_compatible = fields.u64("read-only compatible features")?;
        let compatible = fields.u64("compatible features")?;
        let bytes = u64::from(fields.u32("block size")?);
        fields.expect("block size", 4, bytes, block_size.bytes())?;
        let root = fields.u32("root page")?;
        let levels = fields.u32("levels")?;
        if levels == 0 || levels > u32::from(LEVELS_MAX) {
            return Err(fields.bad("levels", 4, levels, format!("1 to {LEVELS_MAX}")));
        }
        let pages_end = fields.u32("past-the-end page")?;
        if root == 0 || root >= pages_end {
            let found = format!("root {root} of {pages_end} pages");
            return Err(fields.bad("root page", 12, found, "a page after this one, below the end"));
        }
        let next_inode = fields.u32("next inode")?;
        let first_of_layer = fields.u32("first inode of the layer")?;
        if next_inode < FIRST_INODE || first_of_layer > next_inode {
            let found = format!("{next_inode}, from {first_of_layer}");
            return Err(fields.bad("next inode", 8, found, "at least 2, in this order"));
        }
        let layer = fields.layer_id("layer")?;
        let mut name_key = [0; 32];
        name_key.copy_from_slice(fields.raw("name key", 32)?);
        let inodes = fields.u64("inodes")?;
        let entries = fields.u64("entries")?;
        let pages = fields.u64("pages")?;
        let attachments = fields.u32("attachments")?;
        if attachments != 0 && !(FIRST_INODE..next_inode).contains(&attachments) {
            let expected = "0, or the number of a file but the root";
            return Err(fields.bad("attachments", 4, attachments, expected));
        }
        fields.zeros_until("reserved", block_size.bytes_usize())?;
        Ok(Superblock {
            incompatible,
            read_only_compatible,
            compatible,
            root,
            levels: levels as u8,
            pages_end,
            next_inode,
            first_of_layer,
            layer,
            name_key,
            inodes,
            entries,
            pages,
            attachments,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_page_reads_back_what_was_written() {
        let block_size = BlockSize::DEFAULT;
        let superblock = Superblock {
            incompatible: 0,
            read_only_compatible: 1,
            compatible: 2,
            root: 1,
            levels: 3,
            pages_end: 99,
            next_inode: 17,
            first_of_layer: 5,
            layer: LayerId([3; 16]),
            name_key: [4; 32],
            inodes: 12,
            entries: 11,
            pages: 40,
            attachments: 16,
        };
        let page = superblock.encode(block_size);
        assert_eq!(Superblock::decode(&page, block_size).unwrap(), superblock);
        for at in [0, 4, 6, 8, 32, 36, 40, 128, 132, 4095] {
            let mut bad = page.clone();
            bad[at] ^= 0x80;
            bad[at] |= 0x7f;
            assert!(Superblock::decode(&bad, block_size).is_err(), "byte {at}");
        }
        assert!(Superblock::decode(&page[..100], block_size).is_err());
    }
}

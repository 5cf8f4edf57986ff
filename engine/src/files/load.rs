//! How a tree begins: from its first page, or with a root directory alone.

use super::blocks::{Blocks, first_block};
use super::options::FilesOptions;
use super::tree::{Change, PageCache, Tree};
use super::types::{FileKind, Inode};
use crate::error::{Error, ErrorKind, Result};
use crate::format::files::entry::NamePlace;
use crate::format::files::{InodeFlags, InodeRecord, ItemKind, Key, Superblock};
use crate::units::{BlockAddress, LayerId};
use crate::volume::Volume;

/// That blocks are those of a tree.
pub(super) fn expect_tree(kind: crate::format::LayerKind) -> Result<()> {
    match kind {
        crate::format::LayerKind::Tree => Ok(()),
        crate::format::LayerKind::Disk => {
            Err(Error::new(ErrorKind::InvalidInput, "open a tree of files")
                .about("kind", "a disk", "a tree"))
        }
    }
}

/// The first page, or none where nothing was ever written into a tree.
pub(super) fn read_superblock(blocks: &dyn Blocks) -> Result<Option<Superblock>> {
    let mut page = vec![0; blocks.block_size().bytes_usize()];
    blocks.read(BlockAddress(0), 0, &mut page)?;
    if crate::format::fields::first_nonzero(&page).is_none() {
        // A tree that lost its first page still has others.
        for extent in blocks.extents(BlockAddress(0), first_block(2)) {
            if matches!(extent?.target, crate::chain::ViewTarget::Data { .. }) {
                let expected = "the head of a file tree";
                return Err(Error::corrupt(
                    "open a tree of files",
                    "first page",
                    "zeros",
                    expected,
                ));
            }
        }
        return Ok(None);
    }
    Superblock::decode(&page, blocks.block_size()).map(Some)
}

/// The tree of a volume, or a new one where there is none.
pub(super) fn load(volume: &Volume, options: &FilesOptions, cache: &PageCache) -> Result<Tree> {
    let page_bytes = volume.block_size().bytes_usize();
    if let Some(superblock) = read_superblock(volume)? {
        superblock.expect_writable()?;
        return Ok(Tree::new(superblock, page_bytes));
    }
    let mut name_key = [0; 32];
    name_key[..16].copy_from_slice(&LayerId::random()?.0);
    name_key[16..].copy_from_slice(&LayerId::random()?.0);
    let superblock = Superblock::of_new_tree(volume.layer_id(), name_key);
    let mut tree = Tree::create(superblock, page_bytes);
    let now = (options.clock)();
    let root = InodeRecord {
        mode: FileKind::Directory.mode_bits() | options.root_permissions & 0o7777,
        flags: InodeFlags::default(),
        owner: options.root_owner.0,
        group: options.root_owner.1,
        links: 2,
        generation: 1,
        device: 0,
        size: 0,
        accessed: now,
        modified: now,
        changed: now,
        created: now,
        name: NamePlace { directory: Inode::ROOT.0, cookie: 0 },
    };
    tree.transaction(cache, volume, |change: &mut Change<'_>| {
        change.superblock_mut().inodes = 1;
        change.put(Key::new(ItemKind::Inode, Inode::ROOT.0, 0), &root.encode())
    })?;
    volume.note_change_above();
    Ok(tree)
}

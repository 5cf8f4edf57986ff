//! Which layer wrote what: ranges of a file, and shares of a tree.

use std::collections::BTreeMap;

use super::blocks::{FILE_BLOCK_BITS, first_block};
use super::read::expect_regular;
use super::types::{FileKind, Inode, is_inline, kind_of};
use super::view::{FilesView, ReadFiles};
use crate::chain::ViewTarget;
use crate::error::{Error, ErrorKind, Result};
use crate::format::files::{InodeRecord, ItemKind, Key};
use crate::store::Store;
use crate::units::{ADDRESS_END, BlockAddress, LayerId};

/// A stretch of a file that one layer wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlameRange {
    /// The first byte.
    pub start: u64,
    /// Past the last byte.
    pub end: u64,
    /// The layer, of which [`Store::layer`] tells when and by what it was made; none for zeros
    /// that nobody wrote.
    pub layer: Option<LayerId>,
}

/// How much of a tree a layer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Bytes of blocks of files.
    pub content_bytes: u64,
    /// Bytes of pages of the metadata, the contents of small files among them.
    pub metadata_bytes: u64,
}

/// What a tree is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeUsage {
    /// Files of all kinds, directories too, each once. Attachments are counted apart, here and in
    /// what follows.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// The sizes of all regular files and symlinks.
    pub content_bytes: u64,
    /// Of those, what stands in the metadata.
    pub inline_bytes: u64,
    /// The blocks of files.
    pub block_bytes: u64,
    /// What the last blocks of files hold past their ends: waste.
    pub tail_bytes: u64,
    /// The pages of the metadata.
    pub metadata_bytes: u64,
    /// Attachments.
    pub attachments: u64,
    /// Their sizes.
    pub attachment_bytes: u64,
}

/// Which layer wrote each stretch of a file, from metadata alone, in order.
///
/// Of a file whose content stands in the metadata it is the layer that wrote it last as a whole:
/// as far back as there are snapshots that were not removed.
pub fn blame(store: &Store, view: &FilesView, inode: Inode) -> Result<Vec<BlameRange>> {
    let record = view.record(inode)?;
    expect_regular("blame a file", &record)?;
    if record.size == 0 {
        return Ok(Vec::new());
    }
    if is_inline(&record) {
        let layer = Some(writer_of_content(store, view, inode, &record)?);
        return Ok(vec![BlameRange { start: 0, end: record.size, layer }]);
    }
    let log2 = view.snapshot().block_size().log2();
    let start = first_block(inode.0);
    let end = BlockAddress(start.0 + view.snapshot().block_size().blocks_for(record.size));
    let mut ranges: Vec<BlameRange> = Vec::new();
    for extent in view.snapshot().extents(start, end) {
        let extent = extent?;
        let layer = match extent.target {
            ViewTarget::Data { owner, .. } => Some(owner),
            _ => None,
        };
        let from = (extent.start.0 - start.0) << log2;
        let past = (from + (extent.length << log2)).min(record.size);
        match ranges.last_mut() {
            Some(last) if last.layer == layer => last.end = past,
            _ => ranges.push(BlameRange { start: from, end: past, layer }),
        }
    }
    Ok(ranges)
}

/// How much of a tree each layer of its chain holds, from metadata alone.
pub fn shares(view: &FilesView) -> Result<BTreeMap<LayerId, Share>> {
    let snapshot = view.snapshot();
    let log2 = snapshot.block_size().log2();
    let metadata_end = 1 << FILE_BLOCK_BITS;
    let mut shares: BTreeMap<LayerId, Share> = BTreeMap::new();
    for (start, end) in [(0, metadata_end), (metadata_end, ADDRESS_END)] {
        for extent in snapshot.extents(BlockAddress(start), BlockAddress(end)) {
            let extent = extent?;
            if let ViewTarget::Data { owner, .. } = extent.target {
                let share = shares.entry(owner).or_default();
                let bytes = extent.length << log2;
                match start {
                    0 => share.metadata_bytes += bytes,
                    _ => share.content_bytes += bytes,
                }
            }
        }
    }
    Ok(shares)
}

/// What a tree is made of: all its inodes are looked at, and no content.
pub fn usage(view: &FilesView) -> Result<TreeUsage> {
    let mut usage = TreeUsage::default();
    let block_size = view.snapshot().block_size();
    let (first, _) = Key::range(ItemKind::Inode, 0);
    let (_, last) = Key::range(ItemKind::Inode, u32::MAX);
    let reader = view.reader();
    let attachments = view.attachments()?;
    reader.pages.scan(first, last, |key, value| {
        let record = InodeRecord::decode(value)?;
        if attachments == Some(Inode(key.inode())) {
            return Ok(std::ops::ControlFlow::Continue(()));
        }
        if record.links > 0 && attachments == Some(Inode(record.name.directory)) {
            usage.attachments += 1;
            usage.attachment_bytes += record.size;
            return Ok(std::ops::ControlFlow::Continue(()));
        }
        usage.files += 1;
        match kind_of(&record)? {
            FileKind::Directory => usage.directories += 1,
            FileKind::Regular | FileKind::Symlink => {
                usage.content_bytes += record.size;
                if is_inline(&record) {
                    usage.inline_bytes += record.size;
                } else {
                    let inode = Inode(key.inode());
                    usage.block_bytes += reader.attributes(inode)?.allocated_bytes;
                    let end = record.size.next_multiple_of(block_size.bytes());
                    usage.tail_bytes += end - record.size;
                }
            }
            _ => {}
        }
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    usage.metadata_bytes = reader.statistics().metadata_bytes;
    Ok(usage)
}

/// The oldest layer from which on the content that stands in the metadata is as it is now.
fn writer_of_content(
    store: &Store,
    view: &FilesView,
    inode: Inode,
    record: &InodeRecord,
) -> Result<LayerId> {
    let content = view.reader().content(inode, record.size)?;
    let mut layer = page_owner(view, inode)?;
    loop {
        // The page was written there: because of this content, or of what stands beside it.
        let Some(parent) = store.layer(layer)?.parent else { return Ok(layer) };
        let below = match store.snapshot_of(&parent.id.to_string()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(layer),
            snapshot => match FilesView::open(snapshot?) {
                // Before there was any tree.
                Err(error) if error.kind() == ErrorKind::InvalidInput => return Ok(layer),
                view => view?,
            },
        };
        let same = match below.record_if_there(inode)? {
            Some(old) => {
                old.generation == record.generation
                    && old.size == record.size
                    && is_inline(&old)
                    && below.reader().content(inode, old.size)? == content
            }
            None => false,
        };
        if !same {
            return Ok(layer);
        }
        layer = page_owner(&below, inode)?;
    }
}

/// The layer that wrote the page in which the content of a file begins.
fn page_owner(view: &FilesView, inode: Inode) -> Result<LayerId> {
    let reader = view.reader();
    let number = reader.pages.leaf_number(Key::new(ItemKind::Content, inode.0, 0))?;
    let page = BlockAddress(number.into());
    let extent = view.snapshot().extents(page, BlockAddress(page.0 + 1)).next().transpose()?;
    match extent.map(|extent| extent.target) {
        Some(ViewTarget::Data { owner, .. }) => Ok(owner),
        _ => Err(Error::corrupt("blame a file", "page", "no data", "a block of a layer")),
    }
}

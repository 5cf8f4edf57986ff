//! What each layer brought to a tree, and what of it the tree does not show any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{ControlFlow, Range};

use super::blocks::FILE_BLOCK_BITS;
use super::change::ChangeKind;
use super::changes::changes;
use super::types::{FileKind, Inode, is_inline, kind_of};
use super::view::FilesView;
use crate::chain::ViewTarget;
use crate::error::Result;
use crate::format::files::{InodeRecord, ItemKind, Key};
use crate::units::{ADDRESS_END, BlockAddress, LayerId};

/// What a layer brought to a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerContent {
    /// The layer.
    pub layer: LayerId,
    /// Bytes of content that it brought and no layer below it had: of what it wrote, in whole
    /// blocks up to the ends of files, and of small files and symlinks in the metadata.
    pub content_bytes: u64,
    /// Of those, bytes that the tree does not show: later layers replaced or removed them.
    pub hidden_bytes: u64,
    /// Where those were in the layer, most bytes first.
    pub hidden: Vec<HiddenContent>,
}

/// Content of a file that later layers replaced or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiddenContent {
    /// The first path of the file in the layer that brought it.
    pub path: Vec<u8>,
    /// How many bytes.
    pub bytes: u64,
}

/// What each of some layers brought, and what of it the last one does not show.
///
/// `layers` stand on each other, the lowest first; ancestors that are left out count as part of
/// the next one. From metadata alone, block by block, in proportion to what the layers changed; a
/// block that is shared, by layers or files, is counted once, where it came first. Attachments and
/// files without a name are left out.
///
/// Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) for trees that do not come from one.
pub fn contents_of_layers(layers: &[FilesView]) -> Result<Vec<LayerContent>> {
    let Some(top) = layers.last() else { return Ok(Vec::new()) };
    let mut shown = Blocks::default();
    each_piece(None, top, &mut |piece| {
        shown.add(piece.owner, piece.blocks.clone());
        Ok(())
    })?;
    let mut known = Blocks::default();
    let mut found = Vec::new();
    for (index, view) in layers.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| &layers[index]);
        let mut content_bytes = 0;
        let mut hidden: BTreeMap<Inode, u64> = BTreeMap::new();
        each_piece(before, view, &mut |piece| {
            for part in known.add(piece.owner, piece.blocks.clone()) {
                content_bytes += piece.bytes(&part);
                for part in shown.missing(piece.owner, part) {
                    *hidden.entry(piece.inode).or_default() += piece.bytes(&part);
                }
            }
            Ok(())
        })?;
        for (inode, record) in small_files(before, view)? {
            content_bytes += record.size;
            if record.size > 0 && !has_small_file(top, view, inode, &record)? {
                *hidden.entry(inode).or_default() += record.size;
            }
        }
        found.push(LayerContent {
            layer: view.snapshot().layer_id(),
            content_bytes,
            hidden_bytes: hidden.values().sum(),
            hidden: named(view, hidden)?,
        });
    }
    Ok(found)
}

fn named(view: &FilesView, hidden: BTreeMap<Inode, u64>) -> Result<Vec<HiddenContent>> {
    let mut named = Vec::with_capacity(hidden.len());
    for (inode, bytes) in hidden {
        let path = view.paths_of(inode)?.into_iter().next().unwrap_or_default();
        named.push(HiddenContent { path, bytes });
    }
    named.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    Ok(named)
}

/// Blocks of a file that lie together.
struct Piece {
    inode: Inode,
    /// The size of the file, and of a block, in bytes.
    size: u64,
    block_bytes: u64,
    /// The first of its blocks.
    first: u64,
    owner: LayerId,
    blocks: Range<u64>,
}

impl Piece {
    /// How many bytes of the file a part of the blocks holds.
    fn bytes(&self, part: &Range<u64>) -> u64 {
        let byte = |block: u64| {
            let block = self.first + (block - self.blocks.start);
            block.saturating_mul(self.block_bytes).min(self.size)
        };
        byte(part.end) - byte(part.start)
    }
}

/// Shows the data of files that is not in `before`, up to the ends of the files.
fn each_piece(
    before: Option<&FilesView>,
    view: &FilesView,
    each: &mut dyn FnMut(Piece) -> Result<()>,
) -> Result<()> {
    let block_size = view.snapshot().block_size();
    let mut show = |start: BlockAddress, length: u64, target: ViewTarget| -> Result<()> {
        let ViewTarget::Data { owner, block, .. } = target else { return Ok(()) };
        let past = start.0 + length;
        let mut at = start.0.max(1 << FILE_BLOCK_BITS);
        while at < past {
            let inode = Inode((at >> FILE_BLOCK_BITS) as u32);
            let next = (u64::from(inode.0) + 1) << FILE_BLOCK_BITS;
            if let Some(record) = content_of_tree(view, inode)?
                && !is_inline(&record)
            {
                let first = at & ((1 << FILE_BLOCK_BITS) - 1);
                let end = (first + (past.min(next) - at)).min(block_size.blocks_for(record.size));
                let from = block.0 + (at - start.0);
                each(Piece {
                    inode,
                    size: record.size,
                    block_bytes: block_size.bytes(),
                    first,
                    owner,
                    blocks: from..from + end.saturating_sub(first),
                })?;
            }
            at = next;
        }
        Ok(())
    };
    match before {
        Some(before) => {
            for extent in view.snapshot().changes_since(before.snapshot())? {
                let extent = extent?;
                show(extent.start, extent.length, extent.after)?;
            }
        }
        None => {
            let end = BlockAddress(ADDRESS_END);
            for extent in view.snapshot().extents(BlockAddress(1 << FILE_BLOCK_BITS), end) {
                let extent = extent?;
                show(extent.start, extent.length, extent.target)?;
            }
        }
    }
    Ok(())
}

/// The record of a file with content that has a name in the tree.
fn content_of_tree(view: &FilesView, inode: Inode) -> Result<Option<InodeRecord>> {
    let Some(record) = view.record_if_there(inode)? else { return Ok(None) };
    let has_content = matches!(kind_of(&record)?, FileKind::Regular | FileKind::Symlink);
    let of_tree = record.links > 0 && !view.holds_attachments(record.name.directory);
    Ok((has_content && of_tree).then_some(record))
}

/// The files whose content stands in the metadata, and did not in `before`.
fn small_files(
    before: Option<&FilesView>,
    view: &FilesView,
) -> Result<BTreeMap<Inode, InodeRecord>> {
    let mut found = BTreeMap::new();
    let Some(before) = before else {
        let (first, _) = Key::range(ItemKind::Inode, 0);
        let (_, last) = Key::range(ItemKind::Inode, u32::MAX);
        view.reader().pages.scan(first, last, |key, _| {
            let inode = Inode(key.inode());
            if let Some(record) = content_of_tree(view, inode)?.filter(is_inline) {
                found.insert(inode, record);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        return Ok(found);
    };
    let mut asked = BTreeSet::new();
    for change in changes(before, view)? {
        let has_content = match &change.kind {
            ChangeKind::Added => true,
            ChangeKind::Deleted => false,
            ChangeKind::Modified(difference) | ChangeKind::Renamed { difference, .. } => {
                difference.content || change.is_of_another_file()
            }
        };
        let Some(file) = change.after.filter(|_| has_content) else { continue };
        if !asked.insert(file.inode) {
            continue;
        }
        let record = content_of_tree(view, file.inode)?.filter(is_inline);
        if let Some(record) = record
            && !has_small_file(before, view, file.inode, &record)?
        {
            found.insert(file.inode, record);
        }
    }
    Ok(found)
}

/// Whether another tree has a file with the same content in its metadata.
fn has_small_file(
    other: &FilesView,
    view: &FilesView,
    inode: Inode,
    record: &InodeRecord,
) -> Result<bool> {
    let Some(found) = content_of_tree(other, inode)?.filter(is_inline) else { return Ok(false) };
    let is_same = (found.generation, found.size) == (record.generation, record.size);
    Ok(is_same
        && other.reader().content(inode, record.size)?
            == view.reader().content(inode, record.size)?)
}

/// Blocks of layer files.
#[derive(Debug, Default)]
struct Blocks {
    /// Of each layer, ranges that neither overlap nor touch, by their starts.
    layers: HashMap<LayerId, BTreeMap<u64, u64>>,
}

impl Blocks {
    /// The parts of a range that are not there.
    fn missing(&self, layer: LayerId, range: Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut at = range.start;
        if let Some(held) = self.layers.get(&layer) {
            let first = held.range(..=at).next_back().map_or(at, |(start, _)| *start);
            for (&start, &end) in held.range(first..range.end) {
                if start > at {
                    missing.push(at..start);
                }
                at = at.max(end);
            }
        }
        if at < range.end {
            missing.push(at..range.end);
        }
        missing
    }

    /// Adds a range; the parts that were not there.
    fn add(&mut self, layer: LayerId, range: Range<u64>) -> Vec<Range<u64>> {
        let missing = self.missing(layer, range.clone());
        if !missing.is_empty() {
            let held = self.layers.entry(layer).or_default();
            let (mut start, mut end) = (range.start, range.end);
            while let Some((&near, &past)) = held.range(..=end).next_back()
                && past >= start
            {
                (start, end) = (start.min(near), end.max(past));
                held.remove(&near);
            }
            held.insert(start, end);
        }
        missing
    }
}

#[cfg(test)]
mod tests;

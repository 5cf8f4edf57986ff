//! `map`: pictures which layer owns what, and lists the extents.

use std::io::{self, Write};

use rustix::termios::tcgetwinsize;
use sapwood::chain::{Snapshot, ViewExtent, ViewTarget};
use sapwood::format::LayerKind;
use sapwood::store::Store;
use sapwood::units::{ADDRESS_END, BlockAddress};
use serde::Serialize;

use super::ranges::{ByteRange, disk_size, joined, state_word, write_heading, write_range};
use crate::args::MapArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Page, Text};
use crate::picture::map::{Content, MapPicture, Owner};
use crate::reports::{names_of_layers, short};

/// In a tree the bytes of a file lie at its number shifted by so many bits, in blocks.
const FILE_BLOCK_BITS: u32 = 32;
/// The width of the picture where the terminal tells none.
const WIDTH_DEFAULT: u16 = 80;

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    range: ByteRange,
    /// Of a tree: whose bytes these are, and where in it. Number 0 is the metadata.
    inode: Option<u64>,
    file_offset_bytes: Option<u128>,
    state: &'static str,
    layer: Option<String>,
    depth: Option<u64>,
}

pub fn run(args: &MapArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let subject = Subject::open(&store, args)?;
    let row = |extent: ViewExtent| {
        let owner = owner(&extent);
        let range = subject.range(&extent);
        let in_file = subject.is_tree.then(|| range.offset_bytes % subject.file_bytes());
        Row {
            range,
            inode: subject.is_tree.then_some(extent.start.0 >> FILE_BLOCK_BITS),
            file_offset_bytes: in_file,
            state: state_word(&extent.target),
            layer: owner.map(|owner| owner.layer.to_string()),
            depth: owner.map(|owner| owner.depth),
        }
    };
    context.output.stream(context.verb, |page| match page {
        Page::Json(document) => {
            document.field("reference", &args.reference)?;
            document.field("since", &args.since)?;
            document.field("layer", &subject.snapshot.layer_id().to_string())?;
            document.field("size_bytes", &subject.snapshot.size_bytes())?;
            document.field("block_bytes", &store.block_size().bytes())?;
            document.list("extents", subject.extents()?.map(|extent| extent.map(row)))
        }
        Page::Text(text) if subject.blocks() == 0 => {
            writeln!(text, "nothing there: the disk has 0 bytes").map_err(CliError::report)
        }
        Page::Text(text) => {
            let picture = subject.picture(picture_width(args))?;
            let owners = picture.shown_owners();
            let owners = owners.iter().map(|owner| owner.layer);
            let names = names_of_layers(&store, &args.reference, owners)?;
            let label = |owner: &Owner| match names.get(&owner.layer) {
                Some(names) => format!("{}  {}", short(&owner.layer.to_string()), names.join(", ")),
                None => short(&owner.layer.to_string()).to_owned(),
            };
            picture.write(text, store.block_size().bytes(), label).map_err(CliError::report)?;
            writeln!(text).map_err(CliError::report)?;
            let last = if subject.is_tree { "         INODE" } else { "" };
            write_heading(text, &format!("STATE  DEPTH  LAYER{last}")).map_err(CliError::report)?;
            for extent in subject.extents()? {
                write_row(text, &row(extent?)).map_err(CliError::report)?;
            }
            Ok(())
        }
    })?;
    Ok(Verdict::Done)
}

fn write_row(text: &mut Text<'_>, row: &Row) -> io::Result<()> {
    let mut range = row.range;
    let mut rest = match (&row.layer, row.depth) {
        (Some(layer), Some(depth)) => format!("{:<5}  {depth:>5}  {}", row.state, short(layer)),
        _ => row.state.to_owned(),
    };
    if let (Some(inode), Some(offset)) = (row.inode, row.file_offset_bytes) {
        range.offset_bytes = offset;
        rest = match inode {
            0 => format!("{rest:<26}  metadata"),
            _ => format!("{rest:<26}  {inode}"),
        };
    }
    write_range(text, range, rest)
}

/// What is pictured: a snapshot, perhaps only where it changed since another.
struct Subject<'a> {
    store: &'a Store,
    snapshot: Snapshot,
    since: Option<Snapshot>,
    /// Of a tree what nothing was ever written to is left out: nearly all of its addresses.
    is_tree: bool,
}

impl<'a> Subject<'a> {
    fn open(store: &'a Store, args: &MapArgs) -> Result<Subject<'a>> {
        let snapshot = store.snapshot_of(&args.reference)?;
        let since = args.since.as_ref().map(|since| store.snapshot_of(since)).transpose()?;
        let is_tree = snapshot.kind() == LayerKind::Tree;
        Ok(Subject { store, snapshot, since, is_tree })
    }

    fn blocks(&self) -> u64 {
        let blocks = |size| self.store.block_size().blocks_for(size);
        disk_size(&self.snapshot).map_or(ADDRESS_END, blocks)
    }

    /// The picture of the extents: where they lie on a disk, side by side in a tree.
    fn picture(&self, width: u16) -> Result<MapPicture> {
        if !self.is_tree {
            let mut picture = MapPicture::new(self.blocks(), width);
            for extent in self.extents()? {
                let extent = extent?;
                picture.add(extent.start.0, extent.length, content(&extent));
            }
            return Ok(picture);
        }
        let mut blocks = 0;
        for extent in self.extents()? {
            blocks += extent?.length;
        }
        let mut picture = MapPicture::new(blocks, width);
        let mut at = 0;
        for extent in self.extents()? {
            let extent = extent?;
            picture.add(at, extent.length, content(&extent));
            at += extent.length;
        }
        Ok(picture)
    }

    /// How much of a tree's address space a file has.
    fn file_bytes(&self) -> u128 {
        u128::from(self.store.block_size().bytes()) << FILE_BLOCK_BITS
    }

    /// The extents, longest in what is shown of them: neighbours of one owner are one.
    fn extents(&self) -> Result<impl Iterator<Item = Result<ViewExtent>> + '_> {
        // Their blocks need not be neighbours in the owner's file.
        let pieces = self.pieces()?.filter(|piece| {
            let is_hole = |piece: &ViewExtent| piece.target == ViewTarget::Hole;
            !self.is_tree || !piece.as_ref().is_ok_and(is_hole)
        });
        let file = |extent: &ViewExtent| self.is_tree.then_some(extent.start.0 >> FILE_BLOCK_BITS);
        Ok(joined(pieces, move |held, next| {
            let goes_on = held.start.saturating_add(held.length) == next.start
                && file(held) == file(next)
                && content(held) == content(next);
            if goes_on {
                held.length += next.length;
            }
            goes_on
        }))
    }

    fn pieces(&self) -> Result<Box<dyn Iterator<Item = Result<ViewExtent>> + '_>> {
        let end = BlockAddress(self.blocks());
        let within = move |start: BlockAddress, past: BlockAddress| {
            self.snapshot.extents(start, past.min(end)).map(|extent| extent.map_err(CliError::from))
        };
        let Some(since) = &self.since else {
            return Ok(Box::new(within(BlockAddress(0), end)));
        };
        let changes = self.snapshot.changes_since(since)?;
        Ok(Box::new(changes.flat_map(move |change| {
            let (changed, failed) = match change {
                Ok(change) => (Some(change), None),
                Err(error) => (None, Some(Err(error.into()))),
            };
            let extents = changed
                .into_iter()
                .flat_map(move |c| within(c.start, c.start.saturating_add(c.length)));
            failed.into_iter().chain(extents)
        })))
    }

    fn range(&self, extent: &ViewExtent) -> ByteRange {
        let size = disk_size(&self.snapshot);
        ByteRange::of_blocks(extent.start, extent.length, self.store.block_size(), size)
    }
}

fn owner(extent: &ViewExtent) -> Option<Owner> {
    match extent.target {
        ViewTarget::Data { owner, depth, .. } => Some(Owner { depth, layer: owner }),
        ViewTarget::Hole | ViewTarget::Zero => None,
    }
}

fn content(extent: &ViewExtent) -> Content {
    match (owner(extent), extent.target) {
        (Some(owner), _) => Content::Data(owner),
        (None, ViewTarget::Zero) => Content::Zero,
        (None, _) => Content::Hole,
    }
}

fn picture_width(args: &MapArgs) -> u16 {
    let terminal = || tcgetwinsize(std::io::stdout()).ok().map(|size| size.ws_col);
    args.width.or_else(terminal).filter(|&width| width > 0).unwrap_or(WIDTH_DEFAULT)
}

//! `map`: pictures which layer owns what, and lists the extents.

use std::collections::HashMap;
use std::io::{self, Write};

use rustix::termios::tcgetwinsize;
use sapwood::chain::{Snapshot, ViewExtent, ViewTarget};
use sapwood::store::Store;
use sapwood::units::{ADDRESS_END, BlockAddress, LayerId};
use serde::Serialize;

use super::ranges::{ByteRange, disk_size, joined, state_word, write_heading, write_range};
use crate::args::MapArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Page, Text};
use crate::picture::map::{Content, MapPicture, Owner};
use crate::reports::short;

/// The width of the picture where the terminal tells none.
const WIDTH_DEFAULT: u16 = 80;

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    range: ByteRange,
    state: &'static str,
    layer: Option<String>,
    depth: Option<u64>,
}

pub fn run(args: &MapArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let subject = Subject::open(&store, args)?;
    let row = |extent: ViewExtent| {
        let owner = owner(&extent);
        Row {
            range: subject.range(&extent),
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
        Page::Text(text) => {
            let mut picture = MapPicture::new(subject.blocks(), picture_width(args));
            for extent in subject.extents()? {
                let extent = extent?;
                picture.add(extent.start.0, extent.length, content(&extent));
            }
            let names = layer_names(&store)?;
            let label = |owner: &Owner| match names.get(&owner.layer) {
                Some(name) => format!("{}  {name}", short(&owner.layer.to_string())),
                None => short(&owner.layer.to_string()).to_owned(),
            };
            picture.write(text, store.block_size().bytes(), label).map_err(CliError::report)?;
            writeln!(text).map_err(CliError::report)?;
            write_heading(text, "STATE  DEPTH  LAYER").map_err(CliError::report)?;
            for extent in subject.extents()? {
                write_row(text, &row(extent?)).map_err(CliError::report)?;
            }
            Ok(())
        }
    })?;
    Ok(Verdict::Done)
}

fn write_row(text: &mut Text<'_>, row: &Row) -> io::Result<()> {
    match (&row.layer, row.depth) {
        (Some(layer), Some(depth)) => {
            let layer = short(layer);
            write_range(text, row.range, format_args!("{:<5}  {depth:>5}  {layer}", row.state))
        }
        _ => write_range(text, row.range, row.state),
    }
}

/// What is pictured: a snapshot, perhaps only where it changed since another.
struct Subject<'a> {
    store: &'a Store,
    snapshot: Snapshot,
    since: Option<Snapshot>,
}

impl<'a> Subject<'a> {
    fn open(store: &'a Store, args: &MapArgs) -> Result<Subject<'a>> {
        let snapshot = store.snapshot_of(&args.reference)?;
        let since = args.since.as_ref().map(|since| store.snapshot_of(since)).transpose()?;
        Ok(Subject { store, snapshot, since })
    }

    fn blocks(&self) -> u64 {
        let blocks = |size| self.store.block_size().blocks_for(size);
        disk_size(&self.snapshot).map_or(ADDRESS_END, blocks)
    }

    /// The extents, longest in what is shown of them: neighbours of one owner are one.
    fn extents(&self) -> Result<impl Iterator<Item = Result<ViewExtent>> + '_> {
        // Their blocks need not be neighbours in the owner's file.
        Ok(joined(self.pieces()?, |held, next| {
            let goes_on = held.start.saturating_add(held.length) == next.start
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

/// How people call the layers that have names.
fn layer_names(store: &Store) -> Result<HashMap<LayerId, String>> {
    let mut names = HashMap::new();
    for entry in store.names()? {
        let name: &mut String = names.entry(entry.top).or_default();
        if !name.is_empty() {
            name.push_str(", ");
        }
        name.push_str(&entry.name);
    }
    Ok(names)
}

fn picture_width(args: &MapArgs) -> u16 {
    let terminal = || tcgetwinsize(std::io::stdout()).ok().map(|size| size.ws_col);
    args.width.or_else(terminal).filter(|&width| width > 0).unwrap_or(WIDTH_DEFAULT)
}

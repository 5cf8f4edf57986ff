//! Looking into a live volume from outside, without its lock: as of its last whole commit.
//!
//! The writer may go on meanwhile. Everything is copied and verified every time; a block that
//! no longer verifies means that the writer has moved on, and is reported as stale.

use std::path::Path;
use std::sync::Arc;

use super::level::Level;
use super::replay::{Device, replay};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Holes, Run, RunBuilder, Target, fold_runs};
use crate::format::page::{PageKind, Prelude};
use crate::format::{Header, LayerRef};
use crate::layer::{FileSource, Layer, LayerFile, ReadPolicy, read_header, run_in_heap};
use crate::medium::{Host, OpenMode};
use crate::units::FileBlock;

/// How often a look is taken anew where the writer changed the layer under it.
const TRIES: usize = 8;

/// The open layer at `path` as of its last whole commit, as a layer to put on the view below it.
///
/// Errors: [`ErrorKind::Stale`] where the writer kept changing it; [`ErrorKind::NotFound`] where it
/// is gone; [`ErrorKind::Corrupt`] where it does not verify and nobody has changed it meanwhile.
pub fn look_in(host: &Arc<dyn Host>, path: &Path) -> Result<Arc<Layer>> {
    let mut before: Option<Header> = None;
    for _ in 0..TRIES {
        let shown = host.display_path(path);
        let medium = host
            .open(path, OpenMode::Read)
            .map_err(|error| Error::io("look into a volume", error).in_file(&shown))?;
        let header = match read_header(&*medium, &shown) {
            Ok(slots) => slots.header,
            // Slots are written one after the other: both torn at once is damage.
            Err(error) if before.is_some() => return Err(error),
            Err(_) => continue,
        };
        let source = FileSource::Held(Arc::clone(&medium));
        let (id, size) = (header.layer, header.block_size);
        let file = LayerFile::new(source, &shown, id, size, ReadPolicy::OUTSIDE, None).outside();
        let facts = medium
            .facts()
            .map_err(|error| Error::io("look into a volume", error).in_file(&shown))?;
        let device = Device {
            medium: &*medium,
            path: &shown,
            block_size: size,
            uncached: false,
            length: facts.length,
        };
        let looked = replay(&file, &device, &header).and_then(|replayed| {
            let run = run_of(&file, &header, &replayed.level, &replayed.checksums)?;
            Ok((replayed, run))
        });
        match looked {
            Ok((replayed, run)) => {
                let again = read_header(&*medium, &shown)?.header;
                if again.generation != header.generation {
                    before = Some(again);
                    continue;
                }
                let sources: Vec<LayerRef> =
                    replayed.sources.iter().map(|source| source.reference).collect();
                let mut header = header;
                header.volume_bytes = replayed.volume_bytes;
                return Ok(Layer::from_parts(file, header, run.into_iter().collect(), sources));
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let again = read_header(&*medium, &shown)?.header;
                if before.as_ref().is_some_and(|before| before.generation == again.generation)
                    && again.generation == header.generation
                {
                    return Err(error);
                }
                before = Some(again);
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(ErrorKind::Stale, "look into a volume that keeps changing")
        .in_file(host.display_path(path)))
}

/// One run in memory for all that is committed; `None` where that is nothing.
fn run_of(
    file: &LayerFile,
    header: &Header,
    level: &Level,
    checksums: &crate::extent::BlockChecksums,
) -> Result<Option<Arc<Run>>> {
    let prelude =
        Prelude { kind: PageKind::Run, layer: header.layer, generation: 0, place: FileBlock(0) };
    let pack = |builder: RunBuilder| run_in_heap(file, builder.finish(&prelude)?);
    let map = |map: &crate::extent::ExtentMap| {
        let mut builder = RunBuilder::with_checksums();
        for extent in map.iter() {
            builder.push(extent)?;
            if let Target::Data { source, block } = extent.target {
                for index in 0..extent.length {
                    let block = FileBlock(block.0 + index);
                    let checksum = checksums.get(source, block).ok_or_else(|| {
                        let expected = "one for each block";
                        Error::corrupt("look into a volume", "checksum", "none", expected)
                    })?;
                    builder.push_checksums(&[checksum]);
                }
            }
        }
        pack(builder)
    };
    let mut runs = Vec::new();
    if !level.map.is_empty() {
        runs.push(map(&level.map)?);
    }
    for part in &level.parts {
        runs.push(match part {
            super::level::Part::Run(run) => Arc::clone(run),
            super::level::Part::Map(part) => map(part)?,
        });
    }
    let folded = fold_runs(&runs, Holes::Drop)?;
    if folded.is_empty() { Ok(None) } else { pack(folded).map(Some) }
}

//! Looking into a live volume from outside, without its lock: as of its last whole commit.
//!
//! The writer may go on meanwhile. Everything is copied and verified every time; a block that no
//! longer verifies is reported as stale where the writer has moved on, and is damaged otherwise.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::level::Level;
use super::replay::{Replayed, replay};
use super::walk::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Holes, Run, RunBuilder, Target, fold_runs};
use crate::format::header::HEADER_BYTES;
use crate::format::page::{PageKind, Prelude};
use crate::format::{Header, LayerRef};
use crate::layer::{Elsewhere, FileSource, Layer, LayerFile, ReadPolicy, read_header, run_in_heap};
use crate::medium::{Host, Medium, OpenMode};
use crate::units::FileBlock;

/// How often a look is taken anew where the writer changed the layer under it.
const TRIES: usize = 16;
/// How often in a row the same failure, with the header unchanged, is taken for damage.
const TRIES_ALIKE: usize = 3;

/// The open layer at `path` as of its last whole commit, as a layer to put on the view below it.
///
/// Errors: [`ErrorKind::Stale`] where the writer kept changing it; [`ErrorKind::NotFound`] where it
/// is gone; [`ErrorKind::Corrupt`] where it does not verify and nobody has changed it meanwhile.
pub fn look_in(host: &Arc<dyn Host>, path: &Path) -> Result<Arc<Layer>> {
    let shown = host.display_path(path);
    // Anew each time: its file may have been replaced.
    let open = || {
        let opened = host.open(path, OpenMode::Read);
        opened.map_err(|error| Error::io("look into a volume", error).in_file(&shown))
    };
    while_header_rests(TRIES, &shown, open, |medium| look_once(Arc::clone(medium), &shown))
}

/// What `look` finds in an open layer while its header stays as it is, in up to `tries` looks:
/// places that the journal or a map names are used again only after the header has moved on.
///
/// Errors: what `look` says, [`ErrorKind::Corrupt`] only where it says the same several times in a row of
/// a header that nobody has changed; [`ErrorKind::Stale`] where the writer kept changing it.
pub(crate) fn while_header_rests<T>(
    tries: usize,
    shown: &Path,
    open: impl Fn() -> Result<Arc<dyn Medium>>,
    mut look: impl FnMut(&Arc<dyn Medium>) -> Result<T>,
) -> Result<T> {
    let mut failure: Option<(String, Vec<u8>)> = None;
    let mut alike = 0;
    for _ in 0..tries {
        let medium = open()?;
        let before = header_bytes(&*medium, shown)?;
        let looked = look(&medium);
        let unchanged = header_bytes(&*medium, shown)? == before;
        match looked {
            Ok(found) if unchanged => return Ok(found),
            Ok(_) => failure = None,
            Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
            Err(error) => {
                let this = (error.to_string(), before);
                alike = if failure.as_ref() == Some(&this) { alike + 1 } else { 1 };
                if unchanged && alike >= TRIES_ALIKE {
                    return Err(error);
                }
                failure = Some(this);
            }
        }
    }
    Err(Error::new(ErrorKind::Stale, "look into a volume that keeps changing").in_file(shown))
}

/// The bytes of both slots, as far as the file holds them.
fn header_bytes(medium: &dyn Medium, shown: &Path) -> Result<Vec<u8>> {
    let read = || {
        let mut bytes = vec![0; medium.facts()?.length.min(HEADER_BYTES) as usize];
        medium.read_at(0, &mut bytes).map(|()| bytes)
    };
    read().map_err(|error| Error::of_reading("look into a volume", error).in_file(shown))
}

fn look_once(medium: Arc<dyn Medium>, shown: &Path) -> Result<Arc<Layer>> {
    let header_bytes = header_bytes(&*medium, shown)?;
    let mut header = read_header(&*medium, shown)?.header;
    let file = file_of(&medium, shown, &header);
    let replayed = replay_of(&file, &medium, &header)?;
    let run = run_of(&file, &header, &replayed.level, &replayed.checksums)?;
    let sources: Vec<LayerRef> = replayed.sources.iter().map(|source| source.reference).collect();
    header.volume_bytes = replayed.volume_bytes;
    let path = shown.to_owned();
    let seen = Seen { medium, path, header_bytes, sequence: replayed.sequence };
    let file = file.outside(Arc::new(seen));
    Ok(Layer::from_parts(file, header, run.into_iter().collect(), sources))
}

fn file_of(medium: &Arc<dyn Medium>, shown: &Path, header: &Header) -> LayerFile {
    let source = FileSource::Held(Arc::clone(medium));
    LayerFile::new(source, shown, header.layer, header.block_size, ReadPolicy::OUTSIDE, None)
}

fn replay_of(file: &LayerFile, medium: &Arc<dyn Medium>, header: &Header) -> Result<Replayed> {
    replay(file, &Device::outside(&**medium, file.path(), header)?, header)
}

/// The commit that was looked at.
#[derive(Debug)]
struct Seen {
    medium: Arc<dyn Medium>,
    path: PathBuf,
    header_bytes: Vec<u8>,
    sequence: u64,
}

impl Seen {
    /// Whether it is the last one still.
    fn is_last(&self) -> Result<bool> {
        let is_same = || Ok(header_bytes(&*self.medium, &self.path)? == self.header_bytes);
        if !is_same()? {
            return Ok(false);
        }
        let header = read_header(&*self.medium, &self.path)?.header;
        let file = file_of(&self.medium, &self.path, &header);
        let sequence = replay_of(&file, &self.medium, &header)?.sequence;
        Ok(sequence == self.sequence && is_same()?)
    }
}

impl Elsewhere for Seen {
    fn has_moved_on(&self) -> bool {
        // A new look tells what is wrong where it cannot be told here.
        !self.is_last().unwrap_or(false)
    }
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

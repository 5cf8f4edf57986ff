//! Folding several runs of a layer into one.

use std::sync::Arc;

use super::merge::{Holes, Stretch, overlay};
use super::run::{Run, RunBuilder};
use super::{Extent, Target};
use crate::error::Result;
use crate::units::BlockAddress;

/// Packs what `runs`, newest first, say together, with the checksums of their data blocks.
///
/// Holes stay as long as an older run may lie below the outcome.
pub fn fold_runs(runs: &[Arc<Run>], holes: Holes) -> Result<RunBuilder> {
    let mut folded = RunBuilder::with_checksums();
    folded.reserve(runs.iter().map(|run| run.extent_count()).max().unwrap_or(0));
    let mut pieces: Box<dyn Iterator<Item = Result<Piece>> + '_> = Box::new(std::iter::empty());
    // The oldest run, the largest one, comes last and goes through one merge only.
    for (number, run) in runs.iter().enumerate() {
        pieces = Box::new(overlay(pieces, pieces_of(number, run)));
    }
    let mut last: Option<Extent> = None;
    for piece in pieces {
        let Piece { extent, run, checksums_from } = piece?;
        match extent.target {
            Target::Hole if holes == Holes::Drop => continue,
            Target::Data { .. } => {
                let checksums = runs[run].checksum_column(checksums_from, extent.length)?;
                folded.push_checksums(checksums);
            }
            _ => {}
        }
        match &mut last {
            Some(last) if last.continues_with(&extent) => last.length += extent.length,
            last => {
                if let Some(done) = last.replace(extent) {
                    folded.push(done)?;
                }
            }
        }
    }
    last.map_or(Ok(()), |done| folded.push(done))?;
    Ok(folded)
}

/// An extent, and where its block checksums lie.
#[derive(Clone, Copy, Debug)]
struct Piece {
    extent: Extent,
    run: usize,
    /// The number of the first one in the column of that run.
    checksums_from: u64,
}

impl Stretch for Piece {
    fn extent(&self) -> &Extent {
        &self.extent
    }

    fn starting_at(self, start: BlockAddress) -> Piece {
        Piece {
            extent: self.extent.starting_at(start),
            checksums_from: self.checksums_from.saturating_add(start.0 - self.extent.start.0),
            ..self
        }
    }

    fn ending_at(self, end: BlockAddress) -> Piece {
        Piece { extent: self.extent.ending_at(end), ..self }
    }
}

fn pieces_of(number: usize, run: &Run) -> impl Iterator<Item = Result<Piece>> + '_ {
    let mut checksums_from = 0u64;
    run.extents().map(move |extent| {
        let piece = Piece { extent: extent?, run: number, checksums_from };
        if let Target::Data { .. } = piece.extent.target {
            checksums_from = checksums_from.saturating_add(piece.extent.length);
        }
        Ok(piece)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::extent::{BlockChecksums, ExtentMap, RunOrigin, encode_run};
    use crate::format::page::{PageKind, Prelude};
    use crate::units::{FileBlock, LayerId, SourceIndex};

    const LAYER: LayerId = LayerId([8; 16]);

    fn prelude(generation: u64) -> Prelude {
        Prelude { kind: PageKind::Run, layer: LAYER, generation, place: FileBlock(2) }
    }

    fn open(encoded: crate::extent::EncodedRun) -> Arc<Run> {
        let origin = RunOrigin { path: Path::new("layer").into(), offset: 0 };
        Arc::new(encoded.open(PageKind::Run, LAYER, origin).unwrap())
    }

    /// The state of a layer as a writer leaves it: each step maps fresh blocks.
    fn steps() -> impl Strategy<Value = Vec<Vec<(u64, u64, u8)>>> {
        let step = (0..300u64, 1..30u64, 0..4u8);
        prop::collection::vec(prop::collection::vec(step, 0..30), 1..6)
    }

    proptest! {
        #[test]
        fn folded_runs_say_what_the_runs_say_one_over_the_other(rounds in steps()) {
            let mut all = ExtentMap::new();
            let mut checksums = BlockChecksums::new();
            let mut fresh = 10u64;
            let mut runs = Vec::new();
            for (round, steps) in rounds.iter().enumerate() {
                let mut map = ExtentMap::new();
                for &(start, length, kind) in steps {
                    let target = match kind {
                        0 => Target::Hole,
                        1 => Target::Zero,
                        _ => Target::Data { source: SourceIndex::OWN, block: FileBlock(fresh) },
                    };
                    if let Target::Data { .. } = target {
                        for block in fresh..fresh + length {
                            checksums.set(SourceIndex::OWN, FileBlock(block), block as u32 * 7);
                        }
                        fresh += length;
                    }
                    let extent = Extent { start: BlockAddress(start), length, target };
                    map.insert(extent, &mut |_| {});
                    all.insert(extent, &mut |_| {});
                }
                let encoded = encode_run(
                    &prelude(round as u64),
                    map.iter().map(Ok),
                    |source, block| Ok(checksums.get(source, block).unwrap()),
                );
                runs.insert(0, open(encoded.unwrap()));
            }
            for holes in [Holes::Keep, Holes::Drop] {
                let folded = fold_runs(&runs, holes).unwrap().finish(&prelude(99)).unwrap();
                let folded = open(folded);
                folded.check().unwrap();
                let found: Vec<_> = folded.extents().map(Result::unwrap).collect();
                let expected: Vec<_> = all
                    .iter()
                    .filter(|extent| holes == Holes::Keep || extent.target != Target::Hole)
                    .collect();
                prop_assert_eq!(&found, &expected);
                for extent in expected {
                    for into in 0..extent.length {
                        let Target::Data { source, block } = extent.target.advanced(into) else {
                            continue;
                        };
                        let address = BlockAddress(extent.start.0 + into);
                        let found = folded.checksum(address).unwrap();
                        prop_assert_eq!(Some(found), checksums.get(source, block));
                    }
                }
            }
        }
    }
}

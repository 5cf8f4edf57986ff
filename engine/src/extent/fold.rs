//! Folding several runs of a layer into one.

use std::sync::Arc;

use super::Target;
use super::merge::{Holes, overlay};
use super::run::{Piece, Run, RunBuilder, fold_over_run};
use crate::error::Result;

/// Packs what `runs`, newest first, say together, with the checksums of their data blocks.
///
/// Holes stay as long as an older run may lie below the outcome.
pub fn fold_runs(runs: &[Arc<Run>], holes: Holes) -> Result<RunBuilder> {
    let Some((oldest, newer)) = runs.split_last() else {
        return Ok(RunBuilder::with_checksums());
    };
    let mut pieces: Box<dyn Iterator<Item = Result<Piece<'_>>> + '_> = Box::new(std::iter::empty());
    for run in newer {
        pieces = Box::new(overlay(pieces, pieces_of(run)));
    }
    // The oldest run, the largest one, is copied rather than merged.
    fold_over_run(pieces, oldest, holes)
}

fn pieces_of(run: &Run) -> impl Iterator<Item = Result<Piece<'_>>> {
    let mut checksums_from = 0u64;
    run.extents().map(move |extent| {
        let piece = Piece { extent: extent?, run, checksums_from };
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
    use crate::extent::{BlockChecksums, Extent, ExtentMap, RunOrigin, encode_run};
    use crate::format::page::{PageKind, Prelude};
    use crate::units::{BlockAddress, FileBlock, LayerId, SourceIndex};

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

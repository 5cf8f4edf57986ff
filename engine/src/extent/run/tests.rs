//! A run against the map it was made from, and against damage.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::ErrorKind;
use crate::extent::{ExtentMap, Holes, Span, fold_runs, merge};
use crate::format::page::{self, PageKind, Prelude};
use crate::format::run::{TREE_EXTENTS_MIN, chunk_checksum};
use crate::raw::AlignedBytes;
use crate::units::{ADDRESS_END, LayerId, PAGE_BYTES};

const LAYER: LayerId = LayerId([5; 16]);

fn prelude() -> Prelude {
    Prelude { kind: PageKind::Run, layer: LAYER, generation: 11, place: FileBlock(40) }
}

fn origin() -> RunOrigin {
    RunOrigin { path: Path::new("layer").into(), offset: 40 * 4096 }
}

/// A checksum that differs for each block.
fn checksum_of(source: SourceIndex, block: FileBlock) -> u32 {
    (block.0 as u32).wrapping_mul(2_654_435_761) ^ source.0
}

fn encode(map: &ExtentMap) -> EncodedRun {
    encode_run(&prelude(), map.iter().map(Ok), |source, block| Ok(checksum_of(source, block)))
        .unwrap()
}

fn open(encoded: &EncodedRun) -> Result<Run> {
    let bytes = AlignedBytes::copy_of(&encoded.bytes).unwrap();
    Run::open(bytes.into(), PageKind::Run, LAYER, encoded.piece, origin())
}

/// Extents that begin where `starts` say, as long as there is room or the length says.
fn map_of(entries: &[(u64, u64, Target)]) -> ExtentMap {
    let mut map = ExtentMap::new();
    for &(start, length, target) in entries {
        let length = length.min(ADDRESS_END - start);
        map.insert(Extent { start: BlockAddress(start), length, target }, &mut |_| {});
    }
    map
}

fn data(source: u32, block: u64) -> Target {
    Target::Data { source: SourceIndex(source), block: FileBlock(block) }
}

/// Addresses worth asking for: around each start and end.
fn probes(map: &ExtentMap) -> Vec<BlockAddress> {
    let edges = map.iter().flat_map(|extent| [extent.start.0, extent.end().0]);
    let around = edges.flat_map(|edge| [edge.saturating_sub(1), edge, edge.saturating_add(1)]);
    let fixed = [0, 1, 1 << 32, ADDRESS_END - 1, ADDRESS_END];
    fixed.into_iter().chain(around).map(BlockAddress).collect()
}

fn assert_same(run: &Run, map: &ExtentMap) {
    run.check().unwrap();
    assert_eq!(run.extent_count(), map.len());
    let all: Vec<_> = run.extents().map(Result::unwrap).collect();
    assert_eq!(all, map.iter().collect::<Vec<_>>());
    let probes = probes(map);
    let mut spans = vec![Span { target: None, end: BlockAddress(0) }; probes.len()];
    run.find_many(&probes, &mut spans).unwrap();
    for (&address, span) in probes.iter().zip(spans) {
        assert_eq!(run.find(address).unwrap(), map.find(address), "{address}");
        assert_eq!(span, map.find(address), "{address}");
        match span.target {
            Some(Target::Data { source, block }) => {
                assert_eq!(run.checksum(address).unwrap(), checksum_of(source, block));
            }
            _ => assert_eq!(run.checksum(address).unwrap_err().kind(), ErrorKind::InvalidInput),
        }
    }
    for &address in probes.iter().step_by(probes.len().div_ceil(40)) {
        let expected: Vec<_> = map.range(address, BlockAddress(ADDRESS_END)).take(50).collect();
        let found = run.extents_from(address).unwrap().map(Result::unwrap);
        assert_eq!(found.take(50).collect::<Vec<_>>(), expected, "{address}");
    }
}

fn entry() -> impl Strategy<Value = (u64, u64, Target)> {
    let start = prop_oneof![
        4 => 0..2000u64,
        2 => (0..40u64, 0..50u64).prop_map(|(high, low)| high << 32 | low),
        2 => (0..3u64, 0..100u64).prop_map(|(high, low)| (high << 32) + (u32::MAX as u64) - low),
        1 => 0..ADDRESS_END,
    ];
    let length = prop_oneof![8 => 1..20u64, 1 => 1..(1u64 << 34)];
    let target = prop_oneof![
        Just(Target::Hole),
        Just(Target::Zero),
        (0..5u32, 0..10_000u64).prop_map(|(source, block)| data(source, block)),
        (0..u32::MAX / 4, 0..1u64 << 62).prop_map(|(source, block)| data(source, block)),
    ];
    (start, length, target).prop_map(|(start, length, target)| match target {
        // Each data block has a checksum: few of them.
        Target::Data { .. } => (start, length.min(20), target),
        other => (start, length, other),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_run_says_what_its_map_says(entries in prop::collection::vec(entry(), 0..120)) {
        let map = map_of(&entries);
        assert_same(&open(&encode(&map)).unwrap(), &map);
    }

    #[test]
    fn merging_over_a_run_is_merging_its_extents(
        newer in prop::collection::vec(entry(), 0..20),
        older in prop::collection::vec(entry(), 0..200),
    ) {
        let (newer, older) = (map_of(&newer), map_of(&older));
        let run = open(&encode(&older)).unwrap();
        let spread = |source: SourceIndex| SourceIndex(source.0 * 3);
        for holes in [Holes::Keep, Holes::Drop] {
            let builder =
                merge_over_run(newer.iter().map(Ok), &run, 7, holes, |source| Ok(spread(source)));
            let encoded = builder.unwrap().finish(&prelude()).unwrap();
            let merged = open(&encoded).unwrap();
            merged.check().unwrap();
            let renumbered = |extent: Extent, first| match extent.target {
                Target::Data { source, block } => {
                    let source = spread(SourceIndex(source.0 + first));
                    Extent { target: Target::Data { source, block }, ..extent }
                }
                _ => extent,
            };
            let expected = merge(
                newer.iter().map(|extent| Ok(renumbered(extent, 0))),
                older.iter().map(|extent| Ok(renumbered(extent, 7))),
                holes,
            );
            let expected: Vec<_> = expected.map(Result::unwrap).collect();
            prop_assert_eq!(merged.extents().map(Result::unwrap).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn bytes_that_verify_but_lie_are_errors_or_answers_that_lead_on(
        entries in prop::collection::vec(entry(), 1..80),
        many in any::<bool>(),
        lies in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut map = map_of(&entries);
        if many {
            for at in 0..600 {
                let start = BlockAddress((7 << 32) + 3 * at);
                let extent = Extent { start, length: 1, target: data(0, at) };
                map.insert(extent, &mut |_| {});
            }
        }
        let mut encoded = encode(&map);
        let page: [u8; PAGE_BYTES as usize] = *encoded.bytes.first_chunk().unwrap();
        let (mut head, layout, ..) = RunHead::decode(&page, PageKind::Run).unwrap();
        for (at, byte) in lies {
            let at = layout.body.offset as usize + at.index(layout.body.bytes as usize);
            encoded.bytes[at] = byte;
        }
        reseal(&mut encoded, &mut head, &layout);
        if let Ok(run) = open(&encoded) {
            let _ = run.check();
            prop_assert!(run.extents().count() <= run.extent_count() + 1);
            for address in probes(&map) {
                if let Ok(span) = run.find(address) {
                    prop_assert!(span.end > address || span.end.0 == ADDRESS_END);
                }
                let _ = run.checksum(address);
                if let Ok(extents) = run.extents_from(address) {
                    prop_assert!(extents.count() <= run.extent_count() + 1);
                }
            }
            let newer = Extent { start: BlockAddress(30), length: 9, target: Target::Zero };
            let _ = merge_over_run([Ok(newer)].into_iter(), &run, 0, Holes::Drop, Ok);
            let run = Arc::new(run);
            let _ = fold_runs(&[Arc::clone(&run), Arc::clone(&run)], Holes::Keep);
            let mut spans = vec![Span { target: None, end: BlockAddress(0) }; 64];
            let asked: Vec<_> = probes(&map).into_iter().cycle().take(64).collect();
            let _ = run.find_many(&asked, &mut spans);
        }
    }
}

/// Makes all checksums agree with what the piece now holds.
fn reseal(encoded: &mut EncodedRun, head: &mut RunHead, layout: &RunLayout) {
    for number in 0..layout.chunks() {
        let chunk = layout.chunk(number);
        let content = &encoded.bytes[chunk.offset as usize..][..chunk.bytes as usize];
        let crc = chunk_checksum(&prelude(), number, content);
        let at = (layout.chunk_checksums.offset + 4 * number) as usize;
        encoded.bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    let checksums = layout.chunk_checksums;
    head.chunks_crc =
        crc32fast::hash(&encoded.bytes[checksums.offset as usize..][..checksums.bytes as usize]);
    let page = encoded.bytes.first_chunk_mut().unwrap();
    encoded.piece.head_crc = head.encode(page, &prelude()).unwrap();
}

#[test]
fn runs_with_trees_of_every_depth_are_searched_right() {
    for (extents, step) in [(TREE_EXTENTS_MIN, 2), (4096, 3), (4097, 3), (70_000, 5)] {
        let entries: Vec<_> =
            (0..extents).map(|at| (100 + at * step, 1, data(0, at * 2))).collect();
        let map = map_of(&entries);
        assert_same(&open(&encode(&map)).unwrap(), &map);
    }
}

#[test]
fn extents_that_lie_unevenly_are_found_by_the_tree() {
    // Nearly all in one bucket of the table, then some, each in one of its own.
    let dense = (0..9000).map(|at| (7 + at * 3, 2, data(0, at)));
    let thin = (0..16 * 30).map(|at| (1 << 20 | at << 22, 5, data(1, at)));
    let map = map_of(&dense.chain(thin).collect::<Vec<_>>());
    assert_same(&open(&encode(&map)).unwrap(), &map);
}

#[test]
fn a_large_superblock_between_small_ones_has_its_tree() {
    let mut entries = Vec::new();
    for high in 0..40u64 {
        let extents = if high % 13 == 5 { 700 + high * 40 } else { high % 3 + 1 };
        entries.extend((0..extents).map(|at| (high << 32 | (at * 4 + 9), 2, data(1, at * 7))));
    }
    // One that reaches over several superblocks, found from each of them.
    entries.push((50 << 32, 20 << 32, Target::Zero));
    entries.push((80 << 32 | 5, 3, Target::Hole));
    let map = map_of(&entries);
    let run = open(&encode(&map)).unwrap();
    assert_same(&run, &map);
    let inside = run.find(BlockAddress(60 << 32 | 77)).unwrap();
    assert_eq!(inside, Span { target: Some(Target::Zero), end: BlockAddress(70 << 32) });
}

#[test]
fn an_empty_run_is_silent() {
    let run = open(&encode(&ExtentMap::new())).unwrap();
    assert_same(&run, &ExtentMap::new());
    assert_eq!(run.total_bytes(), PAGE_BYTES);
}

#[test]
fn an_extent_costs_at_most_13_bytes_besides_block_checksums() {
    let extents = 100_000;
    let mut builder = RunBuilder::without_checksums();
    for at in 0..extents {
        let start = BlockAddress(at * 2);
        let target = data((at % 1000) as u32, at * 97 % (1 << 28));
        builder.push(Extent { start, length: 1, target }).unwrap();
    }
    let bytes = builder.finish(&prelude()).unwrap().bytes.len() as u64;
    assert!(bytes - PAGE_BYTES <= 13 * extents, "{bytes} bytes for {extents} extents");
}

#[test]
fn every_flipped_bit_is_seen() {
    let entries: Vec<_> = (0..40)
        .map(|at| (at << 30, 2 + at, if at % 5 == 0 { Target::Zero } else { data(0, at * 100) }))
        .chain([(1 << 50, 1 << 45, Target::Zero), (1 << 60, 1, data(7, 1 << 60))])
        .collect();
    let map = map_of(&entries);
    let encoded = encode(&map);
    let probes = probes(&map);
    let mut bytes = encoded.bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let copy = AlignedBytes::copy_of(&bytes).unwrap().into();
        let error = match Run::open(copy, PageKind::Run, LAYER, encoded.piece, origin()) {
            Err(error) => error,
            Ok(run) => {
                // Nothing that a look-up still answers is wrong.
                for &address in probes.iter().step_by(7) {
                    if let Ok(span) = run.find(address) {
                        assert_eq!(span, map.find(address), "bit {bit}");
                    }
                    if let Ok(found) = run.checksum(address) {
                        let Some(Target::Data { source, block }) = map.find(address).target else {
                            panic!("bit {bit}: a checksum of no data")
                        };
                        assert_eq!(found, checksum_of(source, block), "bit {bit}");
                    }
                }
                run.check().expect_err("a flipped bit")
            }
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}");
        assert_eq!(error.path(), Some(Path::new("layer")));
        assert!(error.offset().unwrap() >= 40 * 4096, "{error}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn every_flipped_bit_in_a_leaf_is_seen_by_the_look_up_that_meets_it() {
    let entries: Vec<_> = (0..20_000).map(|at| (at * 2, 1, data(0, at))).collect();
    let map = map_of(&entries);
    let mut encoded = encode(&map);
    let layout = open(&encoded).unwrap().layout;
    for index in [0usize, 15, 16, 8191, 8192, 16_383, 16_384, 19_999] {
        for (section, width) in [(layout.lows, 4), (layout.words, 8)] {
            let at = section.offset as usize + index * width;
            encoded.bytes[at] ^= 0x10;
            let first_chunk = layout.chunk(0);
            let Ok(run) = open(&encoded) else {
                // It shares a chunk with the tree, which is verified at once.
                assert!(at < (first_chunk.offset + first_chunk.bytes) as usize);
                encoded.bytes[at] ^= 0x10;
                continue;
            };
            let address = BlockAddress(index as u64 * 2);
            assert_eq!(run.find(address).unwrap_err().kind(), ErrorKind::Corrupt);
            for probe in (0..40_000).step_by(3).map(BlockAddress) {
                if let Ok(span) = run.find(probe) {
                    assert_eq!(span, map.find(probe));
                }
            }
            encoded.bytes[at] ^= 0x10;
        }
    }
}

#[test]
fn a_piece_of_another_layer_generation_place_or_length_is_refused() {
    let encoded = encode(&map_of(&[(3, 4, data(0, 9))]));
    let bytes = || PieceBytes::from(AlignedBytes::copy_of(&encoded.bytes).unwrap());
    let piece = encoded.piece;
    let refused = |bytes, kind, layer, piece, field| {
        let error = Run::open(bytes, kind, layer, piece, origin()).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Corrupt, Some(field)), "{error}");
    };
    refused(bytes(), PageKind::Index, LAYER, piece, "kind");
    refused(bytes(), PageKind::Run, LayerId([6; 16]), piece, "layer id");
    let stale = PieceRef { generation: 12, ..piece };
    refused(bytes(), PageKind::Run, LAYER, stale, "generation");
    let moved = PieceRef { place: FileBlock(41), ..piece };
    refused(bytes(), PageKind::Run, LAYER, moved, "place");
    let other = PieceRef { head_crc: piece.head_crc ^ 1, ..piece };
    refused(bytes(), PageKind::Run, LAYER, other, "head checksum");
    for length in (0..encoded.bytes.len()).step_by(64) {
        let cut = AlignedBytes::copy_of(&encoded.bytes[..length]).unwrap().into();
        let error = Run::open(cut, PageKind::Run, LAYER, piece, origin()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_head_of_a_run_is_a_page_of_its_own_kind() {
    let encoded = encode(&ExtentMap::new());
    let page = encoded.bytes.first_chunk().unwrap();
    assert_eq!(page::open("run", page, PageKind::Run).unwrap().0, prelude());
}

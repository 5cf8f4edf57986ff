//! Looking addresses up in a packed run, and merging into it.
//!
//! The baseline is `partition_point` over the same columns of the same run, the same bytes
//! in the same pages. Both answer with length, layer and block of random addresses that
//! do not hang on each other, so that a CPU may begin one look-up before the last is done.
//! The run also says where a gap ends, and that its bytes are verified; the baseline does not.

use std::hint::black_box;
use std::path::Path;

use sapwood::extent::{Extent, Holes, Run, RunBuilder, RunOrigin, Span, Target, merge_over_run};
use sapwood::format::PageKind;
use sapwood::format::page::Prelude;
use sapwood::format::run::{RunHead, RunLayout, Section};
use sapwood::raw::{PieceBytes, Vectors, as_items};
use sapwood::units::{BlockAddress, FileBlock, LayerId, SourceIndex};
use sapwood_benches::{Contender, compare, cpu_time, is_quick, median};

const LAYER: LayerId = LayerId([3; 16]);

fn main() {
    let quick = is_quick();
    let (rounds, lookups) = if quick { (3, 20_000) } else { (31, 200_000) };
    let sizes: &[u64] =
        if quick { &[1_000_000] } else { &[10_000, 100_000, 1_000_000, 10_000_000] };
    for &extents in sizes {
        look_up(extents, lookups, rounds);
    }
    merge_runs(if quick { 3 } else { 15 });
}

/// A small generator, so that each run asks the same addresses.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// Extents of one to four blocks over a thousand layers, one address in five a gap.
fn extents_of(count: u64, seed: u64, stride: u64) -> Vec<Extent> {
    let mut random = Random(seed);
    let mut start = 0;
    (0..count)
        .map(|_| {
            let length = 1 + random.next() % 4;
            let source = SourceIndex((random.next() % 1000) as u32);
            let block = FileBlock(random.next() % (1 << 28));
            let extent = Extent {
                start: BlockAddress(start),
                length,
                target: Target::Data { source, block },
            };
            start += length + stride * (random.next() % 2);
            extent
        })
        .collect()
}

/// The run twice over the same bytes: with the CPU's vectors, and with the baseline's.
fn open(builder: RunBuilder) -> (Run, Run) {
    let prelude =
        Prelude { kind: PageKind::Index, layer: LAYER, generation: 1, place: FileBlock(1) };
    let encoded = builder.finish(&prelude).expect("a run of valid extents");
    let bytes = PieceBytes::from(encoded.bytes);
    let open = || {
        let origin = RunOrigin { path: Path::new("bench").into(), offset: 0 };
        Run::open(bytes.clone(), PageKind::Index, LAYER, encoded.piece, origin)
            .expect("what was just encoded")
    };
    let mut portable = open();
    portable.set_vectors(Vectors::BASELINE);
    (open(), portable)
}

fn run_of(extents: &[Extent]) -> (Run, Run) {
    let mut builder = RunBuilder::without_checksums();
    extents.iter().for_each(|&extent| builder.push(extent).expect("a valid extent"));
    let runs = open(builder);
    runs.0.check().expect("a sound run");
    runs.1.check().expect("a sound run");
    runs
}

/// The plain search: binary, over the columns of the run as they lie.
struct Plain<'a> {
    head: RunHead,
    lows: &'a [u32],
    words: &'a [u64],
}

impl<'a> Plain<'a> {
    fn of(run: &'a Run) -> Plain<'a> {
        let page = run.bytes().first_chunk().expect("a head page");
        let (head, layout, ..): (RunHead, RunLayout, _, _) =
            RunHead::decode(page, PageKind::Index).expect("a run");
        let section =
            |section: Section| &run.bytes()[section.offset as usize..][..section.bytes as usize];
        Plain {
            head,
            lows: as_items(section(layout.lows)).expect("aligned"),
            words: as_items(section(layout.words)).expect("aligned"),
        }
    }

    fn find(&self, address: BlockAddress) -> Option<(u64, u32, u64)> {
        let rank = self.lows.partition_point(|&low| low <= address.0 as u32);
        let index = rank.checked_sub(1)?;
        let word = self.head.widths.unpack(self.words[index]);
        let into = address.0 - u64::from(self.lows[index]);
        (into < word.length).then(|| (word.length - into, word.code, word.block + into))
    }
}

fn look_up(count: u64, lookups: usize, rounds: usize) {
    let extents = extents_of(count, 7, 1);
    let (run, portable) = run_of(&extents);
    let plain = Plain::of(&run);
    let end = run.covers().end.0;
    let mut random = Random(99);
    let asked: Vec<BlockAddress> =
        (0..lookups).map(|_| BlockAddress((random.next() << 10 ^ random.next()) % end)).collect();
    for &address in &asked {
        let expected = plain.find(address).map(|(length, ..)| address.0 + length);
        let span = run.find(address).expect("a sound run");
        assert_eq!(span.target.map(|_| span.end.0), expected);
    }
    let mut spans = vec![Span { target: None, end: BlockAddress(0) }; 256];
    let mut spans_portable = spans.clone();
    let title = format!(
        "random look-ups in {count} extents, {:.2} bytes an extent",
        run.total_bytes() as f64 / count as f64
    );
    compare(
        &title,
        lookups,
        &mut [
            Contender::new("partition_point over the same columns", || {
                for &address in &asked {
                    black_box(plain.find(address));
                }
            }),
            Contender::new("find, portable", || {
                for &address in &asked {
                    let _ = black_box(portable.find(address));
                }
            }),
            Contender::new("find, the CPU's vectors", || {
                for &address in &asked {
                    let _ = black_box(run.find(address));
                }
            }),
            Contender::new("find_many, portable", || {
                for asked in asked.chunks(256) {
                    portable
                        .find_many(asked, &mut spans_portable[..asked.len()])
                        .expect("a sound run");
                    black_box(&spans_portable);
                }
            }),
            Contender::new("find_many, the CPU's vectors", || {
                for asked in asked.chunks(256) {
                    run.find_many(asked, &mut spans[..asked.len()]).expect("a sound run");
                    black_box(&spans);
                }
            }),
        ],
        rounds,
    );
}

fn merge_runs(rounds: usize) {
    let (older, _) = run_of(&extents_of(1_000_000, 7, 1));
    let (newer, _) = run_of(&extents_of(10_000, 8, 500));
    let mut merging = Vec::new();
    let mut finishing = Vec::new();
    for _ in 0..rounds {
        let start = cpu_time();
        let builder =
            merge_over_run(newer.extents(), &older, 0, Holes::Drop, Ok).expect("two sound runs");
        merging.push(cpu_time() - start);
        let start = cpu_time();
        black_box(open(builder));
        finishing.push(cpu_time() - start);
    }
    println!("\nmerging 10,000 extents over 1,000,000");
    println!("  into columns {:>41.2} ms", median(merging).as_secs_f64() * 1e3);
    println!(
        "  tree, checksums, one copy, opening {:>19.2} ms",
        median(finishing).as_secs_f64() * 1e3
    );
}

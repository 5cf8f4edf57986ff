//! Every flipped bit, every length, swapped and stale pages of layer files of each kind.

use rayon::prelude::*;

use super::build::{Scratch, Unused, check_bytes, frozen_layer, open_layer, sealed_layer};
use crate::inspect::{CheckOptions, CheckReport, Severity};

const PAGE: usize = 4096;

fn layers(salt: u8) -> [(&'static str, (Vec<u8>, Unused)); 3] {
    [("open", open_layer(salt)), ("frozen", frozen_layer(salt)), ("sealed", sealed_layer(salt))]
}

fn is_seen(report: &CheckReport) -> bool {
    report.findings.iter().any(|finding| finding.severity > Severity::Note)
}

fn is_used(unused: &Unused, at: usize) -> bool {
    !unused.iter().any(|block| block.0 as usize == at / PAGE)
}

/// Whether the byte is of a page of metadata: data does not begin as one, and is never all alike.
fn is_metadata(bytes: &[u8], at: usize) -> bool {
    let page = &bytes[at / PAGE * PAGE..][..PAGE];
    (0..PAGE).any(|at| page[at] == page[(at + 1) % PAGE]) || page[..4] == *b"sapw"
}

/// One bit of every byte of the metadata, each in its turn, and a sample of those of the data. What
/// the engine makes is flipped bit by bit in the tests of whole systems.
#[test]
fn a_flipped_bit_of_every_byte_is_found() {
    for (name, (bytes, unused)) in layers(1) {
        let used: Vec<usize> = (0..bytes.len())
            .filter(|&at| is_used(&unused, at) && (is_metadata(&bytes, at) || at % 251 == 0))
            .collect();
        used.par_iter().for_each_init(
            || Scratch::new(&bytes),
            |scratch, &at| {
                let options = CheckOptions { data: !is_metadata(&bytes, at) };
                let bit = (at ^ (at >> 3)) % 8;
                scratch.write(at, &[bytes[at] ^ 1 << bit]);
                let report = scratch.check(options);
                assert!(is_seen(&report), "{name}: bit {bit} of byte {at} is not seen");
                scratch.write(at, &bytes[at..=at]);
            },
        );
    }
}

#[test]
fn flips_in_data_name_layer_and_block() {
    for (name, (mut bytes, _)) in layers(1) {
        let mut found = 0;
        let data = |block: &usize| !is_metadata(&bytes, block * PAGE);
        for block in (0..bytes.len() / PAGE).filter(data).collect::<Vec<_>>() {
            bytes[block * PAGE + 77] ^= 4;
            let report = check_bytes(&bytes);
            let named = report.damage().filter(|finding| {
                finding.block.is_some_and(|bad| bad.0 as usize == block)
                    && finding.layer == Some(super::build::LAYER)
                    && finding.offset == Some((block * PAGE) as u64)
            });
            found += named.count();
            bytes[block * PAGE + 77] ^= 4;
        }
        let data_blocks = check_bytes(&bytes).counts.data_blocks;
        assert_eq!(found as u64, data_blocks, "{name}");
    }
}

#[test]
fn every_length_but_the_right_one_is_found() {
    for (name, (bytes, _)) in layers(1) {
        let scratch = Scratch::new(&bytes);
        for length in (0..bytes.len()).rev() {
            scratch.cut(length);
            // What the slots and the length say is the same for all lengths in between.
            if length % 512 < 2 || length % 13 == 0 {
                assert!(
                    scratch.check(CheckOptions::default()).damage().next().is_some(),
                    "{name} cut to {length}"
                );
            }
        }
        let mut longer = bytes.clone();
        longer.push(0);
        let frozen = name != "open";
        assert_eq!(is_seen(&check_bytes(&longer)), frozen, "{name} with a byte more");
    }
}

#[test]
fn swapped_blocks_are_found() {
    for (name, (bytes, unused)) in layers(1) {
        let pages = bytes.len() / PAGE;
        let pairs: Vec<(usize, usize)> =
            (0..pages).flat_map(|first| (0..first).map(move |second| (first, second))).collect();
        pairs.par_iter().for_each(|&(first, second)| {
            let mut swapped = bytes.clone();
            let (low, high) = swapped.split_at_mut(first * PAGE);
            low[second * PAGE..][..PAGE].swap_with_slice(&mut high[..PAGE]);
            let used = is_used(&unused, first * PAGE) || is_used(&unused, second * PAGE);
            if swapped != bytes && used {
                assert!(is_seen(&check_bytes(&swapped)), "{name}: {first} for {second}");
            }
        });
    }
}

/// What a page held in an older version of the same file, at the same place.
#[test]
fn stale_pages_are_found() {
    for ((name, (bytes, unused)), (_, (older, _))) in layers(2).into_iter().zip(layers(1)) {
        assert_eq!(bytes.len(), older.len());
        for page in (0..bytes.len()).step_by(PAGE) {
            let mut stale = bytes.clone();
            stale[page..page + PAGE].copy_from_slice(&older[page..page + PAGE]);
            if stale != bytes && is_used(&unused, page) {
                assert!(is_seen(&check_bytes(&stale)), "{name}: page at {page}");
            }
        }
    }
}

#[test]
fn half_a_block_lost_is_found() {
    for (name, (bytes, unused)) in layers(1) {
        for sector in (0..bytes.len()).step_by(512) {
            let mut lost = bytes.clone();
            lost[sector..sector + 512].fill(0);
            if lost != bytes && is_used(&unused, sector) {
                assert!(is_seen(&check_bytes(&lost)), "{name}: sector at {sector}");
            }
        }
    }
}

//! Damage of every kind to files of every kind, one at a time and without leaving any out: each
//! flipped bit, each length, each two pages swapped, each sector lost, each page as it once was or
//! where another belongs.
//!
//! A page of a file is metadata, data, part of a commit that may be torn, or unused; which, is
//! found by filling it with garbage, and then every bit of it must behave so. A check names what
//! is damaged, and what is read is an error or the truth (INV-06).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use sapwood::inspect::{CheckOptions, CheckReport, Severity, check, check_layer};
use sapwood::medium::{Host, Medium, OpenMode};
use sapwood::testing::Random;

use crate::layer_samples::{Sample, Shown, Told, all};

const PAGE: usize = 4096;
const SECTOR: usize = 512;
/// One in so many bytes of data is flipped: what guards one guards all of its block.
const DATA_STRIDE: usize = 61;

/// What the bytes of a page are to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Metadata,
    Data,
    /// Of the last commit, which nothing later shows to be durable: it may be torn.
    Tail,
    Unused,
}

/// A copy of a sample that is damaged and mended again.
struct Scratch<'a> {
    sample: &'a Sample,
    host: Arc<dyn Host>,
    file: Arc<dyn Medium>,
}

impl<'a> Scratch<'a> {
    fn of(sample: &'a Sample) -> Scratch<'a> {
        let host = sample.host();
        let file = host.open(&sample.path, OpenMode::ReadWrite).unwrap();
        Scratch { sample, host, file }
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        self.file.write_at(at as u64, bytes).unwrap();
    }

    /// Makes `at..at + length` as it was.
    fn mend(&self, at: usize, length: usize) {
        self.write(at, &self.sample.bytes[at..at + length]);
    }

    fn mend_all(&self) {
        self.file.set_length(self.sample.bytes.len() as u64).unwrap();
        let mut found = [0; PAGE];
        for (at, page) in (0..).step_by(PAGE).zip(self.sample.bytes.chunks_exact(PAGE)) {
            self.file.read_at(at as u64, &mut found).unwrap();
            if found != *page {
                self.write(at, page);
            }
        }
    }

    /// What a check says; of a layer by itself where that tells as much.
    fn check(&self, data: bool) -> CheckReport {
        let options = CheckOptions { data };
        let report = match self.sample.told {
            Told::OfLayer => check_layer(&self.host, &self.sample.path, &options, &mut |_| ()),
            Told::OfStore | Told::AsNote => check(&self.host, Path::new(""), &options, &mut |_| ()),
        };
        report.unwrap()
    }

    fn check_store(&self) -> CheckReport {
        check(&self.host, Path::new(""), &CheckOptions { data: true }, &mut |_| ()).unwrap()
    }

    /// Whether a report tells of damage to the file, with its place and in words.
    fn is_told(&self, report: &CheckReport) -> bool {
        let least = match self.sample.told {
            Told::AsNote => Severity::Note,
            Told::OfLayer | Told::OfStore => Severity::Degraded,
        };
        let path = self.host.display_path(&self.sample.path);
        report.findings.iter().any(|finding| {
            finding.severity >= least && finding.path == path && !finding.what.is_empty()
        })
    }

    /// That what is read is an error or one of `allowed`; gives whether it was an error always.
    fn read(&self, who: Who, allowed: &[Shown], what: &dyn Fn() -> String) -> bool {
        let looked = self.sample.look(&self.host);
        // A writer mends and erases: for the next one the file is made as it was.
        let opened = (who == Who::Both).then(|| {
            let opened = self.sample.open(&self.host);
            self.mend_all();
            opened
        });
        let found = [Some(looked), opened];
        for found in found.iter().flatten().filter_map(|found| found.as_ref().ok()) {
            assert!(allowed.contains(found), "{}: other bytes are shown", what());
        }
        found.iter().flatten().all(Result::is_err)
    }
}

/// Who reads what is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Somebody from outside.
    Looker,
    /// And a writer, who recovers the volumes.
    Both,
}

impl Sample {
    /// What may be shown where one page was damaged.
    fn allowed(&self, of: Use) -> &[Shown] {
        let before_last = self.commits.len().saturating_sub(1);
        match of {
            Use::Tail => &self.commits[before_last..],
            _ => std::slice::from_ref(&self.shown),
        }
    }

    /// What may be shown where the last commit and something before it were damaged together: of a
    /// file that was not closed, what a power cut leaves in the commit that lost something first.
    fn earlier_or_now(&self) -> Vec<Shown> {
        self.commits.iter().chain([&self.shown]).cloned().collect()
    }

    fn pages(&self) -> usize {
        self.bytes.len() / PAGE
    }

    /// What each page is: found by filling it with garbage.
    fn uses(&self) -> Vec<Use> {
        let scratch = Scratch::of(self);
        assert!(!scratch.is_told(&scratch.check(true)), "{} is whole", self.name);
        let mut random = Random::new(7);
        let garbage: Vec<u8> = (0..PAGE).map(|_| random.bits() as u8).collect();
        let of_page = |page: usize| {
            scratch.write(page * PAGE, &garbage);
            let report = scratch.check(false);
            let (of, is_told) = match scratch.is_told(&report) {
                true => (Use::Metadata, true),
                false if scratch.is_told(&scratch.check_store()) => (Use::Data, true),
                false if self.look(&scratch.host).ok().as_ref() == self.commits.last() => {
                    (Use::Tail, false)
                }
                false => (Use::Unused, false),
            };
            let what = || format!("{}, garbage in page {page}, {of:?}", self.name);
            let failed = scratch.read(Who::Both, self.allowed(of), &what);
            assert!(is_told || !failed, "{}: an error that no check tells of", what());
            of
        };
        (0..self.pages()).map(of_page).collect()
    }
}

/// Every bit of metadata is told of, and none of what may be torn is taken for damage. With one
/// bit of each byte flipped it is read from outside, of each sixteenth also by a writer. Of data a sample, which is told of with layer and block, and on the first read.
#[test]
fn every_flipped_bit_is_told() {
    for sample in all() {
        let uses = sample.uses();
        let tally = uses.iter().fold(BTreeMap::<Use, u64>::new(), |mut tally, of| {
            *tally.entry(*of).or_default() += 1;
            tally
        });
        println!("{}: pages {tally:?}", sample.name);
        let used: Vec<usize> = (0..sample.pages() * PAGE)
            .filter(|&at| match uses[at / PAGE] {
                Use::Metadata | Use::Tail => true,
                Use::Data => at % DATA_STRIDE == 0,
                Use::Unused => false,
            })
            .collect();
        used.par_iter().with_min_len(PAGE / 4).for_each_init(
            || Scratch::of(&sample),
            |scratch, &at| flip(scratch, uses[at / PAGE], at),
        );
    }
}

fn flip(scratch: &Scratch<'_>, of: Use, at: usize) {
    let sample = scratch.sample;
    for bit in 0..8 {
        let what = || format!("{}, bit {bit} of byte {at}, {of:?}", sample.name);
        scratch.write(at, &[sample.bytes[at] ^ 1 << bit]);
        match of {
            Use::Metadata => assert!(scratch.is_told(&scratch.check(false)), "{}", what()),
            Use::Tail => {
                let report = scratch.check_store();
                assert!(report.is_sound() && report.counts.torn_tails <= 1, "{}", what());
            }
            Use::Data => {
                let report = scratch.check_store();
                let named = report.damage().any(|finding| {
                    finding.block.is_some_and(|block| block_holds(sample, block.0, at))
                        && finding.layer.is_some()
                });
                assert!(named, "{}: {:?}", what(), report.findings);
            }
            Use::Unused => unreachable!("not flipped"),
        }
        if (at ^ (at >> 3)) % 8 == bit {
            let who = if at.is_multiple_of(16) { Who::Both } else { Who::Looker };
            scratch.read(who, sample.allowed(of), &what);
        }
        scratch.mend(at, 1);
    }
}

/// Whether byte `at` of the file lies in its block `number`.
fn block_holds(sample: &Sample, number: u64, at: usize) -> bool {
    at as u64 / sample.block_size.bytes() == number
}

/// Each shorter length, and longer ones. What is cut off without a word held nothing.
#[test]
fn every_other_length_is_told() {
    for sample in all() {
        let uses = sample.uses();
        let length = sample.bytes.len();
        // What lies behind the last page in use may go, where the file does not say how long it is.
        let needed = |of: &[Use]| {
            let last = uses.iter().rposition(|page| of.contains(page));
            last.map_or(0, |page| (page + 1) * PAGE)
        };
        let durable = needed(&[Use::Metadata, Use::Data]);
        let all = durable.max(needed(&[Use::Tail]));
        (0..length.div_ceil(PAGE)).into_par_iter().for_each_init(
            || Scratch::of(&sample),
            |scratch, page| {
                // Downwards, so that the next length is cut from this one.
                for cut in (page * PAGE..length.min((page + 1) * PAGE)).rev() {
                    let what = || format!("{}, cut to {cut} of {length} bytes", sample.name);
                    scratch.file.set_length(cut as u64).unwrap();
                    let is_told = scratch.is_told(&scratch.check(false));
                    let may_be_torn = cut < all && !sample.commits.is_empty();
                    assert!(is_told || cut >= durable || may_be_torn, "{}", what());
                    if cut % SECTOR > 1 {
                        continue;
                    }
                    // A durable name leads to this file: it is never taken for one that was made
                    // and not synced.
                    let told = scratch.is_told(&scratch.check_store());
                    assert!(told || !is_told, "{}, the whole store", what());
                    let allowed = match may_be_torn && !is_told {
                        true => sample.earlier_or_now(),
                        false => vec![sample.shown.clone()],
                    };
                    let who = if cut % PAGE == 0 { Who::Both } else { Who::Looker };
                    let failed = scratch.read(who, &allowed, &what);
                    assert!(!failed || is_told, "{}: an error that no check tells of", what());
                }
                scratch.mend_all();
            },
        );
        let scratch = Scratch::of(&sample);
        for longer in [1, 511, 4096, 1 << 30] {
            scratch.file.set_length(length as u64 + longer).unwrap();
            let is_told = scratch.is_told(&scratch.check(false));
            let what = || format!("{} and {longer} bytes", sample.name);
            assert!(is_told || sample.name.starts_with("open"), "{}", what());
            let failed = scratch.read(Who::Both, sample.allowed(Use::Unused), &what);
            assert!(!failed || is_told, "{}: an error that no check tells of", what());
        }
    }
}

/// Expects to be told where what is damaged is in use, and to be shown the truth or nothing.
fn expect_told(scratch: &Scratch<'_>, of: Use, allowed: &[Shown], what: &dyn Fn() -> String) {
    let is_told = match of {
        Use::Metadata => scratch.is_told(&scratch.check(false)),
        Use::Data => scratch.is_told(&scratch.check_store()),
        Use::Tail | Use::Unused => true,
    };
    assert!(is_told, "{}", what());
    scratch.read(Who::Both, allowed, what);
}

#[test]
fn every_two_swapped_pages_are_told() {
    for sample in all() {
        let (uses, bytes) = (sample.uses(), &sample.bytes);
        let page = |number: usize| &bytes[number * PAGE..(number + 1) * PAGE];
        let pairs = (0..sample.pages()).flat_map(|first| (0..first).map(move |at| (at, first)));
        let pairs: Vec<(usize, usize)> =
            pairs.filter(|&(first, second)| page(first) != page(second)).collect();
        pairs.par_iter().for_each_init(
            || Scratch::of(&sample),
            |scratch, &(first, second)| {
                scratch.write(first * PAGE, page(second));
                scratch.write(second * PAGE, page(first));
                let what = || format!("{}, pages {first} and {second} swapped", sample.name);
                let both = [uses[first], uses[second]];
                match both.contains(&Use::Tail) {
                    // What else was damaged counts as the first commit that a power cut tore, but
                    // not where it is metadata.
                    true if !both.contains(&Use::Metadata) => {
                        expect_told(scratch, Use::Tail, &sample.earlier_or_now(), &what);
                    }
                    true => expect_told(scratch, Use::Metadata, &sample.earlier_or_now(), &what),
                    false => {
                        let of = both[0].min(both[1]);
                        expect_told(scratch, of, sample.allowed(Use::Unused), &what);
                    }
                }
            },
        );
    }
}

#[test]
fn every_lost_sector_is_told() {
    for sample in all() {
        let uses = sample.uses();
        let sectors: Vec<usize> = (0..sample.bytes.len())
            .step_by(SECTOR)
            .filter(|&at| sample.bytes[at..at + SECTOR] != [0; SECTOR])
            .collect();
        sectors.par_iter().for_each_init(
            || Scratch::of(&sample),
            |scratch, &at| {
                scratch.write(at, &[0; SECTOR]);
                let what = || format!("{}, the sector at {at} lost", sample.name);
                let of = uses[at / PAGE];
                // The sectors that are left may hold all there is of the last commit's head.
                expect_told(scratch, of, sample.allowed(of), &what);
            },
        );
    }
}

/// Each page as it was earlier in the life of the file, at its place and at every other one; and as
/// it is now, at every other one, as a write that went astray leaves it.
#[test]
fn every_stale_or_misdirected_page_is_told() {
    for sample in all() {
        let uses = sample.uses();
        for (age, earlier) in sample.earlier.iter().chain([&sample.bytes]).enumerate() {
            let stale: Vec<&[u8]> = earlier.chunks_exact(PAGE).collect();
            let places = (0..stale.len()).flat_map(|old| (0..uses.len()).map(move |at| (old, at)));
            let places: Vec<(usize, usize)> = places
                .filter(|&(old, at)| stale[old] != &sample.bytes[at * PAGE..(at + 1) * PAGE])
                .collect();
            places.par_iter().for_each_init(
                || Scratch::of(&sample),
                |scratch, &(old, at)| {
                    scratch.write(at * PAGE, stale[old]);
                    let name = sample.name;
                    let what = || format!("{name}, page {old} of time {age} in page {at}");
                    expect_told(scratch, uses[at], sample.allowed(uses[at]), &what);
                },
            );
        }
    }
}

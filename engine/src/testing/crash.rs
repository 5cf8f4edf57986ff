//! What a power cut can leave: every state that the host allows.
//!
//! A change of a file is durable once a sync of that file follows it, a name once
//! a sync of its folder does. Everything else may have arrived or not, each by
//! itself: in any subset, torn between sectors, a length without its bytes. A
//! rename is there whole or not at all.

use std::collections::HashSet;
use std::fmt::Write;
use std::io;
use std::sync::Arc;

use super::disk::CrashDisk;
use super::image::{Change, FileNumber, Image, Operation, SECTOR_BYTES, Written};
use super::random::Random;
use super::settle::{Pending, apply, settle};
use crate::medium::Host;
use crate::medium::sparse::{SparseBytes, mix};

/// How thoroughly the states after a power cut are tried.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Up to so many operations that are not durable, all their subsets are tried;
    /// beyond it every prefix, each single loss and each single survivor.
    pub exhaustive_max: usize,
    /// So many more states are drawn with torn writes and lengths that arrived alone.
    pub samples: usize,
    /// What the drawn states follow from.
    pub seed: u64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { exhaustive_max: 12, samples: 64, seed: 1 }
    }
}

/// What became of an operation that was not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Lost,
    /// Its first sectors arrived.
    Prefix(u64),
    /// All but its first sectors arrived.
    Suffix(u64),
    /// Some of its sectors arrived, drawn from this seed.
    Sectors(u64),
    /// The file is as long as it made it, its bytes did not arrive.
    LengthWithZeros,
    /// The same, and what is new holds what the device had there before.
    LengthWithGarbage(u64),
}

/// Whether a range was allocated before: the host has blocks for it which it knows to be
/// unwritten, so that they read as zeros until the bytes have arrived.
fn is_allocated(log: &[Operation], file: FileNumber, start: u64, end: u64) -> bool {
    let mut at = start;
    for operation in log {
        if let Operation::Change(other, Change::Allocate { offset, length }) = operation
            && *other == file
            && (*offset..offset + length).contains(&at)
        {
            at = offset + length;
        }
    }
    at >= end
}

impl CrashDisk {
    /// The states in which a power cut can leave the disk when the first `point`
    /// operations were done and no more.
    pub fn states_at(&self, point: usize, policy: &Policy) -> CrashStates {
        self.recorded(|base, log| CrashStates::new(base, &log[..point], policy))
    }
}

/// The states after a power cut, one after another: see [`CrashDisk::states_at`].
#[derive(Debug)]
pub struct CrashStates {
    point: usize,
    durable: Image,
    pending: Arc<[Pending]>,
    policy: Policy,
    /// Fates that single writes meet while all others are kept, or lost.
    variants: Vec<(usize, Fate)>,
    /// The pending writes whose new range may hold garbage, by index.
    garbage: HashSet<usize>,
    samples: usize,
    next: usize,
}

impl CrashStates {
    fn new(base: &Image, log: &[Operation], policy: &Policy) -> CrashStates {
        let (durable, pending) = settle(base, log);
        let mut seed = Random::new(policy.seed ^ mix(log.len() as u64));
        let mut variants = Vec::new();
        for (index, pending) in pending.iter().enumerate() {
            let Some((file, written)) = pending.write() else { continue };
            if written.sectors() > 1 {
                variants.push((index, Fate::Prefix(1)));
                variants.push((index, Fate::Suffix(1)));
                variants.push((index, Fate::Sectors(seed.bits())));
            }
            let known = durable.view(file).length();
            if written.end() > known {
                variants.push((index, Fate::LengthWithZeros));
                if !is_allocated(
                    &log[..pending.index],
                    file,
                    written.offset.max(known),
                    written.end(),
                ) {
                    variants.push((index, Fate::LengthWithGarbage(seed.bits())));
                }
            }
        }
        let garbage = variants
            .iter()
            .filter(|(_, fate)| matches!(fate, Fate::LengthWithGarbage(_)))
            .map(|(index, _)| *index)
            .collect();
        let exhausted = variants.is_empty() && pending.len() <= policy.exhaustive_max;
        CrashStates {
            point: log.len(),
            durable,
            pending: pending.into(),
            policy: *policy,
            variants,
            garbage,
            samples: if exhausted { 0 } else { policy.samples },
            next: 0,
        }
    }

    /// How many operations are not durable at this point.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The fates of the state of a number; `None` past the last.
    fn fates(&self, number: usize) -> Option<Vec<Fate>> {
        let count = self.pending.len();
        let kept_where = |kept: &dyn Fn(usize) -> bool| {
            (0..count).map(|index| if kept(index) { Fate::Kept } else { Fate::Lost }).collect()
        };
        let mut number = number;
        let mut within = |states: usize| {
            let inside = number < states;
            let at = number;
            number = number.saturating_sub(states);
            inside.then_some(at)
        };
        if count <= self.policy.exhaustive_max {
            if let Some(subset) = within(1 << count) {
                return Some(kept_where(&|index| subset >> index & 1 == 1));
            }
        } else {
            if let Some(prefix) = within(count + 1) {
                return Some(kept_where(&|index| index < prefix));
            }
            if let Some(loss) = within(count) {
                return Some(kept_where(&|index| index != loss));
            }
            if let Some(survivor) = within(count) {
                return Some(kept_where(&|index| index == survivor));
            }
        }
        if let Some(variant) = within(2 * self.variants.len()) {
            let (index, fate) = self.variants[variant / 2];
            let mut fates: Vec<Fate> = kept_where(&|_| variant % 2 == 0);
            fates[index] = fate;
            return Some(fates);
        }
        within(self.samples).map(|sample| self.drawn(sample))
    }

    fn drawn(&self, sample: usize) -> Vec<Fate> {
        let seed = self.policy.seed ^ mix(self.point as u64) ^ mix(!(sample as u64));
        let mut random = Random::new(seed);
        let draw = |(index, pending): (usize, &Pending)| match (random.below(8), pending.write()) {
            (0..3, _) => Fate::Kept,
            (3..5, _) => Fate::Lost,
            (number, None) => [Fate::Kept, Fate::Lost][number as usize % 2],
            (5, Some((_, written))) => Fate::Prefix(random.below(written.sectors().max(1))),
            (6, Some((_, written))) => Fate::Suffix(random.below(written.sectors().max(1))),
            (_, Some((file, written))) => {
                let extends = written.end() > self.durable.view(file).length();
                match random.below(if extends { 4 } else { 2 }) {
                    3 if self.garbage.contains(&index) => Fate::LengthWithGarbage(random.bits()),
                    2 | 3 => Fate::LengthWithZeros,
                    _ => Fate::Sectors(random.bits()),
                }
            }
        };
        self.pending.iter().enumerate().map(draw).collect()
    }

    fn state(&self, fates: Vec<Fate>) -> CrashState {
        let mut image = self.durable.clone();
        for (pending, fate) in self.pending.iter().zip(&fates) {
            match (fate, pending.write()) {
                (Fate::Kept, _) => apply(&mut image, &pending.operation),
                (Fate::Lost, _) => {}
                (fate, Some((file, written))) => {
                    let known = self.durable.view(file).length();
                    meet(*fate, written, known, image.content(file));
                }
                (fate, None) => unreachable!("{fate:?} is for writes"),
            }
        }
        image.forget_unreachable();
        let fingerprint = image.fingerprint();
        CrashState { image, fingerprint, point: self.point, pending: self.pending.clone(), fates }
    }
}

/// Does to a file what is left of a write; its first `known` bytes were durable before.
fn meet(fate: Fate, written: &Written, known: u64, content: &mut SparseBytes) {
    let extend = |content: &mut SparseBytes| {
        content.allocate(written.offset, written.length).expect("it was possible before");
    };
    let done = match fate {
        Fate::Prefix(sectors) => written.put_sectors(content, |sector| sector < sectors),
        Fate::Suffix(sectors) => written.put_sectors(content, |sector| sector >= sectors),
        Fate::Sectors(seed) => {
            let mut random = Random::new(seed);
            written.put_sectors(content, |_| random.one_in(2))
        }
        Fate::LengthWithZeros => {
            extend(content);
            Ok(())
        }
        Fate::LengthWithGarbage(seed) => {
            extend(content);
            let mut random = Random::new(seed);
            let start = written.offset.max(known);
            let mut garbage = Vec::with_capacity((written.end() - start) as usize + 8);
            while (garbage.len() as u64) < written.end() - start {
                garbage.extend_from_slice(&random.bits().to_le_bytes());
            }
            content.write(start, &garbage[..(written.end() - start) as usize])
        }
        Fate::Kept | Fate::Lost => unreachable!("not a partial fate"),
    };
    done.expect("a recorded write was possible before");
}

impl Iterator for CrashStates {
    type Item = CrashState;

    fn next(&mut self) -> Option<CrashState> {
        let fates = self.fates(self.next)?;
        self.next += 1;
        Some(self.state(fates))
    }
}

/// One state in which a power cut left a disk.
#[derive(Clone, Debug)]
pub struct CrashState {
    image: Image,
    fingerprint: u64,
    point: usize,
    pending: Arc<[Pending]>,
    fates: Vec<Fate>,
}

impl CrashState {
    /// A machine that starts with this disk, and records again.
    pub fn disk(&self) -> Arc<CrashDisk> {
        CrashDisk::holding(self.image.clone())
    }

    /// A process on such a machine.
    pub fn host(&self) -> Arc<dyn Host> {
        self.disk().host()
    }

    /// Makes the same names and bytes on another host, which holds nothing: on one of real files,
    /// which can be mapped.
    pub fn write_to(&self, host: &dyn Host) -> io::Result<()> {
        self.image.write_to(host)
    }

    /// 64 bits that stand for all names and bytes: equal for states that cannot be told apart.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// What arrived and what did not, for people.
    pub fn describe(&self) -> String {
        let mut text = format!("power cut after {} operations", self.point);
        for (pending, fate) in self.pending.iter().zip(&self.fates) {
            let fate = match fate {
                Fate::Kept => "arrived".to_owned(),
                Fate::Lost => "lost".to_owned(),
                Fate::Prefix(sectors) => {
                    format!("torn, its first {} bytes arrived", sectors * SECTOR_BYTES)
                }
                Fate::Suffix(sectors) => {
                    format!("torn, its first {} bytes did not arrive", sectors * SECTOR_BYTES)
                }
                Fate::Sectors(seed) => format!("torn, sectors drawn from {seed:#x}"),
                Fate::LengthWithZeros => "lost but for the length".to_owned(),
                Fate::LengthWithGarbage(seed) => format!("lost, garbage drawn from {seed:#x}"),
            };
            write!(text, "\n  {}: {}: {fate}", pending.index, pending.operation)
                .expect("a string takes all");
        }
        text
    }
}

/// The distinct states that were seen.
#[derive(Clone, Debug, Default)]
pub struct DistinctStates {
    fingerprints: HashSet<u64>,
}

impl DistinctStates {
    /// Notes a state; `false` where an equal one was noted before.
    pub fn note(&mut self, state: &CrashState) -> bool {
        self.fingerprints.insert(state.fingerprint)
    }

    /// How many distinct states were noted.
    pub fn len(&self) -> usize {
        self.fingerprints.len()
    }

    /// Whether none was noted.
    pub fn is_empty(&self) -> bool {
        self.fingerprints.is_empty()
    }
}

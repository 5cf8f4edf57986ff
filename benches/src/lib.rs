//! Measuring beside baselines: ratios of medians of CPU time, taken in turns.
//!
//! The machines that benches run on are shared and noisy. So nothing here is an
//! absolute figure to compare with another day's: each row stands beside its
//! baseline, both measured in turns in the same run.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// One thing to measure, by name.
pub struct Contender<'a> {
    /// What it is called in the table.
    pub name: &'a str,
    /// Does the work once.
    pub work: Box<dyn FnMut() + 'a>,
}

impl<'a> Contender<'a> {
    /// A contender called `name`.
    pub fn new(name: &'a str, work: impl FnMut() + 'a) -> Contender<'a> {
        Contender { name, work: Box::new(work) }
    }
}

/// Whether the run is only to show that the benches work: `--quick`.
pub fn is_quick() -> bool {
    std::env::args().any(|argument| argument == "--quick")
}

/// The CPU time of this process so far.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The median CPU time of each contender over `rounds` rounds, in which they take turns.
pub fn medians(contenders: &mut [Contender<'_>], rounds: usize) -> Vec<Duration> {
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    // One round unmeasured, to touch all memory.
    for round in 0..=rounds {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let start = cpu_time();
            (contender.work)();
            if round > 0 {
                times.push(cpu_time() - start);
            }
        }
    }
    times.into_iter().map(median).collect()
}

/// The middle one of `times`.
///
/// # Panics
///
/// Where there is none.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Prints a table: each contender's median for one of `items`, and how many times
/// as fast as the first one it is.
pub fn compare(title: &str, items: usize, contenders: &mut [Contender<'_>], rounds: usize) {
    let medians = medians(contenders, rounds);
    println!("\n{title}");
    for (contender, time) in contenders.iter().zip(&medians) {
        let each = time.as_nanos() as f64 / items as f64;
        let ratio = medians[0].as_secs_f64() / time.as_secs_f64();
        println!("  {:<44} {each:>10.1} ns each  {ratio:>6.2} x", contender.name);
    }
}

/// A small generator of pseudo-random numbers: the same for the same seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }

    /// Fills a block so that it is unlike any other: its first bytes alone differ, which is
    /// enough for what is measured and costs next to nothing.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(4096) {
            let value = self.next_u64() | 1;
            let length = chunk.len().min(8);
            chunk[..length].copy_from_slice(&value.to_le_bytes()[..length]);
        }
    }
}

//! Power cuts at every point of a workload, and again during the recovery from them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use sapwood::medium::{FileHost, Host, Network};
use sapwood::testing::{CrashDisk, CrashState, Policy};

use super::expect::{Allowed, Expectation};
use super::step::{Step, pattern};
use super::{BLOCK_BYTES, Observed, Subject, compare};

/// How thoroughly a workload is cut.
#[derive(Clone, Copy, Debug)]
pub struct Thoroughness {
    /// What is tried at each point.
    pub policy: Policy,
    /// One in so many states is cut again at every point of its recovery.
    pub nested_one_in: u64,
    /// What is tried at those.
    pub nested_policy: Policy,
    /// One in so many states is made of real files, too, which are read through maps.
    pub mapped_one_in: u64,
}

impl Thoroughness {
    /// What every test run affords; `SAPWOOD_TEST_FACTOR` multiplies the samples.
    pub fn usual(seed: u64) -> Thoroughness {
        let factor = factor();
        Thoroughness {
            policy: Policy { exhaustive_max: 12, samples: 80 * factor, seed },
            nested_one_in: 16,
            nested_policy: Policy { exhaustive_max: 4, samples: 4 * factor, seed },
            mapped_one_in: 97,
        }
    }
}

/// How many times more than usual is tried: `SAPWOOD_TEST_FACTOR`.
pub fn factor() -> usize {
    std::env::var("SAPWOOD_TEST_FACTOR").map_or(1, |factor| factor.parse().expect("a number"))
}

/// What was tried.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Distinct states of the disk that were recovered and compared.
    pub distinct: usize,
    /// All states, equal ones counted again.
    pub tried: usize,
    /// Points of workloads and of recoveries at which power was cut.
    pub points: usize,
    /// Distinct states that were recovered once more in files that were mapped.
    pub mapped: usize,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.distinct += other.distinct;
        self.tried += other.tried;
        self.points += other.points;
        self.mapped += other.mapped;
    }
}

/// A stretch of the log, and what is allowed after a crash within it.
struct Stretch {
    /// The points after its first operation up to its last.
    points: std::ops::RangeInclusive<usize>,
    allowed: Arc<Vec<Allowed>>,
    step: String,
}

/// Performs `steps`, then cuts the power at every point there was.
///
/// The error says what was done, what arrived, and what was found instead of what is allowed.
pub fn cut_everywhere<S: Subject>(
    steps: &[Step],
    thoroughness: &Thoroughness,
) -> Result<Tally, String> {
    let disk = CrashDisk::new();
    let stretches = record::<S>(&disk, steps)?;
    let mut cutter = Cutter {
        thoroughness: *thoroughness,
        seen: HashMap::new(),
        answers: Vec::new(),
        tally: Tally::default(),
    };
    for stretch in &stretches {
        for point in stretch.points.clone() {
            cutter.tally.points += 1;
            for state in disk.states_at(point, &thoroughness.policy) {
                cutter.judge::<S>(&state, &stretch.allowed).map_err(|what| {
                    format!("{what}\nduring {}\n{}", stretch.step, state.describe())
                })?;
            }
        }
    }
    cutter.tally.distinct = cutter.seen.len();
    Ok(cutter.tally)
}

/// Performs the steps and notes where in the log each begins and ends.
fn record<S: Subject>(disk: &Arc<CrashDisk>, steps: &[Step]) -> Result<Vec<Stretch>, String> {
    let mut subject = S::create(disk.host())?;
    let mut expectation = Expectation::default();
    let mut stretches = vec![Stretch {
        points: disk.log_len()..=disk.log_len(),
        allowed: Arc::new(expectation.at_rest()),
        step: "the start".to_owned(),
    }];
    for step in steps {
        let start = disk.log_len();
        subject.perform(step).map_err(|error| format!("{step:?} failed: {error}"))?;
        let during = expectation.perform(step);
        let end = disk.log_len();
        // While the step runs anything on its way is allowed, at its very end only the end.
        stretches.push(Stretch {
            points: start + 1..=end.max(1) - 1,
            allowed: Arc::new(during),
            step: format!("{step:?}"),
        });
        stretches.push(Stretch {
            points: end..=end,
            allowed: Arc::new(expectation.at_rest()),
            step: format!("the time after {step:?}"),
        });
        let shown = subject.observe()?;
        let expected = expectation.current.observed();
        if shown != expected {
            return Err(format!("after {step:?}: {}", shown.difference(&expected)));
        }
    }
    Ok(stretches)
}

/// What a state of the disk showed.
#[derive(PartialEq)]
struct Found {
    /// To somebody who looked in from outside, before it was recovered.
    looked: Result<Observed, String>,
    /// To a writer, who recovered it.
    shown: Result<Observed, String>,
}

impl Found {
    /// Both must be allowed; not the same, since a commit that was in flight may be seen by who
    /// looks in, and dropped by recovery, or the other way round.
    fn compare(&self, allowed: &[Allowed]) -> Result<&Observed, String> {
        compare(&self.looked, allowed).map_err(|what| format!("looking in: {what}"))?;
        compare(&self.shown, allowed)
    }
}

struct Cutter {
    thoroughness: Thoroughness,
    /// What each distinct state showed: the same bytes show the same.
    seen: HashMap<u64, Arc<Found>>,
    /// What states showed, each once: there are few answers to many states.
    answers: Vec<Arc<Found>>,
    tally: Tally,
}

impl Cutter {
    fn answer(&mut self, state: u64, found: Found) -> Arc<Found> {
        let known = self.answers.iter().find(|known| ***known == found).cloned();
        let answer = known.unwrap_or_else(|| {
            self.answers.push(Arc::new(found));
            self.answers[self.answers.len() - 1].clone()
        });
        self.seen.insert(state, answer.clone());
        answer
    }

    /// Recovers from a state and compares; again from power cuts during that recovery.
    fn judge<S: Subject>(&mut self, state: &CrashState, allowed: &[Allowed]) -> Result<(), String> {
        self.tally.tried += 1;
        if let Some(found) = self.seen.get(&state.fingerprint()) {
            return found.compare(allowed).map(|_| ());
        }
        let disk = state.disk();
        let found = self.answer(state.fingerprint(), recover::<S>(&disk));
        let shown = found.compare(allowed)?;
        if state.fingerprint().is_multiple_of(self.thoroughness.mapped_one_in) {
            self.tally.mapped += 1;
            recover_from_files::<S>(state, &found).map_err(|what| format!("in files: {what}"))?;
        }
        if state.fingerprint().is_multiple_of(self.thoroughness.nested_one_in) {
            self.cut_recovery::<S>(&disk, shown, allowed)?;
            go_on::<S>(&disk)?;
        }
        Ok(())
    }

    /// What recovery has shown to a writer once is there for good (INV-02).
    fn cut_recovery<S: Subject>(
        &mut self,
        disk: &Arc<CrashDisk>,
        shown: &Observed,
        allowed: &[Allowed],
    ) -> Result<(), String> {
        let shown = [Allowed::just(shown)];
        for point in 1..=disk.log_len() {
            self.tally.points += 1;
            let allowed = if point == disk.log_len() { &shown } else { allowed };
            for state in disk.states_at(point, &self.thoroughness.nested_policy) {
                self.tally.tried += 1;
                let found = match self.seen.get(&state.fingerprint()) {
                    Some(found) => found.clone(),
                    None => self.answer(state.fingerprint(), recover::<S>(&state.disk())),
                };
                found.compare(allowed).map_err(|what| {
                    format!("{what}\nduring the recovery:\n{}", state.describe())
                })?;
            }
        }
        Ok(())
    }
}

fn recover<S: Subject>(disk: &Arc<CrashDisk>) -> Found {
    let looked = S::look(disk.host());
    if disk.log_len() > 0 {
        let written = disk.describe_log(0);
        return Found { looked: Err(format!("looking in has written:\n{written}")), shown: looked };
    }
    let shown = S::open(disk.host()).and_then(|subject| subject.observe());
    disk.kill();
    Found { looked, shown }
}

/// That the same state in real files, which are mapped where the disk in memory is read, shows the
/// same, before and after it is recovered.
fn recover_from_files<S: Subject>(state: &CrashState, found: &Found) -> Result<(), String> {
    let folder = real_folder();
    let host = FileHost::open_root(folder.path(), Network::Allow);
    let host: Arc<dyn Host> = Arc::new(host.map_err(|error| error.to_string())?);
    state.write_to(&*host).map_err(|error| error.to_string())?;
    if S::look(host.clone()) != found.looked {
        return Err("somebody who looks in is shown something else".to_owned());
    }
    let subject = S::open(host)?;
    match (subject.observe(), &found.shown) {
        (Ok(seen), Ok(expected)) if seen == *expected => Ok(()),
        (Ok(seen), Ok(expected)) => Err(seen.difference(expected)),
        (seen, expected) => Err(format!("{:?}, not {:?}", seen.err(), expected.as_ref().err())),
    }
}

/// A folder in memory, where the machine has one: thousands of these are made and synced.
fn real_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    }
    .expect("a temporary folder")
}

/// That the store goes on from here: every volume takes a commit, and shows it when opened again.
fn go_on<S: Subject>(disk: &Arc<CrashDisk>) -> Result<(), String> {
    let mut subject = S::open(disk.host())?;
    let mut expected = subject.observe()?;
    for (name, bytes) in &mut expected.contents {
        if name.contains('@') || name.contains(':') || bytes.is_empty() {
            continue;
        }
        let write = Step::Write { volume: name.clone(), block: 0, blocks: 1, value: 77 };
        subject.perform(&write)?;
        subject.perform(&Step::Flush { volume: name.clone() })?;
        Arc::make_mut(bytes)[..BLOCK_BYTES as usize].copy_from_slice(&pattern(77, BLOCK_BYTES));
    }
    drop(subject);
    disk.kill();
    let found = S::open(disk.host())?.observe()?;
    match found == expected {
        true => Ok(()),
        false => Err(format!("a commit afterwards: {}", found.difference(&expected))),
    }
}

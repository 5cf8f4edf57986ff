//! The n-th call of the host fails, for every n.

use std::sync::Arc;

use sapwood::medium::Host;
use sapwood::testing::{CrashDisk, Fault, FaultHost, FaultKind, Policy, Repeat};

use super::expect::Expectation;
use super::step::Step;
use super::{Observed, Subject, compare};

/// What was tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultTally {
    /// Runs in which at least one call failed.
    pub runs: u64,
    /// Runs in which a step reported it.
    pub reported: u64,
}

/// Runs `steps` once for each call that a fault of `kind` concerns, and lets that call fail.
///
/// A step that fails must change nothing that was durable; after the fault, the machine is
/// killed and loses power, and what opens then is the last acknowledged state or the one in flight.
pub fn fail_everywhere<S: Subject>(
    steps: &[Step],
    kind: FaultKind,
    repeat: Repeat,
) -> Result<FaultTally, String> {
    let mut tally = FaultTally::default();
    for after in 0.. {
        let fault = Fault { kind, after, repeat };
        match fail_one::<S>(steps, fault).map_err(|what| format!("{what}\nwith {fault:?}"))? {
            None => return Ok(tally),
            Some(reported) => {
                tally.runs += 1;
                tally.reported += u64::from(reported);
            }
        }
    }
    unreachable!("a workload has an end")
}

/// `None` once there is no such call; else whether a step reported the fault.
fn fail_one<S: Subject>(steps: &[Step], fault: Fault) -> Result<Option<bool>, String> {
    let disk = CrashDisk::new();
    let host = FaultHost::on_disk(&disk);
    let mut subject = S::create(host.clone())?;
    let mut expectation = Expectation::default();
    host.arm(fault);
    let mut failed = None;
    for step in steps {
        let before = expectation.clone();
        let outcome = subject.perform(step);
        let during = expectation.perform(step);
        if let Err(error) = outcome {
            failed = Some((step, error, before, during));
            break;
        }
    }
    if host.injected() == 0 {
        return match failed {
            None => Ok(None),
            Some((step, error, ..)) => Err(format!("{step:?} failed without a fault: {error}")),
        };
    }
    host.disarm();
    let reported = failed.is_some();
    let allowed = match failed {
        Some((_, _, before, mut during)) => {
            during.extend(before.at_rest());
            during
        }
        None => expectation.at_rest(),
    };
    drop(subject);
    // The process dies: everything comes back but what a failed sync has lost.
    disk.kill();
    let killed = disk.killed_at(disk.log_len());
    compare(&reopen::<S>(killed.host()), &allowed)
        .map_err(|what| format!("after a kill: {what}"))?;
    // Or the power goes with it.
    let policy = Policy { exhaustive_max: 3, samples: 4, seed: fault.after };
    for state in disk.states_at(disk.log_len(), &policy).step_by(4) {
        compare(&reopen::<S>(state.host()), &allowed)
            .map_err(|what| format!("after a power cut: {what}\n{}", state.describe()))?;
    }
    Ok(Some(reported))
}

fn reopen<S: Subject>(host: Arc<dyn Host>) -> Result<Observed, String> {
    S::open(host)?.observe()
}

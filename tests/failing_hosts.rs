//! The n-th call of the host fails, for every n of every workload (INV-02, INV-10, INV-12).

use sapwood::testing::{FaultKind, Repeat};

use crate::harness::faults::fail_everywhere;
use crate::harness::store::StoreSubject;
use crate::harness::workloads;

const BOTH: [Repeat; 2] = [Repeat::Once, Repeat::Forever];

fn fail_all(kind: FaultKind, repeats: &[Repeat]) {
    for (name, steps) in workloads::all() {
        for &repeat in repeats {
            let tally = fail_everywhere::<StoreSubject>(&steps, kind, repeat)
                .unwrap_or_else(|what| panic!("{name}: {what}"));
            println!("{name}, {kind:?} {repeat:?}: {tally:?}");
            assert!(tally.reported > 0, "{name}, {kind:?}: no step reported anything");
        }
    }
}

#[test]
fn a_device_error_anywhere_loses_nothing_acknowledged() {
    fail_all(FaultKind::DeviceError, &BOTH);
}

/// Files make such calls again by themselves; a medium that does not is one that fails.
#[test]
fn an_interrupted_call_anywhere_loses_nothing_acknowledged() {
    fail_all(FaultKind::Interrupted, &[Repeat::Once]);
}

#[test]
fn a_full_host_anywhere_loses_nothing_acknowledged() {
    fail_all(FaultKind::NoSpace, &BOTH);
}

#[test]
fn a_short_write_anywhere_loses_nothing_acknowledged() {
    fail_all(FaultKind::ShortWrite, &BOTH);
}

#[test]
fn a_failed_sync_anywhere_loses_nothing_acknowledged() {
    fail_all(FaultKind::FailedSync, &BOTH);
}

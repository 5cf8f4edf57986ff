//! The n-th call of the host fails, for every n: an operation is done whole or not at all, and
//! what was acknowledged stays.

use sapwood::testing::{CrashDisk, Fault, FaultHost, FaultKind, Repeat};

use super::model::{Model, Observed};
use super::subject::{Tree, difference, observe, observe_checked};
use super::workloads::of_every_kind;

/// Whether the fault was met.
fn fail_one(fault: Fault) -> Result<bool, String> {
    let text = |error: sapwood::Error| error.to_string();
    let disk = CrashDisk::new();
    let host = FaultHost::on_disk(&disk);
    let tree = Tree::create(host.clone()).map_err(text)?;
    tree.files.flush().map_err(text)?;
    host.arm(fault);
    let mut model = Model::new();
    let mut allowed: Vec<Observed> = vec![model.observed()];
    'stages: for (number, stage) in of_every_kind().iter().enumerate() {
        for action in stage {
            match tree.apply(action) {
                Ok(()) => assert!(action.apply(&mut model)),
                // Refused as a whole: where the volume is well, it goes on as if never asked.
                Err(_) => break 'stages,
            }
        }
        let done = match number % 3 {
            2 => tree.files.snapshot(&Default::default()).map(drop),
            _ => tree.files.flush(),
        };
        match done {
            Ok(()) => allowed = vec![model.observed()],
            Err(_) => {
                allowed.push(model.observed());
                break;
            }
        }
    }
    let met = host.injected() > 0;
    host.disarm();
    // What is shown is something that was asked for, in order: the last state or the last commit.
    if tree.files.volume().check_writable("look").is_ok() {
        let shown = observe(&tree.files).map_err(text)?;
        tree.files.flush().map_err(text)?;
        allowed = vec![shown];
    } else {
        let shown = observe(&tree.files).map_err(text)?;
        if !allowed.contains(&shown) {
            let what = difference(&shown, &allowed[0]);
            return Err(format!("a poisoned tree shows what is no commit: {what}"));
        }
    }
    drop(tree);
    disk.kill();
    let reopened = Tree::open(disk.killed_at(disk.log_len()).host()).map_err(text)?;
    let shown = observe(&reopened.files).map_err(text)?;
    if !allowed.contains(&shown) {
        return Err(format!("after a kill: {}", difference(&shown, &allowed[0])));
    }
    reopened.files.flush().map_err(text)?;
    observe_checked(&reopened.store, "tree")?;
    Ok(met)
}

fn fail_everywhere(kind: FaultKind) {
    let mut runs = 0;
    for repeat in [Repeat::Once, Repeat::Forever] {
        for after in 0.. {
            let fault = Fault { kind, after, repeat };
            match fail_one(fault) {
                Err(what) => panic!("{what}\nwith {fault:?}"),
                Ok(false) => break,
                Ok(true) => runs += 1,
            }
        }
    }
    println!("{kind:?}: {runs} runs");
    assert!(runs > 20, "{runs}");
}

#[test]
fn a_device_error_leaves_a_tree_whole() {
    fail_everywhere(FaultKind::DeviceError);
}

#[test]
fn an_interrupted_call_leaves_a_tree_whole() {
    fail_everywhere(FaultKind::Interrupted);
}

#[test]
fn a_full_host_leaves_a_tree_whole() {
    fail_everywhere(FaultKind::NoSpace);
}

#[test]
fn a_short_write_leaves_a_tree_whole() {
    fail_everywhere(FaultKind::ShortWrite);
}

#[test]
fn a_failed_sync_leaves_a_tree_whole() {
    fail_everywhere(FaultKind::FailedSync);
}

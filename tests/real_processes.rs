//! Real processes that are killed: at every system call that changes the store, and at any moment.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sapwood::medium::{FileHost, Host, Network};
use sapwood::testing::Random;

use crate::harness::expect::{Allowed, Expectation};
use crate::harness::step::Step;
use crate::harness::store::StoreSubject;
use crate::harness::{Subject, compare, workloads};

const FOLDER: &str = "SAPWOOD_TEST_WORKER_FOLDER";
const WORKER: &str = "real_processes::a_writer_killed_at_any_system_call_loses_nothing";

/// The calls that change a store.
const CALLS: [&str; 11] = [
    "pwrite64",
    "pwritev",
    "fdatasync",
    "fsync",
    "ftruncate",
    "fallocate",
    "renameat",
    "renameat2",
    "unlinkat",
    "mkdirat",
    "sync_file_range",
];

fn steps() -> Vec<Step> {
    let mut steps = workloads::commits_and_checkpoints();
    steps.extend(workloads::snapshots_and_forks("second"));
    steps
}

/// Does the steps, and says so after each.
fn work(folder: &Path) {
    let host = Arc::new(FileHost::open_root(folder, Network::Allow).unwrap());
    let mut subject = StoreSubject::create(host).unwrap();
    for step in std::iter::once(None).chain(steps().iter().map(Some)) {
        if let Some(step) = step {
            subject.perform(step).unwrap();
        }
        println!("acknowledged");
        std::io::stdout().flush().unwrap();
    }
}

/// What may be found once so many lines were read from a worker.
fn allowed_after(acknowledged: usize) -> Vec<Allowed> {
    let mut expectation = Expectation::default();
    let steps = steps();
    let (done, rest) = steps.split_at(acknowledged - 1);
    for step in done {
        expectation.perform(step);
    }
    let mut allowed = expectation.at_rest();
    if let Some(next) = rest.first() {
        allowed.extend(expectation.perform(next));
    }
    allowed
}

fn spawn(command: &mut Command, folder: &Path) -> Child {
    command
        .args(["--exact", WORKER, "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits for the worker to end, then compares what it acknowledged with what is found;
/// gives whether it reached its end.
fn judge(mut child: Child, folder: &Path) -> Result<bool, String> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let acknowledged =
        lines.filter(|line| line.as_ref().is_ok_and(|line| line.contains("acknowledged"))).count();
    let ended = child.wait().unwrap().success();
    if acknowledged == 0 {
        return Ok(ended);
    }
    let host: Arc<dyn Host> = Arc::new(FileHost::open_root(folder, Network::Allow).unwrap());
    let allowed = allowed_after(acknowledged);
    compare(&StoreSubject::look(host.clone()), &allowed)
        .map_err(|what| format!("looking in: {what}"))?;
    compare(&StoreSubject::open(host).and_then(|subject| subject.observe()), &allowed)?;
    Ok(ended)
}

#[test]
fn a_writer_killed_at_any_system_call_loses_nothing() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return work(Path::new(&folder));
    }
    let traces = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traces.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: strace is not installed, or may not trace here");
        return;
    }
    let mut kills = 0;
    for call in CALLS {
        // Every one of the first calls of each kind, then ever fewer.
        let mut number: u64 = 1;
        loop {
            let folder = tempfile::tempdir().unwrap();
            let inject = format!("inject={call}:signal=KILL:when={number}");
            let mut command = Command::new("strace");
            command.args(["-f", "-o", "/dev/null", "-e"]).arg(&inject);
            let child = spawn(command.arg(std::env::current_exe().unwrap()), folder.path());
            let ended = judge(child, folder.path())
                .unwrap_or_else(|what| panic!("killed at {call} number {number}: {what}"));
            if ended {
                break;
            }
            kills += 1;
            number += 1 + number / 8;
        }
    }
    println!("{kills} kills at system calls");
    assert!(kills > 20, "only {kills} kills");
}

#[test]
fn a_writer_killed_at_any_moment_loses_nothing() {
    let mut random = Random::new(1);
    for _ in 0..30 {
        let folder = tempfile::tempdir().unwrap();
        let mut child = spawn(&mut Command::new(std::env::current_exe().unwrap()), folder.path());
        std::thread::sleep(Duration::from_micros(random.below(60_000)));
        child.kill().unwrap();
        judge(child, folder.path()).unwrap();
    }
}

//! Real processes that are killed: at every system call that changes the store, and at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sapwood::inspect::{CheckOptions, Severity, check};
use sapwood::medium::{FileHost, Host, Network};
use sapwood::testing::Random;

use crate::harness::expect::{Allowed, Expectation};
use crate::harness::power_cut::factor;
use crate::harness::step::Step;
use crate::harness::store::StoreSubject;
use crate::harness::{Subject, compare, workloads};

const FOLDER: &str = "SAPWOOD_TEST_WORKER_FOLDER";
const WORKLOAD: &str = "SAPWOOD_TEST_WORKER_WORKLOAD";
/// Set where a worker says that it is there, and waits for a line before it begins.
const WAITS: &str = "SAPWOOD_TEST_WORKER_WAITS";
const WORKER: &str = "real_processes::a_writer_killed_at_any_system_call_loses_nothing";

/// Every system call of Linux that can change a file, a name or what is durable of them. Those
/// that are met with a path of the store in them are the ones to kill at.
const CALLS: &str = "?open,?openat,?openat2,?creat,?write,?writev,?pwrite64,?pwritev,?pwritev2,\
    ?truncate,?ftruncate,?fallocate,?copy_file_range,?sendfile,?splice,?vmsplice,?tee,\
    ?fsync,?fdatasync,?sync,?syncfs,?sync_file_range,?msync,\
    ?rename,?renameat,?renameat2,?link,?linkat,?symlink,?symlinkat,?unlink,?unlinkat,\
    ?mkdir,?mkdirat,?rmdir,?mknod,?mknodat,?chmod,?fchmod,?fchmodat,?chown,?fchown,?fchownat,\
    ?setxattr,?fsetxattr,?removexattr,?fremovexattr,?utimensat,?ioctl,?io_uring_enter";

/// What workloads ask of the kernel, and ask again where it is interrupted; what they seldom ask is
/// in `real_files`. Of the rest `mmap` is not interrupted, and a sync is asked once.
const RETRIED: &[&str] = &[
    "openat",
    "pread64",
    "pwrite64",
    "pwritev",
    "fallocate",
    "flock",
    "fcntl",
    "lseek",
    "fstat",
    "fadvise64",
    "getdents64",
    "mkdirat",
    "renameat",
    "renameat2",
    "linkat",
    "unlinkat",
];

/// How often a worker is started to be killed at one call. A removal opens files until it has seen
/// enough, in the order in which the host lists names that are drawn: the last number of a call
/// may not come every time.
const TRIES_MAX: usize = 40;

/// The workloads under their names; a worker is told the number of its own. The last one, by far
/// the longest and with calls on several threads, is killed at random moments only.
fn all_workloads() -> Vec<(&'static str, Vec<Step>)> {
    let mut all = workloads::all();
    all.push(("sealing and flattening of forks", workloads::sealing_and_flattening_of_forks()));
    all.push(("small commits", workloads::small_commits()));
    all.push(("deep chain", workloads::deep_chain()));
    all
}

fn steps(workload: usize) -> Vec<Step> {
    all_workloads().swap_remove(workload).1
}

/// Does the steps, and says so after each.
fn work(folder: &Path, workload: usize) {
    if std::env::var_os(WAITS).is_some() {
        println!("waiting");
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
    let host = Arc::new(FileHost::open_root(folder, Network::Allow).unwrap());
    let mut subject = StoreSubject::create(host).unwrap();
    for step in std::iter::once(None).chain(steps(workload).iter().map(Some)) {
        if let Some(step) = step {
            subject.perform(step).unwrap();
        }
        println!("acknowledged");
        std::io::stdout().flush().unwrap();
    }
}

/// What may be found once so many lines were read from a worker.
fn allowed_after(workload: usize, acknowledged: usize) -> Vec<Allowed> {
    let mut expectation = Expectation::default();
    let steps = steps(workload);
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

fn spawn(command: &mut Command, folder: &Path, workload: usize) -> Child {
    command
        .args(["--exact", WORKER, "--nocapture"])
        .env(FOLDER, folder)
        .env(WORKLOAD, workload.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn traced(arguments: &[&str], folder: &Path, workload: usize) -> Child {
    let mut command = Command::new("strace");
    command.arg("-f").args(arguments).arg(std::env::current_exe().unwrap());
    spawn(&mut command, folder, workload)
}

/// Whether the worker reached its end.
#[derive(Debug, PartialEq)]
enum End {
    Reached,
    Killed,
}

/// Waits for the worker to end, then compares what it acknowledged with what is found. One that
/// failed says why.
fn judge(mut child: Child, folder: &Path, workload: usize) -> Result<End, String> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let acknowledged =
        lines.filter(|line| line.as_ref().is_ok_and(|line| line.contains("acknowledged"))).count();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let end = match child.wait().unwrap().code() {
        Some(0) => End::Reached,
        Some(code) => return Err(format!("the worker ended with {code}: {said}")),
        None => End::Killed,
    };
    if acknowledged == 0 {
        return Ok(end);
    }
    let host: Arc<dyn Host> = Arc::new(FileHost::open_root(folder, Network::Allow).unwrap());
    let allowed = allowed_after(workload, acknowledged);
    expect_sound(&host).map_err(|what| format!("before it was opened: {what}"))?;
    compare(&StoreSubject::look(host.clone()), &allowed)
        .map_err(|what| format!("looking in: {what}"))?;
    let mut subject = StoreSubject::open(host.clone())?;
    let found = subject.observe();
    let shown = compare(&found, &allowed)?;
    expect_sound(&host).map_err(|what| format!("after it was opened: {what}"))?;
    subject.perform(&Step::Collect)?;
    compare(&subject.observe(), &[Allowed::just(shown)])
        .map_err(|what| format!("after a collection: {what}"))?;
    expect_sound(&host).map_err(|what| format!("after a collection: {what}"))?;
    Ok(end)
}

/// That a check finds nothing that a process which died may not leave behind.
fn expect_sound(host: &Arc<dyn Host>) -> Result<(), String> {
    let report = check(host, Path::new(""), &CheckOptions { data: true }, &mut |_| ())
        .map_err(|error| error.to_string())?;
    match report.findings.iter().find(|finding| finding.severity == Severity::Damage) {
        Some(finding) => Err(finding.to_string()),
        None => Ok(()),
    }
}

/// A system call to be killed at: the how many-th of its name that the worker's thread makes.
type Place = (String, usize);

/// The calls of a worker that change its store, each counted among all of its name, as strace
/// counts them: for each thread by itself.
fn places(workload: usize) -> Vec<Place> {
    let folder = tempfile::tempdir().unwrap();
    let (store, trace) = (folder.path().join("store"), folder.path().join("trace"));
    std::fs::create_dir(&store).unwrap();
    let arguments = ["-y", "-o", trace.to_str().unwrap(), "-e", &format!("trace={CALLS}")];
    let end = judge(traced(&arguments, &store, workload), &store, workload);
    assert_eq!(end, Ok(End::Reached), "the workload by itself");
    let mut places = Vec::new();
    let mut threads = BTreeSet::new();
    let mut numbers: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let trace = std::fs::read_to_string(trace).unwrap();
    for line in trace.lines() {
        // `12345 pwrite64(5</store/layers/..>, ..`
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, arguments)) = rest.trim_start().split_once('(') else { continue };
        if !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let number = numbers.entry((thread, call)).or_default();
        *number += 1;
        let is_open = call.starts_with("open");
        if arguments.contains(store.to_str().unwrap()) && (!is_open || line.contains("O_CREAT")) {
            places.push((call.to_owned(), *number));
            threads.insert(thread);
        }
    }
    assert_eq!(threads.len(), 1, "the numbers count one thread's calls");
    places
}

fn kill_at((call, number): &Place, workload: usize) -> Result<End, String> {
    let folder = tempfile::tempdir().unwrap();
    let (trace, inject) =
        (format!("trace={call}"), format!("inject={call}:signal=KILL:when={number}"));
    let child = traced(&["-o", "/dev/null", "-e", &trace, "-e", &inject], folder.path(), workload);
    judge(child, folder.path(), workload)
        .map_err(|what| format!("killed at {call} number {number}: {what}"))
}

/// Does `work` for each of the numbers, two at a time for each core: much of it waits for syncs.
fn many_at_once(numbers: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |cores| 2 * cores.get()) {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number < numbers
                {
                    work(number);
                }
            });
        }
    });
}

/// Each system call by which a workload changes its store is one to be killed at.
#[test]
fn a_writer_killed_at_any_system_call_loses_nothing() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let workload = std::env::var(WORKLOAD).unwrap().parse().unwrap();
        return work(Path::new(&folder), workload);
    }
    let traces = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traces.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: strace is not installed, or may not trace here");
        return;
    }
    let mut kills: Vec<(usize, Place)> = Vec::new();
    let all = all_workloads();
    for (workload, (name, _)) in all[..all.len() - 1].iter().enumerate() {
        let places = places(workload);
        let mut calls: BTreeMap<&str, usize> = BTreeMap::new();
        places.iter().for_each(|(call, _)| *calls.entry(call).or_default() += 1);
        println!("{name}: {} calls that change the store: {calls:?}", places.len());
        kills.extend(places.into_iter().map(|place| (workload, place)));
    }
    many_at_once(kills.len(), |number| {
        let (workload, place) = &kills[number];
        let was_killed = (0..TRIES_MAX).any(|_| {
            let end = kill_at(place, *workload);
            end.unwrap_or_else(|what| panic!("{}: {what}", all[*workload].0)) == End::Killed
        });
        assert!(was_killed, "{place:?} of workload {workload} is not made in {TRIES_MAX} tries");
    });
    println!("{} kills at system calls", kills.len());
    assert!(kills.len() >= 1500, "only {} kills", kills.len());
}

/// Every other call of a workload is interrupted, and then every other one beginning with the next:
/// nobody notices.
#[test]
fn interrupted_system_calls_are_made_again_whatever_is_done() {
    let traces = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traces.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: strace is not installed, or may not trace here");
        return;
    }
    let all = all_workloads();
    let interrupted: Mutex<BTreeMap<&str, usize>> = Mutex::default();
    many_at_once(2 * all.len(), |number| {
        let (workload, first) = (number / 2, 1 + number % 2);
        let folder = tempfile::tempdir().unwrap();
        let (store, trace) = (folder.path().join("store"), folder.path().join("trace"));
        std::fs::create_dir(&store).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(WAITS, "").stdin(Stdio::piped());
        let mut worker = spawn(&mut command, &store, workload);
        // Attached to once it waits: a program that is just being loaded makes such calls, too. It
        // has written no more than the line, of which not a byte is read ahead.
        let said = BufReader::with_capacity(1, worker.stdout.as_mut().unwrap());
        assert!(said.lines().any(|line| line.unwrap().ends_with("waiting")), "{}", all[workload].0);
        let calls = RETRIED.join(",");
        let mut tracer = Command::new("strace")
            .args(["-f", "-p", &worker.id().to_string(), "-o", trace.to_str().unwrap()])
            .args(["-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:error=EINTR:when={first}+2")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(tracer.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "{line}");
        worker.stdin.take().unwrap().write_all(b"begin\n").unwrap();
        let end = judge(worker, &store, workload);
        assert_eq!(end, Ok(End::Reached), "{}, from call {first} on", all[workload].0);
        said.read_to_string(&mut line).unwrap();
        assert!(tracer.wait().unwrap().success(), "{line}");
        let trace = std::fs::read_to_string(trace).unwrap();
        for injected in trace.lines().filter(|line| line.ends_with("(INJECTED)")) {
            let is_it = |call: &&&str| injected.contains(&format!(" {call}("));
            if let Some(call) = RETRIED.iter().find(is_it) {
                *interrupted.lock().unwrap().entry(call).or_default() += 1;
            }
        }
    });
    let interrupted = interrupted.into_inner().unwrap();
    println!("interrupted: {interrupted:?}");
    for call in RETRIED {
        assert!(interrupted.contains_key(call), "{call} was never interrupted: {interrupted:?}");
    }
}

#[test]
fn a_writer_killed_at_any_moment_loses_nothing() {
    let all = all_workloads();
    let start = |folder: &Path, workload| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        spawn(&mut command, folder, workload)
    };
    // How long each takes here.
    let microseconds: Vec<u64> = (0..all.len())
        .map(|workload| {
            let folder = tempfile::tempdir().unwrap();
            let begun = Instant::now();
            let mut child = start(folder.path(), workload);
            assert!(child.wait().unwrap().success());
            begun.elapsed().as_micros() as u64
        })
        .collect();
    let killed = AtomicUsize::new(0);
    many_at_once(200 * factor(), |number| {
        let mut random = Random::new(number as u64);
        let workload = number % all.len();
        let folder = tempfile::tempdir().unwrap();
        let mut child = start(folder.path(), workload);
        std::thread::sleep(Duration::from_micros(random.below(microseconds[workload])));
        child.kill().unwrap();
        let end = judge(child, folder.path(), workload)
            .unwrap_or_else(|what| panic!("{}: {what}", all[workload].0));
        if end == End::Killed {
            killed.fetch_add(1, Ordering::Relaxed);
        }
    });
    println!("{} kills at random moments", killed.into_inner());
}

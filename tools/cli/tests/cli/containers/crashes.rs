//! Processes around a container that are killed: the truth is told, and nothing goes on or stays.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use super::{
    expect, left_of, place, processes, processes_of, server, spawn, status, text, wait_for,
};
use crate::support::Place;

/// What runs in the containers of these tests.
const LINE: &str = "echo kept > /kept; : > /ready; while :; do sleep 0.05; done";

fn start_detached(place: &Place, name: &str) {
    place.ok(&["run", "-d", "-u", "0", "--name", name, "base:1", "sh", "-c", LINE]);
    wait_until_ready(place, name);
}

fn wait_until_ready(place: &Place, name: &str) {
    wait_for("the start", || place.run(&["exec", name, "test", "-e", "/ready"]).code == 0);
}

/// The child of a process whose command line has these words.
fn child_of(parent: Pid, word: &str) -> Pid {
    let is_it = |process: &u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let parent = format!("PPid:\t{}\n", parent.as_raw_nonzero());
        status.contains(&parent) && String::from_utf8_lossy(&words).contains(word)
    };
    let found = processes().into_iter().find(is_it).expect("a child");
    Pid::from_raw(found.try_into().unwrap()).unwrap()
}

/// That it can be started, stopped and removed after whatever happened, and what it kept is there.
fn expect_usable(place: &Place, name: &str) {
    assert_eq!(text(place.ok(&["cat", &format!("{name}:/kept")])), "kept\n");
    place.ok(&["start", "-d", name]);
    wait_until_ready(place, name);
    assert_eq!(status(place, name), "running");
    place.ok(&["stop", "-t", "0", name]);
    assert_eq!(status(place, name), "exited");
    assert_eq!(left_of(place), [] as [String; 0]);
    place.ok(&["rm", name]);
    assert_eq!(status(place, name), "none");
    place.ok(&["check", "--data"]);
}

#[test]
fn a_killed_server_ends_its_container() {
    let Some(place) = place("a_killed_server_ends_its_container") else { return };
    start_detached(&place, "web");
    place.ok(&["flush", "web"]);
    kill_process(server(&place, "web"), Signal::KILL).unwrap();
    wait_for("the end of what ran", || processes_of(&place).is_empty());
    assert_eq!(status(&place, "web"), "killed");
    expect(&place.run(&["exec", "web", "true"]), 125, "does not run");
    place.ok(&["stop", "web"]);
    expect_usable(&place, "web");
}

#[test]
fn a_killed_run_leaves_a_volume_and_nothing_that_runs() {
    let Some(place) = place("a_killed_run_leaves_a_volume_and_nothing_that_runs") else { return };
    let mut child = spawn(&place, &["run", "-u", "0", "--name", "web", "base:1", "sh", "-c", LINE]);
    wait_until_ready(&place, "web");
    place.ok(&["flush", "web"]);
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    wait_for("the end of what ran", || processes_of(&place).is_empty());
    assert_eq!(status(&place, "web"), "killed");
    assert!(text(place.run(&["diff", "web"]).stdout).contains("A /kept"));
    expect_usable(&place, "web");
}

/// The runtime's own process, which waits for the one in the container.
#[test]
fn a_killed_runtime_ends_its_container() {
    let Some(place) = place("a_killed_runtime_ends_its_container") else { return };
    start_detached(&place, "web");
    kill_process(child_of(server(&place, "web"), "--bundle"), Signal::KILL).unwrap();
    wait_for("the end of the container", || status(&place, "web") != "running");
    let shown = text(place.ok(&["ps", "-a"]));
    assert!(shown.contains("exited (137)"), "{shown}");
    expect_usable(&place, "web");
}

#[test]
fn a_killed_first_process_is_an_exit() {
    let Some(place) = place("a_killed_first_process_is_an_exit") else { return };
    start_detached(&place, "web");
    let runtime = child_of(server(&place, "web"), "--bundle");
    kill_process(child_of(runtime, "sleep 0.05"), Signal::KILL).unwrap();
    wait_for("the end of the container", || status(&place, "web") != "running");
    assert!(text(place.ok(&["ps", "-a"])).contains("exited (137)"));
    expect_usable(&place, "web");
}

/// The guard is the last to go; without it, what is left goes with the next start or removal.
#[test]
fn a_server_killed_with_its_guard_is_cleared_up_after() {
    let Some(place) = place("a_server_killed_with_its_guard_is_cleared_up_after") else { return };
    for verb in ["start", "prune", "rm"] {
        start_detached(&place, "web");
        place.ok(&["flush", "web"]);
        let server = server(&place, "web");
        kill_process(child_of(server, "read -r"), Signal::KILL).unwrap();
        kill_process(server, Signal::KILL).unwrap();
        wait_for("the end of the server", || status(&place, "web") == "killed");
        // A mount whose server is gone answers nobody.
        place.ok(&["df", "-v"]);
        match verb {
            "start" => expect_usable(&place, "web"),
            "prune" => {
                for (words, count) in
                    [(&["prune", "--dry-run"][..], 1), (&["prune"], 1), (&["prune"], 0)]
                {
                    assert_eq!(place.json(words, 0)["killed_containers"], count, "{words:?}");
                }
                assert_eq!(left_of(&place), [] as [String; 0]);
                expect_usable(&place, "web");
            }
            _ => drop(place.ok(&["rm", "web"])),
        }
        assert_eq!(left_of(&place), [] as [String; 0], "after {verb}");
    }
}

/// At any moment of a start: what is listed is true, and can be removed.
#[test]
fn a_run_that_is_killed_on_its_way_leaves_nothing_that_stays() {
    let test = "a_run_that_is_killed_on_its_way_leaves_nothing_that_stays";
    let Some(place) = place(test) else { return };
    let before = place.ok(&["ls"]);
    let mut told = std::collections::BTreeSet::new();
    // On a machine that does other things meanwhile, some rounds are alike, and all takes longer.
    for step in 0..64 {
        if step >= 16 && told.len() > 1 {
            break;
        }
        let name = format!("c{step}");
        let words = ["run", "-u", "0", "--name", &name, "base:1", "sh", "-c", LINE];
        let mut child = spawn(&place, &words);
        std::thread::sleep(std::time::Duration::from_millis(12 * (step % 16) * (1 + step / 16)));
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        child.wait().unwrap();
        // The guard may be about to end what has been begun.
        wait_for("the end of what ran", || processes_of(&place).is_empty());
        let found = status(&place, &name);
        assert!(["none", "created", "killed"].contains(&found.as_str()), "{found} after {step}");
        let is_there = text(place.ok(&["ls"])).contains(&format!("{name} "));
        assert!(is_there || found == "none");
        if is_there {
            place.ok(&["rm", &name]);
        }
        told.insert(found);
    }
    assert!(told.len() > 1, "the moments were all alike: {told:?}");
    assert_eq!(place.ok(&["ls"]), before);
    // A folder without a volume is nobody's, and goes with the next container of its name.
    place.ok(&["run", "--rm", "--name", "c0", "base:1"]);
    assert_eq!(left_of(&place), [] as [String; 0]);
    place.ok(&["check", "--data"]);
}

/// A signal before the process was there ended the command, and what was to go with it stayed; or it ended
/// the runtime, and the exit code was the runtime's.
#[test]
fn a_signal_to_a_run_on_its_way_leaves_nothing() {
    let Some(place) = place("a_signal_to_a_run_on_its_way_leaves_nothing") else { return };
    let before = place.ok(&["ls"]);
    let line = "trap 'exit 7' TERM; for n in 1 2 3 4 5; do sleep 0.05; done";
    let mut told = std::collections::BTreeSet::new();
    for step in 0..200 {
        if step >= 24 && told.contains(&Some(0)) && told.contains(&Some(7)) {
            break;
        }
        let mut child = spawn(&place, &["run", "--rm", "base:1", "sh", "-c", line]);
        std::thread::sleep(std::time::Duration::from_millis(5 * step));
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        // None: before it listened.
        told.insert(child.wait().unwrap().code());
        assert_eq!(left_of(&place), [] as [String; 0], "after {step}");
        assert_eq!(place.ok(&["ls"]), before, "after {step}");
    }
    // The first process of a container does not end by what it does not listen to.
    assert!(told.iter().all(|code| [None, Some(0), Some(7)].contains(code)), "{told:?}");
    assert!(told.contains(&Some(0)) && told.contains(&Some(7)), "{told:?}");
}

/// The runtime that was to stop what had just ended left a folder and a log of its own.
#[test]
fn a_stop_that_comes_with_the_end_leaves_nothing() {
    let Some(place) = place("a_stop_that_comes_with_the_end_leaves_nothing") else { return };
    for step in 0..16 {
        let kept: &[&str] = if step % 2 == 0 { &[] } else { &["--rm"] };
        let words = ["-d", "--name", "web", "base:1", "sleep", "0.1"];
        place.ok(&[&["run"], kept, &words].concat());
        std::thread::sleep(std::time::Duration::from_millis(10 * step));
        let stopped = place.run(&["stop", "-t", "0", "web"]);
        wait_for("the end", || processes_of(&place).is_empty());
        assert_eq!(left_of(&place), [] as [String; 0], "after {step}: {}", stopped.stderr);
        if kept.is_empty() {
            place.ok(&["rm", "web"]);
        }
    }
}

/// A runtime says that there is nothing to signal any more; that is no word about how the process ended.
#[test]
fn a_signal_that_comes_with_the_end_changes_no_exit_code() {
    let Some(place) = place("a_signal_that_comes_with_the_end_changes_no_exit_code") else {
        return;
    };
    let line = "trap 'exit 3' INT TERM; : > /ready; while :; do sleep 0.05; done";
    let words = ["run", "-u", "0", "--name", "web", "base:1", "sh", "-c", line];
    let mut run = spawn(&place, &words);
    wait_until_ready(&place, "web");
    let runtime = child_of(Pid::from_child(&run), "\0run\0--bundle");
    let process = child_of(runtime, "sh\0-c");
    // It does not see the end.
    kill_process(runtime, Signal::STOP).unwrap();
    let mut stop = spawn(&place, &["stop", "-t", "60", "web"]);
    let state = || fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap();
    wait_for("the end", || state().contains(") Z "));
    place.run(&["stop", "-t", "60", "web"]);
    kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
    kill_process(runtime, Signal::CONT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(3));
    assert!(stop.wait().unwrap().success());
    assert_eq!(left_of(&place), [] as [String; 0]);
}

#[test]
fn of_two_runs_with_one_name_one_runs() {
    let Some(place) = place("of_two_runs_with_one_name_one_runs") else { return };
    let words = ["run", "-u", "0", "--name", "web", "base:1", "sh", "-c", LINE];
    let mut both = [spawn(&place, &words), spawn(&place, &words)];
    wait_until_ready(&place, "web");
    wait_for("the refusal", || both.iter_mut().any(|child| child.try_wait().unwrap().is_some()));
    let refused = both.iter_mut().position(|child| child.try_wait().unwrap().is_some()).unwrap();
    assert_eq!(both[refused].wait().unwrap().code(), Some(125));
    place.ok(&["stop", "-s", "KILL", "web"]);
    assert_eq!(both[1 - refused].wait().unwrap().code(), Some(137));
    place.ok(&["rm", "web"]);
}

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
    expect(&place.run(&["stop", "web"]), 2, "does not run");
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
    for verb in ["start", "rm"] {
        start_detached(&place, "web");
        place.ok(&["flush", "web"]);
        let server = server(&place, "web");
        kill_process(child_of(server, "read -r"), Signal::KILL).unwrap();
        kill_process(server, Signal::KILL).unwrap();
        wait_for("the end of the server", || status(&place, "web") == "killed");
        match verb {
            "start" => expect_usable(&place, "web"),
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
    // On a machine that does other things meanwhile, some rounds are alike.
    for step in 0..64 {
        if step >= 16 && told.len() > 1 {
            break;
        }
        let name = format!("c{step}");
        let words = ["run", "-u", "0", "--name", &name, "base:1", "sh", "-c", LINE];
        let mut child = spawn(&place, &words);
        std::thread::sleep(std::time::Duration::from_millis(12 * (step % 16)));
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

//! Containers on a host that has no room for what they wrote: it was lost with their end, and `stop` said nothing.

use rustix::process::{Pid, Signal, kill_process};

use super::{expect, left_of, place_in, spawn, status, text, wait_for};
use crate::support::Place;

/// What runs here: it writes 1 MiB, and ends when it is asked to.
const LINE: &str =
    "trap 'exit 3' INT TERM; dd if=/dev/urandom of=/made bs=64k count=16; : > /ready;
    while :; do sleep 0.05; done";

fn wait_until_ready(place: &Place) {
    wait_for("the start", || place.run(&["exec", "web", "test", "-e", "/ready"]).code == 0);
}

fn expect_made(place: &Place) {
    assert_eq!(place.ok(&["cat", "web:/made"]).len(), 1 << 20);
    // But for the store's own filesystem.
    let left = left_of(place).into_iter().filter(|left| !left.starts_with("tmpfs"));
    assert_eq!(left.collect::<Vec<_>>(), [] as [String; 0]);
}

#[test]
fn what_a_stopped_container_wrote_waits_for_room() {
    let test = "what_a_stopped_container_wrote_waits_for_room";
    let Some(place) = place_in(test, Place::with_small_store) else { return };
    place.ok(&["run", "-d", "-u", "0", "--name", "web", "base:1", "sh", "-c", LINE]);
    wait_until_ready(&place);
    place.fill();
    for _ in 0..2 {
        expect(&place.run(&["stop", "web"]), 7, "then `stop web` again");
        assert_eq!(status(&place, "web"), "running");
    }
    place.make_room();
    place.ok(&["stop", "web"]);
    let shown = text(place.ok(&["ps", "-a"]));
    assert!(shown.contains("exited (3)"), "{shown}");
    expect_made(&place);

    // Who wants room by its removal does not have to make some first.
    place.ok(&["start", "-d", "web"]);
    wait_until_ready(&place);
    place.ok(&["exec", "web", "rm", "/made"]);
    place.ok(&["exec", "web", "dd", "if=/dev/urandom", "of=/more", "bs=64k", "count=16"]);
    place.fill();
    expect(&place.run(&["stop", "web"]), 7, "`rm -f web`");
    place.ok(&["rm", "-f", "web"]);
    place.make_room();
    assert_eq!(status(&place, "web"), "none");
    place.ok(&["check", "--data"]);
}

#[test]
fn a_run_in_the_foreground_waits_for_room_or_for_a_signal() {
    let test = "a_run_in_the_foreground_waits_for_room_or_for_a_signal";
    let Some(place) = place_in(test, Place::with_small_store) else { return };
    for (name, gives_up) in [("web", false), ("lost", true)] {
        let words = ["run", "-u", "0", "--name", name, "base:1", "sh", "-c", LINE];
        let mut child = spawn(&place, &words);
        wait_for("the start", || place.run(&["exec", name, "test", "-e", "/ready"]).code == 0);
        place.fill();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        wait_for("the lack of room", || place.run(&["stop", "-t", "60", name]).code == 7);
        match gives_up {
            true => kill_process(Pid::from_child(&child), Signal::TERM).unwrap(),
            false => place.make_room(),
        }
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(if gives_up { 125 } else { 3 }));
    }
    place.make_room();
    expect_made(&place);
    place.ok(&["check", "--data"]);
}

//! The power cut at every point of workloads on trees: what opens is a commit, whole (INV-02).

use std::collections::HashMap;

use sapwood::testing::{CrashDisk, Policy};

use super::model::{Model, Observed};
use super::subject::{Tree, difference, observe, observe_checked};
use super::workloads::{self, Stage};
use crate::harness::power_cut::factor;

/// Fewer distinct states are none to trust.
const STATES_MIN: usize = 15_000;

#[test]
fn a_tree_is_a_whole_commit_after_a_power_cut_anywhere() {
    let (mut distinct, mut tried) = (0, 0);
    for (name, stages) in workloads::all() {
        let (states, all) = cut_everywhere(name, &stages);
        println!("{name}: {states} distinct states of a tree after a power cut, {all} tried");
        distinct += states;
        tried += all;
    }
    println!("{distinct} distinct states of trees after a power cut, {tried} tried");
    assert!(distinct >= STATES_MIN, "only {distinct} distinct states");
}

/// Does what the stages say, cuts the power at every point of it, and looks at what opens; how
/// many distinct states of the disk there were, and how many with equal ones.
fn cut_everywhere(name: &str, stages: &[Stage]) -> (usize, usize) {
    let disk = CrashDisk::new();
    let tree = Tree::create(disk.host()).expect("a sound disk");
    let mut model = Model::new();
    // What may be there from a point of the log on: a commit counts once it is in flight.
    let mut commits: Vec<(usize, usize, Observed)> = Vec::new();
    let start = disk.log_len();
    tree.files.flush().expect("room");
    commits.push((start, disk.log_len(), model.observed()));
    for (number, stage) in stages.iter().enumerate() {
        let start = disk.log_len();
        for action in stage {
            tree.apply(action).unwrap_or_else(|error| panic!("{action:?}: {error}"));
            assert!(action.apply(&mut model), "{action:?}");
        }
        match number % 3 {
            2 => drop(tree.files.snapshot(&Default::default()).expect("room")),
            _ => tree.files.flush().expect("room"),
        }
        assert_eq!(observe(&tree.files).expect("sound"), model.observed());
        commits.push((start, disk.log_len(), model.observed()));
    }
    let policy = Policy { exhaustive_max: 9, samples: 48 * factor(), seed: 5 };
    let mut seen: HashMap<u64, Option<Observed>> = HashMap::new();
    let mut tried = 0;
    for point in commits[0].1..=disk.log_len() {
        let at_least = commits.iter().rposition(|(_, end, _)| *end <= point).expect("the first");
        let at_most = commits.iter().rposition(|(start, _, _)| *start < point).unwrap_or(0);
        for state in disk.states_at(point, &policy) {
            tried += 1;
            let shown = seen.entry(state.fingerprint()).or_insert_with(|| {
                let recovered = state.disk();
                let when = || format!("{name}, at {point}:\n{}", state.describe());
                let tree = Tree::open(recovered.host())
                    .unwrap_or_else(|error| panic!("{error} {}", when()));
                let shown =
                    observe(&tree.files).unwrap_or_else(|error| panic!("{error} {}", when()));
                tree.files.flush().unwrap_or_else(|error| panic!("{error} {}", when()));
                let checked = observe_checked(&tree.store, "tree")
                    .unwrap_or_else(|what| panic!("{what} {}", when()));
                assert_eq!(checked.as_ref(), Some(&shown), "{}", when());
                Some(shown)
            });
            let shown = shown.as_ref().expect("observed above");
            let allowed = commits[at_least..=at_most.max(at_least)].iter();
            let mut allowed = allowed.map(|(_, _, observed)| observed);
            assert!(
                allowed.any(|observed| observed == shown),
                "{name}, at {point}: {}\n{}",
                difference(shown, &commits[at_least].2),
                state.describe()
            );
        }
    }
    (seen.len(), tried)
}

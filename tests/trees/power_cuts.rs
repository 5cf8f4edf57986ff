//! The power cut at every point of workloads on trees: what opens is a commit, whole (INV-02).

use std::collections::HashMap;

use sapwood::testing::{CrashDisk, Policy};

use super::model::{Model, Observed};
use super::step::Action;
use super::subject::{Tree, difference, observe, observe_checked};
use crate::harness::power_cut::factor;

/// What is done between two commits.
pub type Stage = Vec<Action>;

fn text(text: &str) -> String {
    text.to_owned()
}

fn make(directory: &str, name: &str, kind: u8) -> Action {
    Action::Make { directory: text(directory), name: text(name), kind }
}

fn write(path: &str, offset: u64, length: usize, value: u8) -> Action {
    Action::Write { path: text(path), offset, data: super::step::pattern(value, length) }
}

fn rename(path: &str, directory: &str, name: &str, exchange: bool) -> Action {
    Action::Rename { path: text(path), directory: text(directory), name: text(name), exchange }
}

fn remove(path: &str) -> Action {
    Action::Remove { path: text(path) }
}

fn attach(name: &str, length: usize, value: u8) -> Action {
    Action::Attach { name: text(name), content: super::step::pattern(value, length) }
}

/// Operations of every kind, in stages that end with a commit each; every third with a snapshot.
pub fn stages() -> Vec<Stage> {
    const FILE: u8 = 4;
    const DIRECTORY: u8 = 0;
    let many = (0..40).map(|number| make("d", &format!("file-{number}"), FILE));
    let removed = (0..30).map(|number| remove(&format!("d/file-{number}")));
    vec![
        vec![make("", "d", DIRECTORY), make("d", "small", FILE), write("d/small", 0, 300, 1)],
        vec![make("", "big", FILE), write("big", 0, 30_000, 2), make("d", "link", 2)],
        vec![write("big", 5000, 5000, 3), write("d/small", 200, 3000, 4), make("", "e", DIRECTORY)],
        vec![
            rename("d/small", "e", "moved", false),
            Action::Link { path: text("big"), directory: text("d"), name: text("second") },
            Action::SetExtended {
                path: text("big"),
                name: text("user.a"),
                value: super::step::pattern(5, 2500),
            },
        ],
        many.collect(),
        vec![attach("note", 300, 6), attach("long", 20_000, 7)],
        vec![
            Action::Truncate { path: text("big"), size: 7000 },
            Action::Copy {
                path: text("e/moved"),
                from: 0,
                to_path: text("big"),
                to: 8192,
                length: 3200,
            },
            rename("d", "", "e", true),
        ],
        removed
            .map(|action| match action {
                Action::Remove { path } => Action::Remove { path: path.replacen('d', "e", 1) },
                other => other,
            })
            .collect(),
        vec![
            rename("big", "e", "second", false),
            remove("d/moved"),
            Action::Zero { path: text("e/second"), offset: 100, length: 5000 },
            attach("note", 5000, 8),
            Action::Attributes { path: text("e"), permissions: 0o700, owner: 3 },
        ],
    ]
}

#[test]
fn a_tree_is_a_whole_commit_after_a_power_cut_anywhere() {
    let disk = CrashDisk::new();
    let tree = Tree::create(disk.host()).expect("a sound disk");
    let mut model = Model::new();
    // What may be there from a point of the log on: a commit counts once it is in flight.
    let mut commits: Vec<(usize, usize, Observed)> = Vec::new();
    let start = disk.log_len();
    tree.files.flush().expect("room");
    commits.push((start, disk.log_len(), model.observed()));
    for (number, stage) in stages().iter().enumerate() {
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
    let policy = Policy { exhaustive_max: 9, samples: 24 * factor(), seed: 5 };
    let mut seen: HashMap<u64, Option<Observed>> = HashMap::new();
    let mut tried = 0;
    for point in commits[0].1..=disk.log_len() {
        let at_least = commits.iter().rposition(|(_, end, _)| *end <= point).expect("the first");
        let at_most = commits.iter().rposition(|(start, _, _)| *start < point).unwrap_or(0);
        for state in disk.states_at(point, &policy) {
            tried += 1;
            let shown = seen.entry(state.fingerprint()).or_insert_with(|| {
                let recovered = state.disk();
                let when = || format!("at {point}:\n{}", state.describe());
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
                "at {point}: {}\n{}",
                difference(shown, &commits[at_least].2),
                state.describe()
            );
        }
    }
    println!("{} distinct states of a tree after a power cut, {tried} tried", seen.len());
    assert!(seen.len() >= 2_000, "only {} distinct states", seen.len());
}

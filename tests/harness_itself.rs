//! The harness finds what it should: every mistake of a toy store, and none where there is none.

use proptest::prelude::*;
use sapwood::testing::{FaultKind, Policy, Repeat};

use crate::harness::action::{Action, ActionKind, action};
use crate::harness::faults::fail_everywhere;
use crate::harness::play::play;
use crate::harness::power_cut::{Thoroughness, cut_everywhere};
use crate::harness::step::Step;
use crate::harness::toy::{MISTAKES, Mistake, Toy};

fn workload() -> Vec<Step> {
    let volume = || "volume".to_owned();
    vec![
        Step::Create { volume: volume(), blocks: 3 },
        Step::Write { volume: volume(), block: 0, blocks: 2, value: 1 },
        Step::Flush { volume: volume() },
        Step::WriteBytes { volume: volume(), offset: 100, length: 5000, value: 2 },
        Step::Flush { volume: volume() },
        Step::Snapshot { volume: volume(), tag: "tag:1".to_owned() },
        Step::Discard { volume: volume(), block: 1, blocks: 1 },
        Step::Fork { tag: "tag:1".to_owned(), volume: "fork".to_owned() },
        Step::Write { volume: "fork".to_owned(), block: 2, blocks: 1, value: 3 },
        Step::Flush { volume: "fork".to_owned() },
        Step::RemoveTag { tag: "tag:1".to_owned() },
    ]
}

fn cut<const MISTAKE: usize>() -> Result<(), String> {
    let policy = Policy { exhaustive_max: 6, samples: 40, seed: 1 };
    let thoroughness =
        Thoroughness { policy, nested_one_in: 2, nested_policy: policy, mapped_one_in: 4 };
    cut_everywhere::<Toy<MISTAKE>>(&workload(), &thoroughness).map(|tally| {
        assert!(tally.distinct > 20 && tally.points > 20 && tally.mapped > 2, "{tally:?}");
    })
}

#[test]
fn a_toy_without_a_mistake_loses_nothing() {
    assert_eq!(MISTAKES[0], Mistake::None);
    cut::<0>().unwrap();
    for kind in [FaultKind::DeviceError, FaultKind::NoSpace, FaultKind::ShortWrite] {
        for repeat in [Repeat::Once, Repeat::Forever] {
            let tally = fail_everywhere::<Toy<0>>(&workload(), kind, repeat).unwrap();
            assert!(tally.runs > 4 && tally.reported == tally.runs, "{kind:?}: {tally:?}");
        }
    }
}

#[test]
fn every_mistake_of_a_toy_is_found() {
    for (mistake, found) in [
        (Mistake::NoFileSync, cut::<1>()),
        (Mistake::NoFolderSync, cut::<2>()),
        (Mistake::InPlace, cut::<3>()),
    ] {
        found.expect_err(&format!("{mistake:?} goes unnoticed"));
    }
    let found = fail_everywhere::<Toy<4>>(&workload(), FaultKind::FailedSync, Repeat::Once);
    found.expect_err("a sync error that is ignored goes unnoticed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_toy_shows_what_the_model_shows(actions in prop::collection::vec(action(), 1..60)) {
        // A toy that was opened again does not know which snapshots stand on which.
        let crashes = |action: &Action| matches!(action.kind, ActionKind::Kill | ActionKind::PowerCut);
        let actions: Vec<Action> = actions.into_iter().filter(|action| !crashes(action)).collect();
        play::<Toy<0>>(&actions).map_err(TestCaseError::fail)?;
    }
}

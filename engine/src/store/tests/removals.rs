//! Removing many at once.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::ErrorKind;
use crate::store::{RemoveReport, Replace};
use crate::testing::Random;
use crate::units::LayerId;

/// A store in which names share histories in ways that `seed` says, and the numbers of its snapshots.
fn with_names(seed: u64) -> (Store, BTreeMap<LayerId, usize>) {
    let (_, store) = memory();
    let mut random = Random::new(seed);
    let mut numbers = BTreeMap::new();
    store.create_volume("v0", DISK).unwrap();
    for step in 0..16 {
        let volumes = store.names().unwrap().into_iter().filter(|name| name.name.starts_with('v'));
        let volumes: Vec<String> = volumes.map(|name| name.name).collect();
        let volume = &volumes[random.below(volumes.len() as u64) as usize];
        let opened = store.open_volume(volume).unwrap();
        fill(&opened, step, 1, step as u8 + 1);
        let snapshot = freeze(&opened);
        opened.close().unwrap();
        numbers.insert(snapshot.layer_id(), numbers.len());
        let id = snapshot.layer_id().to_string();
        if random.below(3) > 0 {
            store.tag(&id, &format!("t{step}"), Replace::Refuse).unwrap();
        }
        if random.below(3) == 0 {
            let number = random.below(numbers.len() as u64) as usize;
            let (taken, _) = numbers.iter().find(|(_, one)| **one == number).unwrap();
            store.fork(&taken.to_string(), &format!("v{}", step + 1)).unwrap();
        }
    }
    (store, numbers)
}

/// What a report says, with the numbers of the snapshots in place of their ids.
fn told(
    numbers: &BTreeMap<LayerId, usize>,
    report: crate::Result<RemoveReport>,
) -> Result<(Option<String>, Vec<usize>, bool, bool), ErrorKind> {
    let report = report.map_err(|error| error.kind())?;
    let snapshots = report.snapshots.iter().map(|id| numbers[id]).collect();
    Ok((report.name, snapshots, report.top.is_some(), report.kept_by.is_some()))
}

/// The names, and the numbers of the snapshots that are kept.
fn left(store: &Store, numbers: &BTreeMap<LayerId, usize>) -> (Vec<String>, BTreeSet<usize>) {
    let names = store.names().unwrap().into_iter().map(|name| name.name).collect();
    let kept = store.kept_snapshots().unwrap().into_iter().map(|kept| numbers[&kept.id]).collect();
    (names, kept)
}

/// Headers and names are read once, and change while some are removed.
#[test]
fn many_at_once_go_as_one_after_the_other() {
    let mut tried = BTreeSet::new();
    for seed in 0..60 {
        let (one, of_one) = with_names(seed);
        let (many, of_many) = with_names(seed);
        let mut random = Random::new(seed);
        let ids: BTreeMap<usize, LayerId> = of_many.iter().map(|(id, n)| (*n, *id)).collect();
        let own: BTreeMap<usize, LayerId> = of_one.iter().map(|(id, n)| (*n, *id)).collect();
        let names: Vec<String> = many.names().unwrap().into_iter().map(|name| name.name).collect();
        let (mut references, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            let (reference, same) = match random.below(4) {
                0 => {
                    let number = random.below(ids.len() as u64) as usize;
                    (ids[&number].to_string(), own[&number].to_string())
                }
                _ => {
                    let name = &names[random.below(names.len() as u64) as usize];
                    (name.clone(), name.clone())
                }
            };
            references.push(reference);
            expected.push(told(&of_one, one.remove(&same)));
        }
        let mut found = Vec::new();
        many.remove_each(&references, |reference, report| {
            assert_eq!(*reference, references[found.len()]);
            found.push(told(&of_many, report));
        })
        .unwrap();
        tried.extend(expected.iter().map(|told| match told {
            Ok((name, snapshots, _, kept)) => (name.is_some(), snapshots.len().min(2), *kept),
            Err(_) => (false, 3, false),
        }));
        assert_eq!(found, expected, "seed {seed}");
        assert_eq!(left(&many, &of_many), left(&one, &of_one), "seed {seed}");
    }
    // Names that took none, one or several with them or were held by others, snapshots, errors.
    let all =
        [(true, 0, true), (true, 1, false), (true, 2, false), (false, 1, false), (false, 3, false)];
    assert!(all.iter().all(|one| tried.contains(one)), "{tried:?}");
}

#[test]
fn what_cannot_be_removed_keeps_none_of_the_others() {
    let (_, store) = memory();
    for name in ["a", "b", "c"] {
        store.create_volume(name, DISK).unwrap();
    }
    let open = store.open_volume("b").unwrap();
    let mut told = Vec::new();
    let references = ["c", "none", "b", "a", "a"];
    store
        .remove_each(&references, |reference, report| {
            told.push((*reference, report.map(|report| report.name).map_err(|error| error.kind())));
        })
        .unwrap();
    let gone = |name: &'static str| (name, Ok(Some(name.to_owned())));
    let expected = [
        gone("c"),
        ("none", Err(ErrorKind::NotFound)),
        ("b", Err(ErrorKind::Locked)),
        gone("a"),
        ("a", Err(ErrorKind::NotFound)),
    ];
    assert_eq!(told, expected);
    fill(&open, 0, 1, 1);
    open.close().unwrap();
    store.remove("b").unwrap();
}

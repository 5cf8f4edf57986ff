//! Several things removed by one command line: what each word means.

use sapwood::{Store, StoreOptions};
use serde_json::{Value, json};

use super::support::Place;

/// A volume with five snapshots, by their ids, the newest first.
fn with_five_snapshots() -> (Place, Vec<String>) {
    let place = Place::with_store();
    place.ok(&["create", "vm", "1M"]);
    let snapshot = || place.json(&["snapshot", "vm"], 0)["layer"].as_str().unwrap().to_owned();
    let mut ids: Vec<String> = (0..5).map(|_| snapshot()).collect();
    ids.reverse();
    (place, ids)
}

/// The snapshots of a volume that are kept.
fn logged(place: &Place, reference: &str) -> Vec<String> {
    let log = place.json(&["log", reference], 0);
    let layers = log["layers"].as_array().unwrap().iter();
    let kept = layers.filter(|layer| layer["removed"] == json!(false));
    kept.map(|layer| layer["layer"].as_str().unwrap().to_owned()).collect()
}

/// `rm vm@1 vm@2` removed the newest snapshot and the third: with the newest gone, the next word was
/// looked up.
#[test]
fn all_words_mean_what_they_do_before_anything_is_gone() {
    for (words, gone) in [
        (["vm@1", "vm@2"], vec![0, 1]),
        (["vm@2", "vm@3"], vec![1, 2]),
        (["vm@2", "vm@1"], vec![1, 0]),
        (["vm@1", "vm@1"], vec![0]),
    ] {
        let (place, ids) = with_five_snapshots();
        let removed = place.json(&["rm", words[0], words[1]], 0);
        let layers = removed["removed"].as_array().unwrap().iter();
        let layers: Vec<Value> = layers.map(|one| one["layers_removed"].clone()).collect();
        let expected: Vec<Value> = gone.iter().map(|index| json!([ids[*index]])).collect();
        assert_eq!(layers, expected, "{words:?}");
        let log = logged(&place, "vm");
        for (index, id) in ids.iter().enumerate() {
            assert_eq!(log.contains(id), !gone.contains(&index), "{words:?}: {index}");
        }
    }
    // The same thing under two names, and what goes with a volume.
    let (place, ids) = with_five_snapshots();
    let removed = place.json(&["rm", &ids[2], "vm", "vm@3", "vm@1", "vm"], 0);
    assert_eq!(removed["removed"].as_array().unwrap().len(), 3, "{removed}");
    assert_eq!(place.json(&["ls"], 0)["names"], json!([]));
}

/// A name that goes gives back nothing where its snapshot stays, and nothing said so.
#[test]
fn a_tag_whose_snapshot_stays_says_whose_history_holds_it() {
    let (place, ids) = with_five_snapshots();
    place.ok(&["tag", "vm@2", "night:1"]);
    let said = String::from_utf8(place.ok(&["rm", "night:1"])).unwrap();
    assert_eq!(said, "removed night:1: its snapshot stays, in the history of vm\n");
    assert!(logged(&place, "vm").contains(&ids[1]));
    place.ok(&["tag", "vm@5", "night:1"]);
    place.ok(&["tag", "vm@5", "night:2"]);
    assert_eq!(place.ok(&["rm", "vm"]), b"removed vm: 4 snapshots left to `gc`\n");
    assert_eq!(place.json(&["rm", "night:1"], 0)["removed"][0]["kept_by"], json!("night:2"));
    assert_eq!(place.ok(&["rm", "night:2"]), b"removed night:2: 1 snapshot left to `gc`\n");
}

/// The first that could not be removed ended the line, and nothing said what had gone before it.
#[test]
fn what_cannot_be_removed_keeps_none_of_the_others() {
    let place = Place::with_store();
    for name in ["a", "b", "c", "d"] {
        place.ok(&["create", name, "1M"]);
        place.ok(&["snapshot", name, "-t", &format!("{name}:1")]);
    }
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    let open = [store.open_volume("b").unwrap(), store.open_volume("d").unwrap()];
    let said = place.run(&["rm", "a:1", "b", "b:1", "d", "c"]);
    assert_eq!(said.code, 4, "{}", said.stderr);
    let removed = String::from_utf8(said.stdout).unwrap();
    let [first, second, third] = removed.lines().collect::<Vec<_>>()[..] else {
        panic!("{removed}")
    };
    assert!(first.starts_with("removed a:1") && second.starts_with("removed b:1"), "{removed}");
    assert!(third.starts_with("removed c"), "{removed}");
    assert_eq!(said.stderr.matches("locked").count(), 2, "{}", said.stderr);
    open.into_iter().for_each(|volume| volume.close().unwrap());
    place.ok(&["rm", "b", "d"]);
}

/// What had gone was told nowhere where the names of the store could not be read after that.
#[test]
fn what_went_before_an_error_of_the_whole_store_is_told() {
    let (place, _) = with_five_snapshots();
    place.ok(&["create", "empty", "1M"]);
    place.ok(&["tag", "vm@2", "night:1"]);
    place.ok(&["tag", "vm@3", "night:2"]);
    let rotten = place.store().join("names/rotten.tag");
    std::fs::write(&rotten, "rotten").unwrap();
    // What no snapshot was taken of needs no look at other names; several names at once do.
    let said = place.run(&["rm", "empty", "night:1", "night:2"]);
    assert_eq!((said.code, &*said.stdout), (5, b"removed empty\n".as_slice()), "{}", said.stderr);
    assert!(said.stderr.contains("rotten.tag"), "{}", said.stderr);
    std::fs::remove_file(rotten).unwrap();
    place.ok(&["rm", "night:1", "night:2"]);
}

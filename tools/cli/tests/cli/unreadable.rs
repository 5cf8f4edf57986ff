//! A layer that cannot be read, for whatever reason, hides no other, and ends every verb in the same way.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::support::{Place, pattern};

/// `base:1` with the volumes `v`, of three layers, and `w` on it, and beside them `other:1`.
fn place() -> Place {
    let place = Place::with_store();
    for (seed, name) in [(1, "base:1"), (2, "other:1")] {
        fs::write(place.path("disk.img"), pattern(seed, 1 << 20)).unwrap();
        place.ok(&["import", "disk.img", name]);
    }
    for name in ["v", "w"] {
        place.ok(&["fork", "base:1", name]);
    }
    for seed in 3..6 {
        place.feed(&["write", "v"], &pattern(seed, 100_000));
        if seed < 5 {
            place.ok(&["snapshot", "v"]);
        }
    }
    place
}

/// What stands in the place of a file.
fn replace(path: &Path, what: &str) {
    if what == "half" {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        return file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    }
    fs::remove_file(path).unwrap();
    match what {
        "none" => {}
        "empty" => drop(fs::File::create(path).unwrap()),
        "directory" => fs::create_dir(path).unwrap(),
        "loop" => std::os::unix::fs::symlink(path.file_name().unwrap(), path).unwrap(),
        "fifo" => {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
        }
        _ => unreachable!("{what}"),
    }
}

/// Each was an end of `ls`, `du`, `df`, `images`, `check` and `gc` for all layers, and could not be given
/// up; a FIFO let them wait for ever.
#[test]
fn whatever_is_in_the_place_of_a_layer_hides_no_other_and_can_be_given_up() {
    for what in ["none", "half", "directory", "loop", "fifo"] {
        let place = place();
        let other = place.layer("other:1");
        replace(&place.layer_file(&other), what);

        for words in [&["ls"][..], &["du"], &["df", "-v"]] {
            let said = place.run(words);
            let text = said.text();
            assert_eq!(said.code, 5, "{what}: {words:?}: {}", said.stderr);
            assert!(text.contains("base:1") || words[0] == "df", "{what}: {words:?}: {text}");
            assert!(text.contains("other:1"), "{what}: {words:?}: {text}");
        }
        assert_eq!(place.json(&["df"], 5)["lost_layers"], json!([other]), "{what}");
        assert_eq!(place.json(&["images"], 5)["damaged"][0]["name"], "other:1", "{what}");
        let drawn = place.run(&["log", "v", "--graph"]);
        assert!(drawn.text().contains("base:1"), "{what}: {}", drawn.stderr);
        // What is not there stands in no tree.
        assert_eq!(drawn.code, if what == "none" { 0 } else { 5 }, "{what}");
        assert_ne!(place.run(&["check"]).code, 0, "{what}");

        for words in [
            &["show", "other:1"][..],
            &["read", "other:1"],
            &["export", "other:1", "out.img"],
            &["map", "other:1"],
            &["log", "other:1"],
            &["log", "other:1", "--graph"],
            &["du", "other:1"],
            &["diff", "base:1", "other:1"],
            &["fork", "other:1", "new"],
            &["flatten", "other:1", "new:1"],
            &["seal", "other:1"],
            &["tag", "other:1", "new:1"],
        ] {
            let said = place.run(words);
            assert_eq!(said.code, 5, "{what}: {words:?}: {}", said.stderr);
        }
        assert_eq!(place.run(&["show", "nobody"]).code, 8);

        for words in [&["read", "v"][..], &["fork", "base:1", "new"], &["rm", "other:1"]] {
            let said = place.run(words);
            assert_eq!(said.code, 0, "{what}: {words:?}: {}", said.stderr);
        }
        if what != "none" {
            assert_eq!(place.run(&["gc"]).code, 5, "{what}: who knows what it needs");
            place.ok(&["rm", "--damaged", &other]);
        }
        for words in [&["gc"][..], &["ls"], &["du"], &["df"], &["check", "--data"]] {
            let said = place.run(words);
            assert_eq!(said.code, 0, "{what}: {words:?}: {}{}", said.stderr, said.text());
        }
    }
}

/// What is in the folder of names may have any name, and that was printed as it is.
#[test]
fn names_that_nobody_gave_cannot_steer_the_terminal() {
    let place = place();
    for raw in ["\u{1b}[31mred", "red\u{9b}2J", "red\u{202e}txt"] {
        fs::write(place.store().join(format!("names/{raw}.tag")), "x").unwrap();
    }
    for words in
        [&["ls"][..], &["images"], &["df"], &["df", "-v"], &["du"], &["check"], &["gc"], &["prune"]]
    {
        let said = place.run(words);
        let text = format!("{}{}", said.text(), said.stderr);
        assert_eq!(said.code, if words[0] == "check" { 1 } else { 5 }, "{words:?}: {text:?}");
        assert!(text.contains("red"), "{words:?}: {text:?}");
        let steers = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!text.contains(steers), "{words:?}: {text:?}");
    }
}

fn layers(value: &Value, list: &str) -> Vec<String> {
    let rows = value[list].as_array().unwrap();
    rows.iter().map(|row| row["layer"].as_str().unwrap().to_owned()).collect()
}

/// A lost base was left out without a word, or let the whole tree be called stale.
#[test]
fn a_log_shows_what_is_sound_and_says_what_is_missing() {
    for what in ["none", "loop"] {
        let place = place();
        let (base, w) = (place.layer("base:1"), place.layer("w"));
        let own = [place.layer("v"), place.layer("v@1"), place.layer("v@2")];
        replace(&place.layer_file(&base), what);
        let plain = place.json(&["log", "v"], 5);
        assert_eq!(layers(&plain, "layers"), own, "{what}");
        assert_eq!(layers(&plain, "damaged"), std::slice::from_ref(&base), "{what}");
        for reference in ["v", "w", "base:1"] {
            let said = place.run(&["log", reference, "--graph"]);
            let text = said.text();
            assert_eq!(said.code, 5, "{what}: {reference}: {text}");
            for id in own.iter().chain([&w, &base]) {
                assert!(text.contains(&id[..12]), "{what}: {reference}: {id}: {text}");
            }
            assert!(text.contains("base:1  lost or damaged\n"), "{what}: {text}");
        }
        assert_eq!(place.run(&["log", "base:1"]).code, 5, "{what}");
    }
    let place = place();
    let (base, top) = (place.layer("base:1"), place.layer("v"));
    let own = [place.layer("v@1"), place.layer("v@2"), base];
    replace(&place.layer_file(&top), "empty");
    for words in [&["log", "v"][..], &["log", "v", "--graph"]] {
        let told = place.json(words, 5);
        assert_eq!(layers(&told, "damaged"), std::slice::from_ref(&top), "{words:?}");
        assert!(own.iter().all(|id| layers(&told, "layers").contains(id)), "{words:?}");
    }
    for words in [&["show", "v"][..], &["read", "v"], &["write", "v"], &["df"], &["du"], &["ls"]] {
        assert_eq!(place.run(words).code, 5, "{words:?}");
    }
}

/// An older copy of a layer's file that was put back was called damage, wrong and unsupported.
#[test]
fn a_parent_that_is_an_older_copy_ends_every_verb_alike() {
    let place = place();
    let path = place.layer_file(&place.layer("v"));
    let older = fs::read(&path).unwrap();
    place.feed(&["write", "v"], &pattern(9, 300_000));
    place.ok(&["snapshot", "v"]);
    place.feed(&["write", "v"], &pattern(10, 100_000));
    fs::write(&path, older).unwrap();
    for words in [
        &["read", "v"][..],
        &["map", "v"],
        &["diff", "base:1", "v"],
        &["du", "v"],
        &["fork", "v@1", "new"],
        &["seal", "v@1"],
        &["flatten", "v@1", "new:1"],
        &["rm", "v@1"],
        &["write", "v"],
        &["snapshot", "v"],
        &["reset", "v"],
        &["resize", "v", "2M"],
    ] {
        let said = place.run(words);
        assert_eq!(said.code, 6, "{words:?}: {}", said.stderr);
    }
    assert_eq!(place.run(&["log", "v"]).code, 5);
    assert_eq!(place.run(&["log", "v", "--graph"]).code, 5);
}

/// The name of a volume leads to its newest snapshot until something is written: what is older was taken
/// for the newest, and a removal took the file of what others stand on.
#[test]
fn a_newest_snapshot_that_the_host_does_not_give_is_not_passed_over_nor_removed() {
    let place = place();
    place.ok(&["snapshot", "v"]);
    place.ok(&["fork", "v@1", "fork"]);
    let newest = place.layer("v@1");
    let older = [place.layer("v@2"), place.layer("v@3")];
    let held = place.ok(&["read", "fork"]);
    let (path, aside) = (place.layer_file(&newest), place.path("aside"));
    fs::rename(&path, &aside).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    for words in [
        &["read", "v@1"][..],
        &["fork", "v@1", "new"],
        &["tag", "v@1", "new:1"],
        &["tag", "v@2", "new:1"],
        &["rm", "v@1"],
        &["rm", "v@2"],
        &["reset", "v"],
        &["log", "v"],
    ] {
        let said = place.run(words);
        assert_eq!(said.code, 5, "{words:?}: {}", said.stderr);
    }
    let removed = place.json(&["rm", "v"], 0);
    assert_eq!(removed["removed"][0]["layers_lost"], json!([newest]), "{removed}");
    fs::rename(&aside, &path).unwrap();
    assert_eq!(place.ok(&["read", "fork"]), held);
    assert_eq!(place.ok(&["read", &newest]), held);
    for id in &older {
        assert_eq!(place.json(&["show", id], 0)["removed"], json!(false));
    }
}

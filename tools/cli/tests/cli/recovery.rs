//! Ways out of damage: each is named where it is needed, and works.

use std::fs;

use sapwood::units::BlockAddress;
use sapwood::{Store, StoreOptions};
use serde_json::json;

use super::support::{Place, pattern};

/// No message said how `gc` comes past what it refuses beside.
#[test]
fn whoever_meets_what_stops_a_collection_is_told_what_takes_it_out_of_the_way() {
    let place = Place::with_fork();
    let base = place.layer("base:1");
    fs::write(place.layer_file(&base), "").unwrap();
    let ways = format!("`rm base:1`, and then `rm --damaged {base}` gives up that layer");
    for words in [&["gc"][..], &["gc", "--dry-run"], &["prune"]] {
        let said = place.run(words);
        assert_eq!(said.code, 5, "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains(&ways), "{words:?}: {}", said.stderr);
    }
    assert_eq!(place.json(&["check"], 1)["ways_out"], json!([ways]));
    assert!(place.run(&["check"]).text().contains(&format!("stops `gc`: {ways}\n")));
    for name in ["base:1", &base] {
        let said = place.run(&["rm", "--damaged", name]);
        assert_eq!(said.code, 2, "{name}: {}", said.stderr);
        assert!(said.stderr.contains(&ways), "{name}: {}", said.stderr);
    }
    place.ok(&["rm", "base:1"]);
    let said = place.run(&["gc"]);
    let way = format!("(`rm --damaged {base}` gives up that layer)");
    assert!(said.stderr.contains(&way), "{}", said.stderr);
    place.ok(&["rm", "--damaged", &base]);
    place.ok(&["gc"]);

    let name = place.store().join("names/vm.name");
    let mut bytes = fs::read(&name).unwrap();
    bytes[100] ^= 1;
    fs::write(&name, bytes).unwrap();
    let said = place.run(&["gc"]);
    assert!(said.stderr.contains("(`rm --damaged vm` gives up that name)"), "{}", said.stderr);
    place.ok(&["rm", "--damaged", "vm"]);
    place.ok(&["gc"]);
}

/// They were left for good, under a message that blamed another layer, and told by nothing.
#[test]
fn what_a_lost_layer_of_another_name_holds_back_is_told_until_it_goes() {
    let place = Place::with_fork();
    fs::write(place.path("other.img"), pattern(7, 1 << 20)).unwrap();
    place.ok(&["import", "other.img", "other:1"]);
    let other = place.layer("other:1");
    let lost = place.layer("vm:monday");
    fs::remove_file(place.layer_file(&lost)).unwrap();
    let said = place.run(&["rm", "other:1"]).text();
    let why = format!(
        "once it is known whether other names need them: {lost} is lost, damaged or of a newer version, and may stand on them"
    );
    assert_eq!(said, format!("removed other:1\n1 snapshot more left to `gc`, {why}\n"));
    for words in [&["gc"][..], &["gc", "--dry-run"]] {
        let said = place.json(words, 0);
        assert_eq!(said["held_back"][0]["layer"], other.as_str(), "{words:?}");
        assert_eq!(said["layers_unknown"], json!([lost]), "{words:?}");
    }
    let said = place.run(&["gc"]).text();
    assert!(said.contains("held back: 1 snapshot without a name, "), "{said}");
    let said = place.run(&["check"]).text();
    assert!(said.contains(&format!("{other}.released: a snapshot without a name")), "{said}");
    let classes = place.json(&["df", "-v"], 5)["classes"].clone();
    let mut rows = classes.as_array().unwrap().iter();
    let unnamed = rows.find(|row| row["class"] == "without a name").unwrap();
    assert!(unnamed["bytes"].as_u64().unwrap() >= 1 << 20, "{unnamed}");
    place.ok(&["rm", "vm", "vm:monday"]);
    assert_eq!(place.json(&["gc"], 0)["held_back"], json!([]));
    assert!(!place.layer_file(&other).exists());
    place.ok(&["check"]);
}

/// `rm` takes the file with the name of a volume: the second command ended with 8, always.
#[test]
fn the_top_of_a_volume_is_given_up_by_one_command() {
    let place = Place::with_fork();
    let (top, below) = (place.layer("vm"), place.layer("vm:monday"));
    // Of a snapshot the slots are whole: a file that is shorter than those was never durable.
    for (layer, length) in [(&top, 4096), (&below, 8192)] {
        let file = fs::File::options().write(true).open(place.layer_file(layer));
        file.unwrap().set_len(length).unwrap();
    }
    let ways = place.json(&["check"], 1)["ways_out"].clone();
    let first = format!("`rm vm` gives up layer {top}");
    let other = format!("`rm vm:monday`, and then `rm --damaged {below}` gives up that layer");
    let mut told: Vec<_> =
        ways.as_array().unwrap().iter().map(|way| way.as_str().unwrap()).collect();
    told.sort_unstable();
    assert_eq!(told, [other, first]);
    place.ok(&["rm", "vm"]);
    assert!(!place.layer_file(&top).exists());
    place.ok(&["rm", "vm:monday"]);
    place.ok(&["rm", "--damaged", &below]);
    place.ok(&["gc"]);
}

/// `ls` said what makes it, `import` that something was not found.
#[test]
fn what_is_made_where_the_folder_of_layers_is_missing_says_what_makes_it() {
    let place = Place::with_store();
    fs::remove_dir(place.store().join("layers")).unwrap();
    fs::write(place.path("disk.img"), pattern(1, 8192)).unwrap();
    for words in [&["import", "disk.img", "disk:1"][..], &["create", "v", "1M"]] {
        let said = place.run(words);
        assert_eq!(said.code, 5, "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains("(`init --mend` makes it)"), "{words:?}: {}", said.stderr);
    }
}

/// Locks and records were told as layers that are broken.
#[test]
fn a_dump_says_what_the_files_of_a_store_are_that_are_no_layers() {
    let place = Place::with_fork();
    place.ok(&["seal", "base:1"]);
    fs::write(place.store().join("diff-ids"), "").unwrap();
    fs::write(place.path("record.json"), "{}").unwrap();
    let digest = fs::read_dir(place.store().join("digests")).unwrap().next().unwrap().unwrap();
    let files = [
        (place.store().join("lock"), "lock of the store"),
        (place.store().join("names.lock"), "locks of names"),
        (place.store().join("diff-ids"), "diff IDs"),
        (place.path("record.json"), "record of a container"),
        (digest.path(), "digest of a layer"),
    ];
    for (file, what) in files {
        let said = String::from_utf8(place.ok(&["dump", file.to_str().unwrap()])).unwrap();
        assert!(said.contains(what) && !said.contains("BROKEN"), "{what}: {said}");
        let holders = said.matches("number of a name, and process").count();
        assert_eq!(holders > 0, what == "locks of names", "{said}");
    }
}

/// What a volume whose name was lost had written since its last snapshot went with the next `gc`, after
/// a `check` without a word, and was out of reach.
#[test]
fn what_a_volume_without_a_name_had_written_is_told_and_brought_out_by_its_id() {
    let place = Place::with_fork();
    let top = place.layer("vm");
    let held = place.ok(&["read", "vm"]);
    fs::remove_file(place.store().join("names/vm.name")).unwrap();
    let said = place.run(&["check"]).text();
    assert!(said.contains(&format!("note: layer {top}")) || said.contains(&top), "{said}");
    assert!(said.contains("no name leads"), "{said}");
    let said = place.json(&["gc", "--dry-run"], 0);
    assert_eq!(said["freed"][0]["nameless"], true, "{said}");
    for words in [&["tag", &top, "new:1"][..], &["fork", &top, "new"], &["seal", &top]] {
        let said = place.run(words);
        assert_eq!(said.code, 2, "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains("take one first"), "{words:?}: {}", said.stderr);
    }
    for words in [
        &["show", &top][..],
        &["map", &top],
        &["log", &top],
        &["du", &top],
        &["diff", "base:1", &top],
    ] {
        let code = place.run(words).code;
        assert!(code == 0 || words[0] == "diff" && code == 1, "{words:?}: {code}");
    }
    assert!(place.ok(&["read", &top]) == held);
    place.ok(&["export", &top, "rescued.img"]);
    place.ok(&["import", "rescued.img", "rescued:1"]);
    assert!(place.ok(&["read", "rescued:1"]) == held);
    place.ok(&["gc"]);
    assert_eq!(place.run(&["read", &top]).code, 8);
}

/// It was "stale", and `init` made a store with blocks of another size around the layers.
#[test]
fn a_store_that_lost_its_own_file_is_mended_with_the_size_that_its_layers_say() {
    let place = Place::empty();
    place.ok(&["init", "--block-size", "8K"]);
    fs::write(place.path("disk.img"), pattern(1, 1 << 20)).unwrap();
    place.ok(&["import", "disk.img", "disk:1"]);
    let own = place.store().join("store");
    for (lose, code) in [(true, 3), (false, 5)] {
        match lose {
            true => fs::remove_file(&own).unwrap(),
            false => fs::write(&own, "half").unwrap(),
        }
        for words in [&["ls"][..], &["read", "disk:1"]] {
            let said = place.run(words);
            assert_eq!(said.code, code, "{words:?}: {}", said.stderr);
            assert!(said.stderr.contains("`init --mend` writes it anew"), "{}", said.stderr);
        }
        let said = place.run(&["check"]);
        match lose {
            true => {
                assert!(said.stderr.contains("(`init --mend` writes it anew)"), "{}", said.stderr)
            }
            false => assert_eq!(said.code, 1),
        }
        // What lies beside it hid what is wrong.
        fs::write(place.store().join("diff-ids"), "").unwrap();
        let said = place.run(&["init"]);
        let why = if lose { "`init --mend` writes it anew" } else { "found a store" };
        assert!(said.code == 9 && said.stderr.contains(why), "{}", said.stderr);
        assert_eq!(place.run(&["init", "--mend", "--block-size", "8K"]).code, 2);
        let said = place.json(&["init", "--mend"], 0);
        assert_eq!((&said["block_bytes"], &said["made"]), (&json!(8192), &json!(["store"])));
        place.ok(&["check", "--data"]);
        assert!(place.ok(&["read", "disk:1"]) == pattern(1, 1 << 20));
    }
    for part in ["index", "digests"] {
        fs::remove_dir_all(place.store().join(part)).unwrap();
    }
    fs::remove_file(place.store().join("lock")).unwrap();
    for words in [&["check"][..], &["gc"], &["df"], &["df", "-v"], &["seal", "disk:1"]] {
        place.ok(words);
    }
    let said = place.run(&["init", "--mend"]).text();
    assert!(said.ends_with("made index, digests\n"), "{said}");
    let said = place.run(&["init", "--mend"]).text();
    assert!(said.starts_with("nothing to mend"), "{said}");
    assert_eq!(place.run(&["--store", "nowhere", "init", "--mend"]).code, 3);
}

/// A bad block of a disk's own layer looked like a race that a script would try again.
#[test]
fn a_rotten_block_of_a_volume_is_damage_and_no_race() {
    let place = Place::with_fork();
    let path = place.layer_file(&place.layer("vm"));
    let mut bytes = fs::read(&path).unwrap();
    let block = pattern(3, 4096);
    let at = bytes.windows(4096).position(|window| window == block).unwrap();
    bytes[at + 100] ^= 1;
    fs::write(&path, bytes).unwrap();
    for words in [&["read", "vm"][..], &["export", "vm", "out.img"]] {
        let said = place.run(words);
        assert_eq!(said.code, 5, "{words:?}: {}", said.stderr);
    }
}

/// One rotten block of a disk, and no tree of the store was looked at: who repaired by what was told found
/// the next damage only after the first was gone.
#[test]
fn trees_are_looked_at_whatever_else_is_damaged_and_a_block_is_told_once() {
    let place = Place::with_store();
    for name in ["bent", "rotten", "sound"] {
        fs::create_dir(place.path(name)).unwrap();
        fs::write(place.path(name).join("file"), name).unwrap();
        place.ok(&["import", name, &format!("{name}:1")]);
    }
    place.ok(&["fork", "bent:1", "bent"]);
    place.ok(&["fork", "rotten:1", "fork"]);
    place.feed(&["write", "fork:/file", "--offset", "1M"], b"more");
    place.feed(&["cp", "-", "bent:/other"], b"more");
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    let volume = store.open_volume("bent").unwrap();
    volume.write_blocks(BlockAddress(1), 100, &[0xff; 64]).unwrap();
    volume.close().unwrap();
    drop(store);
    place.ok(&["create", "disk", "1M"]);
    place.feed(&["write", "disk"], &pattern(3, 8192));

    let flip = |layer: &str, at: usize| {
        let mut bytes = fs::read(place.layer_file(layer)).unwrap();
        bytes[at] ^= 1;
        fs::write(place.layer_file(layer), bytes).unwrap();
    };
    let (disk, rotten) = (place.layer("disk"), place.layer("rotten:1"));
    let bytes = fs::read(place.layer_file(&disk)).unwrap();
    let data = pattern(3, 4096);
    let block = bytes.chunks(4096).position(|block| block == data).unwrap() * 4096;
    flip(&disk, block + 7);
    // The first page of the tree, through which both names go.
    let bytes = fs::read(place.layer_file(&rotten)).unwrap();
    let page = bytes.chunks(4096).position(|block| block.starts_with(b"sapf")).unwrap() * 4096;
    flip(&rotten, page + 4000);

    for words in [&["check"][..], &["check", "--data"]] {
        let said = place.run(words);
        assert_eq!(said.code, 1, "{words:?}: {}", said.stderr);
        let text = said.text();
        let told = |what: &str| text.lines().filter(|line| line.contains(what)).count();
        assert_eq!(told("damage: bent: page 1: "), 1, "{words:?}: {text}");
        assert_eq!(told(&format!("{rotten}.layer at byte {page}: ")), 1, "{words:?}: {text}");
        let of_disk = usize::from(words.len() > 1);
        assert_eq!(told(&format!("{disk}.layer at byte {block}: ")), of_disk, "{words:?}: {text}");
        let counts = "3 trees of 4 files, 2 trees that cannot be read whole\n";
        assert!(text.ends_with(counts), "{words:?}: {text}");
        let json = place.json(words, 1);
        assert_eq!((&json["trees"], &json["trees_not_whole"]), (&json!(3), &json!(2)));
    }
}

/// Advice named `$(id)` as it was: pasted, it ran `id`.
#[test]
fn advice_is_read_by_a_shell_as_the_name_that_it_is_about() {
    let place = Place::with_store();
    for name in ["$(touch${IFS}ran)", "a'b;c", "plain"] {
        place.ok(&["create", name, "1M"]);
        place.feed(&["write", name], b"x");
        let layer = place.layer(name);
        fs::File::options()
            .write(true)
            .open(place.layer_file(&layer))
            .unwrap()
            .set_len(4096)
            .unwrap();
        let ways = place.json(&["check"], 1)["ways_out"].clone();
        let way = ways.as_array().unwrap()[0].as_str().unwrap().to_owned();
        let (_, advice) = way.split_once("`rm ").unwrap();
        let (word, _) = advice.split_once('`').unwrap();
        let said = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {word}")])
            .current_dir(place.path(""))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap(), name, "{way}");
        place.ok(&["rm", name]);
    }
    assert!(!place.path("ran").exists());
}

//! What a newer version wrote is told as that, hides nothing else, and no verb takes it for damage: an
//! older binary once advised to give up, and gave up, what a newer one had made.

use std::fs;
use std::path::{Path, PathBuf};

use sapwood::format::{Features, Header};
use sapwood::units::BlockAddress;
use sapwood::{Store, StoreOptions};

use super::support::{Place, Said, pattern};

/// The same CRC-32 as that of every page.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Writes into the first pages of a file the version after the one that is known.
fn make_newer(path: &Path, pages: usize) {
    let mut bytes = fs::read(path).unwrap();
    for page in bytes.chunks_mut(4096).take(pages) {
        page[6..8].copy_from_slice(&2_u16.to_le_bytes());
        let checksum = crc(&page[..4092]);
        page[4092..].copy_from_slice(&checksum.to_le_bytes());
    }
    fs::write(path, bytes).unwrap();
}

/// Gives a layer a feature that must be known, and that nobody here knows.
fn add_feature(path: &Path) {
    change_features(path, |features| features.incompatible = 1 << 40);
}

fn change_features(path: &Path, change: impl Fn(&mut Features)) {
    let mut bytes = fs::read(path).unwrap();
    for (slot, page) in (0..2).zip(bytes.chunks_mut(4096)) {
        let header = Header::decode((&*page).try_into().unwrap(), slot).unwrap();
        let mut features = header.features;
        change(&mut features);
        page.copy_from_slice(&Header { features, ..header }.encode(slot));
    }
    fs::write(path, bytes).unwrap();
}

/// `t:1` and `good:1`, two images of which the second has nothing to do with the first, and `v`, a volume
/// with a snapshot and a write after it.
fn place() -> Place {
    let place = Place::with_store();
    for name in ["t", "good"] {
        fs::create_dir(place.path(name)).unwrap();
        fs::write(place.path(name).join("file"), name).unwrap();
        place.ok(&["import", name, &format!("{name}:1")]);
    }
    place.ok(&["create", "v", "1M"]);
    for seed in 1..3 {
        place.feed(&["write", "v"], &pattern(seed, 10_000));
        if seed == 1 {
            place.ok(&["snapshot", "v"]);
        }
    }
    place
}

/// All files of names and layers, and the store's own.
fn files(place: &Place) -> Vec<(PathBuf, Vec<u8>)> {
    let folders =
        ["names", "layers"].map(|folder| fs::read_dir(place.store().join(folder)).unwrap());
    let paths = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .chain([place.store().join("store")])
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Nothing that is said of what is newer names a way that would destroy it.
fn expect_newer(said: &Said, words: &[&str], what: &str) -> String {
    let text = format!("{}{}", said.text(), said.stderr);
    assert_eq!(said.code, 5, "{what}: {words:?}: {text}");
    for way in ["init --mend", "rm --damaged", "gives up"] {
        assert!(!text.contains(way), "{what}: {words:?}: {text}");
    }
    assert!(!said.text().contains("damage"), "{what}: {words:?}: {text}");
    text
}

#[test]
fn a_store_of_a_newer_version_is_left_as_it_is() {
    let place = place();
    make_newer(&place.store().join("store"), 1);
    let before = files(&place);
    for words in [&["ls"][..], &["df"], &["gc"], &["prune"], &["rm", "t:1"], &["init", "--mend"]] {
        let text = expect_newer(&place.run(words), words, "store");
        let told = "made by a newer version: version: found 2, this one knows 1";
        assert!(text.contains(told), "{words:?}: {text}");
    }
    assert!(expect_newer(&place.run(&["check"]), &["check"], "store").contains("newer: "));
    assert!(files(&place) == before);
    // One that has lost its own file, and only a newer version knows the size of its blocks.
    let place = self::place();
    for file in fs::read_dir(place.store().join("layers")).unwrap() {
        make_newer(&file.unwrap().path(), 2);
    }
    fs::remove_file(place.store().join("store")).unwrap();
    expect_newer(&place.run(&["init", "--mend"]), &["init"], "layers");
    assert!(!place.store().join("store").exists());
}

#[test]
fn a_name_of_a_newer_version_hides_no_other_and_cannot_be_given_up() {
    for file in ["t:1.tag", "v.name"] {
        let place = place();
        let path = place.store().join("names").join(file);
        if !path.exists() {
            place.ok(&["snapshot", "v"]);
        }
        make_newer(&path, 1);
        let before = files(&place);
        for words in [&["ls"][..], &["df"], &["df", "-v"], &["du"], &["check", "--data"]] {
            let text = expect_newer(&place.run(words), words, file);
            assert!(text.contains("newer"), "{words:?}: {text}");
            assert!(words[0] != "ls" || text.contains("good:1"), "{text}");
        }
        let name = file.rsplit_once('.').unwrap().0;
        for words in [&["gc"][..], &["rm", name], &["rm", "--damaged", name], &["show", name]] {
            let text = expect_newer(&place.run(words), words, file);
            assert!(text.contains("made by a newer version"), "{words:?}: {text}");
        }
        assert!(files(&place) == before, "{file}");
    }
}

#[test]
fn a_layer_of_a_newer_version_hides_no_other_and_stays_when_its_tag_goes() {
    let whole: fn(&Path) = |path| make_newer(path, 2);
    // What a newer one left that was killed between the two slots.
    let one_slot: fn(&Path) = |path| make_newer(path, 1);
    for (what, change) in [("version", whole), ("one slot", one_slot), ("feature", add_feature)] {
        let place = place();
        let (layer, fork) = (place.layer("t:1"), "fork");
        place.ok(&["fork", "t:1", fork]);
        place.feed(&["cp", "-", "fork:/new"], b"new");
        let file = place.layer_file(&layer);
        let known = fs::read(&file).unwrap();
        change(&file);
        let newer = fs::read(&file).unwrap();

        for words in [
            &["ls"][..],
            &["images"],
            &["df"],
            &["df", "-v"],
            &["du"],
            &["log", "fork"],
            &["log", "fork", "--graph"],
            &["check", "--data"],
        ] {
            let text = expect_newer(&place.run(words), words, what);
            assert!(text.contains("newer"), "{what}: {words:?}: {text}");
            let tells_names = matches!(words[0], "ls" | "du");
            assert!(!tells_names || text.contains("good:1"), "{what}: {words:?}: {text}");
        }
        assert_eq!(place.json(&["df"], 5)["newer_layers"], serde_json::json!([layer]));
        assert_eq!(place.json(&["check"], 5)["is_sound"], true);
        for words in [
            &["show", "t:1"][..],
            &["du", "t:1"],
            &["fork", "t:1", "other"],
            &["cat", "t:1:/file"],
            &["ls", "fork:/"],
            &["gc"],
            &["rm", "--damaged", &layer],
        ] {
            if words == ["rm", "--damaged", &layer] {
                assert_eq!(place.run(words).code, 2, "names lead to it");
                continue;
            }
            let text = expect_newer(&place.run(words), words, what);
            assert!(text.contains("made by a newer version"), "{what}: {words:?}: {text}");
        }
        for words in [&["du", "good:1"][..], &["cat", "good:1:/file"], &["read", "v"]] {
            assert_eq!(place.run(words).code, 0, "{what}: {words:?}");
        }

        place.ok(&["rm", "t:1", fork]);
        let words = ["rm", "--damaged", &layer];
        expect_newer(&place.run(&words), &words, what);
        expect_newer(&place.run(&["gc"]), &["gc"], what);
        assert!(fs::read(&file).unwrap() == newer, "{what}: it was written");
        // With the version that knows it, it is a snapshot without a name.
        fs::write(&file, known).unwrap();
        place.ok(&["gc"]);
        place.ok(&["tag", &layer, "again:1"]);
        assert_eq!(place.ok(&["cat", "again:1:/file"]), b"t");
    }
}

#[test]
fn a_volume_whose_last_writes_are_of_a_newer_version_stays_with_its_name() {
    let place = place();
    make_newer(&place.layer_file(&place.layer("v")), 2);
    let before = files(&place);
    for words in [&["ls"][..], &["rm", "v"], &["read", "v"], &["gc"], &["write", "v"]] {
        expect_newer(&place.run(words), words, "top");
    }
    assert!(files(&place) == before);
    place.ok(&["cat", "good:1:/file"]);
}

/// A check ended at the first such tree, and told nothing of the rest.
#[test]
fn a_check_goes_on_beside_a_tree_of_a_newer_version() {
    for (offset, value) in [(6, 2), (8 + 5, 1)] {
        let place = place();
        place.ok(&["fork", "t:1", "fork"]);
        let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
        let volume = store.open_volume("fork").unwrap();
        let mut page = vec![0; 4096];
        volume.read_blocks(BlockAddress(0), 0, &mut page).unwrap();
        page[offset] = value;
        volume.write_blocks(BlockAddress(0), 0, &page).unwrap();
        volume.snapshot(&Default::default()).unwrap();
        volume.close().unwrap();
        drop(store);

        let words = ["check", "--data"];
        let text = expect_newer(&place.run(&words), &words, "tree");
        assert!(text.contains("newer: fork: "), "{text}");
        assert!(
            text.contains("2 trees of 4 files, 1 tree that cannot be read whole"),
            "the others were looked at: {text}"
        );
        let words = ["ls", "fork:/"];
        let text = expect_newer(&place.run(&words), &words, "tree");
        assert!(text.contains("made by a newer version"), "{text}");
        place.ok(&["gc"]);
    }
}

/// A fork of `t:1` with one byte of the first page of its tree changed, as its last write.
fn fork_with(place: &Place, offset: usize, value: u8) {
    place.ok(&["fork", "t:1", "fork"]);
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    let volume = store.open_volume("fork").unwrap();
    let mut page = vec![0; 4096];
    volume.read_blocks(BlockAddress(0), 0, &mut page).unwrap();
    page[offset] = value;
    volume.write_blocks(BlockAddress(0), 0, &page).unwrap();
    volume.close().unwrap();
}

/// Its layer is of a version that is known, so only the first page tells; `rm` once took it all.
#[test]
fn a_volume_whose_tree_a_newer_version_wrote_stays_with_its_name() {
    for (offset, value) in [(6, 2), (8 + 5, 1)] {
        let place = place();
        fork_with(&place, offset, value);
        for tagged in [false, true] {
            if tagged {
                place.ok(&["snapshot", "fork", "-t", "fork:1"]);
            }
            let before = files(&place);
            for words in [["rm", "fork"], ["reset", "fork"]] {
                let text = expect_newer(&place.run(&words), &words, "tree");
                assert!(text.contains("made by a newer version"), "{text}");
            }
            assert!(files(&place) == before);
            // What the layers need is known.
            place.ok(&["gc"]);
        }
        place.ok(&["rm", "fork:1"]);
        place.ok(&["gc"]);
        let words = ["cat", "fork:/file"];
        expect_newer(&place.run(&words), &words, "the volume holds the snapshot");
        place.ok(&["cat", "t:1:/file"]);
    }
}

/// It was another error of the host to write there, and a check did not tell.
#[test]
fn what_only_a_newer_version_may_write_is_read_and_told() {
    let expect_told = |place: &Place, name: &str, verbs: &[&[&str]]| {
        for words in verbs.iter().chain(&[&["check"][..]]) {
            let text = expect_newer(&place.run(words), words, name);
            assert!(text.contains("newer version: read-only compatible features"), "{text}");
        }
    };
    let place = Place::with_store();
    place.ok(&["create", "v", "1M"]);
    place.feed(&["write", "v"], b"hello");
    let path = place.layer_file(&place.layer("v"));
    change_features(&path, |features| features.read_only_compatible = 1 << 40);
    place.ok(&["read", "v", "--length", "5"]);
    expect_told(&place, "layer", &[&["write", "v"], &["snapshot", "v"], &["reset", "v"]]);

    let place = self::place();
    fork_with(&place, 16, 1);
    place.ok(&["cat", "fork:/file"]);
    expect_told(&place, "tree", &[&["mkdir", "fork:/new"], &["rm", "fork:/file"]]);
}

//! Every document of every verb is as `docs/JSON.md` says, and the page says nothing else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::json_page::Page;
use super::support::{Place, pattern};

/// What the page tells and the documents below do not have: whole forms, whose verbs need what not every
/// machine has, or print what other verbs do; and single fields. Other tests compare their documents.
const ELSEWHERE: &[&str] = &[
    "diff: a container",
    "exec",
    "logs",
    "mount",
    "pull",
    "push",
    "run",
    "start",
    "stop",
    "tour",
    "umount",
    "df --verbose: containers[]",
    "ps: containers[]",
    "gc: held_back[]",
    "stat: extended_attributes[]",
];

/// Expects that a document is as the page says, and of this verb; tells which fields of the page it has.
pub fn expect_document(document: &Value, verb: &str) -> BTreeSet<String> {
    assert_eq!(document["verb"], verb, "{document}");
    Page::get().expect(document)
}

#[test]
fn the_page_tells_what_verbs_print() {
    let place = Place::empty();
    std::fs::write(place.path("base.img"), pattern(1, 1 << 20)).unwrap();
    std::fs::create_dir(place.path("context")).unwrap();
    std::fs::write(place.path("context/file"), "made").unwrap();
    std::fs::write(place.path("context/again"), "made again").unwrap();
    let text = "FROM scratch\nCOPY file /made\nCOPY again /made\nCMD [\"/made\"]\n";
    std::fs::write(place.path("context/Containerfile"), text).unwrap();
    let commands: &[(&[&str], i32)] = &[
        (&["init"], 0),
        (&["create", "scratch", "1M"], 0),
        (&["import", "base.img", "base:1"], 0),
        (&["export", "base:1", "out.img"], 0),
        (&["fork", "base:1", "vm"], 0),
        (&["snapshot", "vm", "-t", "vm:1", "--comment", "c", "--label", "k=v"], 0),
        (&["seal", "base:1"], 0),
        (&["ls"], 0),
        (&["show", "vm:1"], 0),
        (&["log", "vm"], 0),
        (&["log", "vm", "--graph"], 0),
        (&["tag", "vm@1", "again"], 0),
        (&["write", "vm", "--offset", "4K"], 0),
        (&["resize", "vm", "2M"], 0),
        (&["map", "vm"], 0),
        (&["map", "vm", "--since", "base:1"], 0),
        (&["diff", "base:1", "vm"], 1),
        (&["du"], 0),
        (&["du", "vm"], 0),
        (&["df"], 0),
        (&["flatten", "vm@1", "flat"], 0),
        (&["reset", "vm"], 0),
        (&["rm", "again", "scratch"], 0),
        (&["gc", "--dry-run"], 0),
        (&["gc"], 0),
        (&["check", "--data"], 0),
        (&["dump", "vm:1"], 0),
        (&["create", "--tree", "box"], 0),
        (&["mkdir", "box:/etc"], 0),
        (&["cp", "-", "box:/etc/file"], 0),
        (&["ln", "-s", "etc/file", "box:/link"], 0),
        (&["snapshot", "box", "-t", "box:1"], 0),
        (&["cp", "-", "box:/etc/file"], 0),
        (&["ls", "-R", "box:/"], 0),
        (&["stat", "box:/link"], 0),
        (&["map", "box"], 0),
        (&["blame", "box:/etc/file"], 0),
        (&["du", "box", "--layers"], 0),
        (&["export", "box", "folder", "--no-owners"], 0),
        (&["import", "folder", "again"], 0),
        (&["export", "--format", "tar", "box", "box.tar"], 0),
        (&["import", "--format", "tar", "box.tar", "untarred"], 0),
        (&["cp", "-r", "folder", "box:/folder"], 0),
        (&["diff", "box:1", "box", "--patch"], 1),
        (&["rm", "box:/link"], 0),
        (&["build", "--explain", "-t", "made:1", "context"], 0),
        (&["commit", "box", "box:2", "-m", "c"], 0),
        (&["images"], 0),
        (&["history", "made:1"], 0),
        (&["inspect", "made:1"], 0),
        (&["rebase", "box:2", "--from", "box:1", "--onto", "made:1", "-t", "moved:1"], 1),
        (
            &["rebase", "box:2", "--from", "box:1", "--onto", "made:1", "-t", "moved:1", "--force"],
            0,
        ),
        (&["squash", "moved:1", "-t", "squashed:1"], 0),
        (&["report", "made:1", "-o", "page.html"], 0),
        (&["ps", "-a"], 0),
        (&["df", "--verbose"], 0),
        (&["read", "vm"], 0),
        (&["cat", "box:/etc/file"], 0),
        (&["flush", "box"], 0),
        (&["fork", "box:1", "other"], 0),
        (&["ln", "other:/etc/file", "other:/moved"], 0),
        (&["rm", "other:/etc/file"], 0),
        (&["diff", "box:1", "other", "--files"], 1),
        (&["save", "made:1", "made.tar"], 0),
        (&["load", "made.tar", "loaded:1"], 0),
        (&["create", "much", "1M"], 0),
        (&["write", "much"], 0),
        (&["snapshot", "much"], 0),
        (&["write", "much"], 0),
        (&["snapshot", "much", "-t", "much:2"], 0),
        (&["rm", "much@2", "much", "flat"], 0),
        (&["gc"], 0),
        (&["man", "--directory", "pages"], 0),
        (&["init", "--mend"], 0),
        (&["prune", "--dry-run"], 0),
        (&["prune", "--all", "--containers"], 0),
        (&["completions", "bash"], 0),
        (&["man"], 0),
    ];
    let mut met = BTreeSet::new();
    for (words, code) in commands {
        let said = place.feed(&[*words, &["--json"]].concat(), &pattern(2, 5000));
        assert_eq!(said.code, *code, "{words:?}: {}", said.stderr);
        // The document is all that is said, beside data on standard error.
        let document = if said.stderr.is_empty() { &said.stdout } else { said.stderr.as_bytes() };
        let document: Value =
            serde_json::from_slice(document).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        met.extend(expect_document(&document, words[0]));
    }
    met.extend(documents_beside_damage());
    met.extend(Page::get().expect(&error(&place, &["show", "nothing"])));
    let page = Page::get().fields();
    let is_elsewhere = |field: &str| {
        let is_of =
            |one: &&str| field.strip_prefix(*one).is_some_and(|rest| rest.starts_with([':', '.']));
        // Of paths that are no UTF-8, which no words here can be.
        ELSEWHERE.iter().any(is_of) || field.ends_with("path_hex")
    };
    let not_met: Vec<_> = page.difference(&met).filter(|field| !is_elsewhere(field)).collect();
    assert!(not_met.is_empty(), "docs/JSON.md tells of what no document has: {not_met:#?}");
}

#[test]
fn the_page_tells_of_every_verb() {
    let place = Place::empty();
    place.ok(&["man", "--directory", "pages"]);
    let pages = super::support::files_in(&place.path("pages"), ".1");
    let verbs = pages.iter().filter_map(|page| {
        page.file_stem().unwrap().to_str().unwrap().strip_prefix("sapwood-").map(str::to_owned)
    });
    let verbs: BTreeSet<String> = verbs.collect();
    assert_eq!(verbs.iter().map(String::as_str).collect::<BTreeSet<_>>(), Page::get().verbs());
}

/// The document of a command that fails.
fn error(place: &Place, words: &[&str]) -> Value {
    let said = place.run(&[words, &["--json"]].concat());
    assert!(said.stdout.is_empty(), "{words:?}");
    serde_json::from_str(&said.stderr).unwrap()
}

/// What listings tell beside damage, and the fields that their documents have.
fn documents_beside_damage() -> BTreeSet<String> {
    let place = Place::with_fork();
    place.ok(&["tag", "base:1", "rotten:1"]);
    let layer = place.json(&["show", "base:1"], 0)["layer"].as_str().unwrap().to_owned();
    for (file, slots) in [(format!("layers/{layer}.layer"), 2), ("names/rotten:1.tag".into(), 1)] {
        let path = place.store().join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        (0..slots).for_each(|slot| bytes[slot * 4096 + 100] ^= 1);
        std::fs::write(path, bytes).unwrap();
    }
    let mut met = BTreeSet::new();
    for words in [&["ls"][..], &["du"], &["df"], &["df", "-v"], &["images"], &["log", "vm"]] {
        met.extend(expect_document(&place.json(words, 5), words[0]));
    }
    met.extend(expect_document(&place.json(&["check"], 1), "check"));
    // What waits until it is known whether the lost layer stands on it.
    place.ok(&["rm", "--damaged", "rotten:1"]);
    place.ok(&["create", "other", "1M"]);
    place.ok(&["snapshot", "other", "-t", "other:1"]);
    place.ok(&["rm", "other"]);
    met.extend(expect_document(&place.json(&["rm", "other:1", "vm", "vm:monday"], 0), "rm"));
    met
}

#[test]
fn beside_data_the_document_goes_to_standard_error() {
    let place = Place::with_fork();
    place.ok(&["create", "--tree", "box"]);
    place.ok(&["cp", "base.img", "box:/file"]);
    for words in [&["read", "base:1"][..], &["export", "base:1", "-"], &["cat", "box:/file"]] {
        let said = place.run(&[words, &["--json"]].concat());
        assert_eq!(said.stdout, pattern(1, 1 << 20));
        let document: Value = serde_json::from_str(&said.stderr).unwrap();
        expect_document(&document, words[0]);
        assert!(place.run(words).stderr.is_empty());
    }
}

#[test]
fn errors_are_json_too() {
    let place = Place::with_store();
    let cases: &[(&[&str], &str, u64)] = &[
        (&["show", "nothing"], "not found", 8),
        (&["ls", "--store", "missing"], "no store", 3),
        (&["create", "@", "1M"], "invalid input", 2),
        (&["import", "missing.img", "x"], "not found", 8),
    ];
    for (words, kind, code) in cases {
        let document = error(&place, words);
        expect_document(&document, words[0]);
        assert_eq!(document["error"]["kind"], *kind);
        assert_eq!(document["error"]["exit_code"], *code);
        assert_eq!(place.run(words).code as u64, *code);
        assert!(document["error"]["message"].as_str().unwrap().len() > 5);
    }
    // The verb is told where it is known, whatever else is not understood.
    for (words, verb) in [
        (&["fork", "--json"][..], json!("fork")),
        (&["--json", "ls", "--nothing"], json!("ls")),
        (&["frobnicate", "--json"], Value::Null),
    ] {
        let said = place.run(words);
        let document: Value = serde_json::from_str(&said.stderr).unwrap();
        assert_eq!((said.code, &document["verb"]), (2, &verb), "{words:?}");
        assert_eq!(document["error"]["kind"], "usage");
    }
}

/// A file that is not there left the beginning of a document.
#[test]
fn a_document_is_whole_or_not_there() {
    let place = Place::with_fork();
    let said = place.run(&["dump", "./missing.layer", "--json"]);
    assert_eq!((said.code, said.stdout.as_slice()), (8, &b""[..]));
    // One that is longer than what is held in memory: data and zeros in turns.
    let blocks = (0..2048_u64).flat_map(|block| match block % 2 {
        0 => pattern(block, 4096),
        _ => vec![0; 4096],
    });
    std::fs::write(place.path("turns.img"), blocks.collect::<Vec<u8>>()).unwrap();
    place.ok(&["import", "turns.img", "turns"]);
    let map = place.ok(&["map", "turns", "--json"]);
    assert!(map.len() > 100 << 10, "{}", map.len());
    let map: Value = serde_json::from_slice(&map).unwrap();
    assert_eq!(map["extents"].as_array().unwrap().len(), 2048);
}

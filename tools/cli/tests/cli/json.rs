//! Every document of every verb: its schema, its fields and their types.

use serde_json::{Map, Value, json};

use super::support::{Place, pattern};

/// The value with each scalar replaced by its type, and each list by the shape of its elements.
pub fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::String(_) => json!("string"),
        Value::Number(number) => {
            assert!(number.is_u64() || number.is_i64(), "not an integer: {number}");
            json!("integer")
        }
        Value::Array(elements) => {
            let mut shapes: Vec<Value> = Vec::new();
            for element in elements.iter().map(shape) {
                if !shapes.contains(&element) {
                    shapes.push(element);
                }
            }
            Value::Array(shapes)
        }
        Value::Object(fields) => {
            let shapes = fields.iter().map(|(name, value)| (name.clone(), shape(value)));
            Value::Object(shapes.collect::<Map<_, _>>())
        }
    }
}

fn expect_schema(document: &Value, verb: &str) {
    assert_eq!(document["schema"], 1, "{document}");
    assert_eq!(document["verb"], verb, "{document}");
}

/// Expects that a document has a schema, the verb, and besides fields of this shape.
pub fn expect_fields(document: &Value, verb: &str, fields: Value) {
    expect_schema(document, verb);
    let mut found = shape(document);
    let found = found.as_object_mut().unwrap();
    found.retain(|name, _| name != "schema" && name != "verb");
    assert_eq!(Value::Object(found.clone()), fields, "{verb}");
}

#[test]
fn every_verb_speaks_json() {
    let place = Place::empty();
    std::fs::write(place.path("base.img"), pattern(1, 1 << 20)).unwrap();
    std::fs::create_dir(place.path("context")).unwrap();
    std::fs::write(place.path("context/file"), "made").unwrap();
    let text = "FROM scratch\nCOPY file /made\nCMD [\"/made\"]\n";
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
        (&["prune", "--dry-run"], 0),
        (&["prune", "--all", "--containers"], 0),
        (&["completions", "bash"], 0),
        (&["man"], 0),
    ];
    let mut shapes = String::new();
    for (words, code) in commands {
        let said = place.feed(&[*words, &["--json"]].concat(), &pattern(2, 5000));
        assert_eq!(said.code, *code, "{words:?}: {}", said.stderr);
        assert_eq!(said.stderr, "", "{words:?}");
        let document: Value = serde_json::from_slice(&said.stdout)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
        expect_schema(&document, words[0]);
        shapes += &format!("{}\n{:#}\n\n", words.join(" "), shape(&document));
    }
    insta::assert_snapshot!("json_shapes", shapes);
}

#[test]
fn what_is_told_beside_damage_is_json_too() {
    let place = Place::with_fork();
    place.ok(&["tag", "base:1", "rotten:1"]);
    let layer = place.json(&["show", "base:1"], 0)["layer"].as_str().unwrap().to_owned();
    for (file, slots) in [(format!("layers/{layer}.layer"), 2), ("names/rotten:1.tag".into(), 1)] {
        let path = place.store().join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        (0..slots).for_each(|slot| bytes[slot * 4096 + 100] ^= 1);
        std::fs::write(path, bytes).unwrap();
    }
    let mut shapes = String::new();
    for words in [&["ls"][..], &["du"], &["df"], &["df", "-v"], &["images"]] {
        let document = place.json(words, 5);
        expect_schema(&document, words[0]);
        shapes += &format!("{}\n{:#}\n\n", words.join(" "), shape(&document));
    }
    insta::assert_snapshot!("beside_damage", shapes);
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
        expect_schema(&document, words[0]);
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
        let said = place.run(&[*words, &["--json"]].concat());
        assert!(said.stdout.is_empty());
        let document: Value = serde_json::from_str(&said.stderr).unwrap();
        expect_schema(&document, words[0]);
        assert_eq!(document["error"]["kind"], *kind);
        assert_eq!(document["error"]["exit_code"], *code);
        assert_eq!(said.code as u64, *code);
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

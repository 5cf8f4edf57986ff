//! Ways out of damage: each is named where it is needed, and works.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::support::{Place, Said, pattern};

fn layer(place: &Place, reference: &str) -> String {
    place.json(&["show", reference], 0)["layer"].as_str().unwrap().to_owned()
}

fn file(place: &Place, layer: &str) -> PathBuf {
    place.store().join(format!("layers/{layer}.layer"))
}

fn text_of(said: &Said) -> String {
    String::from_utf8(said.stdout.clone()).unwrap()
}

/// No message said how `gc` comes past what it refuses beside.
#[test]
fn whoever_meets_what_stops_a_collection_is_told_what_takes_it_out_of_the_way() {
    let place = Place::with_fork();
    let base = layer(&place, "base:1");
    fs::write(file(&place, &base), "").unwrap();
    let ways = format!("`rm base:1`, and then `rm --damaged {base}` gives up that layer");
    for words in [&["gc"][..], &["gc", "--dry-run"], &["prune"]] {
        let said = place.run(words);
        assert_eq!(said.code, 5, "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains(&ways), "{words:?}: {}", said.stderr);
    }
    assert_eq!(place.json(&["check"], 1)["ways_out"], json!([ways]));
    assert!(text_of(&place.run(&["check"])).contains(&format!("stops `gc`: {ways}\n")));
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

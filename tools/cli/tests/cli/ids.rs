//! The id that a verb prints of an image is the one that it has everywhere.

use std::fs;

use super::life::images;
use super::support::*;

fn said(place: &Place, words: &[&str]) -> String {
    String::from_utf8(place.ok(words)).unwrap()
}

/// The only word of the text that is a digest.
fn digest(text: &str) -> String {
    let mut digests = text.split_whitespace().filter(|word| word.starts_with("sha256:"));
    let digest = digests.next().unwrap().to_owned();
    assert_eq!(digests.next(), None, "{text}");
    digest
}

#[test]
fn every_verb_that_makes_an_image_tells_the_id_that_it_has_elsewhere() {
    let place = Place::with_store();
    images(&place);
    fs::create_dir(place.path("context")).unwrap();
    fs::write(place.path("context/file"), "content").unwrap();
    let text = "FROM base:1\nCOPY file /srv/\nENV A=B\n";
    fs::write(place.path("context/Containerfile"), text).unwrap();
    let build = ["build", "-t", "built:1", "context"];
    let built = digest(&said(&place, &build));
    assert_eq!(digest(&said(&place, &build)), built, "all of it was made before");

    place.ok(&["fork", "built:1", "web"]);
    assert_eq!(place.feed(&["cp", "-", "web:/etc/motd"], b"changed").code, 0);
    let committed = digest(&said(&place, &["commit", "web", "web:1"]));
    let squashed =
        place.json(&["squash", "web:1", "-t", "small:1"], 0)["id"].as_str().unwrap().to_owned();
    let moved = place
        .json(&["rebase", "built:1", "--onto", "base:2", "--from", "base:1", "-t", "moved:1"], 0);
    let moved = moved["id"].as_str().unwrap().to_owned();

    let told = place.json(&["images"], 0);
    let listed = |tag: &str| {
        let mut rows = told["images"].as_array().unwrap().iter();
        rows.find(|row| row["tag"] == tag).unwrap()["id"].as_str().unwrap().to_owned()
    };
    place.ok(&["save", "built:1", "web:1", "small:1", "moved:1", "images.tar"]);
    let there = place.path("there");
    let there = there.to_str().unwrap();
    place.ok(&["--store", there, "load", "images.tar"]);
    for (tag, id) in
        [("built:1", built), ("web:1", committed), ("small:1", squashed), ("moved:1", moved)]
    {
        assert_eq!(listed(tag), id, "{tag}");
        let inspected = place.json(&["--store", there, "inspect", tag], 0);
        assert_eq!(inspected["id"], id.as_str(), "{tag}");
    }
}

/// What verbs print of an image was a reference nowhere.
#[test]
fn an_image_is_reached_by_its_id() {
    let place = Place::with_store();
    images(&place);
    fs::create_dir(place.path("context")).unwrap();
    fs::write(place.path("context/Containerfile"), "FROM base:1\nENV A=B\n").unwrap();
    let id = said(&place, &["build", "-q", "-t", "built:1", "context"]).trim().to_owned();
    let digits = id.strip_prefix("sha256:").unwrap();
    for reference in [&id, digits, &digits[..12]] {
        assert_eq!(place.json(&["inspect", reference], 0)["id"], id.as_str());
        assert_eq!(place.run(&["history", reference]).code, 0);
        place.ok(&["save", "--force", reference, "image.tar"]);
        fs::write(place.path("context/Containerfile"), format!("FROM {reference}\nENV C=D\n"))
            .unwrap();
        place.ok(&["build", "-q", "context"]);
        place.ok(&["tag", "--force", reference, "mine:1"]);
        assert_eq!(place.json(&["inspect", "mine:1"], 0)["id"], id.as_str());
    }
    let refused = place.run(&["squash", &id]);
    assert_eq!((refused.code, refused.stderr.contains("--tag")), (2, true), "{}", refused.stderr);
    place.ok(&["squash", &id, "-t", "small:1"]);
    // Too short, and of nobody.
    assert_eq!(place.run(&["inspect", &digits[..11]]).code, 8);
    assert_eq!(place.run(&["inspect", &"0".repeat(64)]).code, 8);
    let refused = place.run(&["rm", &id]);
    assert_eq!((refused.code, refused.stderr.contains("tagged")), (2, true), "{}", refused.stderr);
    place.ok(&["rm", "mine:1", "built:1"]);
    assert_eq!(place.run(&["inspect", &id]).code, 8);
}

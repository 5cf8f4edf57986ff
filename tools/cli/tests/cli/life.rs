//! The verbs for the life of an image.

use sapwood::files::{Files, FilesOptions, Paths};
use sapwood::{Annotations, Replace, Store, StoreOptions};
use sapwood_oci::{Configuration, publish};

use crate::support::*;

/// Images in the store of a place: a base, another one, and one on the first.
pub fn images(place: &Place) {
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    let build = |base: Option<&str>, tag: &str, change: &dyn Fn(&Paths<'_, Files>)| {
        let work = format!("{}-work", tag.replace(':', "-"));
        let (volume, below) = match base {
            Some(base) => {
                let image = sapwood_oci::Image::open(&store, base).unwrap();
                let top = image.top_layer(&store).unwrap().unwrap().to_string();
                let below = image.configuration().to_value();
                (store.fork(&top, &work).unwrap(), below["history"].clone())
            }
            None => (store.create_tree(&work).unwrap(), serde_json::json!([])),
        };
        let files = Files::open(volume, FilesOptions::default()).unwrap();
        change(&Paths::new(&files));
        let created_by = Some(format!("RUN make {tag}"));
        let annotations = Annotations { created_by: created_by.clone(), ..Annotations::default() };
        let layer = files.snapshot(&annotations).unwrap().layer_id().to_string();
        files.close().unwrap();
        let mut history = below;
        history.as_array_mut().unwrap().push(serde_json::json!({ "created_by": created_by }));
        let configuration = Configuration::from_value(&serde_json::json!({
            "architecture": "amd64", "os": "linux", "config": { "Cmd": ["sh"] },
            "history": history, "rootfs": { "type": "layers", "diff_ids": [] },
        }))
        .unwrap();
        publish(&store, Some(&layer), &configuration, tag, Replace::Refuse).unwrap();
        store.remove(&work).unwrap();
    };
    build(None, "base:1", &|paths| {
        paths.create_dir_all("etc").unwrap();
        paths.write("etc/motd", b"one").unwrap();
        paths.write("large", &[7; 100_000]).unwrap();
    });
    build(None, "base:2", &|paths| {
        paths.create_dir_all("etc").unwrap();
        paths.write("etc/motd", b"two").unwrap();
    });
    build(Some("base:1"), "app:1", &|paths| {
        paths.write("etc/app", b"app").unwrap();
        paths.remove_file("large").unwrap();
    });
}

fn text(place: &Place, words: &[&str]) -> String {
    String::from_utf8(place.ok(words)).unwrap()
}

#[test]
fn images_are_listed_with_what_they_are_made_of() {
    let place = Place::with_store();
    images(&place);
    let listed = place.json(&["images"], 0);
    let tags: Vec<_> =
        listed["images"].as_array().unwrap().iter().map(|image| image["tag"].clone()).collect();
    assert_eq!(tags, ["app:1", "base:1", "base:2"]);
    assert!(listed["images"][0]["shared_bytes"].as_u64().unwrap() > 100_000);
    let shown = text(&place, &["images"]);
    assert!(shown.starts_with("TAG") && shown.contains("app:1"), "{shown}");

    let told = place.json(&["history", "app:1"], 0);
    assert_eq!(told["history"][0]["created_by"], "RUN make app:1");
    assert_eq!((&told["content_bytes"], &told["wasted_bytes"]), (&100_006.into(), &100_000.into()));
    assert_eq!(told["history"][1]["wasted"][0]["path"], "large");
    let shown = text(&place, &["history", "app:1"]);
    assert!(shown.contains("97.7 KiB  large"), "{shown}");

    let told = place.json(&["inspect", "app:1"], 0);
    assert_eq!(told["configuration"]["config"]["Cmd"][0], "sh");
    assert_eq!((told["layers"].as_array().unwrap().len(), &told["tags"][0]), (2, &"app:1".into()));
    assert_eq!(told["id"], listed["images"][0]["id"]);
    place.ok(&["fork", "app:1", "web"]);
    assert_eq!(place.json(&["inspect", "web"], 0)["container"], "web");
    assert!(text(&place, &["inspect", "web"]).contains("\"Cmd\""));

    let told = place.json(&["df", "--verbose"], 0);
    let sum: u64 =
        told["classes"].as_array().unwrap().iter().map(|row| row["bytes"].as_u64().unwrap()).sum();
    assert_eq!(told["total_bytes"], sum);
    assert_eq!(
        (&told["containers"][0]["name"], &told["images"][0]["containers"]),
        (&"web".into(), &1.into())
    );
    assert!(text(&place, &["df", "-v"]).contains("RECLAIMABLE"));
    place.ok(&["create", "disk", "1M"]);
    for verb in ["history", "inspect"] {
        assert_eq!(place.run(&[verb, "disk"]).code, 2);
        assert_eq!(place.run(&[verb, "none"]).code, 8);
    }
}

#[test]
fn images_move_become_smaller_and_go() {
    let place = Place::with_store();
    images(&place);
    // The layer removes a file that the new base does not have: no conflict.
    let told =
        place.json(&["rebase", "app:1", "--onto", "base:2", "--from", "base:1", "-t", "app:2"], 0);
    assert_eq!((&told["layers"], told["conflicts"].as_array().unwrap().len()), (&1.into(), 0));
    assert_eq!(text(&place, &["cat", "app:2:/etc/motd"]), "two");
    assert_eq!(text(&place, &["cat", "app:2:/etc/app"]), "app");
    assert_eq!(place.run(&["rebase", "app:1", "--onto", "base:2"]).code, 2);
    let again = ["rebase", "app:1", "--onto", "base:2", "--from", "base:1", "-t", "app:2"];
    assert_eq!(place.run(&again).code, 9);

    // What both have otherwise is in the way until it is forced.
    place.ok(&["fork", "base:2", "other"]);
    assert_eq!(place.feed(&["cp", "-", "other:/etc/app"], b"other").code, 0);
    place.ok(&["snapshot", "other", "-t", "base:3"]);
    let conflict = ["rebase", "app:1", "--onto", "base:3", "--from", "base:1", "-t", "app:3"];
    let said = place.run(&conflict);
    let listed = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.code, 1, "{listed}");
    assert!(listed.contains("added  added   etc/app"), "{listed}");
    place.ok(&[&conflict[..], &["--force"]].concat());
    assert_eq!(text(&place, &["cat", "app:3:/etc/app"]), "app");

    let told = place.json(&["squash", "app:1", "-t", "flat"], 0);
    assert_eq!((&told["layers_before"], &told["layers"]), (&2.into(), &1.into()));
    assert_eq!(place.json(&["history", "flat"], 0)["wasted_bytes"], 0);
    assert_eq!(place.run(&["squash", "app:1", "-t", "flat"]).code, 9);
    place.ok(&["squash", "app:1", "--from", "base:1", "-t", "thin"]);
    place.ok(&["squash", "app:1"]);
    assert_eq!(place.json(&["history", "app:1"], 0)["wasted_bytes"], 0);

    let told = place.json(&["prune", "--dry-run"], 0);
    assert_eq!(told["layers"]["removed"].as_array().unwrap().len(), 2, "{told}");
    let done = place.json(&["prune"], 0);
    assert_eq!((&done["layers"], &done["freed_bytes"]), (&told["layers"], &told["freed_bytes"]));
    assert_eq!(text(&place, &["prune"]), "freed 0 B\n");
    // A volume that was forked from an image was taken for a container, with what was written there.
    place.ok(&["fork", "base:2", "precious"]);
    assert_eq!(place.feed(&["cp", "-", "precious:/file"], b"work").code, 0);
    assert!(place.json(&["ps", "-a"], 0)["containers"].as_array().unwrap().is_empty());
    for filter in [&[][..], &["--filter", "until=1s"]] {
        let words = [&["prune", "--containers"], filter].concat();
        assert_eq!(place.json(&words, 0)["containers"]["removed"], serde_json::json!([]));
    }
    // What a `run` made before it was killed has a folder and nothing in it; a folder alone makes no container.
    for name in ["precious", "half"] {
        std::fs::create_dir_all(place.store().join("containers").join(name)).unwrap();
    }
    place.ok(&["fork", "base:2", "half"]);
    let told = place.json(&["prune", "--containers"], 0);
    assert_eq!(told["containers"]["removed"], serde_json::json!(["half"]));
    let all = text(&place, &["prune", "--all", "--containers"]);
    assert!(all.contains("images"), "{all}");
    assert_eq!(text(&place, &["cat", "precious:/file"]), "work");
    assert_eq!(place.json(&["check", "--data"], 0)["findings"].as_array().unwrap().len(), 0);
}

#[test]
fn a_page_is_written_whole_or_not_at_all() {
    let place = Place::with_store();
    images(&place);
    let page = place.path("page.html");
    let name = page.to_str().unwrap();
    let told = place.json(&["report", "app:1", "-o", name], 0);
    assert_eq!((&told["layers"], &told["entries"]), (&2.into(), &4.into()));
    let written = std::fs::read_to_string(&page).unwrap();
    assert!(written.starts_with("<!doctype html>") && written.ends_with("</html>\n"));
    assert_eq!(place.run(&["report", "app:1", "-o", name]).code, 9);
    place.ok(&["report", "app:1", "-o", name, "--force"]);
    assert_eq!(text(&place, &["report", "app:1", "-o", "-"]), written);
    assert_eq!(place.run(&["report", "none", "-o", "-"]).code, 8);
}

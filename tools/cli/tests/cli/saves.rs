//! Images out of the store.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::life::images;
use super::support::*;

/// The members of an archive.
fn members(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let members = archive.entries().unwrap().map(|member| {
        let mut member = member.unwrap();
        let (mut content, header) = (Vec::new(), member.header());
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap()), (0, 0));
        let name = member.path().unwrap().to_str().unwrap().to_owned();
        member.read_to_end(&mut content).unwrap();
        (name, content)
    });
    members.collect()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The files of a folder, with what is in them.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let below = files(&entry.path());
            found.extend(below.into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            found.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn images_become_folders_and_archives_that_say_the_same() {
    let place = Place::with_store();
    images(&place);
    let told = place.json(&["save", "base:1", "app:1", "images", "--format", "oci"], 0);
    let folder = files(&place.path("images"));
    let index = json(&folder["index.json"]);
    let names: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].clone())
        .collect();
    assert_eq!(names, ["base:1", "app:1"]);
    // Two layers of which one is in both, two configurations and two manifests.
    assert_eq!(folder.len(), 6 + 2, "{:?}", folder.keys());
    let blob =
        |digest: &Value| &folder[&digest.as_str().unwrap().replace("sha256:", "blobs/sha256/")];
    for (image, entry) in
        told["images"].as_array().unwrap().iter().zip(index["manifests"].as_array().unwrap())
    {
        assert_eq!(image["manifest"], entry["digest"]);
        let manifest = json(blob(&entry["digest"]));
        assert_eq!(manifest["config"]["digest"], image["id"]);
        let configuration = json(blob(&image["id"]));
        let layers = image["layers"].as_array().unwrap();
        assert_eq!(configuration["rootfs"]["diff_ids"].as_array().unwrap().len(), layers.len());
        for (at, layer) in layers.iter().enumerate() {
            assert_eq!(configuration["rootfs"]["diff_ids"][at], layer["diff_id"]);
            assert_eq!(manifest["layers"][at]["digest"], layer["digest"]);
            assert_eq!(blob(&layer["digest"])[..2], [0x1f, 0x8b]);
        }
    }

    place.ok(&["save", "base:1", "app:1", "images.tar"]);
    let mut archive = std::fs::read(place.path("images.tar")).unwrap();
    let mut packed = members(&archive);
    packed.retain(|name, _| !name.ends_with('/'));
    assert!(packed == folder, "{:?}", packed.keys());
    assert!(place.ok(&["save", "base:1", "app:1", "-"]) == archive, "the stream differs");
    archive = place.ok(&["save", "base:1", "app:1", "-", "--compression", "zstd"]);
    assert!(members(&archive).values().any(|blob| blob.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])));

    place.ok(&["tag", "base:1", "same"]);
    let words = ["save", "base:1", "same", "app:1", "docker.tar", "--format", "docker-archive"];
    place.ok(&words);
    let packed = members(&std::fs::read(place.path("docker.tar")).unwrap());
    let manifest = json(&packed["manifest.json"]);
    let images = manifest.as_array().unwrap();
    assert_eq!(images.len(), 2);
    assert_eq!(images[0]["RepoTags"], serde_json::json!(["base:1", "same:latest"]));
    assert_eq!(packed.len(), 2 + 2 + 1);
    for image in images {
        let diff_ids = &json(&packed[image["Config"].as_str().unwrap()])["rootfs"]["diff_ids"];
        for (layer, diff_id) in
            image["Layers"].as_array().unwrap().iter().zip(diff_ids.as_array().unwrap())
        {
            assert!(packed.contains_key(layer.as_str().unwrap()));
            assert_eq!(layer.as_str().unwrap(), format!("{}.tar", &diff_id.as_str().unwrap()[7..]));
        }
    }
    place.ok(&["save", "app:1", "root.tar", "--format", "tar"]);
    place.ok(&["export", "app:1", "same.tar", "--format", "tar"]);
    assert!(files(&place.path(""))["root.tar"] == files(&place.path(""))["same.tar"]);
}

#[test]
fn a_folder_of_images_grows_and_keeps_what_it_has() {
    let place = Place::with_store();
    images(&place);
    std::fs::create_dir(place.path("images")).unwrap();
    place.ok(&["save", "base:1", "images", "--format", "oci"]);
    let before = files(&place.path("images"));
    // What somebody else wrote there stays.
    let mut index = json(&before["index.json"]);
    index["annotations"] = serde_json::json!({ "somebody": "else" });
    std::fs::write(place.path("images/index.json"), index.to_string()).unwrap();

    place.ok(&["save", "app:1", "images", "--format", "oci"]);
    let after = files(&place.path("images"));
    let kept = before.iter().filter(|(name, _)| *name != "index.json");
    assert!(kept.clone().all(|(name, bytes)| after[name] == *bytes));
    // The base's layer was there: one more layer, a configuration, a manifest.
    assert_eq!(after.len(), before.len() + 3);
    let index = json(&after["index.json"]);
    assert_eq!(index["annotations"]["somebody"], "else");
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);

    assert_eq!(place.run(&["save", "app:1", "images", "--format", "oci"]).code, 9);
    place.ok(&["tag", "base:2", "app:1", "--force"]);
    place.ok(&["save", "app:1", "images", "--format", "oci", "--force"]);
    let index = json(&files(&place.path("images"))["index.json"]);
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    assert!(files(&place.path("")).keys().all(|name| !name.contains(".sapwood-")));
}

#[test]
fn what_cannot_be_saved_says_why_and_leaves_nothing() {
    let place = Place::with_store();
    images(&place);
    place.ok(&["fork", "base:1", "web"]);
    assert_eq!(place.feed(&["cp", "-", "web:/etc/.wh.motd"], b"x").code, 0);
    // What a tar cannot say is told where the image would be made.
    let refused = place.run(&["commit", "web", "bad"]);
    assert_eq!(refused.code, 10);
    assert!(refused.stderr.contains(".wh.motd"), "{}", refused.stderr);
    assert_eq!(place.run(&["inspect", "bad"]).code, 8);
    place.ok(&["snapshot", "web"]);
    place.ok(&["tag", "base:1", "Odd"]);
    std::fs::create_dir(place.path("full")).unwrap();
    std::fs::write(place.path("full/file"), "kept").unwrap();
    std::fs::write(place.path("there"), "kept").unwrap();
    let before = files(&place.path(""));
    let cases: &[(&[&str], i32, &str)] = &[
        (&["web@1", "out"], 10, ".wh.motd"),
        (&["web@1", "out", "--format", "oci"], 10, ".wh.motd"),
        (&["web@1", "out", "--format", "docker-archive"], 10, ".wh.motd"),
        (&["web", "out"], 2, "commit"),
        (&["none", "out"], 8, "none"),
        (&["base:1", "there"], 9, "there"),
        (&["base:1", "there", "--format", "oci"], 10, "there"),
        (&["base:1", "full", "--format", "oci"], 2, "full"),
        (&["base:1", "-", "--format", "oci"], 2, "oci-archive"),
        (&["base:1", "app:1", "out", "--format", "tar"], 2, "one image"),
        (&["base:1", "out", "--format", "tar", "--compression", "gzip"], 2, "--compression"),
        (&["Odd", "out", "--format", "docker-archive"], 2, "Odd"),
        (&["base:1", "no/such/folder"], 8, "no/such"),
        (&["base:1", "no/such/folder", "--format", "oci"], 8, "no/such"),
    ];
    for (words, code, text) in cases {
        let said = place.run(&[&["save"], *words].concat());
        assert_eq!(said.code, *code, "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains(text), "{words:?}: {}", said.stderr);
        // What is written aside has a name that nobody gave.
        assert!(!said.stderr.contains(".sapwood-"), "{words:?}: {}", said.stderr);
    }
    let after = files(&place.path(""));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&after), names(&before));
}

/// What became of a container, in all forms, in another store.
#[test]
fn a_committed_container_is_the_same_in_another_store() {
    let place = Place::with_store();
    images(&place);
    place.ok(&["fork", "app:1", "web"]);
    assert_eq!(place.feed(&["cp", "-", "web:/etc/new"], b"new").code, 0);
    assert_eq!(place.feed(&["cp", "-", "web:/etc/motd"], b"changed").code, 0);
    place.ok(&["rm", "web:/etc/app"]);
    place.ok(&["commit", "web", "web:1"]);
    let tree = |place: &Place| place.ok(&["export", "web:1", "-", "--format", "tar"]);
    for format in ["oci", "oci-archive", "docker-archive"] {
        let path = place.path(format);
        place.ok(&["save", "web:1", format, "--format", format]);
        let other = Place::empty();
        other.ok(&["load", path.to_str().unwrap()]);
        assert!(tree(&place) == tree(&other), "{format}");
        let (here, there) =
            (place.json(&["inspect", "web:1"], 0), other.json(&["inspect", "web:1"], 0));
        for field in ["architecture", "config", "history", "os"] {
            let [here, there] = [&here, &there].map(|told| &told["configuration"][field]);
            assert_eq!((here, here.is_null()), (there, false), "{format} {field}");
        }
        assert_eq!(there["layers"].as_array().unwrap().len(), 3, "{format}");
        assert_eq!(other.ok(&["cat", "web:1:/etc/motd"]), b"changed");
        assert_eq!(other.run(&["stat", "web:1:/etc/app"]).code, 8);
    }
}

/// A save that was killed left a folder that no other one took, and what it was making for good.
#[test]
fn a_folder_that_was_cut_off_before_its_index_is_begun_again() {
    let place = Place::with_store();
    images(&place);
    std::fs::create_dir_all(place.path("images/blobs/sha256")).unwrap();
    std::fs::create_dir(place.path("images/.sapwood-killed")).unwrap();
    let names = || {
        place.ok(&["save", "base:1", "images", "--format", "oci"]);
        let index = json(&files(&place.path("images"))["index.json"]);
        index["manifests"].as_array().unwrap().len()
    };
    assert_eq!(names(), 1);
    assert!(!place.path("images/.sapwood-killed").exists());
    std::fs::remove_file(place.path("images/index.json")).unwrap();
    std::fs::create_dir(place.path("images/.sapwood-killed")).unwrap();
    std::fs::write(place.path("images/.sapwood-killed/.sapwood-blob"), "half").unwrap();
    std::fs::write(place.path("images/.sapwood-file"), "half").unwrap();
    assert_eq!(names(), 1);
    assert_eq!(
        files(&place.path("images")).keys().filter(|name| name.contains(".sapwood")).count(),
        0
    );
    // A file of somebody's is not what was cut off.
    std::fs::remove_file(place.path("images/oci-layout")).unwrap();
    assert_eq!(place.run(&["save", "app:1", "images", "--format", "oci"]).code, 2);
}

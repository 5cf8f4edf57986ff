//! `load`: what it says, and what it leaves when it is killed.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use sapwood_archive::tar::{Member, MemberKind, TarWriter};
use sapwood_oci::Sha256;
use serde_json::json;

use super::support::{Place, files_in, pattern};

type Files<'a> = &'a [(&'a str, &'a [u8])];

fn tar(files: Files<'_>) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (name, content) in files {
        let mut member = Member::new(*name, MemberKind::File, 0o644);
        member.size = content.len() as u64;
        writer.begin(&member).unwrap();
        writer.write(content).unwrap();
    }
    writer.finish().unwrap()
}

/// An archive as `docker save` wrote them, with one image.
fn archive(tag: &str, layers: &[Files<'_>]) -> Vec<u8> {
    let tars: Vec<Vec<u8>> = layers.iter().map(|files| tar(files)).collect();
    let diff_ids: Vec<String> = tars.iter().map(|tar| Sha256::of(tar).to_string()).collect();
    let configuration = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["cat", "/etc/motd"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let names: Vec<String> = (0..tars.len()).map(|at| format!("{at}.tar")).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [tag], "Layers": names }]);
    let (configuration, manifest) = (configuration.to_string(), manifest.to_string());
    let mut files: Vec<(&str, &[u8])> =
        vec![("config.json", configuration.as_bytes()), ("manifest.json", manifest.as_bytes())];
    files.extend(names.iter().map(String::as_str).zip(tars.iter().map(Vec::as_slice)));
    tar(&files)
}

#[test]
fn an_archive_becomes_images() {
    let place = Place::empty();
    let (base, more): (Files<'_>, Files<'_>) =
        (&[("etc/hostname", b"base")], &[("etc/motd", b"hello\n")]);
    fs::write(place.path("web.tar"), archive("docker.io/library/web:1", &[base, more])).unwrap();
    fs::write(place.path("base.tar"), archive("base:1", &[base])).unwrap();
    let report = place.json(&["load", "web.tar"], 0);
    let image = &report["images"][0];
    assert_eq!(image["tags"], json!(["web:1"]));
    assert_eq!((&image["layers"], &image["layers_there"]), (&json!(2), &json!(0)));
    assert_eq!(place.ok(&["cat", "web:1:/etc/motd"]), b"hello\n");
    let id = image["id"].as_str().unwrap();
    assert_eq!(place.json(&["inspect", "web:1"], 0)["id"], id);

    let said = String::from_utf8(place.ok(&["load", "base.tar", "mine:1"])).unwrap();
    assert!(
        said.starts_with("loaded mine:1 (")
            && said.ends_with("): 1 layer, 1 of them there already\n"),
        "{said}"
    );
    let said = place.feed(&["load", "-"], &archive("base:1", &[base]));
    assert_eq!(said.code, 0, "{}", said.stderr);
    let again = place.json(&["load", "web.tar"], 0);
    assert_eq!(again["images"][0]["layers_there"], 2);
    assert_eq!(place.ok(&["load", "web.tar", "--quiet"]), b"");

    fs::write(place.path("root.tar"), tar(base)).unwrap();
    let plain = place.run(&["load", "root.tar", "root:1"]);
    assert_eq!(plain.code, 2);
    assert!(
        plain.stderr.contains("root.tar") && plain.stderr.contains("oci-layout"),
        "{}",
        plain.stderr
    );
    fs::create_dir(place.path("copied")).unwrap();
    fs::write(place.path("copied/version"), "Directory Transport Version: 1.1\n").unwrap();
    let copied = place.run(&["load", "copied", "copied:1"]);
    assert!(copied.code == 2 && copied.stderr.contains("`dir:`"), "{}", copied.stderr);
    place.ok(&["load", "root.tar", "root:1", "--format", "tar"]);
    assert_eq!(place.ok(&["cat", "root:1:/etc/hostname"]), b"base");
}

#[test]
fn what_cannot_be_loaded_is_told_with_its_code() {
    let place = Place::empty();
    let base: Files<'_> = &[("etc/hostname", b"base")];
    fs::write(place.path("base.tar"), archive("base:1", &[base])).unwrap();
    assert_eq!(place.run(&["load", "missing.tar"]).code, 8);
    fs::write(place.path("cut.tar"), &fs::read(place.path("base.tar")).unwrap()[..1024]).unwrap();
    let mut wrong = fs::read(place.path("base.tar")).unwrap();
    let content = wrong.windows(6).position(|bytes| bytes == b"base\0\0").unwrap();
    wrong[content] = b'c';
    fs::write(place.path("wrong.tar"), wrong).unwrap();
    // The last one is found wrong when its layer is being put into a store.
    for (bad, code) in [("cut.tar", 2), ("wrong.tar", 5)] {
        assert_eq!(place.run(&["load", bad]).code, code, "{bad}");
    }
    assert_eq!(place.run(&["import", "missing", "base:1"]).code, 8);
    assert!(!place.store().exists(), "what failed makes no store");
    place.ok(&["load", "base.tar"]);
    let other = archive("base:1", &[&[("other", b"other")]]);
    fs::write(place.path("other.tar"), &other).unwrap();
    assert_eq!(place.run(&["load", "other.tar"]).code, 9);
    assert_eq!(place.run(&["load", "other.tar", "--limit", "1K", "--force"]).code, 2);
    assert_eq!(place.run(&["load", "other.tar", "--platform", "linux/s390x", "--force"]).code, 8);
    assert_eq!(place.run(&["load", "other.tar", "--image", "x:1"]).code, 8);
    assert_eq!(place.run(&["load", "other.tar", "--format", "oci"]).code, 2);
    assert_eq!(place.ok(&["cat", "base:1:/etc/hostname"]), b"base");
    place.ok(&["load", "other.tar", "--force"]);
    assert_eq!(place.ok(&["cat", "base:1:/other"]), b"other");
}

/// A load that is killed leaves layers without a name; they were kept for ever when there were
/// several.
#[test]
fn a_killed_load_leaves_nothing_that_a_collection_does_not_take() {
    let place = Place::with_store();
    let large = pattern(1, 6 << 20);
    let files: Vec<(String, &[u8])> = (0..8).map(|at| (format!("file{at}"), &large[..])).collect();
    let layers: Vec<Vec<(&str, &[u8])>> =
        files.iter().map(|(name, content)| vec![(name.as_str(), *content)]).collect();
    let layers: Vec<Files<'_>> = layers.iter().map(Vec::as_slice).collect();
    fs::write(place.path("large.tar"), archive("large:1", &layers)).unwrap();
    let mut killed = 0;
    for milliseconds in (10..).step_by(35).take(24) {
        let mut load = Command::new(assert_cmd::cargo::cargo_bin("sapwood"))
            .args(["load", "large.tar"])
            .current_dir(place.path(""))
            .env("SAPWOOD_STORE", place.store())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        load.kill().unwrap();
        let is_killed = load.wait().unwrap().signal().is_some();
        killed += usize::from(is_killed);
        place.ok(&["check", "--data"]);
        if !is_killed {
            place.ok(&["rm", "large:1"]);
        }
        place.ok(&["gc"]);
        let left = files_in(&place.store().join("layers"), "");
        let names = place.json(&["ls"], 0)["names"].as_array().unwrap().len();
        match names {
            0 => assert_eq!(left, Vec::<std::path::PathBuf>::new(), "after {milliseconds} ms"),
            // Killed behind its tag.
            _ => drop(place.ok(&["rm", "large:1"])),
        }
    }
    assert!(killed >= 3, "{killed} of the loads were killed");
    place.ok(&["load", "large.tar"]);
    assert_eq!(place.ok(&["cat", "large:1:/file7"]), large);
}

/// `load` and `pull` wanted `linux/arm64` where `build` took `arm64`, too.
#[test]
fn all_verbs_read_a_platform_alike() {
    let place = Place::with_store();
    fs::write(place.path("base.tar"), archive("base:1", &[&[("etc/hostname", b"base")]])).unwrap();
    place.ok(&["load", "base.tar"]);
    fs::create_dir(place.path("context")).unwrap();
    fs::write(place.path("context/Containerfile"), "FROM base:1\n").unwrap();
    let verbs: [&[&str]; 3] =
        [&["load", "base.tar", "b:1"], &["build", "context"], &["pull", "localhost:9/none:1"]];
    let refusal = "linux/amd64 or arm64; architectures are 386";
    for verb in verbs {
        let run = |platform| place.run(&[verb, &["--platform", platform]].concat());
        for platform in ["x86_64", "amd64", "linux/amd64", "arm/v7"] {
            let told = run(platform).stderr;
            assert!(!told.contains(refusal), "{verb:?} {platform}: {told}");
        }
        let refused = run("banana");
        assert_eq!(refused.code, 2, "{verb:?}");
        assert!(refused.stderr.contains(refusal), "{}", refused.stderr);
    }
}

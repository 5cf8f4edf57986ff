//! Images to a real registry, and what others then read there.

use std::fs;

use sapwood_oci::{Image, Way};
use serde_json::Value;

use super::daemon::Daemon;
use super::{is_here, make_image, options, push_to, run, ways};
use crate::support::*;

#[test]
fn what_is_pushed_is_what_others_pull_and_goes_once() {
    let test = "what_is_pushed_is_what_others_pull_and_goes_once";
    let Some(daemon) = Daemon::open(test) else { return };
    if !is_here(test, "skopeo") || !is_here(test, "buildah") {
        return;
    }
    let (folder, store) = store();
    make_image(&store);
    let pushed = push_to(&store, &daemon.host, "forest/oak:1", options()).unwrap();
    assert_eq!(ways(&pushed), [Way::Sent, Way::Sent]);
    assert!(pushed.sent_bytes > 0);

    // The same once more, and under another tag: nothing but a manifest moves.
    let moves = daemon.moves();
    let again = push_to(&store, &daemon.host, "forest/oak:1", options()).unwrap();
    assert_eq!(ways(&again), [Way::Present, Way::Present]);
    assert_eq!((again.sent_bytes, again.digest), (0, pushed.digest));
    assert_eq!(daemon.moves(), moves);
    push_to(&store, &daemon.host, "forest/oak:2", options()).unwrap();
    assert_eq!(daemon.moves()[moves.len()..], ["PUT /v2/forest/oak/manifests/2 201"]);

    let remote = format!("docker://{}/forest/oak:1", daemon.host);
    let layout = folder.path().join("layout");
    let local = format!("oci:{}:1", layout.display());
    run("skopeo", &["copy", "-q", "--src-tls-verify=false", &remote, &local]);
    let index: Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["digest"], pushed.digest.to_string());
    let blob = |digest: &str| {
        let path = layout.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap());
        fs::read(path).unwrap()
    };
    let manifest: Value = serde_json::from_slice(&blob(&pushed.digest.to_string())).unwrap();
    for (layer, read) in pushed.layers.iter().zip(manifest["layers"].as_array().unwrap()) {
        assert_eq!(read["digest"], layer.descriptor.digest().to_string());
        assert_eq!(read["size"], layer.descriptor.size());
    }

    let storage = folder.path().join("storage");
    let (root, run_root) = (storage.join("root"), storage.join("run"));
    let buildah = |words: &[&str]| {
        let mut all = vec!["--storage-driver", "vfs", "--root", root.to_str().unwrap()];
        all.extend(["--runroot", run_root.to_str().unwrap()]);
        all.extend(words);
        run("buildah", &all)
    };
    let id = buildah(&["pull", "-q", "--tls-verify=false", &remote]).trim().to_owned();
    let configuration = blob(manifest["config"]["digest"].as_str().unwrap());
    assert_eq!(id, sapwood_oci::Sha256::of(&configuration).to_hex());
    let container = buildah(&["from", &id]);
    let mounted = buildah(&["mount", container.trim()]);
    let image = Image::open(&store, "image:1").unwrap();
    for file in ["etc/large", "etc/small"] {
        let theirs = fs::read(std::path::Path::new(mounted.trim()).join(file)).unwrap();
        assert!(theirs == read(image.view(), file), "{file}");
    }
    buildah(&["rm", "-a"]);
}

#[test]
fn a_digest_cannot_be_chosen() {
    let (_folder, store) = store();
    make_image(&store);
    let image = format!("oak@{}", sapwood_oci::Sha256::of(b"sap"));
    let error = push_to(&store, "127.0.0.1:1", &image, options()).unwrap_err();
    assert_eq!(error.kind(), sapwood::ErrorKind::InvalidInput);
}

//! Images from registries: a real one, and one that does wrong.

use std::io::Write;
use std::sync::Mutex;

use sapwood::{ErrorKind, Replace, Result, Store};
use sapwood_archive::tar::{Member, MemberKind, TarWriter};
use sapwood_oci::{
    Credential, Image, OwnNames, Progress, PruneOptions, PullOptions, Pulled, RegistryOptions,
    Security, Sha256, Way, prune, pull,
};
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::server::{Fault, Reply, Seen, Server};
use super::{is_here, make_image, options, push_to, reference, run, ways};
use crate::support::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn pull_from(store: &Store, host: &str, image: &str, registry: RegistryOptions) -> Result<Pulled> {
    let options = PullOptions { platform: None, replace: Replace::Move, registry };
    pull(store, &reference(host, image), "pulled:1", &options, &|_| {})
}

/// An image of three layers of one file each, the middle one large, as a registry keeps it.
struct Remote {
    manifest: Vec<u8>,
    configuration: Vec<u8>,
    layers: Vec<Vec<u8>>,
}

impl Remote {
    fn new() -> Remote {
        let mut state = 3_u64;
        let large = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        let large: Vec<u8> = large.take(3 << 20).collect();
        let files: [(&str, &[u8]); 3] = [("low", b"low"), ("large", &large), ("high", b"high")];
        let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
        for (name, content) in files {
            let mut writer = TarWriter::new(Vec::new());
            let mut member = Member::new(name, MemberKind::File, 0o644);
            member.size = content.len() as u64;
            writer.begin(&member).unwrap();
            writer.write(content).unwrap();
            let tar = writer.finish().unwrap();
            diff_ids.push(Sha256::of(&tar).to_string());
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&tar).unwrap();
            layers.push(gzip.finish().unwrap());
        }
        let configuration = json!({ "architecture": "amd64", "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": diff_ids } });
        let configuration = serde_json::to_vec(&configuration).unwrap();
        let described = |media_type: &str, bytes: &[u8]| {
            json!({ "mediaType": format!("application/vnd.oci.image.{media_type}"),
                "digest": Sha256::of(bytes).to_string(), "size": bytes.len() })
        };
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": described("config.v1+json", &configuration),
            "layers": layers.iter().map(|layer| described("layer.v1.tar+gzip", layer))
                .collect::<Vec<Value>>(),
        });
        Remote { manifest: serde_json::to_vec(&manifest).unwrap(), configuration, layers }
    }

    fn put(&self, server: &Server) {
        for blob in self.layers.iter().chain([&self.configuration]) {
            server.put_blob(blob);
        }
        server.put_manifest("1", MANIFEST, &self.manifest);
    }

    /// The path part of a layer's blob.
    fn blob(&self, layer: usize) -> String {
        format!("/blobs/{}", Sha256::of(&self.layers[layer]))
    }
}

fn expect_whole(image: &Image) {
    assert_eq!(read(image.view(), "low"), b"low");
    assert_eq!(read(image.view(), "high"), b"high");
    assert_eq!(read(image.view(), "large").len(), 3 << 20);
}

/// That a store holds no name and no layer.
fn expect_empty(store: &Store, why: &str) {
    assert!(store.names().unwrap().is_empty(), "{why}: {:?}", store.names().unwrap());
    let layers = store.path().join("layers");
    let files: Vec<_> = std::fs::read_dir(&layers).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(files.is_empty(), "{why}: {files:?}");
}

#[test]
fn what_goes_there_comes_back_and_comes_once() {
    let Some(daemon) = Daemon::open("what_goes_there_comes_back_and_comes_once") else { return };
    let (_folder, from) = store();
    make_image(&from);
    let pushed = push_to(&from, &daemon.host, "forest/oak:1", options()).unwrap();
    let (_folder, to) = store();
    let before = daemon.moves().len();
    let pulled = pull_from(&to, &daemon.host, "forest/oak:1", options()).unwrap();
    assert_eq!(pulled.digest, pushed.digest);
    assert_eq!(daemon.moves().len(), before + 3, "two layers and a configuration");
    let original = Image::open(&from, "image:1").unwrap();
    assert_eq!(listing(original.view()), listing(pulled.image.view()));
    assert!(read(original.view(), "etc/large") == read(pulled.image.view(), "etc/large"));
    let names: Vec<String> = to.names().unwrap().into_iter().map(|name| name.name).collect();
    assert_eq!(names, ["pulled:1"]);

    // Once more, under its digest: nothing but manifests.
    let pinned = format!("forest/oak@{}", pushed.digest);
    let again = pull_from(&to, &daemon.host, &pinned, options()).unwrap();
    assert_eq!(again.image.snapshot().layer_id(), pulled.image.snapshot().layer_id());
    assert_eq!(daemon.moves().len(), before + 3);

    // To another repository nothing is sent: the registry has the layers in the form they came in.
    let options_of = sapwood_oci::PushOptions { registry: options(), ..Default::default() };
    let target = reference(&daemon.host, "meadow/oak:2");
    let mounted = sapwood_oci::push(&to, "pulled:1", &target, &options_of, &|_, step| {
        assert_eq!(step, sapwood_oci::PushStep::Done(Way::Mounted));
    });
    let mounted = mounted.unwrap();
    assert_eq!(ways(&mounted), [Way::Mounted; 2]);
    assert_eq!(mounted.digest, pushed.digest);
    // Another registry gets the very same tars.
    let other = Server::start(|_| None);
    let sent =
        sapwood_oci::push(&to, "pulled:1", &reference(&other.host, "a:1"), &options_of, &|_, _| {});
    assert_eq!(ways(&sent.unwrap()), [Way::Sent; 2]);
    assert!(other.manifest("1").is_some());
}

#[test]
fn what_others_push_is_pulled() {
    let test = "what_others_push_is_pulled";
    let Some(daemon) = Daemon::open(test) else { return };
    if !is_here(test, "skopeo") || !is_here(test, "buildah") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (root, run_root) = (path("root"), path("run"));
    let buildah = |words: &[&str]| {
        let storage = ["--storage-driver", "vfs", "--root", &root, "--runroot", &run_root];
        run("buildah", &[&storage[..], words].concat()).trim().to_owned()
    };
    std::fs::write(path("hello"), "hello\n").unwrap();
    let container = buildah(&["from", "scratch"]);
    buildah(&["copy", "-q", &container, &path("hello"), "/usr/share/hello"]);
    buildah(&["config", "--cmd", "/hello", &container]);
    let (layout, docker) = (format!("oci:{}:x", path("layout")), format!("dir:{}", path("docker")));
    buildah(&["commit", "-q", &container, &layout]);
    buildah(&["commit", "-q", "--format", "docker", &container, &docker]);
    buildah(&["rm", &container]);
    let (_folder, store) = store();
    for (source, name) in [(&layout, "oci"), (&docker, "docker")] {
        let remote = format!("docker://{}/birch:{name}", daemon.host);
        run("skopeo", &["copy", "-q", "--dest-tls-verify=false", source, &remote]);
        let said = run("skopeo", &["inspect", "--raw", "--tls-verify=false", &remote]);
        let pulled = pull_from(&store, &daemon.host, &format!("birch:{name}"), options()).unwrap();
        assert_eq!(pulled.digest, Sha256::of(said.as_bytes()));
        let manifest: Value = serde_json::from_str(&said).unwrap();
        let id = pulled.image.configuration().digest().to_string();
        assert_eq!(manifest["config"]["digest"], id);
        assert_eq!(read(pulled.image.view(), "usr/share/hello"), b"hello\n");
    }

    // And skopeo copies on what it finds there, from a registry to a registry.
    let pushed = push_to_tag(&store, &daemon.host, "again:1");
    let (from, to) = (format!("{}/again:1", daemon.host), format!("{}/copy:1", daemon.host));
    let (from, to) = (format!("docker://{from}"), format!("docker://{to}"));
    run("skopeo", &["copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to]);
    let copied = pull_from(&store, &daemon.host, "copy:1", options()).unwrap();
    assert_eq!(copied.digest, pushed);
}

fn push_to_tag(store: &Store, host: &str, image: &str) -> Sha256 {
    let options = sapwood_oci::PushOptions { registry: options(), ..Default::default() };
    sapwood_oci::push(store, "pulled:1", &reference(host, image), &options, &|_, _| {})
        .unwrap()
        .digest
}

#[test]
fn a_blob_goes_on_where_the_connection_broke() {
    let remote = Remote::new();
    let large = remote.blob(1);
    for (has_ranges, cuts) in [(true, 1), (true, 9), (false, 2)] {
        let blob = large.clone();
        let server = Server::start(move |seen| match seen.is("GET", &blob) {
            true if seen.before < cuts && has_ranges => Some(Fault::CutReply(300_000)),
            true if seen.before == 0 => Some(Fault::CutReply(300_000)),
            true if !has_ranges => Some(Fault::NoRange),
            _ => None,
        });
        remote.put(&server);
        let (_folder, store) = store();
        let patient = RegistryOptions { attempts: 5, ..options() };
        let pulled = pull_from(&store, &server.host, "oak:1", patient).unwrap();
        expect_whole(&pulled.image);
        let seen = server.seen();
        let ranges: Vec<&str> = seen
            .iter()
            .filter(|seen| seen.is("GET", &large))
            .map(|seen| seen.header("range"))
            .collect();
        assert_eq!(ranges[..2], ["", "bytes=300000-"]);
        assert_eq!(ranges.len(), if has_ranges { cuts + 1 } else { 2 });
    }
}

#[test]
fn what_is_wrong_is_told_and_leaves_nothing() {
    let remote = Remote::new();
    let blob = remote.blob(0);
    let first = &remote.layers[0];
    let mut flipped = first.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let endless =
        Reply { is_endless: true, told: Some(None), ..Reply::of(200).body(vec![b' '; 1 << 16]) };
    let without_length = |body: &[u8]| Reply { told: Some(None), ..Reply::of(200).body(body) };
    let typed =
        |media_type: &str, body: &[u8]| Reply::of(200).with("Content-Type", media_type).body(body);
    let other = Sha256::of(b"other").to_string();
    let entry = |architecture| {
        json!({ "mediaType": MANIFEST, "size": 2, "digest": other,
            "platform": { "os": "plan9", "architecture": architecture } })
    };
    let index = json!({ "schemaVersion": 2, "manifests": [entry("mips"), entry("386")] });
    let index = serde_json::to_vec(&index).unwrap();
    let manifest = &remote.manifest[..];
    let v1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let cases: Vec<(&str, Reply, ErrorKind, &str)> = vec![
        (&blob, Reply::of(200).body(&flipped[..]), ErrorKind::Corrupt, "digest"),
        (&blob, Reply::of(200).body(&first[1..]), ErrorKind::Corrupt, "size"),
        (&blob, Reply::of(200).body([first, &b"x"[..]].concat()), ErrorKind::Corrupt, "size"),
        (&blob, without_length(&[first, &b"x"[..]].concat()), ErrorKind::Corrupt, "size"),
        (&blob, without_length(&first[1..]), ErrorKind::Io, "unexpected end of file"),
        (&blob, endless.clone(), ErrorKind::Corrupt, "size"),
        (&blob, Reply::of(206).body(&first[..]), ErrorKind::Io, "206"),
        (&blob, Reply::of(401), ErrorKind::NotPermitted, "401"),
        (&blob, Reply::of(403), ErrorKind::NotPermitted, "403"),
        (&blob, Reply::of(404), ErrorKind::NotFound, "404"),
        (&blob, Reply::of(429), ErrorKind::Io, "429"),
        (&blob, Reply::of(500), ErrorKind::Io, "500"),
        (&blob, Reply::of(302), ErrorKind::Io, "Location"),
        (&blob, Reply::of(302).with("Location", "gopher://a.example/"), ErrorKind::Io, "Location"),
        ("/manifests/", typed("text/html", b"<html>"), ErrorKind::Unsupported, "text/html"),
        ("/manifests/", Reply::of(200).body(manifest), ErrorKind::Unsupported, "Content-Type"),
        ("/manifests/", typed(v1, b"{}"), ErrorKind::Unsupported, "prettyjws"),
        ("/manifests/", typed(INDEX, manifest), ErrorKind::InvalidInput, "one kind"),
        ("/manifests/", typed(INDEX, &index), ErrorKind::NotFound, "plan9/mips"),
        ("/manifests/", typed(MANIFEST, b"{"), ErrorKind::InvalidInput, "JSON"),
        ("/manifests/", typed(MANIFEST, b"[]"), ErrorKind::InvalidInput, "object"),
        ("/manifests/", endless.with("Content-Type", MANIFEST), ErrorKind::Corrupt, "at most"),
        (
            "/manifests/",
            typed(MANIFEST, manifest).with("Docker-Content-Digest", other.clone()),
            ErrorKind::Corrupt,
            &other,
        ),
        ("/manifests/", Reply::of(404), ErrorKind::NotFound, "404"),
    ];
    for (part, reply, kind, told) in cases {
        let (wanted, shown) = (part.to_owned(), format!("{part}: {} {told}", reply.status));
        let server =
            Server::start(move |seen| seen.is("GET", &wanted).then(|| Fault::Reply(reply.clone())));
        remote.put(&server);
        let (_folder, store) = store();
        let error = pull_from(&store, &server.host, "oak:1", options()).unwrap_err();
        assert_eq!(error.kind(), kind, "{shown}: {error}");
        assert!(error.to_string().contains(told), "{shown}: {error}");
        expect_empty(&store, &shown);
    }
    // The digest that was asked for is what counts.
    let server = Server::start(|_| None);
    remote.put(&server);
    server.put_manifest(&other, MANIFEST, &remote.manifest);
    let (_folder, store) = store();
    let error = pull_from(&store, &server.host, &format!("oak@{other}"), options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn an_index_offers_a_choice() {
    let (server, remote) = (Server::start(|_| None), Remote::new());
    remote.put(&server);
    let machine = sapwood_oci::Platform::of_the_machine();
    let entry = |digest: String, size: usize, os: &str, architecture: &str| {
        json!({ "mediaType": MANIFEST, "size": size, "digest": digest,
            "platform": { "os": os, "architecture": architecture } })
    };
    let (digest, size) = (Sha256::of(&remote.manifest).to_string(), remote.manifest.len());
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
        entry(Sha256::of(b"other").to_string(), 2, "plan9", "mips"),
        entry(digest, size, "linux", "amd64"),
    ]});
    let index = server.put_manifest("many", INDEX, &serde_json::to_vec(&index).unwrap());
    let (_folder, store) = store();
    let of = |platform: &str| {
        let platform = Some(platform.parse().unwrap());
        let options = PullOptions { platform, replace: Replace::Move, registry: options() };
        pull(&store, &reference(&server.host, "oak:many"), "pulled:1", &options, &|_| {})
    };
    assert_eq!(of("plan9/mips").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(of("linux/s390x").unwrap_err().kind(), ErrorKind::NotFound);
    let pulled = of("linux/amd64").unwrap();
    assert_eq!(pulled.digest, index);
    expect_whole(&pulled.image);
    if machine.architecture == "amd64" {
        expect_whole(&pull_from(&store, &server.host, "oak:many", options()).unwrap().image);
    }
}

#[test]
fn blobs_may_lie_elsewhere_but_who_one_is_stays_here() {
    let remote = Remote::new();
    let elsewhere = Server::start(|_| None);
    remote.put(&elsewhere);
    let host = elsewhere.host.clone();
    let registry = Server::start(move |seen: &Seen| {
        if !seen.header("authorization").starts_with("Basic ") {
            return Some(Fault::Reply(
                Reply::of(401).with("WWW-Authenticate", "Basic realm=\"x\""),
            ));
        }
        let location = format!("http://{host}{}", seen.path);
        seen.is("GET", "/blobs/").then(|| Fault::Reply(Reply::of(307).with("Location", location)))
    });
    remote.put(&registry);
    let (username, password) = ("sapwood".to_owned(), "tree ring".to_owned());
    let credential = Some(Credential::Basic { username, password });
    let (_folder, store) = store();
    let known = RegistryOptions { credential, security: Security::Plain, ..options() };
    expect_whole(&pull_from(&store, &registry.host, "oak:1", known).unwrap().image);
    assert_eq!(elsewhere.count("GET", "/blobs/"), 4);
    assert!(elsewhere.seen().iter().all(|seen| seen.header("authorization").is_empty()));
}

#[test]
fn what_was_verified_stays_for_the_next_pull() {
    let remote = Remote::new();
    let high = remote.blob(2);
    let is_broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let broken = std::sync::Arc::clone(&is_broken);
    let server = Server::start(move |seen| {
        let is_broken = broken.load(std::sync::atomic::Ordering::Relaxed);
        (is_broken && seen.is("GET", &high)).then(|| Fault::Reply(Reply::of(404)))
    });
    remote.put(&server);
    let (_folder, store) = store();
    pull_from(&store, &server.host, "oak:1", options()).unwrap_err();
    let names = || store.names().unwrap();
    assert!(matches!(&names()[..], [name] if OwnNames::PARTIAL.hold(name)), "{:?}", names());
    store.collect(&Default::default()).unwrap();

    is_broken.store(false, std::sync::atomic::Ordering::Relaxed);
    let begun = Mutex::new(None);
    let options_of = PullOptions { platform: None, replace: Replace::Refuse, registry: options() };
    let tell = |progress| {
        if let Progress::Begun { known, .. } = progress {
            *begun.lock().unwrap() = Some(known);
        }
    };
    let target = reference(&server.host, "oak:1");
    let pulled = pull(&store, &target, "pulled:1", &options_of, &tell).unwrap();
    expect_whole(&pulled.image);
    assert_eq!(*begun.lock().unwrap(), Some(2));
    assert!(matches!(&names()[..], [name] if name.name == "pulled:1"), "{:?}", names());
    assert_eq!(server.count("GET", &remote.blob(0)), 1);
    assert_eq!(server.count("GET", &remote.blob(1)), 1);
}

#[test]
fn what_a_pull_left_goes_with_a_prune() {
    let remote = Remote::new();
    let high = remote.blob(2);
    let server =
        Server::start(move |seen| seen.is("GET", &high).then(|| Fault::Reply(Reply::of(404))));
    remote.put(&server);
    let (_folder, store) = store();
    pull_from(&store, &server.host, "oak:1", options()).unwrap_err();
    let pruned = prune(&store, &PruneOptions::default()).unwrap();
    assert_eq!(pruned.cache.0.len(), 1);
    expect_empty(&store, "pruned");
}

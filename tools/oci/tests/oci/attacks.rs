//! Images that want to get out, fill the machine, or mean two things: a clear error, nothing of them in
//! the store, nothing changed outside.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink as link_on_host;
use std::path::{Path, PathBuf};
use std::process::Command;

use sapwood::{ErrorKind, Store, StoreOptions};
use sapwood_archive::tar::MemberKind;
use sapwood_oci::{ArchiveForm, Compression, Image, Input, LoadOptions, Sha256};
use serde_json::{Value, json};

use crate::crafted::*;
use crate::load::{load_all, load_as, stream};
use crate::support::{listing, noise, read};

/// A store with an image in it, and a folder of the host beside it that must not change.
struct Scene {
    folder: tempfile::TempDir,
    store: Store,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        fs::write(folder.path().join("outside/canary"), "sings").unwrap();
        let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
        load_all(&store, stream(Crafted::image("good:1", &[base()]).to_tar())).unwrap();
        // What readers leave behind is not what an attack left.
        Image::open(&store, "good:1").unwrap();
        let mut scene = Scene { folder, store, before: BTreeMap::new() };
        scene.before = scene.files();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The files of the store and outside of it; what only serves speed is none.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut left = vec![self.path("store"), self.path("outside")];
        while let Some(folder) = left.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let is_derived = path.ends_with("index") || path.ends_with("names.lock");
                match path.is_dir() {
                    _ if is_derived => {}
                    true => left.push(path),
                    false => drop(files.insert(path.clone(), fs::read(path).unwrap())),
                }
            }
        }
        files
    }

    #[track_caller]
    fn refuses(&self, what: &str, input: Input, said: &str) {
        let error = match load_all(&self.store, input) {
            Ok(_) => panic!("{what}: it was loaded"),
            Err(error) => error,
        };
        self.assert_refused(what, &error, said);
    }

    #[track_caller]
    fn assert_refused(&self, what: &str, error: &sapwood::Error, said: &str) {
        let text = error.to_string();
        assert!(text.contains(said), "{what}: {text}");
        assert!(text.len() < 2_000, "{what}: a page of an error: {text}");
        let allowed = [
            ErrorKind::InvalidInput,
            ErrorKind::Corrupt,
            ErrorKind::Unsupported,
            ErrorKind::NotFound,
            ErrorKind::NotPermitted,
            ErrorKind::NotADirectory,
            ErrorKind::SymlinkLoop,
            ErrorKind::NameTooLong,
        ];
        assert!(allowed.contains(&error.kind()), "{what}: {text}");
        let after = self.files();
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&after), names(&self.before), "{what}");
        assert!(after == self.before, "{what}: another content");
    }
}

/// What the layers of attacks stand on.
fn base() -> Layer {
    Layer::of(&[directory("etc/"), file("etc/passwd", b"root"), symlink("x", "/")])
}

/// A layer that is not there yet: others are not read.
fn unknown() -> Layer {
    Layer::of(&[file("fine", b"")])
}

fn with_layer(layer: Layer) -> Vec<u8> {
    Crafted::image("evil:1", &[base(), unknown(), layer]).to_tar()
}

#[test]
fn layers_that_want_more_than_a_tree_are_refused() {
    let scene = Scene::new();
    let device = |name: &str| other(name, MemberKind::CharDevice(0, 0));
    let cases: Vec<(&str, Vec<Entry>, &str)> = vec![
        ("a way up", vec![file("../up", b"")], "../up"),
        ("a way up further down", vec![file("a/../../up", b"")], "a/../../up"),
        ("a symlink for the root", vec![symlink("/.", "/etc")], "root"),
        ("a hard link up", vec![hard_link("a", "../../etc/passwd")], "a"),
        ("a hard link to what comes later", vec![hard_link("a", "b"), file("b", b"")], "a"),
        ("a hard link to itself", vec![hard_link("a", "a")], "a"),
        ("a hard link through a symlink out", vec![hard_link("a", "x/outside")], "a"),
        ("a hard link to a directory", vec![hard_link("a", "etc")], "a"),
        ("a whiteout of nothing", vec![file(".wh.", b"")], ".wh."),
        ("a whiteout of a dot", vec![file(".wh..", b"")], ".wh.."),
        ("a whiteout of two dots", vec![file("etc/.wh...", b"")], ".wh..."),
        ("a mark nobody knows", vec![file(".wh..wh.other", b"")], ".wh..wh.other"),
        ("a whiteout that is a directory", vec![directory(".wh.a/")], ".wh.a"),
        ("a whiteout that is a device", vec![device(".wh.a")], ".wh.a"),
        ("a file below a whiteout", vec![file(".wh.a/b", b"")], ".wh.a/b"),
        ("a file below a file", vec![file("etc/passwd/a", b"")], "etc/passwd/a"),
        ("a loop", vec![symlink("l", "l"), file("l/a", b"")], "l/a"),
        ("a long name", vec![file(&"n".repeat(300), b"")], "nnnn"),
    ];
    for (what, entries, said) in cases {
        scene.refuses(what, stream(with_layer(Layer::of(&entries))), said);
    }
}

#[test]
fn what_looks_like_a_way_out_stays_in_the_tree() {
    let scene = Scene::new();
    let outside = scene.path("outside").display().to_string();
    let layers = [
        base(),
        Layer::of(&[symlink("out", &outside), symlink("up", "../../../../..")]),
        Layer::of(&[
            file("x/etc/passwd", b"ours"),
            file("up/tmp", b"in the root"),
            file("x/.wh.out", b""),
            file(".wh.nothing/of/it".split('/').next().unwrap(), b""),
            // The root itself cannot be hidden; its names can.
            file(".wh..wh..opq", b""),
        ]),
    ];
    load_all(&scene.store, stream(Crafted::image("in:1", &layers).to_tar())).unwrap();
    let image = Image::open(&scene.store, "in:1").unwrap();
    assert_eq!(read(image.view(), "etc/passwd"), b"ours");
    assert_eq!(read(image.view(), "tmp"), b"in the root");
    let paths: Vec<String> = listing(image.view()).into_iter().map(|(path, _)| path).collect();
    assert!(!paths.contains(&"out".to_owned()), "{paths:?}");
    assert_eq!(fs::read_to_string(scene.path("outside/canary")).unwrap(), "sings");
}

#[test]
fn blobs_that_are_not_what_was_said_are_refused() {
    let scene = Scene::new();
    let good = tar(&[file("content", &noise(100_000, 1))]);
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let layer = Layer::new(&good, compression);
        let digest = Sha256::of(&layer.blob).to_string();
        let changed = |what: &str, change: &dyn Fn(&mut Vec<u8>), said: &str| {
            let crafted = Crafted::image("evil:1", &[base(), layer.clone()]);
            let mut files = crafted.layout();
            change(files.get_mut(&blob_path(&layer.blob)).unwrap());
            let what = format!("{what}, {compression:?}");
            scene.refuses(&what, stream(files_to_tar(&files)), said);
        };
        let end = layer.blob.len() - 1;
        changed("a flipped bit", &|blob| blob[end / 2] ^= 4, &digest);
        changed("a flipped bit at the end", &|blob| blob[end] ^= 1, &digest);
        changed("cut off", &|blob| blob.truncate(end), "size");
        changed("nothing", &Vec::clear, "size");
        changed("a byte more", &|blob| blob.push(0), "size");
        changed("much more", &|blob| blob.extend(noise(3 << 20, 1)), "size");
    }
    let gzip = |tar: &[u8]| compressed(Compression::Gzip, tar);
    let layer = Layer::new(&good, Compression::Gzip);
    let with = |blob: Vec<u8>, media_type: &str| {
        let media_type = media_type.to_owned();
        with_layer(Layer { blob, media_type, diff_id: layer.diff_id.clone() })
    };
    let (plain, zipped) = (layer.media_type.replace("+gzip", ""), layer.media_type.as_str());
    let zstd = Compression::Zstd.media_type().to_string();
    let tail = |end: &[u8]| [&gzip(&good)[..], end].concat();
    let wide = {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(30).unwrap();
        std::io::Write::write_all(&mut encoder, &good).unwrap();
        encoder.finish().unwrap()
    };
    for (what, bytes, said) in [
        ("plain for gzip", with(good.clone(), zipped), "decompress"),
        ("gzip for plain", with(gzip(&good), &plain), "expected a tar"),
        ("gzip for zstd", with(gzip(&good), &zstd), "decompress"),
        ("gzip twice", with(gzip(&gzip(&good)), zipped), "expected a tar"),
        ("rubbish behind gzip", with(tail(b"rubbish"), zipped), "decompress"),
        ("zeros behind gzip", with(tail(&[0; 512]), zipped), "decompress"),
        ("half of gzip", with(gzip(&good)[..1000].to_vec(), zipped), "decompress"),
        ("a window of a GiB", with(wide, &zstd), "memory"),
        ("another tar", with(gzip(&tar(&[file("b", b"b")])), zipped), "diffID"),
        ("more behind the tar", with(gzip(&[&good[..], b"x"].concat()), zipped), "end"),
        ("half of a tar", with(gzip(&good[..50_000]), zipped), "content"),
        ("no tar", with(gzip(b"no tar"), zipped), "layer"),
        ("encrypted", with(good.clone(), &format!("{zipped}+encrypted")), "encrypted"),
        (
            "kept elsewhere",
            with(good.clone(), "application/vnd.oci.image.layer.nondistributable.v1.tar"),
            "another place",
        ),
        ("a kind nobody knows", with(good.clone(), "text/html"), "text/html"),
    ] {
        scene.refuses(what, stream(bytes), said);
    }
}

#[test]
fn documents_that_could_be_read_in_two_ways_are_refused() {
    let scene = Scene::new();
    let hex = Sha256::of(b"").to_hex();
    let refuses_manifest = |what: &str, change: &dyn Fn(&mut Value), said: &str| {
        let mut crafted = Crafted::default();
        crafted.add("evil:1", &[unknown()], |_| {}, change);
        scene.refuses(what, stream(crafted.to_tar()), said);
    };
    for (what, digest) in [
        ("a way up for a digest", "sha256:../../../outside/canary".to_owned()),
        ("a digest in upper case", format!("sha256:{}", hex.to_uppercase())),
        ("half a digest", format!("sha256:{}", &hex[..32])),
        ("a digest of another kind", format!("md5:{hex}")),
        ("no digest", hex.clone()),
        ("a long digest", format!("sha256:{}", "0".repeat(100_000))),
    ] {
        let said = "read a";
        refuses_manifest(what, &|json| json["layers"][0]["digest"] = digest.as_str().into(), said);
        refuses_manifest(what, &|json| json["config"]["digest"] = digest.as_str().into(), said);
        let mut crafted = Crafted::image("evil:1", &[base()]);
        crafted.manifests[0]["digest"] = digest.as_str().into();
        scene.refuses(what, stream(crafted.to_tar()), said);
    }
    refuses_manifest("a layer less", &|json| json["layers"] = json!([]), "layers");
    refuses_manifest("layers and manifests", &|json| json["manifests"] = json!([]), "manifests");
    refuses_manifest("another kind", &|json| json["mediaType"] = INDEX.into(), "media type");
    refuses_manifest("the first schema", &|json| json["schemaVersion"] = 1.into(), "schema");
    let empty = "application/vnd.oci.empty.v1+json";
    refuses_manifest("no image", &|json| json["config"]["mediaType"] = empty.into(), "an image");
    refuses_manifest(
        "a huge configuration",
        &|json| json["config"]["size"] = (1_u64 << 40).into(),
        "size",
    );
    refuses_manifest(
        "a negative size",
        &|json| json["layers"][0]["size"] = (-1).into(),
        "manifest",
    );
    refuses_manifest(
        "the largest size",
        &|json| json["layers"][0]["size"] = u64::MAX.into(),
        "size",
    );

    let refuses_configuration = |what: &str, change: &dyn Fn(&mut Value), said: &str| {
        let mut crafted = Crafted::default();
        crafted.add("evil:1", &[unknown()], change, |_| {});
        scene.refuses(what, stream(crafted.to_tar()), said);
    };
    let diff_ids = |json: &mut Value, ids: Value| json["rootfs"]["diff_ids"] = ids;
    refuses_configuration("no diffIDs", &|json| diff_ids(json, json!([])), "layers");
    refuses_configuration(
        "another diffID",
        &|json| diff_ids(json, json!([format!("sha256:{hex}")])),
        "diffID",
    );
    refuses_configuration(
        "a diffID with a way",
        &|json| diff_ids(json, json!(["sha256:../x"])),
        "digest",
    );
    refuses_configuration("no layers", &|json| json["rootfs"]["type"] = "tar".into(), "layers");

    let index_says = |what: &str, change: &dyn Fn(&mut Crafted), said: &str| {
        let mut crafted = Crafted::image("evil:1", &[base()]);
        change(&mut crafted);
        scene.refuses(what, stream(crafted.to_tar()), said);
    };
    let put = |name: &str, bytes: Vec<u8>| {
        let name = name.to_owned();
        move |crafted: &mut Crafted| drop(crafted.files.insert(name.clone(), bytes.clone()))
    };
    index_says(
        "a manifest for an index",
        &|crafted| crafted.manifests[0]["mediaType"] = INDEX.into(),
        "index",
    );
    index_says(
        "another version",
        &put("oci-layout", br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec()),
        "version",
    );
    index_says("no version", &put("oci-layout", b"{}".to_vec()), "version");
    index_says("no JSON", &put("index.json", b"[".to_vec()), "JSON");
    index_says("deep JSON", &put("index.json", vec![b'['; 100_000]), "JSON");
    index_says("much JSON", &put("index.json", vec![b' '; 5 << 20]), "size");
    index_says(
        "both in one",
        &put("index.json", br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#.to_vec()),
        "layers",
    );
    index_says("no images", &|crafted| crafted.manifests.clear(), "images");
    let nested = |crafted: &mut Crafted| {
        for _ in 0..6 {
            let entry = crafted.manifests.pop().unwrap();
            let index = json!({ "schemaVersion": 2, "manifests": [entry] });
            let mut entry = crafted.add_document(INDEX, &index);
            entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "evil:1" });
            crafted.manifests.push(entry);
        }
    };
    index_says("indexes of indexes", &nested, "lead to one another");
    let many = |crafted: &mut Crafted| {
        let entry = crafted.manifests[0].clone();
        crafted.manifests = vec![entry; 2_000];
    };
    index_says("thousands of images of one name", &many, "at most");
    // A name is looked up before a digest is, and some go with what a build leaves.
    let digest = "ab".repeat(32);
    let names = ["../../x", &digest, &digest[..12], "build-cache:0123456789abcdef"];
    for name in names {
        index_says(
            &format!("named {name}"),
            &|crafted| {
                crafted.manifests[0]["annotations"] =
                    json!({ "org.opencontainers.image.ref.name": name });
            },
            if name.starts_with("build") { "tag" } else { "name" },
        );
    }
}

#[test]
fn folders_lead_to_nothing_outside_of_them() {
    let scene = Scene::new();
    let crafted = Crafted::image("evil:1", &[base(), Layer::of(&[file("a", b"a")])]);
    // The layer that is there already is not read.
    let known = blob_path(&base().blob);
    let blobs: Vec<&String> = crafted.files.keys().filter(|name| **name != known).collect();
    let attack = |what: &str, change: &dyn Fn(&Path), said: &str| {
        let path = scene.path(&format!("layout {what}"));
        crafted.write(&path);
        change(&path);
        scene.refuses(what, Input::Path(path), said);
    };
    let (canary, copy) = (scene.path("outside/canary"), scene.path("copy"));
    for blob in blobs {
        let replace = |path: &Path| {
            fs::rename(path.join(blob), &copy).unwrap();
            link_on_host(&copy, path.join(blob)).unwrap();
        };
        // Even where it leads to the right bytes.
        attack(&format!("a blob that is a symlink: {}", &blob[13..20]), &replace, "symlink");
    }
    attack(
        "a folder of blobs that is a symlink",
        &|path| {
            fs::rename(path.join("blobs"), scene.path("moved")).unwrap();
            link_on_host(scene.path("moved"), path.join("blobs")).unwrap();
        },
        "symlink",
    );
    for name in ["index.json", "oci-layout"] {
        attack(
            &format!("{name} that is a symlink"),
            &|path| {
                fs::remove_file(path.join(name)).unwrap();
                link_on_host(&canary, path.join(name)).unwrap();
            },
            "symlink",
        );
    }
    attack(
        "a pipe",
        &|path| {
            let pipe = path.join("index.json");
            fs::remove_file(&pipe).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                &pipe,
                rustix::fs::FileType::Fifo,
                0o600.into(),
                0,
            )
            .unwrap();
        },
        "regular",
    );
    attack("no layout", &|path| fs::remove_file(path.join("oci-layout")).unwrap(), "oci-layout");
}

#[test]
fn archives_of_docker_lead_to_nothing_outside_of_them() {
    let scene = Scene::new();
    let layer = Layer::new(&tar(&[file("a", b"a")]), Compression::None);
    let crafted = Crafted::image("", std::slice::from_ref(&layer));
    let configuration = crafted.files.values().find(|blob| blob.starts_with(b"{\"arch")).unwrap();
    let archive = |manifest: Value, more: &[Entry]| {
        let id = Sha256::of(configuration).to_hex();
        let mut entries = vec![
            file(&format!("{id}.json"), configuration),
            file("layer.tar", &layer.blob),
            file("manifest.json", manifest.to_string().as_bytes()),
        ];
        entries.extend_from_slice(more);
        (stream(tar(&entries)), id)
    };
    let id = Sha256::of(configuration).to_hex();
    let said = |config: &str, layers: Value| json!([{ "Config": config, "RepoTags": ["evil:1"], "Layers": layers }]);
    let good = format!("{id}.json");
    let other_id = Sha256::of(b"other").to_hex();
    for (what, manifest, more, expected) in [
        ("a way up", said("../../outside/canary", json!([])), vec![], "canary"),
        ("an absolute way", said("/etc/passwd", json!([])), vec![], "passwd"),
        ("a layer that is elsewhere", said(&good, json!(["../layer.tar"])), vec![], "layer.tar"),
        ("a layer too many", said(&good, json!(["layer.tar", "layer.tar"])), vec![], "layers"),
        ("no layer", said(&good, json!(null)), vec![], "layers"),
        (
            "another id",
            said(&format!("{other_id}.json"), json!(["layer.tar"])),
            vec![file(&format!("{other_id}.json"), configuration)],
            "digest",
        ),
        (
            "a symlink out",
            said(&good, json!(["link"])),
            vec![symlink("link", "/etc/passwd")],
            "link",
        ),
        (
            "a symlink to a symlink",
            said(&good, json!(["one"])),
            vec![symlink("one", "two"), symlink("two", "layer.tar")],
            "one",
        ),
        (
            "a layer of other bytes",
            said(&good, json!(["other.tar"])),
            vec![file("other.tar", &tar(&[file("b", b"b")]))],
            "digest",
        ),
        ("a layer with bzip2", said(&good, json!(["b"])), vec![file("b", b"BZh91AY&SY")], "bzip2"),
        (
            "a file twice",
            said(&good, json!(["layer.tar"])),
            vec![file("./layer.tar", b"")],
            "twice",
        ),
        ("no list", json!({ "Config": good }), vec![], "a list of images"),
        ("nothing", json!([]), vec![], "images"),
    ] {
        scene.refuses(what, archive(manifest, &more).0, expected);
    }
    let (input, _) = archive(said(&good, json!(["layer.tar"])), &[]);
    load_all(&scene.store, input).unwrap();
}

#[test]
fn what_is_no_archive_is_told_so() {
    let scene = Scene::new();
    let plain = tar(&[file("etc/passwd", b"")]);
    for (what, bytes, said) in [
        ("nothing", vec![], "archive"),
        ("text", b"hello".to_vec(), "archive"),
        ("a plain tar", plain.clone(), "oci-layout"),
        ("xz", b"\xfd7zXZ\0\0\0".to_vec(), "xz"),
        ("half of gzip", compressed(Compression::Gzip, &plain)[..60].to_vec(), "archive"),
        ("half of a tar", plain[..600].to_vec(), "archive"),
    ] {
        let error = load_all(&scene.store, stream(bytes)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(said), "{what}: {text}");
        assert_eq!(scene.files(), scene.before, "{what}");
    }
    let form = Some(ArchiveForm::LayoutTar);
    let docker = tar(&[file("manifest.json", b"[]")]);
    let options = LoadOptions::default();
    assert!(load_as(&scene.store, stream(docker), form, None, &options).is_err());
}

const BOMB: &str = "SAPWOOD_TEST_BOMB";

/// A tar with one file of a GiB of zeros, compressed: a megabyte as gzip, some thousand bytes as
/// zstd.
fn bomb(compression: Compression) -> Layer {
    let mut member = file("zeros", b"").0;
    member.size = 1 << 30;
    let compress = |bytes: &[u8]| match compression {
        Compression::Zstd => zstd::encode_all(bytes, 19).unwrap(),
        _ => compressed(compression, bytes),
    };
    let mut blob = compress(&header_of(&member));
    let zeros = compress(&vec![0; 32 << 20]);
    (0..32).for_each(|_| blob.extend(&zeros));
    blob.extend(compress(&[0; 1024]));
    let diff_id = Sha256::of(b"whatever").to_string();
    Layer { blob, media_type: compression.media_type().to_string(), diff_id }
}

fn header_of(member: &sapwood_archive::tar::Member) -> Vec<u8> {
    let mut small = member.clone();
    small.size = 0;
    let mut header = tar(&[(small, Vec::new())])[..512].to_vec();
    header[124..136].copy_from_slice(format!("{:011o}\0", member.size).as_bytes());
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// The most memory that this process ever had, in bytes.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// An image of little that becomes much ends at the limit, or on its digest, and in bounded memory.
/// Another process of this test does it, since memory is counted by processes.
#[test]
fn bombs_end_at_the_limit_and_in_bounded_memory() {
    if std::env::var_os(BOMB).is_none() {
        let worker = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "attacks::bombs_end_at_the_limit_and_in_bounded_memory"])
            .env(BOMB, "1")
            .output()
            .unwrap();
        assert!(worker.status.success(), "{}", String::from_utf8_lossy(&worker.stdout));
        return;
    }
    let scene = Scene::new();
    let layouts: Vec<Vec<u8>> = [Compression::Gzip, Compression::Zstd]
        .map(|compression| Crafted::image("bomb:1", &[base(), bomb(compression)]).to_tar())
        .into();
    let before = peak_bytes();
    for layout in layouts {
        let zipped = compressed(Compression::Zstd, &layout);
        for (what, bytes, limit, said) in [
            ("a limit", &layout, Some(64 << 20), "at most 67108864 bytes"),
            ("a limit for what is unpacked first", &zipped, Some(50_000), "at most 50000 bytes"),
            ("no limit", &layout, None, "diffID"),
        ] {
            let options = LoadOptions { unpacked_bytes_max: limit, ..LoadOptions::default() };
            let input = stream(bytes.clone());
            let error = load_as(&scene.store, input, None, None, &options).unwrap_err();
            scene.assert_refused(what, &error, said);
        }
    }
    let grown = peak_bytes() - before;
    assert!(grown < 64 << 20, "{} MiB more", grown >> 20);
}

/// A mark that makes a directory opaque was looked up among all before it, each time anew.
#[test]
fn a_hundred_thousand_opaque_marks_are_a_layer_as_others() {
    let scene = Scene::new();
    let mut entries: Vec<Entry> = (0..1_000).map(|at| directory(&format!("d{at}/"))).collect();
    for at in 0..100_000 {
        entries.push(file(&format!("d{}/.wh..wh..opq", at % 1_000), b""));
    }
    let layers = [base(), Layer::of(&entries)];
    load_all(&scene.store, stream(Crafted::image("marks:1", &layers).to_tar())).unwrap();
    let image = Image::open(&scene.store, "marks:1").unwrap();
    assert_eq!(listing(image.view()).len(), 1_004);
}

//! Images in: every form, what is there already, names and platforms.

use std::io::Cursor;
use std::sync::Mutex;

use sapwood::files::FilesView;
use sapwood::{ErrorKind, Replace, Store};
use sapwood_oci::{
    ArchiveForm, Compression, Image, Input, LoadOptions, OutgoingImage, Progress, Sha256, load,
    open_archive, publish,
};
use serde_json::json;

use crate::crafted::*;
use crate::support::{listing, noise, read, store};

pub fn stream(bytes: Vec<u8>) -> Input {
    Input::Stream(Box::new(Cursor::new(bytes)))
}

/// Loads all images of an input.
pub fn load_all(store: &Store, input: Input) -> sapwood::Result<Vec<(Vec<String>, Image)>> {
    load_as(store, input, None, None, &LoadOptions::default())
}

pub fn load_as(
    store: &Store,
    input: Input,
    form: Option<ArchiveForm>,
    tag: Option<&str>,
    options: &LoadOptions,
) -> sapwood::Result<Vec<(Vec<String>, Image)>> {
    let archive = open_archive(store, input, form, options)?;
    load(store, &*archive, None, tag, options, &|_| {})
}

fn two_layers(compression: Compression) -> [Layer; 2] {
    let lower = tar(&[directory("etc/"), file("etc/name", b"lower"), file("gone", b"gone")]);
    let upper = tar(&[file(".wh.gone", b""), file("etc/name", b"upper"), file("new", b"new")]);
    [lower, upper].map(|tar| Layer::new(&tar, compression))
}

fn assert_two_layers(store: &Store, tag: &str) -> Image {
    let image = Image::open(store, tag).unwrap();
    assert_eq!(read(image.view(), "etc/name"), b"upper");
    let paths: Vec<String> = listing(image.view()).into_iter().map(|(path, _)| path).collect();
    assert!(paths.contains(&"new".to_owned()) && !paths.contains(&"gone".to_owned()), "{paths:?}");
    let layers = image.layers(store).unwrap();
    let diff_ids: Vec<Sha256> = layers.iter().map(|layer| layer.diff_id.unwrap()).collect();
    assert_eq!(diff_ids, image.configuration().diff_ids());
    assert_eq!(layers[1].chain_id, Sha256::chain_of(&diff_ids));
    assert_eq!(layers[1].created_by.as_deref(), Some("step 1"));
    assert_eq!(layers[1].created, Some(1_767_323_045_000_000_000));
    image
}

#[test]
fn every_form_of_an_image_is_the_same_image() {
    let (folder, store) = store();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let crafted = Crafted::image("docker.io/library/two:1", &two_layers(compression));
        let path = folder.path().join(format!("{compression:?}"));
        crafted.write(&path);
        let (archive, plain) = (path.with_extension("tar"), crafted.to_tar());
        std::fs::write(&archive, &plain).unwrap();
        let inputs = [
            Input::Path(path),
            Input::Path(archive),
            stream(plain.clone()),
            stream(compressed(Compression::Gzip, &plain)),
            stream(compressed(Compression::Zstd, &plain)),
        ];
        let mut digests = Vec::new();
        for input in inputs {
            let loaded = load_all(&store, input).unwrap();
            assert_eq!(loaded[0].0, ["two:1"]);
            let image = assert_two_layers(&store, "two:1");
            digests.push((image.configuration().digest(), image.snapshot().layer_id()));
        }
        digests.dedup();
        assert_eq!(digests.len(), 1, "an image that is there is not made again");
        let json = image_json(&crafted);
        assert_eq!(Image::open(&store, "two:1").unwrap().configuration().json(), json);
        store.remove("two:1").unwrap();
        store.collect(&Default::default()).unwrap();
        assert!(store.kept_snapshots().unwrap().is_empty());
    }
}

fn image_json(crafted: &Crafted) -> &[u8] {
    crafted.files.values().find(|bytes| bytes.starts_with(b"{\"architecture")).unwrap()
}

#[test]
fn docker_archives_name_their_parts() {
    let (_folder, store) = store();
    for (at, compression) in [Compression::None, Compression::Gzip].into_iter().enumerate() {
        let layers = two_layers(compression);
        let crafted = Crafted::image("", &layers);
        let configuration = image_json(&crafted).to_vec();
        let config = format!("{}.json", Sha256::of(&configuration).to_hex());
        let tags = [format!("docker.io/library/old:{at}"), format!("also/old:{at}")];
        let manifest = json!([{
            "Config": config, "RepoTags": tags, "Layers": ["./one/layer.tar", "two/layer.tar"],
        }]);
        let entries = [
            directory("one/"),
            file("one/layer.tar", &layers[0].blob),
            file("two/VERSION", b"1.0"),
            // As where two images share a layer.
            symlink("two/layer.tar", "../three/layer.tar"),
            file("three/layer.tar", &layers[1].blob),
            file(&config, &configuration),
            file("manifest.json", manifest.to_string().as_bytes()),
            file("repositories", b"{}"),
        ];
        let archive = compressed(compression, &tar(&entries));
        let loaded = load_all(&store, stream(archive.clone())).unwrap();
        assert_eq!(loaded[0].0, [format!("old:{at}"), format!("also/old:{at}")]);
        for name in &loaded[0].0 {
            let image = assert_two_layers(&store, name);
            assert_eq!(image.configuration().json(), configuration);
        }
        // Once more nothing is done, whichever name is there; another image is not replaced.
        store.remove(&loaded[0].0[0]).unwrap();
        for _ in 0..2 {
            load_all(&store, stream(archive.clone())).unwrap();
        }
        store.remove(&loaded[0].0[1]).unwrap();
        let other = Crafted::image(&loaded[0].0[1], &[Layer::of(&[file("x", b"x")])]).to_tar();
        load_all(&store, stream(other)).unwrap();
        let error = load_all(&store, stream(archive)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }
}

#[test]
fn a_layer_that_is_there_is_not_read() {
    let (folder, store) = store();
    let layers = two_layers(Compression::Gzip);
    let top = Layer::of(&[file("top", b"of three")]);
    let first = Crafted::image("first:1", &layers);
    load_all(&store, stream(first.to_tar())).unwrap();
    let three = [layers[0].clone(), layers[1].clone(), top];
    let second = Crafted::image("second:1", &three);
    let path = folder.path().join("second");
    second.write(&path);
    for layer in &layers {
        std::fs::remove_file(path.join(blob_path(&layer.blob))).unwrap();
    }
    let told = Mutex::new(Vec::new());
    let options = LoadOptions::default();
    let archive = open_archive(&store, Input::Path(path), None, &options).unwrap();
    let loaded = load(&store, &*archive, None, None, &options, &|progress| {
        told.lock().unwrap().push(progress);
    });
    let image = loaded.unwrap().remove(0).1;
    assert_eq!(read(image.view(), "top"), b"of three");
    let told = told.into_inner().unwrap();
    assert_eq!(told[0], Progress::Begun { layers: 3, known: 2 });
    assert_eq!(told.last(), Some(&Progress::Applied { layer: 2 }));
    let (read_bytes, blob_bytes) = (three[2].blob.len() as u64, three[2].blob.len() as u64);
    assert!(told.contains(&Progress::Reading { layer: 2, read_bytes, blob_bytes }), "{told:?}");
    let below = |tag| Image::open(&store, tag).unwrap().layers(&store).unwrap()[1].id;
    assert_eq!(below("first:1"), below("second:1"));

    // What was removed is there no more.
    store.remove("first:1").unwrap();
    store.remove("second:1").unwrap();
    let path = folder.path().join("second");
    let error = load_all(&store, Input::Path(path)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("blobs/sha256/"), "{error}");
}

#[test]
fn an_image_without_layers_and_one_of_a_plain_tar() {
    let (_folder, store) = store();
    let empty = Crafted::image("empty:1", &[]);
    load_all(&store, stream(empty.to_tar())).unwrap();
    let image = Image::open(&store, "empty:1").unwrap();
    assert!(image.layers(&store).unwrap().is_empty());
    assert_eq!(listing(image.view()).len(), 1);

    let root = tar(&[directory("bin/"), file("bin/sh", b"#!"), hard_link("bin/bash", "bin/sh")]);
    let error = load_all(&store, stream(root.clone())).unwrap_err();
    assert!(error.to_string().contains("if its form is given"), "{error}");
    let mut ids = Vec::new();
    for (tag, bytes) in [("root:1", root.clone()), ("root:2", compressed(Compression::Zstd, &root))]
    {
        let options = LoadOptions::default();
        let form = Some(ArchiveForm::Root);
        load_as(&store, stream(bytes), form, Some(tag), &options).unwrap();
        let image = Image::open(&store, tag).unwrap();
        assert_eq!(read(image.view(), "bin/bash"), b"#!");
        assert_eq!(image.layers(&store).unwrap()[0].diff_id, Some(Sha256::of(&root)));
        ids.push(image.configuration().digest());
    }
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn names_are_those_of_the_archive_or_the_one_given() {
    let (_folder, store) = store();
    let layer = [Layer::of(&[file("a", b"a")])];
    let mut crafted = Crafted::image("one:1", &layer);
    crafted.add("docker.io/two:1", &layer, |json| json["author"] = "two".into(), |_| {});
    let bytes = crafted.to_tar();
    let options = LoadOptions::default();
    let several = load_as(&store, stream(bytes.clone()), None, Some("x:1"), &options).unwrap_err();
    assert_eq!(several.kind(), ErrorKind::InvalidInput);
    assert!(several.to_string().contains("one:1, two:1"), "{several}");
    let archive = open_archive(&store, stream(bytes.clone()), None, &options).unwrap();
    let pick = |only, tag| load(&store, &*archive, Some(only), tag, &options, &|_| {});
    assert_eq!(pick("three:1", None).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(pick("docker.io/library/two:1", Some("x:1")).unwrap()[0].0, ["x:1"]);
    assert_eq!(pick("two:1", None).unwrap()[0].0, ["two:1"]);
    let all = load_all(&store, stream(bytes)).unwrap();
    assert_eq!(
        all.iter().map(|(names, _)| names[0].as_str()).collect::<Vec<_>>(),
        ["one:1", "two:1"]
    );

    let nameless = Crafted::image("", &layer).to_tar();
    let error = load_all(&store, stream(nameless.clone())).unwrap_err();
    assert_eq!(error.field(), Some("tag"), "{error}");
    load_as(&store, stream(nameless), None, Some("y:1"), &options).unwrap();

    // Another image under a name that is taken: refused, or moved where that is asked for.
    let other = Crafted::image("one:1", &[Layer::of(&[file("b", b"b")])]).to_tar();
    let error = load_all(&store, stream(other.clone())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let options = LoadOptions { replace: Replace::Move, ..options };
    load_as(&store, stream(other), None, None, &options).unwrap();
    assert_eq!(read(Image::open(&store, "one:1").unwrap().view(), "b"), b"b");
}

#[test]
fn the_image_of_a_platform_is_chosen() {
    let (_folder, store) = store();
    let mut crafted = Crafted::default();
    let mut entries = Vec::new();
    for (architecture, variant) in [("amd64", None), ("arm", Some("v6")), ("arm", Some("v7"))] {
        let content = format!("{architecture}{variant:?}");
        let layer = Layer::of(&[file("arch", content.as_bytes())]);
        let mut entry = crafted.add_manifest(
            &[layer],
            |json| {
                json["architecture"] = architecture.into();
                json["variant"] = variant.into();
            },
            |_| {},
        );
        // What the index does not say, the configuration does.
        if architecture == "arm" {
            let platform = json!({ "os": "linux", "architecture": "arm", "variant": variant });
            entry["platform"] = platform;
        }
        entries.push(entry);
    }
    let mut attestation = crafted.add_document(MANIFEST, &json!({ "no": "image" }));
    attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    attestation["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    entries.push(attestation);
    let nested = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    let nested = crafted.add_document(INDEX, &nested);
    let mut outer =
        crafted.add_document(INDEX, &json!({ "schemaVersion": 2, "manifests": [nested] }));
    outer["annotations"] = json!({ "org.opencontainers.image.ref.name": "many:1" });
    crafted.manifests.push(outer);
    let bytes = crafted.to_tar();
    let load_for = |platform: &str| {
        let platform = Some(platform.parse().unwrap());
        let options = LoadOptions { platform, replace: Replace::Move, ..LoadOptions::default() };
        load_as(&store, stream(bytes.clone()), None, None, &options)
    };
    for (platform, content) in [
        ("linux/arm/v7", "armSome(\"v7\")"),
        ("linux/arm", "armSome(\"v7\")"),
        ("linux/amd64", "amd64None"),
    ] {
        load_for(platform).unwrap();
        assert_eq!(read(Image::open(&store, "many:1").unwrap().view(), "arch"), content.as_bytes());
    }
    let error = load_for("linux/s390x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("linux/amd64, linux/arm/v6, linux/arm/v7"), "{error}");

    // The only image that there is serves for any machine, unless one was asked for.
    let foreign = |json: &mut serde_json::Value| json["architecture"] = "sparc".into();
    let mut crafted = Crafted::default();
    crafted.add("foreign:1", &[], foreign, |_| {});
    load_all(&store, stream(crafted.to_tar())).unwrap();
    let options =
        LoadOptions { platform: Some("linux/amd64".parse().unwrap()), ..LoadOptions::default() };
    let error = load_as(&store, stream(crafted.to_tar()), None, Some("f:1"), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[test]
fn two_loads_of_one_image_at_once_share_what_is_done() {
    let (_folder, store) = store();
    let content = crate::support::noise(300_000, 3);
    let layers: Vec<Layer> =
        (0..6).map(|at| Layer::of(&[file(&format!("file{at}"), &content)])).collect();
    std::thread::scope(|scope| {
        for at in 0..4 {
            let (layers, store) = (&layers, &store);
            scope.spawn(move || {
                let crafted = Crafted::image(&format!("image{at}:1"), layers);
                load_all(store, stream(crafted.to_tar())).unwrap();
                if at == 3 {
                    store.collect(&Default::default()).unwrap();
                }
            });
        }
    });
    store.collect(&Default::default()).unwrap();
    for at in 0..4 {
        let image = Image::open(&store, &format!("image{at}:1")).unwrap();
        assert_eq!(read(image.view(), "file5"), content);
        assert_eq!(image.layers(&store).unwrap().len(), 6);
    }
    // Each load had layers of its own, for good: nothing ever makes equal ones the same.
    assert_eq!(store.layer_ids().unwrap().len(), 6 + 4);
    let marks = std::fs::read_dir(store.path().join("layers")).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "making")
    });
    assert_eq!(marks.count(), 0);
}

#[test]
fn odd_orders_within_a_layer_have_one_meaning() {
    let (_folder, store) = store();
    let lower = Layer::of(&[directory("d/"), file("d/old", b"old"), file("f", b"f")]);
    let upper = Layer::of(&[
        file("a/b/child", b"before its parent"),
        directory("a/"),
        // A whiteout and a file of one name: the mark is about the layer below.
        file("f", b"new"),
        file(".wh.f", b""),
        // A file that becomes a directory, and the other way round.
        file("x", b"file"),
        directory("x/"),
        file("x/in", b"in"),
        directory("y/"),
        file("y/in", b"in"),
        file("y", b"file"),
        // The later of two.
        file("twice", b"one"),
        file("twice", b"two"),
        file("d/new", b"kept"),
        file("d/.wh..wh..opq", b""),
        file("d/.wh..wh..opq", b""),
    ]);
    load_all(&store, stream(Crafted::image("odd:1", &[lower, upper]).to_tar())).unwrap();
    let image = Image::open(&store, "odd:1").unwrap();
    let paths: Vec<String> = listing(image.view()).into_iter().map(|(path, _)| path).collect();
    let mut expected = ["", "a", "a/b", "a/b/child", "d", "d/new", "f", "twice", "x", "x/in", "y"];
    expected.sort_unstable();
    let mut sorted = paths.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    for (path, content) in [("f", &b"new"[..]), ("y", b"file"), ("twice", b"two")] {
        assert_eq!(read(image.view(), path), content);
    }
    // And it goes out as it came.
    let layers = image.layers(&store).unwrap();
    let view =
        sapwood::files::FilesView::open(store.snapshot_of(&layers[1].id.to_string()).unwrap());
    let mut out = Vec::new();
    assert!(sapwood_archive::export_residue(&view.unwrap(), &mut out).unwrap());
    assert_eq!(Some(Sha256::of(&out)), layers[1].diff_id);
}

/// Such layers could not be brought in, though all other tools take them.
#[test]
fn layers_of_old_and_careless_writers_come_in_and_go_out_as_they_came() {
    let (_folder, store) = store();
    let of_aufs = Layer::of(&[
        directory(".wh..wh.plnk/"),
        file(".wh..wh.plnk/12.34", &noise(5_000, 1)),
        directory(".wh..wh.orph/"),
        file(".wh..wh.aufs", b""),
        file("a", b"a"),
    ]);
    let marked = tar(&[file("b", b"b")]);
    let unmarked = Layer::new(&marked[..marked.len() - 1024], Compression::Gzip);
    let nothing = Layer::new(b"", Compression::None);
    let layers = [of_aufs, unmarked, nothing];
    load_all(&store, stream(Crafted::image("old:1", &layers).to_tar())).unwrap();
    let image = Image::open(&store, "old:1").unwrap();
    let paths: Vec<String> = listing(image.view()).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["", "a", "b"]);
    for layer in image.layers(&store).unwrap() {
        let view = FilesView::open(store.snapshot_of(&layer.id.to_string()).unwrap()).unwrap();
        let mut out = Vec::new();
        assert!(sapwood_archive::export_residue(&view, &mut out).unwrap());
        assert_eq!(Some(Sha256::of(&out)), layer.diff_id);
    }

    // Cut off inside a member it is none, and where no digest came with it, nobody knows.
    let cut = Layer::new(&marked[..512], Compression::Gzip);
    let error = load_all(&store, stream(Crafted::image("cut:1", &[cut]).to_tar())).unwrap_err();
    assert!(error.to_string().contains("end mark"), "{error}");
    let options = LoadOptions::default();
    let root = stream(marked[..marked.len() - 1024].to_vec());
    let archive = open_archive(&store, root, Some(ArchiveForm::Root), &options).unwrap();
    let error = load(&store, &*archive, None, Some("root:1"), &options, &|_| {}).unwrap_err();
    assert!(error.to_string().contains("end mark"), "{error}");
}

/// They were dropped without a word: signatures, sources and digests of bases stand there.
#[test]
fn annotations_of_a_manifest_stay_with_its_image_alone() {
    let (_folder, store) = store();
    let layers = two_layers(Compression::Gzip);
    let come = |said: serde_json::Value| {
        let mut crafted = Crafted::default();
        crafted.add("image:1", &layers, |_| {}, |manifest| manifest["annotations"] = said);
        let options = LoadOptions { replace: Replace::Move, ..LoadOptions::default() };
        load_as(&store, stream(crafted.to_tar()), None, None, &options).unwrap();
        Image::open(&store, "image:1").unwrap()
    };
    let manifest_of = |image: &Image| -> serde_json::Value {
        let outgoing = OutgoingImage::new(&store, image).unwrap();
        let manifest = outgoing.manifest(image.configuration(), Vec::new()).unwrap();
        serde_json::from_slice(&manifest).unwrap()
    };
    let said = json!({ "x.y": "z", "org.opencontainers.image.source": "forest", "a": "" });
    let image = come(said.clone());
    assert_eq!(manifest_of(&image)["annotations"], said);
    // Another image is made of it: of that nobody said so.
    let top = image.snapshot().layer_id().to_string();
    publish(&store, Some(&top), image.configuration(), "made:1", Replace::Refuse).unwrap();
    let made = Image::open(&store, "made:1").unwrap();
    assert_eq!(manifest_of(&made).get("annotations"), None);
    // The same image, of which another thing is said.
    assert_eq!(manifest_of(&come(json!({ "x.y": "b" })))["annotations"], json!({ "x.y": "b" }));
    assert_eq!(manifest_of(&come(json!({}))).get("annotations"), None);
}

//! The life of an image: its history and sizes, fewer layers, and its end.

use std::collections::BTreeSet;
use std::process::Command;

use sapwood::files::{Files, FilesOptions, FilesView, Paths, compare};
use sapwood::{ErrorKind, GcOptions, Replace, Store};
use sapwood_oci::{
    Class, Configuration, Image, OwnNames, PruneOptions, history, prune, publish, squash, usage,
};

use crate::support::*;

/// A base, and an image on it whose layers replace, hide and link.
pub fn base_and_image(store: &Store) {
    build(
        store,
        None,
        "base:1",
        &[("ADD rootfs", &|files| {
            write(files, "etc/passwd", b"root");
            write(files, "etc/motd", b"hello");
            write(files, "usr/lib/large", &noise(1 << 20, 1));
            write(files, "usr/share/doc/a", b"a");
            write(files, "usr/share/doc/b", b"b");
        })],
    );
    build(
        store,
        Some("base:1"),
        "app:1",
        &[
            ("RUN install", &|files| {
                write(files, "app/cache", &noise(3 << 20, 2));
                write(files, "app/program", &noise(500_000, 3));
                files
                    .link(
                        Paths::new(files).resolve("app/program").unwrap(),
                        Paths::new(files).resolve("app").unwrap(),
                        b"alias",
                    )
                    .unwrap();
                write(files, "etc/app.conf", b"one");
            }),
            ("RUN clean", &|files| {
                let app = Paths::new(files).resolve("app").unwrap();
                files.unlink(app, b"cache").unwrap();
                write(files, "etc/app.conf", b"two");
                Paths::new(files).remove_dir_all("usr/share/doc").unwrap();
                let large = Paths::new(files).resolve("usr/lib/large").unwrap();
                files.write(large, 4096, &[7; 4096]).unwrap();
            }),
        ],
    );
}

pub fn open(store: &Store, reference: &str) -> Image {
    Image::open(store, reference).unwrap()
}

#[test]
fn history_tells_what_each_step_brought_and_what_of_it_is_wasted() {
    let (_folder, store) = store();
    base_and_image(&store);
    let told = history(&store, &open(&store, "app:1")).unwrap();
    let short: Vec<_> = told
        .iter()
        .map(|entry| {
            let content = entry.layer.as_ref().map(|(_, content)| {
                let worst: Vec<_> = content
                    .hidden
                    .iter()
                    .map(|file| (file.path.escape_ascii().to_string(), file.bytes))
                    .collect();
                (content.content_bytes, content.hidden_bytes, worst)
            });
            (entry.created_by.as_deref().unwrap(), content)
        })
        .collect();
    let file = |path: &str, bytes| (path.to_owned(), bytes);
    let base = ["usr/lib/large", "usr/share/doc/a", "usr/share/doc/b"];
    let expected = [
        ("CMD app:1", None),
        ("RUN clean", Some((4096 + 3, 0, vec![]))),
        (
            "RUN install",
            Some((
                (3 << 20) + 500_000 + 3,
                (3 << 20) + 3,
                vec![file("app/cache", 3 << 20), file("etc/app.conf", 3)],
            )),
        ),
        ("CMD base:1", None),
        (
            "ADD rootfs",
            Some((
                (1 << 20) + 11,
                4098,
                vec![file(base[0], 4096), file(base[1], 1), file(base[2], 1)],
            )),
        ),
    ];
    assert_eq!(short, expected);
    assert_eq!(told[1].created, Some(1_767_323_045_000_000_000));
    assert_eq!(told[1].comment.as_deref(), Some("test"));

    // What the layers brought and do not hide is what the tree shows.
    let shown: u64 = told
        .iter()
        .filter_map(|entry| entry.layer.as_ref())
        .map(|(_, content)| content.content_bytes - content.hidden_bytes)
        .sum();
    let whole = (1 << 20) + 500_000 + 3 + 4 + 5;
    assert_eq!(shown, whole);

    // Layers that the configuration does not know of, as those of a container.
    let files = Files::open(store.fork("app:1", "web").unwrap(), FilesOptions::default()).unwrap();
    write(&files, "log", b"12345");
    files.snapshot(&Default::default()).unwrap();
    files.close().unwrap();
    let told = history(&store, &open(&store, "web")).unwrap();
    assert_eq!((told.len(), &told[0].created_by), (6, &None));
    assert_eq!(told[0].layer.as_ref().unwrap().1.content_bytes, 5);
}

#[test]
fn usage_counts_each_byte_once_and_adds_up_to_what_the_host_says() {
    let (folder, store) = store();
    base_and_image(&store);
    build(
        &store,
        Some("base:1"),
        "other:1",
        &[("COPY x", &|files| {
            write(files, "x", &noise(2 << 20, 4));
        })],
    );
    store.tag("other:1", "other:again", Replace::Refuse).unwrap();
    build(
        &store,
        None,
        "stage:1",
        &[("RUN make", &|files| {
            write(files, "objects", &noise(1 << 20, 5));
        })],
    );
    let stage = open(&store, "stage:1").top_layer(&store).unwrap().unwrap();
    let pin = OwnNames::BUILD_CACHE.name(stage);
    store.tag(&stage.to_string(), &pin, Replace::Refuse).unwrap();
    store.remove("stage:1").unwrap();
    let mut open_files = Vec::new();
    for name in ["one", "two"] {
        let volume = store.fork("app:1", name).unwrap();
        let files = Files::open(volume, FilesOptions::default()).unwrap();
        write(&files, "data", &noise(100_000, 6));
        files.flush().unwrap();
        open_files.push(files);
    }
    open_files.pop().unwrap().close().unwrap();
    store.create_volume("disk", 1 << 20).unwrap().write_at(0, &noise(65536, 7)).unwrap();
    store.collect(&GcOptions::default()).unwrap();

    let told = usage(&store, &BTreeSet::new()).unwrap();
    let total: u64 = told.classes.iter().map(|class| class.bytes).sum();
    let output = Command::new("du").args(["-s", "-B1"]).arg(folder.path().join("store")).output();
    let output = String::from_utf8(output.unwrap().stdout).unwrap();
    let host: u64 = output.split_whitespace().next().unwrap().parse().unwrap();
    assert!(total.abs_diff(host) * 50 <= host, "{total} told, {host} on the host");
    // The layers alone are what the engine says.
    let layers: u64 = told
        .classes
        .iter()
        .filter(|class| !matches!(class.class, Class::Indexes | Class::Beside))
        .map(|class| class.bytes)
        .sum();
    assert_eq!(layers, store.usage().unwrap().allocated_bytes);

    let tags: Vec<_> = told.images.iter().map(|image| image.tags.join(" ")).collect();
    assert_eq!(tags, ["app:1", "base:1", "other:1 other:again"]);
    for image in &told.images {
        assert_eq!(image.bytes, image.shared_bytes + image.unique_bytes);
        // The base, which is stored once, is in all of them.
        assert!(image.shared_bytes > 1 << 20, "{image:?}");
    }
    assert!(told.images[0].unique_bytes > 3 << 20);
    assert!(told.images[1].unique_bytes < 100_000, "the base has its image layer alone");
    assert!((2 << 20..3 << 20).contains(&told.images[2].unique_bytes));
    assert_eq!(told.images[0].containers, 2);
    let by = |wanted: Class| *told.classes.iter().find(|class| class.class == wanted).unwrap();
    let images = by(Class::Images);
    assert_eq!((images.count, images.active), (3, 1));
    let unique: u64 = told.images.iter().map(|image| image.unique_bytes).sum();
    assert!(images.bytes > unique && images.bytes < unique + told.images[0].shared_bytes * 3);
    // What no container needs: the other image, and the base's image layer.
    let gone: u64 = told.images[1..].iter().map(|image| image.unique_bytes).sum();
    assert_eq!(images.reclaimable_bytes, gone);
    let containers = by(Class::Containers);
    assert_eq!((containers.count, containers.active), (2, 1));
    assert!(told.containers[0].in_use && !told.containers[1].in_use);
    assert_eq!(containers.bytes, told.containers.iter().map(|one| one.bytes).sum::<u64>());
    assert_eq!(containers.reclaimable_bytes, told.containers[1].bytes);
    assert_eq!(told.containers[0].image.as_deref(), Some("app:1"));
    assert_eq!(told.cache.len(), 1);
    assert_eq!((told.cache[0].tag.as_str(), told.cache[0].shared_bytes), (pin.as_str(), 0));
    assert_eq!(by(Class::BuildCache).bytes, told.cache[0].bytes);
    assert_eq!(by(Class::BuildCache).reclaimable_bytes, told.cache[0].bytes);
    assert!(by(Class::Others).bytes > 0 && by(Class::Unnamed).reclaimable_bytes == 0);
}

#[test]
fn what_is_pruned_is_what_was_told_and_nothing_that_is_needed() {
    let (_folder, store) = store();
    base_and_image(&store);
    // A tag that was moved leaves an image without a name.
    let first = store.resolve("base:1").unwrap().layer;
    build(&store, None, "new:1", &[("ADD new", &|files| write(files, "n", &noise(90_000, 8)))]);
    store.tag("new:1", "base:1", Replace::Move).unwrap();
    build(&store, None, "stage:1", &[("RUN make", &|files| write(files, "o", &noise(200_000, 5)))]);
    let stage = open(&store, "stage:1").top_layer(&store).unwrap().unwrap();
    let pin = OwnNames::BUILD_CACHE.name(stage);
    store.tag(&stage.to_string(), &pin, Replace::Refuse).unwrap();
    store.remove("stage:1").unwrap();
    // Snapshots without a name that have nothing to do with images stay.
    let plain = Files::open(store.create_tree("plain").unwrap(), FilesOptions::default()).unwrap();
    write(&plain, "p", b"1");
    let kept = plain.snapshot(&Default::default()).unwrap().layer_id();
    store.tag(&kept.to_string(), "moved", Replace::Refuse).unwrap();
    store.tag("new:1", "moved", Replace::Move).unwrap();
    plain.close().unwrap();
    let container = store.fork("app:1", "box").unwrap();
    container.flush().unwrap();
    container.close().unwrap();

    let allocated = || store.usage().unwrap().allocated_bytes;
    let options = PruneOptions { dry_run: true, ..PruneOptions::default() };
    let before = allocated();
    let told = prune(&store, &options).unwrap();
    assert_eq!((allocated(), store.names().unwrap().len()), (before, 7));
    assert_eq!(told.cache.0, BTreeSet::from([pin]));
    assert_eq!(told.layers.0, BTreeSet::from([first]), "its tree is the other image's too");
    assert!(told.cache.1 > 200_000);
    // Nothing of it is that old.
    let young = PruneOptions { made_before: Some(1), unused_images: true, ..options.clone() };
    let nothing = prune(&store, &young).unwrap();
    assert_eq!((nothing.cache.0.len(), nothing.layers.0.len(), nothing.images.0.len()), (0, 0, 0));
    let now = PruneOptions { made_before: Some(i64::MAX), ..options.clone() };
    assert_eq!(prune(&store, &now).unwrap(), told);
    let done = prune(&store, &PruneOptions { dry_run: false, ..options }).unwrap();
    assert_eq!(done, told);
    assert_eq!(before - allocated(), told.freed_bytes());
    assert!(store.snapshot_of(&kept.to_string()).is_ok());
    assert_eq!(prune(&store, &PruneOptions::default()).unwrap().freed_bytes(), 0);

    // All that no container stands on, and then the container too.
    let options = PruneOptions { unused_images: true, ..PruneOptions::default() };
    let done = prune(&store, &options).unwrap();
    let gone: Vec<&str> = done.images.0.iter().map(String::as_str).collect();
    assert_eq!(gone, ["base:1", "moved", "new:1"]);
    assert!(Image::open(&store, "app:1").is_ok());
    let containers = BTreeSet::from(["box".to_owned()]);
    // The image that only it stands on goes with it, where images go.
    let both = PruneOptions { containers: containers.clone(), dry_run: true, ..options };
    let told = prune(&store, &both).unwrap();
    assert_eq!(told.images.0, BTreeSet::from(["app:1".to_owned()]));
    let done = prune(&store, &PruneOptions { containers, ..PruneOptions::default() }).unwrap();
    assert_eq!(done.containers, told.containers);
    assert!(store.resolve("box").is_err() && Image::open(&store, "app:1").is_ok());
}

/// A tag and a volume whose names only begin as those of builds do went with what builds left.
#[test]
fn what_somebody_named_as_builds_do_is_not_pruned() {
    let (_folder, store) = store();
    build(&store, None, "base:1", &[("ADD", &|files| write(files, "a", b"a"))]);
    for tag in ["build-cache:latest", "partial:mine"] {
        store.tag("base:1", tag, Replace::Refuse).unwrap();
    }
    store.fork("base:1", "building:test").unwrap().close().unwrap();
    let done = prune(&store, &PruneOptions::default()).unwrap();
    assert!(done.cache.0.is_empty(), "{done:?}");
    assert_eq!(store.names().unwrap().len(), 4);
    let found = usage(&store, &BTreeSet::new()).unwrap();
    assert!(found.cache.is_empty(), "{:?}", found.cache);
}

#[test]
fn layers_that_somebody_is_making_are_not_pruned() {
    let (_folder, store) = store();
    base_and_image(&store);
    let (volume, tag) = store.make_on("app:1", "made", Replace::Refuse).unwrap().into_parts();
    let files = Files::open(volume, FilesOptions::default()).unwrap();
    write(&files, "x", b"1");
    let labels = [("chain-id".to_owned(), "sha256:00".to_owned())].into();
    let annotations = sapwood::Annotations { labels, ..Default::default() };
    let first = files.snapshot(&annotations).unwrap().layer_id();
    assert!(prune(&store, &PruneOptions::default()).unwrap().layers.0.is_empty());
    let second = files.snapshot(&annotations).unwrap();
    let top = files.volume().layer_id();
    drop(files);
    tag.give(&second, top).unwrap();
    assert!(!store.layer(first).unwrap().removed);
}

#[test]
fn squashed_layers_show_the_same_tree_and_hold_nothing_else() {
    let (_folder, store) = store();
    base_and_image(&store);
    let image = open(&store, "app:1");
    let base = image.layers(&store).unwrap()[0].id;
    let before = store.usage().unwrap().allocated_bytes;
    for (tag, from, layers) in [("flat", None, 1), ("thin", Some(base), 2)] {
        let made = squash(&store, &image, from, tag, Replace::Refuse).unwrap();
        assert_eq!(compare(image.view(), made.view()).unwrap(), []);
        assert_eq!(made.layers(&store).unwrap().len(), layers);
        let told = history(&store, &made).unwrap();
        let newest = &told[0].layer.as_ref().unwrap().1;
        assert_eq!(newest.hidden_bytes, 0);
        assert_eq!(sapwood::files::check(made.view()).unwrap().findings, []);
        let value = made.configuration().to_value();
        assert_eq!(value["config"]["Cmd"][0], "app:1");
    }
    assert!(store.usage().unwrap().allocated_bytes - before < 800_000, "blocks are shared");
    let top = image.top_layer(&store).unwrap().unwrap();
    let flat = steps(open(&store, "flat").configuration());
    let empty = ["(ADD rootfs)", "(CMD base:1)", "(RUN install)", "(RUN clean)", "(CMD app:1)"];
    assert_eq!(flat[..5], empty);
    assert_eq!(flat[5], format!("create new from {top}"));
    let thin = steps(open(&store, "thin").configuration());
    assert_eq!((thin[0].as_str(), thin[2].as_str()), ("ADD rootfs", "(RUN install)"));
    assert_eq!(thin[5], format!("merge {top} to {base}"));
    for bad in [Some(top), Some(store.resolve("app:1").unwrap().layer)] {
        let refused = squash(&store, &image, bad, "bad", Replace::Refuse).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }

    // The old image goes; what was deleted in it goes too, and the squashed ones are whole.
    drop(image);
    store.remove("app:1").unwrap();
    store.remove("base:1").unwrap();
    store.collect(&GcOptions::default()).unwrap();
    let after = store.usage().unwrap().allocated_bytes;
    assert!(before - after > 2 << 20, "the cache that was deleted: {before} {after}");
    let flat = open(&store, "flat");
    assert_eq!(read(flat.view(), "app/program"), noise(500_000, 3));
    assert_eq!(compare(flat.view(), open(&store, "thin").view()).unwrap(), []);
    let view = FilesView::open(store.snapshot_of("flat").unwrap()).unwrap();
    assert_eq!(read(&view, "usr/lib/large").len(), 1 << 20);
}

/// An image that came from elsewhere was as old as its tag: a year-old one looked fresh.
#[test]
fn an_image_is_as_old_as_it_says() {
    let (_folder, store) = store();
    base_and_image(&store);
    let mut value = open(&store, "app:1").configuration().to_value();
    let created = |tag: &str| {
        let mut images = usage(&store, &BTreeSet::new()).unwrap().images.into_iter();
        let found = images.find(|image| image.tags.contains(&tag.to_owned()));
        found.unwrap().created.unwrap()
    };
    let top = open(&store, "app:1").top_layer(&store).unwrap().unwrap().to_string();
    let mut publish_as = |tag: &str, said: &str| {
        value["created"] = said.into();
        let configuration = Configuration::from_value(&value).unwrap();
        publish(&store, Some(&top), &configuration, tag, Replace::Refuse).unwrap();
        created(tag)
    };
    assert_eq!(publish_as("old:1", "2001-09-09T01:46:40Z"), 1_000_000_000_000_000_000);
    // What says nothing that could be understood is as old as it is here.
    let now = created("app:1");
    assert!(publish_as("odd:1", "yesterday") >= now);
}

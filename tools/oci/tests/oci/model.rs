//! The image model: what images are made of, and how their layers are found.

use std::collections::BTreeMap;

use sapwood::files::{Files, FilesOptions, FilesView, Paths, changes, check};
use sapwood::{Annotations, ErrorKind, Replace, Store, StoreOptions};
use sapwood_oci::{
    CACHE_KEY_LABEL, CHAIN_ID_LABEL, Configuration, DIFF_ID_LABEL, Image, KnownLayers, Sha256,
    list, publish, read_configuration,
};

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
    (folder, store)
}

fn configuration(command: &str) -> Configuration {
    Configuration::from_value(&serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": [command], "Shell": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": []},
    }))
    .unwrap()
}

fn labels<const N: usize>(labels: [(&str, String); N]) -> Annotations {
    let labels: BTreeMap<_, _> =
        labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Annotations { labels, ..Annotations::default() }
}

#[test]
fn images_share_their_layers_and_forks_know_their_configuration() {
    let (_folder, store) = store();
    let files = Files::open(store.create_tree("base").unwrap(), FilesOptions::default()).unwrap();
    Paths::new(&files).write("a", b"1").unwrap();
    files.snapshot(&Annotations::default()).unwrap();
    Paths::new(&files).write("b", b"2").unwrap();
    let top = files.snapshot(&Annotations::default()).unwrap();
    let top_id = top.layer_id().to_string();
    let (one, other) = (configuration("one"), configuration("other"));
    let published = publish(&store, Some(&top_id), &one, "image:1", Replace::Refuse).unwrap();
    let second = publish(&store, Some(&top_id), &other, "image:2", Replace::Refuse).unwrap();
    let refused = publish(&store, Some(&top_id), &other, "image:1", Replace::Refuse);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::AlreadyExists);

    let [one, other] = [&published, &second].map(|image| image.configuration().clone());
    let expected = [("image:1".to_owned(), one.digest()), ("image:2".to_owned(), other.digest())];
    assert_eq!(list(&store).unwrap(), expected);
    for (tag, expected, command) in [("image:1", &one, "one"), ("image:2", &other, "other")] {
        let image = Image::open(&store, tag).unwrap();
        assert_eq!(image.configuration(), expected);
        assert_eq!(expected.to_value()["config"]["Cmd"][0], command);
        assert_eq!(expected.diff_ids().len(), 2);
        let layers = image.layers(&store).unwrap();
        assert_eq!(layers.len(), 2);
        assert_eq!(image.top_layer(&store).unwrap(), Some(top.layer_id()));
        assert_eq!((layers[0].below, layers[1].below), (None, Some(layers[0].id)));
        assert_eq!(check(image.view()).unwrap().findings, []);
    }
    let top = FilesView::open(top).unwrap();
    assert_eq!(changes(&top, published.view()).unwrap(), []);

    // A container: it knows its configuration, and what is made of it stands on the same layers.
    let fork = Files::open(store.fork("image:1", "box").unwrap(), FilesOptions::default()).unwrap();
    assert_eq!(read_configuration(&fork).unwrap().unwrap(), one);
    Paths::new(&fork).write("c", b"3").unwrap();
    let committed = fork.snapshot(&Annotations::default()).unwrap().layer_id();
    let of_fork = Image::open(&store, "box").unwrap();
    assert_eq!(of_fork.top_layer(&store).unwrap(), Some(committed));
    let id = committed.to_string();
    let image = publish(&store, Some(&id), &other, "image:1", Replace::Move).unwrap();
    assert_eq!(image.layers(&store).unwrap().len(), 3);
    let configuration = Image::open(&store, "image:1").unwrap().configuration().clone();
    assert_eq!(configuration.get().config(), other.get().config());
    assert_eq!(configuration.diff_ids()[..2], *other.diff_ids());
    assert_eq!(Image::open(&store, "base@1").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn an_image_may_have_no_layers() {
    let (_folder, store) = store();
    let image = publish(&store, None, &configuration("x"), "scratch", Replace::Refuse).unwrap();
    assert_eq!(image.layers(&store).unwrap(), []);
    assert_eq!(image.top_layer(&store).unwrap(), None);
}

#[test]
fn layers_are_found_by_what_made_them_until_they_are_removed() {
    let (_folder, store) = store();
    let files = Files::open(store.create_tree("base").unwrap(), FilesOptions::default()).unwrap();
    let [a, b] = [Sha256::of(b"a"), Sha256::of(b"b")];
    let chain = Sha256::chained(Some(a), b);
    let digests = |diff_id: Sha256, chain_id: Sha256| {
        labels([(DIFF_ID_LABEL, diff_id.to_string()), (CHAIN_ID_LABEL, chain_id.to_string())])
    };
    let lower = files.snapshot(&digests(a, a)).unwrap().layer_id();
    let upper = files.snapshot(&digests(b, chain)).unwrap().layer_id();
    let step = files.snapshot(&labels([(CACHE_KEY_LABEL, "key".to_owned())])).unwrap().layer_id();
    let known = KnownLayers::of(&store).unwrap();
    assert_eq!(known.by_chain_id(&store, a).unwrap(), Some(lower));
    assert_eq!(known.by_chain_id(&store, chain).unwrap(), Some(upper));
    assert_eq!(known.by_chain_id(&store, b).unwrap(), None);
    assert_eq!(known.by_cache_key(Some(upper), "key"), Some(step));
    assert_eq!(known.by_cache_key(Some(lower), "key"), None);
    assert_eq!(known.by_cache_key(None, "key"), None);

    let image = publish(&store, Some("base@1"), &configuration("x"), "image", Replace::Refuse);
    let made_here = image.unwrap().configuration().diff_ids()[2];
    let whole = Sha256::chained(Some(chain), made_here);
    assert_eq!(KnownLayers::of(&store).unwrap().by_chain_id(&store, whole).unwrap(), Some(step));
    let diff_ids = |store: &Store| -> Vec<_> {
        let layers = Image::open(store, "image").unwrap().layers(store).unwrap();
        layers.iter().map(|layer| layer.diff_id).collect()
    };
    assert_eq!(diff_ids(&store), [Some(a), Some(b), Some(made_here)]);
    // What a removed layer changed counts to the next: its own digest is that no more.
    store.remove(&lower.to_string()).unwrap();
    assert_eq!(KnownLayers::of(&store).unwrap().by_chain_id(&store, a).unwrap(), None);
    assert_eq!(diff_ids(&store), [None, Some(made_here)]);
}

//! The id of an image: it is final when the image is made, and follows from what the image is.

use std::fs;
use std::process::Command;

use sapwood::files::Files;
use sapwood::{ErrorKind, Replace, Store, StoreOptions};
use sapwood_oci::{
    Compression, Configuration, Image, Input, LoadOptions, OutgoingImage, PruneOptions, Save,
    Sha256, complete, load, open_archive, prune, publish, save_docker_archive, save_layout, squash,
};

use crate::support::*;

const NOTES: &str = "diff-ids";

fn made() -> (tempfile::TempDir, Store) {
    let (folder, store) = store();
    let lower: &dyn Fn(&Files) = &|files| write(files, "large", &noise(3 << 20, 1));
    let upper: &dyn Fn(&Files) = &|files| write(files, "small", b"small");
    build(&store, None, "app:1", &[("ADD large", lower), ("ADD small", upper)]);
    (folder, store)
}

fn id(store: &Store, tag: &str) -> Sha256 {
    Image::open(store, tag).unwrap().configuration().digest()
}

fn loaded(store: &Store, path: &std::path::Path, tag: &str) -> Sha256 {
    let options = LoadOptions { replace: Replace::Move, ..LoadOptions::default() };
    let archive = open_archive(store, Input::Path(path.to_owned()), None, &options).unwrap();
    load(store, &*archive, None, Some(tag), &options, &|_| {}).unwrap();
    id(store, tag)
}

#[test]
fn what_was_made_here_has_the_same_id_wherever_it_goes() {
    let (folder, here) = made();
    let image = Image::open(&here, "app:1").unwrap();
    squash(&here, &image, None, "squashed:1", Replace::Refuse).unwrap();
    let there = Store::create(folder.path().join("there"), &StoreOptions::default()).unwrap();
    for tag in ["app:1", "squashed:1"] {
        let image = Image::open(&here, tag).unwrap();
        let made = image.configuration().digest();
        let layers = image.layers(&here).unwrap();
        let known: Vec<_> = layers.iter().filter_map(|layer| layer.diff_id).collect();
        assert_eq!(known, image.configuration().diff_ids());

        let layout = folder.path().join(format!("{tag}-layout"));
        let save = [Save { image: &image, name: Some(tag) }];
        fs::create_dir(&layout).unwrap();
        let (to, replace) = (&*layout, Replace::Refuse);
        let saved = save_layout(&here, &save, to, to, Compression::Zstd, replace, &|_| {}).unwrap();
        assert_eq!(saved[0].configuration.json(), image.configuration().json());
        assert_eq!(loaded(&there, &layout, tag), made);
        let archive = folder.path().join(format!("{tag}.tar"));
        let file = fs::File::create(&archive).unwrap();
        save_docker_archive(&here, &save, &mut &file, folder.path(), &|_| {}).unwrap();
        assert_eq!(loaded(&there, &archive, tag), made);
        // Its layers are known by what they are.
        assert_eq!(loaded(&here, &archive, "back:1"), made);
        let back = Image::open(&here, "back:1").unwrap();
        assert_eq!(back.top_layer(&here).unwrap(), layers.last().map(|layer| layer.id));
    }
}

/// What was noted is derived: without it, or where it is torn or of others, it is computed again.
#[test]
fn notes_of_digests_may_be_lost_and_are_never_taken_for_others() {
    let (_folder, store) = made();
    let made = id(&store, "app:1");
    let image = Image::open(&store, "app:1").unwrap();
    let top = image.top_layer(&store).unwrap().unwrap().to_string();
    let notes = store.path().join(NOTES);
    let whole = fs::read_to_string(&notes).unwrap();
    assert_eq!(whole.lines().count(), 2);
    let is_known = || {
        let layers = Image::open(&store, "app:1").unwrap().layers(&store).unwrap();
        layers.iter().filter(|layer| layer.diff_id.is_some()).count()
    };
    assert_eq!(is_known(), 2);

    let first = whole.lines().next().unwrap();
    let other_digit = if first.ends_with('0') { "1" } else { "0" };
    let wrong_check = format!("{}{other_digit}\n", &first[..first.len() - 1]);
    let digit = first.find("sha256:").unwrap() + 7;
    let flipped = if first[digit..].starts_with('0') { "1" } else { "0" };
    let other_digest = format!("{}{flipped}{}\n", &first[..digit], &first[digit + 1..]);
    for notes_of in ["", &whole[..30], &wrong_check, &other_digest, "\n\u{0}\u{0}\nx y z\n"] {
        fs::write(&notes, notes_of).unwrap();
        assert_eq!(is_known(), 0, "{notes_of:?}");
        publish(&store, Some(&top), image.configuration(), "app:2", Replace::Move).unwrap();
        assert_eq!(id(&store, "app:2"), made, "{notes_of:?}");
    }
    fs::remove_file(&notes).unwrap();
    let outgoing = OutgoingImage::new(&store, &image).unwrap();
    assert_eq!(outgoing.layers()[0].diff_id(), None);
    publish(&store, Some(&top), image.configuration(), "app:2", Replace::Move).unwrap();
    assert_eq!((id(&store, "app:2"), is_known()), (made, 2));
    // A line is torn; the next one is whole.
    let torn = format!("{}\n{}", &first[..40], fs::read_to_string(&notes).unwrap());
    fs::write(&notes, torn).unwrap();
    assert_eq!(is_known(), 2);
}

#[test]
fn notes_go_with_their_layers() {
    let (_folder, store) = made();
    let lines = || fs::read_to_string(store.path().join(NOTES)).unwrap().lines().count();
    build(&store, Some("app:1"), "app:2", &[("RUN", &|files| write(files, "more", b"more"))]);
    assert_eq!(lines(), 3);
    store.remove("app:2").unwrap();
    prune(&store, &PruneOptions { dry_run: true, ..PruneOptions::default() }).unwrap();
    assert_eq!(lines(), 3);
    prune(&store, &PruneOptions::default()).unwrap();
    assert_eq!(lines(), 2);
    let known = Image::open(&store, "app:1").unwrap().layers(&store).unwrap();
    assert!(known.iter().all(|layer| layer.diff_id.is_some()));
}

/// A layer that does not come out as it is known is not sent out as something else.
#[test]
fn a_layer_that_comes_out_as_another_is_damaged() {
    let (_folder, store) = made();
    let image = Image::open(&store, "app:1").unwrap();
    let [lower, top] = &image.layers(&store).unwrap()[..] else { panic!() };
    // The digest of another layer, noted with the right check.
    let notes = store.path().join(NOTES);
    let text = fs::read_to_string(&notes).unwrap();
    let line = text.lines().find(|line| line.starts_with(&top.id.to_string())).unwrap();
    let (place, _) = line.split_once(" sha256:").unwrap();
    let wrong = format!("{place} {}", lower.diff_id.unwrap());
    let check = Sha256::of(wrong.as_bytes()).to_hex();
    fs::write(&notes, format!("{wrong} {}\n", &check[..16])).unwrap();
    let outgoing = OutgoingImage::new(&store, &image).unwrap();
    let written = outgoing.layers()[1].write(&mut Vec::new(), Compression::Gzip, &|_| {});
    let error = written.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&top.id.to_string()), "{error}");
}

/// What was noted once led `load` and `pull` to any layer under a genuine digest.
#[test]
fn a_note_of_another_digest_leads_no_load_to_its_layer() {
    let (folder, store) = made();
    let archive = folder.path().join("app.tar");
    let save_it = |from: &Store, tag: &str| {
        let image = Image::open(from, tag).unwrap();
        let file = fs::File::create(&archive).unwrap();
        save_docker_archive(
            from,
            &[Save { image: &image, name: Some(tag) }],
            &mut &file,
            folder.path(),
            &|_| {},
        )
        .unwrap();
    };
    save_it(&store, "app:1");
    let (wanted, good) = (id(&store, "app:1"), Image::open(&store, "app:1").unwrap());
    let good_layers = good.layers(&store).unwrap();
    let other = Store::create(folder.path().join("other"), &StoreOptions::default()).unwrap();
    let evil: &dyn Fn(&Files) = &|files| write(files, "large", b"evil");
    let upper: &dyn Fn(&Files) = &|files| write(files, "small", b"small");
    build(&other, None, "evil:1", &[("ADD large", evil), ("ADD small", upper)]);
    let image = Image::open(&other, "evil:1").unwrap();
    let layers = image.layers(&other).unwrap();
    let notes = other.path().join(NOTES);
    let mut text = String::new();
    for line in fs::read_to_string(&notes).unwrap().lines() {
        let (place, _) = line.split_once(" sha256:").unwrap();
        let at = layers.iter().position(|layer| place.starts_with(&layer.id.to_string())).unwrap();
        let forged = format!("{place} {}", good_layers[at].diff_id.unwrap());
        let check = Sha256::of(forged.as_bytes()).to_hex();
        text += &format!("{forged} {}\n", &check[..16]);
    }
    fs::write(&notes, text).unwrap();
    assert_eq!(loaded(&other, &archive, "victim:1"), wanted);
    assert_eq!(read(Image::open(&other, "victim:1").unwrap().view(), "large"), noise(3 << 20, 1));
    // Nor is an image on such a layer the one that is asked for, where its configuration is that.
    let top = image.top_layer(&other).unwrap().unwrap().to_string();
    publish(&other, Some(&top), good.configuration(), "standing:1", Replace::Refuse).unwrap();
    assert_eq!(id(&other, "standing:1"), wanted);
    assert_eq!(loaded(&other, &archive, "standing:1"), wanted);
    assert_eq!(read(Image::open(&other, "standing:1").unwrap().view(), "large"), noise(3 << 20, 1));
}

/// A configuration without a history got one that says `null`.
#[test]
fn what_is_completed_says_nothing_that_it_did_not() {
    let (_folder, store) = made();
    let bare = serde_json::json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers"}});
    let bare = Configuration::from_value(&bare).unwrap();
    let top = Image::open(&store, "app:1").unwrap().top_layer(&store).unwrap();
    let mut completed = complete(&store, top, &bare).unwrap().to_value();
    assert_eq!(completed["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
    completed["rootfs"].as_object_mut().unwrap().remove("diff_ids");
    assert_eq!(completed, bare.to_value());
}

/// The id is what other tools compute of what goes out.
#[test]
fn skopeo_tells_the_same_id_of_what_is_saved() {
    if !can_run("skopeo_tells_the_same_id_of_what_is_saved", &["skopeo"]) {
        return;
    }
    let (folder, store) = made();
    let image = Image::open(&store, "app:1").unwrap();
    let save = [Save { image: &image, name: Some("app:1") }];
    let archive = folder.path().join("app.tar");
    let mut file = fs::File::create(&archive).unwrap();
    save_docker_archive(&store, &save, &mut file, folder.path(), &|_| {}).unwrap();
    let layout = folder.path().join("layout");
    fs::create_dir(&layout).unwrap();
    let (to, replace) = (&*layout, Replace::Refuse);
    save_layout(&store, &save, to, to, Compression::Gzip, replace, &|_| {}).unwrap();
    let layout = format!("oci:{}:app:1", layout.display());
    for source in [format!("docker-archive:{}", archive.display()), layout] {
        let inspected =
            Command::new("skopeo").args(["inspect", "--config", "--raw", &source]).output();
        let inspected = inspected.unwrap();
        assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
        assert_eq!(Sha256::of(&inspected.stdout), image.configuration().digest(), "{source}");
    }
}

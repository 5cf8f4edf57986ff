//! Images on other bases.

use sapwood::files::{Files, Inode, Paths, RenameMode, SetAttributes, SetMode};
use sapwood::{ErrorKind, GcOptions, Replace, Store};
use sapwood_oci::{Conflict, RebaseOptions, rebase};

use crate::life::{base_and_image, open};
use crate::support::*;

const REFUSE: RebaseOptions<'_> =
    RebaseOptions { from: None, force: false, replace: Replace::Refuse };

/// Paths in conflict, with what became of each in the new base and in the layers.
fn conflicts(found: &[Conflict]) -> Vec<(&str, &str, &str)> {
    let mut told = Vec::new();
    for one in found {
        let path = str::from_utf8(&one.path).unwrap();
        told.push((path, one.base.as_str(), one.layers.as_str()));
    }
    told
}

/// Another base that has nothing to do with the first one but its files.
fn other_base(store: &Store, tag: &str, change: &dyn Fn(&Files)) {
    build(
        store,
        None,
        tag,
        &[("ADD rootfs of another time", &|files| {
            write(files, "etc/passwd", b"root and more");
            write(files, "etc/motd", b"hello");
            write(files, "usr/lib/large", &noise(1 << 20, 1));
            write(files, "usr/share/doc/a", b"a");
            write(files, "usr/share/doc/b", b"b");
            write(files, "usr/lib/new", &noise(70_000, 9));
            change(files);
        })],
    );
}

#[test]
fn an_image_moves_to_another_base_with_its_blocks_shared() {
    let (_folder, store) = store();
    base_and_image(&store);
    other_base(&store, "base:2", &|_| {});
    let (image, onto) = (open(&store, "app:1"), open(&store, "base:2"));
    let none = rebase(&store, &image, &onto, "app:2", &REFUSE).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::InvalidInput, "{none}");
    let wrong = RebaseOptions { from: Some("base:2"), ..REFUSE };
    assert!(rebase(&store, &image, &onto, "app:2", &wrong).is_err());

    let before = store.usage().unwrap().allocated_bytes;
    let options = RebaseOptions { from: Some("base:1"), ..REFUSE };
    let done = rebase(&store, &image, &onto, "app:2", &options).unwrap();
    assert_eq!(done.conflicts, []);
    let done = done.image.unwrap();
    assert_eq!(done.layers, 2);
    // Three layers' metadata: no content was copied.
    assert!(store.usage().unwrap().allocated_bytes - before < 600_000);

    // Equal to the same steps done on the new base.
    let moved = open(&store, "app:2");
    let paths: Vec<String> = listing(moved.view()).into_iter().map(|(path, _)| path).collect();
    let expected = [
        "",
        "app",
        "app/alias",
        "app/program",
        "etc",
        "etc/app.conf",
        "etc/motd",
        "etc/passwd",
        "usr",
        "usr/lib",
        "usr/lib/large",
        "usr/lib/new",
        "usr/share",
    ];
    assert_eq!(paths, expected);
    let mut large = noise(1 << 20, 1);
    large[4096..8192].fill(7);
    assert_eq!(read(moved.view(), "usr/lib/large"), large);
    assert_eq!(read(moved.view(), "etc/passwd"), b"root and more");
    assert_eq!(read(moved.view(), "app/alias"), noise(500_000, 3));
    assert_eq!(links(moved.view(), "app/program"), 2);
    let said = steps(moved.configuration());
    let base = ["ADD rootfs of another time", "(CMD base:2)"];
    assert_eq!(
        said,
        [&base[..], &["(CMD base:1)", "RUN install", "RUN clean", "(CMD app:1)"]].concat()
    );
    assert_eq!(moved.configuration().to_value()["config"]["Cmd"][0], "app:1");
    let layers = moved.layers(&store).unwrap();
    assert_eq!(layers[2].created_by.as_deref(), Some("RUN clean"));
    assert_eq!(layers[0].id, onto.top_layer(&store).unwrap().unwrap());
    let again = rebase(&store, &image, &onto, "app:2", &options).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);

    // The old image goes, and the new one stays whole.
    drop((image, onto, done, moved));
    store.remove("app:1").unwrap();
    store.remove("base:1").unwrap();
    store.collect(&GcOptions::default()).unwrap();
    let moved = open(&store, "app:2");
    assert_eq!(read(moved.view(), "app/program"), noise(500_000, 3));
    assert_eq!(read(moved.view(), "usr/lib/large"), large);
}

#[test]
fn a_patched_base_is_found_by_the_layer_in_common() {
    let (_folder, store) = store();
    base_and_image(&store);
    build(
        &store,
        Some("base:1"),
        "base:patched",
        &[("RUN patch", &|files| {
            write(files, "etc/passwd", b"patched");
        })],
    );
    let (image, onto) = (open(&store, "app:1"), open(&store, "base:patched"));
    let done = rebase(&store, &image, &onto, "app:2", &REFUSE).unwrap();
    assert!(done.conflicts.is_empty());
    let moved = done.image.unwrap().image;
    assert_eq!(read(moved.view(), "etc/passwd"), b"patched");
    assert_eq!(read(moved.view(), "etc/app.conf"), b"two");
    let said = steps(moved.configuration());
    let expected = [
        "ADD rootfs",
        "(CMD base:1)",
        "RUN patch",
        "(CMD base:patched)",
        "RUN install",
        "RUN clean",
        "(CMD app:1)",
    ];
    assert_eq!(said, expected);
    let onto = open(&store, "app:1");
    let nothing = rebase(&store, &image, &onto, "app:3", &REFUSE).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::InvalidInput);
}

#[test]
fn what_both_sides_changed_is_listed_and_nothing_is_made() {
    let (_folder, store) = store();
    base_and_image(&store);
    other_base(&store, "base:2", &|files| {
        // Content on both sides; removed here and changed there; changed here and removed there; a
        // directory gone under what the layers add; another kind.
        let large = Paths::new(files).resolve("usr/lib/large").unwrap();
        files.write(large, 0, b"other").unwrap();
        write(files, "usr/share/doc/b", b"changed");
        write(files, "usr/share/doc/c", b"new");
        write(files, "app", b"a file in the way");
        write(files, "etc/app.conf", b"two");
    });
    let (image, onto) = (open(&store, "app:1"), open(&store, "base:2"));
    let options = RebaseOptions { from: Some("base:1"), ..REFUSE };
    let names = store.names().unwrap();
    let done = rebase(&store, &image, &onto, "app:2", &options).unwrap();
    assert!(done.image.is_none());
    let expected = [
        ("app", "added", "added"),
        ("usr/lib/large", "changed", "changed"),
        ("usr/share/doc/b", "changed", "removed"),
        ("usr/share/doc/c", "added", "removed"),
    ];
    assert_eq!(conflicts(&done.conflicts), expected);
    assert_eq!(store.names().unwrap(), names);

    let options = RebaseOptions { force: true, ..options };
    let done = rebase(&store, &image, &onto, "app:2", &options).unwrap();
    assert_eq!(done.conflicts.len(), 4);
    let moved = done.image.unwrap().image;
    let mut large = noise(1 << 20, 1);
    large[4096..8192].fill(7);
    assert_eq!(read(moved.view(), "usr/lib/large"), large);
    assert!(listing(moved.view()).iter().all(|(path, _)| !path.starts_with("usr/share/doc")));
    assert_eq!(read(moved.view(), "app/program"), noise(500_000, 3));
}

#[test]
fn attributes_that_both_sides_changed_are_in_conflict() {
    let (_folder, store) = store();
    let at = |files: &Files, path: &str| Paths::new(files).resolve(path).unwrap();
    let set = |files: &Files, path: &str, set: SetAttributes| {
        files.set_attributes(at(files, path), &set).unwrap();
    };
    let permissions =
        |permissions| SetAttributes { permissions: Some(permissions), ..SetAttributes::default() };
    let owner = |owner| SetAttributes { owner: Some(owner), ..SetAttributes::default() };
    let extended = |files: &Files, value: &[u8]| {
        files.set_extended_attribute(at(files, "c"), b"user.x", value, SetMode::Any).unwrap();
    };
    let rootfs = |files: &Files| {
        ["a", "b", "c", "d"].iter().for_each(|name| write(files, name, b"same"));
        Paths::new(files).create_dir_all("e").unwrap();
    };
    build(&store, None, "base:1", &[("ADD rootfs", &rootfs)]);
    build(
        &store,
        Some("base:1"),
        "app:1",
        &[("RUN set", &|files| {
            set(files, "a", permissions(0o700));
            set(files, "b", owner(7));
            extended(files, b"app");
            write(files, "d", b"other");
            set(files, "e", permissions(0o700));
        })],
    );
    build(
        &store,
        None,
        "base:2",
        &[("ADD rootfs", &|files| {
            rootfs(files);
            set(files, "a", permissions(0o755));
            // To the same as there.
            set(files, "b", owner(7));
            extended(files, b"base");
            set(files, "d", permissions(0o600));
            set(files, "e", owner(7));
        })],
    );
    let options = RebaseOptions { from: Some("base:1"), ..REFUSE };
    let (image, onto) = (open(&store, "app:1"), open(&store, "base:2"));
    let done = rebase(&store, &image, &onto, "app:2", &options).unwrap();
    let expected = [
        ("a", "attributes", "attributes"),
        ("c", "attributes", "attributes"),
        ("d", "attributes", "changed"),
        ("e", "attributes", "attributes"),
    ];
    assert_eq!(conflicts(&done.conflicts), expected);
}

#[test]
fn directories_that_moved_or_went_are_in_conflict_with_all_below_them() {
    let (_folder, store) = store();
    build(
        &store,
        None,
        "base:1",
        &[("ADD", &|files| {
            write(files, "a/deep/x", b"x");
            write(files, "b/y", b"y");
        })],
    );
    build(
        &store,
        Some("base:1"),
        "app:1",
        &[("RUN mv a c; touch b/z", &|files| {
            files.rename(Inode::ROOT, b"a", Inode::ROOT, b"c", RenameMode::Replace).unwrap();
            write(files, "b/z", b"z");
        })],
    );
    build(&store, None, "base:2", &[("ADD", &|files| write(files, "a/deep/x", b"other"))]);
    let options = RebaseOptions { from: Some("base:1"), ..REFUSE };
    let (image, onto) = (open(&store, "app:1"), open(&store, "base:2"));
    let done = rebase(&store, &image, &onto, "app:2", &options).unwrap();
    let expected = [("a/deep/x", "changed", "removed"), ("b", "removed", "changed")];
    assert_eq!(conflicts(&done.conflicts), expected);
}

/// What the new base has in a directory that a layer removed and made again was told as removed, and stood
/// in the image all the same.
#[test]
fn a_directory_made_anew_hides_what_the_new_base_has_in_it() {
    let (_folder, store) = store();
    let add = |tag: &str, change: &dyn Fn(&Files)| {
        let add = |files: &Files| {
            write(files, "op/old", b"old");
            write(files, "op/same", b"same");
            change(files);
        };
        build(&store, None, tag, &[("ADD", &add)]);
    };
    add("base:1", &|_| {});
    add("base:2", &|files| write(files, "op/other", b"other"));
    build(
        &store,
        Some("base:1"),
        "app:1",
        &[("RUN rm -r op; mkdir op", &|files| {
            Paths::new(files).remove_dir_all("op").unwrap();
            write(files, "op/same", b"same");
            write(files, "op/new", b"new");
        })],
    );
    let options = RebaseOptions { from: Some("base:1"), ..REFUSE };
    let (image, onto) = (open(&store, "app:1"), open(&store, "base:2"));
    let done = rebase(&store, &image, &onto, "app:2", &options).unwrap();
    assert_eq!(conflicts(&done.conflicts), [("op/other", "added", "removed")]);
    let options = RebaseOptions { force: true, ..options };
    let done = rebase(&store, &image, &onto, "app:2", &options).unwrap().image.unwrap();
    let view = done.image.view();
    for (path, is_there) in
        [("op/other", false), ("op/old", false), ("op/same", true), ("op/new", true)]
    {
        assert_eq!(Paths::new(view).exists(path).unwrap(), is_there, "{path}");
    }
}

//! Mounts in mounts, and stores in mounts.

use std::fs;

use sapwood::{Annotations, ErrorKind, Store, StoreOptions};

use crate::harness::{Place, Served, can_mount};

#[test]
fn a_mount_stands_on_a_folder_of_a_mount() {
    if !can_mount("a_mount_stands_on_a_folder_of_a_mount") {
        return;
    }
    let place = Place::new();
    let outer = place.serve_as("outer", "outer", &[]);
    let inner = place.serve_as("inner", "outer/inner", &[]);
    fs::write(inner.path("file"), "inside").unwrap();
    fs::write(outer.path("file"), "outside").unwrap();
    assert_eq!(fs::read(outer.path("inner/file")).unwrap(), b"inside");
    inner.unmount();
    assert!(!outer.path("inner/file").exists());
    outer.unmount();
    place.check();
}

/// A question to a mount that another one lay on went to that one, and was answered well; so did the signal that
/// should have ended the mount below.
#[test]
fn a_mount_that_another_lies_on_is_not_taken_for_it() {
    if !can_mount("a_mount_that_another_lies_on_is_not_taken_for_it") {
        return;
    }
    let place = Place::new();
    let below = place.serve_as("below", "mnt", &[]);
    fs::write(below.path("file"), "below").unwrap();
    let above = place.serve_as("above", "mnt", &[]);
    fs::write(above.path("file"), "above").unwrap();
    let mut mount = place.ask("below");
    assert!(!mount.is_shown_on(&below.directory));
    for error in [mount.flush().unwrap_err(), mount.snapshot(&Annotations::default()).unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::Stale, "{error}");
    }
    assert!(place.ask("above").is_shown_on(&below.directory));
    place.ask("above").flush().unwrap();
    above.unmount();
    assert!(mount.is_shown_on(&below.directory));
    mount.flush().unwrap();
    assert_eq!(fs::read(below.path("file")).unwrap(), b"below");
    below.unmount();
    place.check();
}

#[test]
fn a_store_stands_in_a_mount() {
    if !can_mount("a_store_stands_in_a_mount") {
        return;
    }
    let place = Place::new();
    let outer = place.serve_as("outer", "outer", &[]);
    let store = outer.path("store");
    Store::create(&store, &StoreOptions::default()).unwrap();
    let inner = Served::start(&store, "web", &place.path("inner"), &[]).unwrap();
    fs::write(inner.path("file"), vec![6; 1 << 20]).unwrap();
    inner.unmount();
    let inner = Served::start(&store, "web", &place.path("inner"), &[]).unwrap();
    assert_eq!(fs::read(inner.path("file")).unwrap(), vec![6; 1 << 20]);
    inner.unmount();
    outer.unmount();
    place.check();
}

//! Mounts in mounts, and stores in mounts.

use std::fs;

use sapwood::{Store, StoreOptions};

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

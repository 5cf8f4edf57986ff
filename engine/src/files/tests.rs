//! Files of a volume in memory.

mod attachments;
mod commits;
mod comparison;
mod held;
mod lending;
mod operations;
mod paths;
mod soundness;

use std::ops::ControlFlow;
use std::sync::Arc;

use super::*;
use crate::error::ErrorKind;
use crate::medium::MemoryHost;
use crate::testing::CapacityHost;
use crate::{Annotations, Result, Store, StoreOptions};

const ROOT: Inode = Inode::ROOT;

fn store() -> Store {
    Store::create_on(Arc::new(MemoryHost::new()), &StoreOptions::default()).expect("a store")
}

fn files(store: &Store) -> Files {
    let volume = store.create_tree("tree").expect("a tree");
    Files::open(volume, FilesOptions::default()).expect("files")
}

fn reopened(store: &Store, files: Files) -> Files {
    files.close().expect("the last handle");
    let volume = store.open_volume("tree").expect("its volume");
    Files::open(volume, FilesOptions::default()).expect("files")
}

fn make(files: &Files, directory: Inode, name: &str) -> Inode {
    let new = NewFile::regular(0o644);
    files.create(directory, name.as_bytes(), &new).expect("a free name").inode
}

fn make_directory(files: &Files, directory: Inode, name: &str) -> Inode {
    let new = NewFile::directory(0o755);
    files.create(directory, name.as_bytes(), &new).expect("a free name").inode
}

fn content(files: &dyn ReadFiles, inode: Inode) -> Vec<u8> {
    let size = files.attributes(inode).expect("there").size as usize;
    let mut bytes = vec![0xee; size + 10];
    assert_eq!(files.read(inode, 0, &mut bytes).expect("readable"), size);
    bytes.truncate(size);
    bytes
}

fn names(files: &dyn ReadFiles, directory: Inode) -> Vec<String> {
    let mut names = Vec::new();
    files
        .entries(directory, 0, &mut |entry| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            ControlFlow::Continue(())
        })
        .expect("a directory");
    names.sort();
    names
}

#[track_caller]
fn expect_error<T: std::fmt::Debug>(done: Result<T>, kind: ErrorKind) {
    assert_eq!(done.expect_err("must be refused").kind(), kind);
}

#[track_caller]
fn expect_sound(view: &FilesView) {
    let report = check(view).unwrap();
    assert_eq!(report.findings, []);
}

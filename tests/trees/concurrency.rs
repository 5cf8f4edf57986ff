//! Many threads on one tree, with flushes and snapshots beside them: nothing is lost or mixed up,
//! and each snapshot is a whole tree.

use std::sync::atomic::{AtomicBool, Ordering};

use sapwood::files::{
    self, Files, FilesOptions, FilesView, Inode, NewFile, Paths, ReadFiles, RenameMode,
};
use sapwood::testing::Random;
use sapwood::{Annotations, ErrorKind, Store, StoreOptions, VolumeOptions};

const THREADS: u64 = 4;
const ROUNDS: u64 = 400;

/// What every file holds: its thread and round, over and over, so that each part tells them.
fn content(thread: u64, round: u64) -> Vec<u8> {
    let length = 1 + (round * 37 % 9000) as usize;
    [thread.to_le_bytes(), round.to_le_bytes()].concat().into_iter().cycle().take(length).collect()
}

fn name(thread: u64, round: u64) -> String {
    format!("{thread}-{round}")
}

/// Makes, renames, links, reads and removes files; leaves those whose round is even.
fn work(files: &Files, shared: Inode, thread: u64) {
    let mut random = Random::new(thread);
    let own = files
        .create(Inode::ROOT, thread.to_string().as_bytes(), &NewFile::directory(0o755))
        .expect("a free name")
        .inode;
    for round in 0..ROUNDS {
        let made = name(thread, round);
        let inode =
            files.create(own, made.as_bytes(), &NewFile::regular(0o644)).expect("room").inode;
        let bytes = content(thread, round);
        let middle = random.below(bytes.len() as u64) as usize;
        files.write(inode, middle as u64, &bytes[middle..]).expect("room");
        files.write(inode, 0, &bytes[..middle]).expect("room");
        let mode = RenameMode::NoReplace;
        files.rename(own, made.as_bytes(), shared, made.as_bytes(), mode).expect("a free name");
        let before = name(thread, random.below(round + 1));
        match files.lookup(shared, before.as_bytes()) {
            Ok(other) => {
                let mut found = vec![0; 10_000];
                let length = files.read(other, 0, &mut found).expect("readable");
                let wanted = before.split_once('-').expect("as it was made").1;
                assert_eq!(found[..length], content(thread, wanted.parse().expect("a number")));
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        }
        if round % 2 == 1 {
            files.unlink(shared, made.as_bytes()).expect("it is there");
        }
    }
}

#[test]
fn threads_flushes_and_snapshots_at_once_leave_whole_trees() {
    let folder = tempfile::tempdir().expect("a folder");
    let volume =
        VolumeOptions { buffer_bytes: 64 << 10, map_extents_max: 200, ..Default::default() };
    let options = StoreOptions { volume, ..StoreOptions::default() };
    let store = Store::create(folder.path().join("store"), &options).expect("a store");
    let small = FilesOptions { changed_bytes_max: 64 << 10, ..FilesOptions::default() };
    let files = Files::open(store.create_tree("tree").expect("a tree"), small).expect("files");
    let shared = files.create(Inode::ROOT, b"shared", &NewFile::directory(0o755)).unwrap().inode;
    let done = AtomicBool::new(false);
    let snapshots = std::thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let mut snapshots = Vec::new();
            while !done.load(Ordering::Relaxed) {
                files.flush().expect("room");
                if snapshots.len() < 12 {
                    snapshots.push(files.snapshot(&Annotations::default()).expect("room"));
                }
            }
            snapshots
        });
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let files = &files;
                scope.spawn(move || work(files, shared, thread))
            })
            .collect();
        let outcomes: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Ordering::Relaxed);
        let snapshots = beside.join().expect("it told what went wrong");
        outcomes.into_iter().for_each(|outcome| outcome.expect("it told what went wrong"));
        snapshots
    });
    for snapshot in snapshots {
        let report = files::check(&FilesView::open(snapshot).expect("a tree")).expect("readable");
        assert_eq!(report.findings, []);
    }
    files.close().expect("the last handle");
    let view = FilesView::open(store.snapshot_of("tree").expect("there")).expect("a tree");
    assert_eq!(files::check(&view).expect("readable").findings, []);
    let paths = Paths::new(&view);
    assert_eq!(paths.read_dir("shared").expect("there").len() as u64, THREADS * ROUNDS / 2);
    for thread in 0..THREADS {
        for round in (0..ROUNDS).step_by(2) {
            let found = paths.read(format!("shared/{}", name(thread, round))).expect("there");
            assert_eq!(found, content(thread, round));
        }
    }
}

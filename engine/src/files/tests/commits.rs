//! What snapshots, crashes and intervals leave.

use super::*;

#[test]
fn a_snapshot_shows_the_tree_as_it_was_and_a_fork_goes_on_from_there() {
    let store = store();
    let live = files(&store);
    let inode = make(&live, ROOT, "file");
    live.write(inode, 0, &[1; 1 << 20]).unwrap();
    let snapshot = live.snapshot(&Annotations::default()).unwrap();
    live.write(inode, 4096, &[2; 4096]).unwrap();
    make(&live, ROOT, "later");
    let before = FilesView::open(snapshot.clone()).unwrap();
    assert_eq!(names(&before, ROOT), ["file"]);
    assert!(content(&before, inode).iter().all(|&byte| byte == 1));
    assert_eq!(content(&live, inode)[4096..8192], [2; 4096]);

    let fork = store.fork_snapshot(&snapshot, "fork").unwrap();
    let fork = Files::open(fork, FilesOptions::default()).unwrap();
    fork.unlink(ROOT, b"file").unwrap();
    let made = make(&fork, ROOT, "made");
    assert_ne!(made, inode, "a number of an ancestor is not given again");
    fork.close().unwrap();
    live.close().unwrap();
    let view = |name: &str| FilesView::open(store.snapshot_of(name).unwrap()).unwrap();
    assert_eq!(names(&view("fork"), ROOT), ["made"]);
    assert_eq!(names(&view("tree"), ROOT), ["file", "later"]);
    expect_error(
        FilesView::open(
            store
                .create_volume("disk", 1 << 20)
                .and_then(|disk| disk.snapshot(&Annotations::default()))
                .unwrap(),
        ),
        ErrorKind::InvalidInput,
    );
}

#[test]
fn what_was_not_flushed_is_lost_whole_and_nothing_else() {
    let store = store();
    let files = files(&store);
    let inode = make(&files, ROOT, "kept");
    files.write(inode, 0, &[1; 5000]).unwrap();
    files.flush().unwrap();
    // So many changes that pages are written out before any commit.
    for number in 0..40_000 {
        make(&files, ROOT, &number.to_string());
    }
    files.write(inode, 0, &[2; 100_000]).unwrap();
    drop(files);
    let volume = store.open_volume("tree").unwrap();
    let files = Files::open(volume, FilesOptions::default()).unwrap();
    assert_eq!(names(&files, ROOT), ["kept"]);
    assert_eq!(content(&files, inode), [1; 5000]);
}

#[test]
fn an_interval_commits_without_being_asked() {
    let store = store();
    let commit_interval = Some(std::time::Duration::from_millis(1));
    let options = FilesOptions { commit_interval, ..FilesOptions::default() };
    let files = Files::open(store.create_tree("tree").unwrap(), options).unwrap();
    for number in 0..3 {
        let before = files.volume().counters().commits;
        make(&files, ROOT, &number.to_string());
        while files.volume().counters().commits == before {
            std::thread::yield_now();
        }
    }
    drop(files);
    let files = Files::open(store.open_volume("tree").unwrap(), options).unwrap();
    assert_eq!(names(&files, ROOT), ["0", "1", "2"]);
    files.close().unwrap();
}

/// A close that was refused ended the commits, and nobody was told.
#[test]
fn a_close_that_is_refused_leaves_the_interval_to_the_handles_that_are_left() {
    let store = store();
    let commit_interval = Some(std::time::Duration::from_millis(1));
    let options = FilesOptions { commit_interval, ..FilesOptions::default() };
    let files = Files::open(store.create_tree("tree").unwrap(), options).unwrap();
    let (one, other) = (files.clone(), files.clone());
    expect_error(one.close(), ErrorKind::InvalidInput);
    expect_error(other.abandon(), ErrorKind::InvalidInput);
    let before = files.volume().counters().commits;
    make(&files, ROOT, "file");
    while files.volume().counters().commits == before {
        std::thread::yield_now();
    }
    // The lock is given back with the last handle, whatever the thread was at.
    for _ in 0..50 {
        let files = Files::open(store.create_tree("other").unwrap(), options).unwrap();
        make(&files, ROOT, "file");
        drop(files);
        drop(store.open_volume("other").expect("nobody has it"));
        store.remove("other").unwrap();
    }
}

/// Most snapshots that were taken beside somebody who wrote a file over and over showed it empty.
#[test]
fn a_file_that_is_written_by_its_path_is_whole_in_every_snapshot() {
    let store = store();
    let files = files(&store);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let paths = Paths::new(&files);
            for _ in 0..200 {
                for (name, bytes) in [("small", 500), ("large", 5000)] {
                    paths.write(name, &vec![7; bytes]).unwrap();
                }
                paths.write("other", b"x").unwrap();
                paths.remove_file("other").unwrap();
                files.attach(b"beside", &[7; 3000]).unwrap();
            }
        });
        while !writer.is_finished() {
            let Ok(view) = FilesView::open(files.snapshot(&Annotations::default()).unwrap()) else {
                continue;
            };
            for (name, bytes) in [("small", 500), ("large", 5000), ("other", 1)] {
                if let Ok(inode) = view.lookup(ROOT, name.as_bytes()) {
                    assert_eq!(content(&view, inode).len(), bytes, "{name}");
                }
            }
            if let Some(beside) = attachment(&view, b"beside").unwrap() {
                assert_eq!(beside.len(), 3000);
            }
        }
    });
}

//! Files that lose their last name while others hold them, link them, or make new ones.

use super::*;

/// Whoever took a last name away waited for the lock on the content, and then freed whatever the
/// number stood for by then: a file with a name again, or one that somebody else had just made.
#[test]
fn a_file_that_is_freed_late_is_the_one_that_lost_its_name() {
    let files = files(&store());
    let free = |file| files.core.operate("free", |operation| operation.free_unless_held(file));
    let linked = make(&files, ROOT, "linked");
    files.write(linked, 0, &[1; 9000]).unwrap();
    files.hold(linked);
    files.unlink(ROOT, b"linked").unwrap();
    free((linked, 1)).unwrap();
    assert_eq!(content(&files, linked), [1; 9000], "it is held");
    files.link(linked, ROOT, b"again").unwrap();
    files.release(linked, 1).unwrap();
    free((linked, 1)).unwrap();
    assert_eq!(content(&files, linked), [1; 9000], "it has a name again");

    files.unlink(ROOT, b"again").unwrap();
    free((linked, 1)).unwrap();
    let other = files.create_unnamed(&NewFile::regular(0o600)).unwrap();
    assert_eq!((other.inode, other.generation), (linked, 2));
    files.write(other.inode, 0, &[2; 9000]).unwrap();
    files.core.held.lock().clear();
    free((linked, 1)).unwrap();
    assert_eq!(content(&files, other.inode), [2; 9000], "it is another file");
    free((other.inode, 2)).unwrap();
    expect_error(files.attributes(other.inode), ErrorKind::NotFound);
}

/// A file that grew out of the metadata was given back what had been changed of it meanwhile: its last
/// name, so that nobody freed it, or its owner.
#[test]
fn a_file_that_grows_into_blocks_keeps_what_others_changed_meanwhile() {
    let files = files(&store());
    let inode = make(&files, ROOT, "file");
    files.write(inode, 0, b"small").unwrap();
    let record = || files.core.look(|reader| reader.record(inode)).unwrap();
    let seen = record();
    files.hold(inode);
    files.unlink(ROOT, b"file").unwrap();
    let set = SetAttributes { owner: Some(7), ..Default::default() };
    files.set_attributes(inode, &set).unwrap();
    files.core.operate("grow", |operation| operation.in_blocks(inode, seen).map(drop)).unwrap();
    assert_eq!((record().links, record().owner), (0, 7));
    assert_eq!(content(&files, inode), b"small");
    files.release(inode, 1).unwrap();
    expect_error(files.attributes(inode), ErrorKind::NotFound);
}

#[test]
fn a_directory_that_was_removed_and_is_held_leads_nowhere() {
    let files = files(&store());
    let directory = make_directory(&files, ROOT, "d");
    files.hold(directory);
    files.remove_directory(ROOT, b"d").unwrap();
    assert_eq!(files.lookup(directory, b".").unwrap(), directory);
    expect_error(files.lookup(directory, b".."), ErrorKind::NotFound);
    expect_error(files.create(directory, b"x", &NewFile::regular(0)), ErrorKind::NotFound);
    files.release(directory, 1).unwrap();
}

/// Names led to files that others made later: a link was made to a file that was being freed.
#[test]
fn links_made_beside_removals_lead_to_the_file_or_are_refused() {
    let files = files(&store());
    for round in 0..500_u32 {
        let victim = make(&files, ROOT, "victim");
        files.write(victim, 0, &round.to_le_bytes()).unwrap();
        let name = round.to_string();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                files.unlink(ROOT, b"victim").unwrap();
                let made = make(&files, ROOT, "made");
                files.write(made, 0, b"other").unwrap();
                files.unlink(ROOT, b"made").unwrap();
            });
            // By then it may be gone, or be the one that is made meanwhile.
            let _ = files.link(victim, ROOT, name.as_bytes());
        });
        if let Ok(linked) = files.lookup(ROOT, name.as_bytes()) {
            assert!([&round.to_le_bytes()[..], b"other", b""].contains(&&*content(&files, linked)));
            files.unlink(ROOT, name.as_bytes()).unwrap();
        }
    }
    assert_eq!(files.statistics().unwrap().inodes, 1);
    expect_sound(&FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap());
}

/// The name was gone, and the call said that there was no room: whoever tried again found no name.
#[test]
fn a_full_host_takes_a_name_away_whole_or_not_at_all() {
    let refused: usize = (0..32).map(|pages| take_names_away(pages * 4096)).sum();
    assert!(refused > 0, "no host was full enough to tell");
}

/// Names of files on a full host: so long that each stands in another page.
fn long_name(number: usize) -> String {
    format!("{number:0250}")
}

/// A tree of 40 files of four blocks each on a host with so much room left. Pages go out with each change, and
/// the map with each few.
fn on_a_full_host(room: u64) -> (Arc<CapacityHost>, Files) {
    let host = CapacityHost::new(Arc::new(MemoryHost::new()), 1 << 30);
    let mut options = StoreOptions::default();
    options.volume.buffer_bytes = 1 << 13;
    options.volume.map_extents_max = 4;
    let store = Store::create_on(host.clone(), &options).unwrap();
    let options = FilesOptions { changed_bytes_max: 1, ..FilesOptions::default() };
    let files = Files::open(store.create_tree("tree").unwrap(), options).unwrap();
    for number in 0..40 {
        let inode = make(&files, ROOT, &long_name(number));
        for block in 0..4 {
            files.write(inode, block * 8192, &[1; 4096]).unwrap();
        }
    }
    files.flush().unwrap();
    host.set_capacity(host.used() + (64 << 12));
    let filler = make(&files, ROOT, "filler");
    for block in 0.. {
        match files.write(filler, block * 4096, &[1; 4096]) {
            Err(error) if error.kind() == ErrorKind::NoSpace => break,
            done => done.unwrap(),
        }
    }
    host.set_capacity(host.used() + room);
    (host, files)
}

fn expect_sound_with_room(host: &CapacityHost, files: &Files) {
    host.set_capacity(1 << 30);
    files.flush().unwrap();
    expect_sound(&FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap());
}

/// Takes names away on a host with so much room; how often there was none.
fn take_names_away(room: u64) -> usize {
    let (host, files) = on_a_full_host(room);
    let mut refused = 0;
    for number in 0..20 {
        let (one, other) = (long_name(number), long_name(39 - number));
        let inode = files.lookup(ROOT, one.as_bytes()).unwrap();
        let set = SetAttributes { size: Some(9), owner: Some(7), ..Default::default() };
        let done = files.set_attributes(inode, &set);
        let found = files.attributes(inode).unwrap();
        assert_eq!((found.size == 9, found.owner == 7), (done.is_ok(), done.is_ok()), "{done:?}");
        let (gone, done) = match number % 2 {
            0 => (&one, files.unlink(ROOT, one.as_bytes())),
            _ => {
                let (from, to) = (other.as_bytes(), one.as_bytes());
                (&other, files.rename(ROOT, from, ROOT, to, RenameMode::Replace))
            }
        };
        assert_eq!(files.lookup(ROOT, gone.as_bytes()).is_ok(), done.is_err(), "{number} {done:?}");
        if let Err(error) = done {
            assert_eq!(error.kind(), ErrorKind::NoSpace);
            refused += 1;
        }
    }
    expect_sound_with_room(&host, &files);
    refused
}

/// The old content went before it was known whether there was room for the new one.
#[test]
fn a_full_host_has_small_content_overwritten_whole_or_not_at_all() {
    let refused: usize = (0..32).map(|pages| overwrite_files(pages * 4096)).sum();
    assert!(refused > 0, "no host was full enough to tell");
}

/// Overwrites files on a host with so much room; how often there was none.
fn overwrite_files(room: u64) -> usize {
    let (host, files) = on_a_full_host(room);
    let mut refused = 0;
    for number in 0..40 {
        let name = long_name(number);
        let inode = files.lookup(ROOT, name.as_bytes()).unwrap();
        let before = content(&files, inode);
        let done = Paths::new(&files).write(&name, &[2; 300]);
        let expected = if done.is_ok() { vec![2; 300] } else { before };
        assert!(content(&files, inode) == expected, "{number} {done:?}");
        if let Err(error) = done {
            assert_eq!(error.kind(), ErrorKind::NoSpace);
            refused += 1;
        }
    }
    expect_sound_with_room(&host, &files);
    refused
}

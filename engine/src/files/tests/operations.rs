//! Each operation once by hand, and its errors.

use super::*;

#[test]
fn files_are_made_written_read_and_there_after_reopening() {
    let store = store();
    let files = files(&store);
    let directory = make_directory(&files, ROOT, "etc");
    // Within the metadata, at its edge, and in blocks; written in order and not.
    let sizes = [0, 1, 997, 1994, 1995, 4096, 4097, 100_000];
    for size in sizes {
        let inode = make(&files, directory, &size.to_string());
        let bytes: Vec<u8> = (0..size).map(|at| (at * 7 + size) as u8).collect();
        let middle = size / 3;
        files.write(inode, middle as u64, &bytes[middle..]).unwrap();
        files.write(inode, 0, &bytes[..middle]).unwrap();
        assert_eq!(content(&files, inode), bytes);
    }
    let files = reopened(&store, files);
    for size in sizes {
        let directory = files.lookup(ROOT, b"etc").unwrap();
        let inode = files.lookup(directory, size.to_string().as_bytes()).unwrap();
        let bytes: Vec<u8> = (0..size).map(|at| (at * 7 + size) as u8).collect();
        assert_eq!(content(&files, inode), bytes);
        let attributes = files.attributes(inode).unwrap();
        assert_eq!(attributes.allocated_bytes == 0, size <= 1994, "{size}");
    }
    assert_eq!(names(&files, directory).len(), sizes.len());
    assert_eq!(files.lookup(directory, b"..").unwrap(), ROOT);
    expect_error(files.lookup(ROOT, b"none"), ErrorKind::NotFound);
    expect_error(files.lookup(ROOT, &[b'x'; 256]), ErrorKind::NameTooLong);
    expect_error(files.create(ROOT, b"etc", &NewFile::regular(0)), ErrorKind::AlreadyExists);
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b"] {
        expect_error(files.create(ROOT, name, &NewFile::regular(0)), ErrorKind::InvalidInput);
    }
    let statistics = files.statistics().unwrap();
    assert_eq!((statistics.inodes, statistics.entries), (10, 9));
}

#[test]
fn what_a_file_is_made_longer_by_reads_as_zeros_whatever_was_there_before() {
    let files = files(&store());
    let inode = make(&files, ROOT, "file");
    let resize = |size| {
        files.set_attributes(inode, &SetAttributes { size: Some(size), ..Default::default() })
    };
    for (long, short) in [(1500, 3), (9000, 100), (50_000, 4097), (50_000, 0)] {
        files.write(inode, 0, &vec![7; long]).unwrap();
        resize(short as u64).unwrap();
        resize(long as u64 + 5000).unwrap();
        let mut expected = vec![7; short];
        expected.resize(long + 5000, 0);
        assert_eq!(content(&files, inode), expected);
        resize(short as u64).unwrap();
        // A write behind the end leaves zeros too.
        files.write(inode, long as u64, b"end").unwrap();
        expected.truncate(long);
        expected.extend(b"end");
        assert_eq!(content(&files, inode), expected);
        resize(0).unwrap();
    }
    expect_error(resize(u64::MAX), ErrorKind::FileTooLarge);
    resize((u64::from(u32::MAX)) << 12).unwrap();
    assert_eq!(files.seek(inode, 0, Seek::Data).unwrap(), None);
    assert_eq!(files.attributes(inode).unwrap().allocated_bytes, 0);
}

#[test]
fn holes_are_punched_found_and_shared_blocks_are_not_copied() {
    let files = files(&store());
    let inode = make(&files, ROOT, "file");
    files.write(inode, 0, &vec![1; 10 * 4096]).unwrap();
    files.zero(inode, 2 * 4096, 3 * 4096, SizeChange::Keep).unwrap();
    files.zero(inode, 9 * 4096 + 100, 1 << 20, SizeChange::Keep).unwrap();
    let found = |offset, seek| files.seek(inode, offset, seek).unwrap();
    assert_eq!(found(0, Seek::Hole), Some(2 * 4096));
    assert_eq!(found(3 * 4096, Seek::Data), Some(5 * 4096));
    assert_eq!(found(6 * 4096, Seek::Hole), Some(10 * 4096));
    assert_eq!(found(10 * 4096, Seek::Hole), None);
    let mut expected = vec![1; 10 * 4096];
    expected[2 * 4096..5 * 4096].fill(0);
    expected[9 * 4096 + 100..].fill(0);
    assert_eq!(content(&files, inode), expected);
    assert_eq!(files.attributes(inode).unwrap().allocated_bytes, 7 * 4096);

    let copy = make(&files, ROOT, "copy");
    files.flush().unwrap();
    let before = files.volume().counters().bytes_allocated;
    assert_eq!(files.copy_range(inode, 0, copy, 0, u64::MAX).unwrap(), 10 * 4096);
    assert_eq!(content(&files, copy), expected);
    assert_eq!(files.volume().counters().bytes_allocated, before);
    // Parts that do not lie alike in their blocks are copied.
    assert_eq!(files.copy_range(inode, 100, copy, 50, 9000).unwrap(), 9000);
    assert_eq!(content(&files, copy)[50..9050], expected[100..9100]);
    expect_error(files.copy_range(inode, 0, inode, 10, 20), ErrorKind::InvalidInput);
    files.copy_range(inode, 0, inode, 10 * 4096, 10 * 4096).unwrap();
    assert_eq!(content(&files, inode), [&expected[..], &expected].concat());
    files.allocate(copy, 0, 1 << 20, SizeChange::Keep).unwrap();
    assert_eq!(files.attributes(copy).unwrap().size, 10 * 4096);
    files.allocate(copy, 0, 1 << 20, SizeChange::Extend).unwrap();
    assert_eq!(files.attributes(copy).unwrap().size, 1 << 20);
}

#[test]
fn a_file_without_a_name_stays_while_it_is_held() {
    let store = store();
    let files = files(&store);
    let inode = make(&files, ROOT, "file");
    files.write(inode, 0, &[5; 9000]).unwrap();
    files.hold(inode);
    files.unlink(ROOT, b"file").unwrap();
    assert_eq!(files.attributes(inode).unwrap().links, 0);
    files.write(inode, 9000, b"more").unwrap();
    assert_eq!(content(&files, inode).len(), 9004);
    files.release(inode, 1).unwrap();
    expect_error(files.attributes(inode), ErrorKind::NotFound);
    // Its number is used again, and is told apart by its generation.
    let again = files.create(ROOT, b"again", &NewFile::regular(0o600)).unwrap();
    assert_eq!((again.inode, again.generation), (inode, 2));

    let unnamed = files.create_unnamed(&NewFile::regular(0o600)).unwrap();
    files.write(unnamed.inode, 0, b"later").unwrap();
    files.link(unnamed.inode, ROOT, b"named").unwrap();
    files.release(unnamed.inode, 1).unwrap();
    assert_eq!(content(&files, files.lookup(ROOT, b"named").unwrap()), b"later");
    // Held when the volume was closed: nobody holds it any more.
    let lost = files.create_unnamed(&NewFile::regular(0o600)).unwrap().inode;
    let files = reopened(&store, files);
    expect_error(files.attributes(lost), ErrorKind::NotFound);
    assert_eq!(files.statistics().unwrap().inodes, 3);
}

#[test]
fn links_count_names_and_each_can_be_the_last() {
    let files = files(&store());
    let directory = make_directory(&files, ROOT, "d");
    let inode = make(&files, ROOT, "0");
    for number in 1..20 {
        let place = if number % 2 == 0 { ROOT } else { directory };
        let linked = files.link(inode, place, number.to_string().as_bytes()).unwrap();
        assert_eq!(linked.links, number + 1);
    }
    for number in 0..19 {
        let place = if number % 2 == 0 { ROOT } else { directory };
        files.unlink(place, number.to_string().as_bytes()).unwrap();
    }
    assert_eq!(files.attributes(inode).unwrap().links, 1);
    files.rename(directory, b"19", ROOT, b"last", RenameMode::Replace).unwrap();
    files.unlink(ROOT, b"last").unwrap();
    expect_error(files.attributes(inode), ErrorKind::NotFound);
    expect_error(files.link(directory, ROOT, b"x"), ErrorKind::NotPermitted);
    expect_error(files.unlink(ROOT, b"d"), ErrorKind::IsADirectory);
    make(&files, directory, "child");
    expect_error(files.remove_directory(ROOT, b"d"), ErrorKind::NotEmpty);
    files.unlink(directory, b"child").unwrap();
    expect_error(files.remove_directory(directory, b"child"), ErrorKind::NotFound);
    files.remove_directory(ROOT, b"d").unwrap();
    assert_eq!(files.attributes(ROOT).unwrap().links, 2);
    expect_error(files.create(directory, b"x", &NewFile::regular(0)), ErrorKind::NotFound);
    assert!(names(&files, ROOT).is_empty());
}

#[test]
fn renames_replace_refuse_and_exchange() {
    let files = files(&store());
    let [a, b] = ["a", "b"].map(|name| make_directory(&files, ROOT, name));
    let below = make_directory(&files, a, "below");
    let file = make(&files, a, "file");
    let other = make(&files, b, "other");
    let rename = |from, from_name: &[u8], to, to_name: &[u8], mode| {
        files.rename(from, from_name, to, to_name, mode)
    };
    use RenameMode::{Exchange, NoReplace, Replace};
    expect_error(rename(ROOT, b"a", below, b"x", Replace), ErrorKind::InvalidInput);
    expect_error(rename(a, b"file", b, b"other", NoReplace), ErrorKind::AlreadyExists);
    expect_error(rename(a, b"file", ROOT, b"b", Replace), ErrorKind::IsADirectory);
    expect_error(rename(ROOT, b"b", a, b"file", Replace), ErrorKind::NotADirectory);
    expect_error(rename(a, b"below", ROOT, b"b", Replace), ErrorKind::NotEmpty);
    expect_error(rename(a, b"none", b, b"x", Replace), ErrorKind::NotFound);
    expect_error(rename(a, b"file", b, b"x", Exchange), ErrorKind::NotFound);
    rename(a, b"file", b, b"other", Exchange).unwrap();
    assert_eq!(
        (files.lookup(a, b"file").unwrap(), files.lookup(b, b"other").unwrap()),
        (other, file)
    );
    rename(a, b"below", b, b"other", Exchange).unwrap();
    assert_eq!(files.lookup(below, b"..").unwrap(), b);
    let links = |inode| files.attributes(inode).unwrap().links;
    assert_eq!((links(a), links(b)), (2, 3));
    rename(b, b"other", ROOT, b"top", Replace).unwrap();
    assert_eq!((links(ROOT), links(b), files.lookup(below, b"..").unwrap()), (5, 2, ROOT));
    rename(a, b"file", a, b"below", Replace).unwrap();
    expect_error(files.attributes(file), ErrorKind::NotFound);
    // Two names of one file: nothing happens, and both stay.
    files.link(other, b, b"link").unwrap();
    rename(a, b"below", b, b"link", Replace).unwrap();
    assert_eq!((names(&files, a), names(&files, b)), (vec!["below".into()], vec!["link".into()]));
    rename(ROOT, b"top", ROOT, b"b2", NoReplace).unwrap();
    assert_eq!(names(&files, ROOT), ["a", "b", "b2"]);
}

#[test]
fn symlinks_attributes_and_modes_are_kept() {
    let store = store();
    let files = files(&store);
    let target = vec![b't'; 4095];
    let link = files.symlink(ROOT, b"link", &target, 3, 4).unwrap();
    assert_eq!((link.kind, link.size, link.owner), (FileKind::Symlink, 4095, 3));
    expect_error(files.symlink(ROOT, b"x", &[b't'; 4096], 0, 0), ErrorKind::NameTooLong);
    expect_error(files.symlink(ROOT, b"x", b"", 0, 0), ErrorKind::InvalidInput);

    let inode = make(&files, ROOT, "file");
    expect_error(files.extended_attribute(inode, b"user.a"), ErrorKind::NoAttribute);
    let big: Vec<u8> = (0..65_536).map(|at| (at % 251) as u8).collect();
    let set =
        |name: &[u8], value: &[u8], mode| files.set_extended_attribute(inode, name, value, mode);
    set(b"user.big", &big, SetMode::Any).unwrap();
    set(b"user.a", b"", SetMode::Create).unwrap();
    set(b"security.capability", b"cap", SetMode::Any).unwrap();
    expect_error(set(b"user.a", b"1", SetMode::Create), ErrorKind::AlreadyExists);
    expect_error(set(b"user.b", b"1", SetMode::Replace), ErrorKind::NoAttribute);
    expect_error(set(b"user.b", &[0; 65_537], SetMode::Any), ErrorKind::InvalidInput);
    set(b"user.a", b"one", SetMode::Replace).unwrap();
    files
        .set_attributes(
            inode,
            &SetAttributes { permissions: Some(0o6755), owner: Some(7), ..Default::default() },
        )
        .unwrap();
    let files = reopened(&store, files);
    assert_eq!(files.read_link(link.inode).unwrap(), target);
    assert_eq!(files.extended_attribute(inode, b"user.big").unwrap(), big);
    assert_eq!(files.extended_attribute(inode, b"user.a").unwrap(), b"one");
    assert_eq!(files.extended_attribute_names(inode).unwrap().len(), 3);
    let drop_privileges = SetAttributes { clear_privileges: true, ..Default::default() };
    let attributes = files.set_attributes(inode, &drop_privileges).unwrap();
    assert_eq!((attributes.permissions, attributes.owner), (0o755, 7));
    assert_eq!(
        files.extended_attribute_names(inode).unwrap(),
        [b"user.a".to_vec(), b"user.big".to_vec()]
    );
    for name in [&b"user.a"[..], b"user.big"] {
        files.remove_extended_attribute(inode, name).unwrap();
    }
    expect_error(files.remove_extended_attribute(inode, b"user.a"), ErrorKind::NoAttribute);
    assert!(files.extended_attribute_names(inode).unwrap().is_empty());
    // A directory with the set-group-id bit gives its group on.
    let shared = NewFile { group: 50, ..NewFile::directory(0o2775) };
    let shared = files.create(ROOT, b"shared", &shared).unwrap().inode;
    let child = files.create(shared, b"d", &NewFile::directory(0o755)).unwrap();
    assert_eq!((child.group, child.permissions), (50, 0o2755));
}

#[test]
fn a_large_directory_is_listed_once_whatever_comes_and_goes() {
    let files = files(&store());
    for number in 0..3000 {
        make(&files, ROOT, &format!("file-{number}"));
    }
    let mut seen = std::collections::HashMap::new();
    let mut after = 0;
    loop {
        let mut count = 0;
        files
            .entries(ROOT, after, &mut |entry| {
                assert!(entry.cookie >= 256 && entry.cookie < 1 << 63 && entry.cookie > after);
                (after, count) = (entry.cookie, count + 1);
                *seen.entry(entry.name.to_vec()).or_insert(0) += 1;
                if count < 100 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .unwrap();
        if count == 0 {
            break;
        }
        // Half of what was seen goes, and other names come.
        for number in 0..20 {
            let number = seen.len() - 1 - number * 3;
            let _ = files.unlink(ROOT, format!("file-{number}").as_bytes());
            let name = format!("new-{}-{number}", seen.len());
            let _ = files.create(ROOT, name.as_bytes(), &NewFile::regular(0o600));
        }
    }
    assert!(seen.values().all(|&times| times == 1));
    let stayed = names(&files, ROOT).into_iter().filter(|name| name.starts_with("file-"));
    assert!(stayed.into_iter().all(|name| seen.contains_key(name.as_bytes())));
}

#[test]
fn names_of_one_hash_are_found_listed_and_removed_each_by_itself() {
    names::MEETING.set(0);
    let store = store();
    let files = files(&store);
    let name = |number: usize| format!("name-{number}").into_bytes();
    let add = |number| files.create(ROOT, &name(number), &NewFile::regular(0o644));
    let inodes: Vec<Inode> = (0..256).map(|number| add(number).unwrap().inode).collect();
    let error = add(256).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::NoSpace, Some("names of one hash")));
    expect_error(add(7), ErrorKind::AlreadyExists);
    // Every third goes while the directory is listed, and another comes in its place.
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let mut batch = Vec::new();
        files
            .entries(ROOT, after, &mut |entry| {
                batch.push((entry.cookie, entry.name.to_vec()));
                if batch.len() < 10 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .unwrap();
        let Some((last, _)) = batch.last() else { break };
        after = *last;
        for (_, name) in batch {
            if name.starts_with(b"name-") && seen.len() % 3 == 0 {
                files.unlink(ROOT, &name).unwrap();
                let new = format!("new-{}", seen.len());
                files.create(ROOT, new.as_bytes(), &NewFile::regular(0o600)).unwrap();
            }
            seen.push(name);
        }
    }
    let stayed: Vec<usize> =
        (0..256).filter(|&number| files.lookup(ROOT, &name(number)).is_ok()).collect();
    assert_eq!(stayed.len(), 256 - 86);
    for &number in &stayed {
        assert_eq!(files.lookup(ROOT, &name(number)).unwrap(), inodes[number]);
        assert_eq!(seen.iter().filter(|seen| **seen == name(number)).count(), 1);
    }
    assert_eq!(names(&files, ROOT).len(), 256);
    // What is full takes a name in place of another, and of one that moves away.
    files.rename(ROOT, &name(stayed[0]), ROOT, &name(stayed[1]), RenameMode::Replace).unwrap();
    let below = make_directory(&files, ROOT, "below");
    files.rename(ROOT, &name(stayed[2]), below, b"moved", RenameMode::NoReplace).unwrap();
    make(&files, ROOT, "last");
    expect_sound(&FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap());
    for name in names(&files, ROOT) {
        let _ = files.unlink(ROOT, name.as_bytes());
    }
    assert_eq!(names(&files, ROOT), ["below"]);
}

//! Who wrote what, and what a check finds.

use super::*;
use crate::units::BlockAddress;

#[test]
fn blame_tells_which_layer_wrote_each_range_and_small_file() {
    let store = store();
    let files = files(&store);
    let big = make(&files, ROOT, "big");
    let [old, new] = ["old", "new"].map(|name| make(&files, ROOT, name));
    files.write(big, 0, &[1; 10 * 4096]).unwrap();
    files.write(old, 0, b"small").unwrap();
    files.write(new, 0, b"before").unwrap();
    let first = files.snapshot(&Annotations::default()).unwrap();
    files.write(big, 4096, &[2; 4096]).unwrap();
    files.zero(big, 6 * 4096, 4096, SizeChange::Keep).unwrap();
    files.write(new, 0, b"behind").unwrap();
    let second = files.snapshot(&Annotations::default()).unwrap();
    let [a, b] = [first.layer_id(), second.layer_id()];
    let view = FilesView::open(second).unwrap();
    let told: Vec<_> = blame(&store, &view, big)
        .unwrap()
        .iter()
        .map(|range| (range.start / 4096, range.end / 4096, range.layer))
        .collect();
    let expected =
        [(0, 1, Some(a)), (1, 2, Some(b)), (2, 6, Some(a)), (6, 7, None), (7, 10, Some(a))];
    assert_eq!(told, expected);
    // Both stand in one page, which the second layer wrote anew.
    assert_eq!(blame(&store, &view, old).unwrap()[0].layer, Some(a));
    assert_eq!(blame(&store, &view, new).unwrap()[0].layer, Some(b));
    let shares = shares(&view).unwrap();
    assert_eq!((shares[&a].content_bytes, shares[&b].content_bytes), (8 * 4096, 4096));
    let usage = usage(&view).unwrap();
    assert_eq!((usage.files, usage.inline_bytes, usage.block_bytes), (4, 11, 9 * 4096));
    expect_sound(&view);
}

#[test]
fn check_finds_what_does_not_fit_together() {
    let store = store();
    let files = files(&store);
    let directory = make_directory(&files, ROOT, "d");
    let file = make(&files, directory, "file");
    files.link(file, ROOT, b"second").unwrap();
    files.write(file, 0, b"content").unwrap();
    files.set_extended_attribute(file, b"user.a", &[1; 3000], SetMode::Any).unwrap();
    let other = make(&files, ROOT, "other");
    files.set_extended_attribute(other, b"user.b", b"short", SetMode::Any).unwrap();
    let link_to = files.symlink(ROOT, b"to", b"target", 0, 0).unwrap().inode;
    expect_sound(&FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap());
    use crate::format::files::{ItemKind, Key};
    let key_of = |kind, inode: Inode| {
        let mut found = None;
        let (first, last) = Key::range(kind, inode.0);
        files
            .core
            .look(|reader| {
                reader.pages.scan(first, last, |key, value| {
                    found = Some((key, value.to_vec()));
                    Ok(ControlFlow::Break(()))
                })
            })
            .unwrap();
        found.expect("an item")
    };
    let record = |inode| files.core.look(|reader| reader.record(inode)).unwrap();
    let inode_key = |inode: Inode| Key::new(ItemKind::Inode, inode.0, 0);
    let (name_key, name) = key_of(ItemKind::Entry, directory);
    let (piece_key, piece) = key_of(ItemKind::Content, file);
    let (attribute_key, _) = key_of(ItemKind::Attribute, file);
    let (link_key, link) = key_of(ItemKind::Link, file);
    let with_links = |inode, links, words| {
        let record = crate::format::files::InodeRecord { links, ..record(inode) };
        (inode_key(inode), Some(record.encode().to_vec()), words)
    };
    let circle = {
        let mut circle = record(directory);
        circle.name.directory = directory.0;
        circle.encode().to_vec()
    };
    let (short_key, short) = key_of(ItemKind::Attribute, other);
    let (root_key, root_name) = key_of(ItemKind::Entry, ROOT);
    let below = |key: Key, kind, further| Key::new(kind, key.inode(), key.sub() + further);
    let last_piece = below(attribute_key, ItemKind::Attribute, 3);
    let named_root = {
        let mut root = record(ROOT);
        root.name.cookie = 1;
        root.encode().to_vec()
    };
    // Arithmetic on such sizes once ended the process.
    let with_size = |size, words| {
        let record = crate::format::files::InodeRecord { size, ..record(file) };
        (inode_key(file), Some(record.encode().to_vec()), words)
    };
    let (target_key, _) = key_of(ItemKind::Content, link_to);
    let spoiled: Vec<(Key, Option<Vec<u8>>, &str)> = vec![
        with_size(u64::MAX, "at most 281474976645120"),
        with_size((1 << 32) * 4096, "at most 17592186040320"),
        (target_key, Some(b"tar\0et".to_vec()), "holds a NUL"),
        with_links(file, 3, "3 links, counted 2"),
        with_links(directory, 3, "3 links, counted 2"),
        (inode_key(file), None, "which is not there"),
        (inode_key(directory), Some(circle), "no way leads from it"),
        (inode_key(ROOT), Some(named_root), "the root says that it has a name"),
        (name_key, None, "names, of which it knows"),
        (below(name_key, ItemKind::Entry, 512), Some(name.clone()), "where its hash says"),
        (below(name_key, ItemKind::Entry, 1), Some(name.clone()), "\"file\" twice"),
        (name_key, Some([&name[..4], &[4], &name[5..]].concat()), "another kind"),
        (piece_key, Some(piece[1..].to_vec()), "6 bytes of content"),
        (piece_key, None, "0 bytes of content"),
        (below(piece_key, ItemKind::Content, 5), Some(piece.clone()), "piece 5"),
        (last_piece, None, "lacks"),
        (attribute_key, None, "belongs to none"),
        (short_key, Some(short[..short.len() - 1].to_vec()), "lacks 1 bytes"),
        (short_key, Some([&short[..1], b"usER", &short[5..]].concat()), "where its hash says"),
        (below(short_key, ItemKind::Attribute, 256), Some(short.clone()), "\"user.b\" twice"),
        (short_key, None, "having extended attributes"),
        (link_key, None, "2 names, of which it knows 1"),
        (below(link_key, ItemKind::Link, 1), Some(link.clone()), "where it is looked for"),
        (below(link_key, ItemKind::Link, 512), Some(link.clone()), "where it is looked for"),
        (link_key, Some(record(file).name.encode().to_vec()), "or is its own"),
        (Key::new(ItemKind::Orphan, file.0, 0), Some(Vec::new()), "noted as open"),
        (Key::new(ItemKind::Orphan, file.0, 1), Some(Vec::new()), "a wrong number"),
        (Key::new(ItemKind::Orphan, 77, 0), Some(Vec::new()), "a file that is not there"),
        (Key::new(ItemKind::Free, file.0, 0), Some(vec![0; 4]), "is noted as free"),
        (Key::new(ItemKind::Free, 77, 0), Some(vec![0; 4]), "never given"),
        (inode_key(Inode(900)), Some(record(file).encode().to_vec()), "never given"),
        (below(root_key, ItemKind::Entry, 256), Some(root_name), "where its hash says"),
    ];
    for (at, (key, value, words)) in spoiled.into_iter().enumerate() {
        let fork = store.fork("tree@1", &format!("spoiled-{at}")).unwrap();
        let fork = Files::open(fork, FilesOptions::default()).unwrap();
        {
            let core = &fork.core;
            let mut tree = core.tree.write();
            tree.transaction(&core.cache, &core.volume, |change| match value {
                Some(value) => change.put(key, &value),
                None => change.remove(key).map(|there| assert!(there)),
            })
            .unwrap();
            core.volume.note_change_above();
        }
        let snapshot = fork.snapshot(&Annotations::default()).unwrap();
        let report = check(&FilesView::open(snapshot).unwrap()).unwrap();
        assert!(!report.is_sound(), "{at}: {key:?}");
        let found = report.findings.iter().any(|finding| finding.what.contains(words));
        assert!(found, "{at}: \"{words}\" is not among {:?}", report.findings);
    }
}

/// Space that a file does not need is worth knowing, and harms nothing.
#[test]
fn check_tells_of_blocks_past_the_end_of_a_file() {
    let store = store();
    let files = files(&store);
    let file = make(&files, ROOT, "file");
    files.write(file, 0, &[1; 10 * 4096]).unwrap();
    let core = &files.core;
    core.volume.write_blocks(BlockAddress((file.0 as u64) << 32 | 12), 0, &[2; 4096]).unwrap();
    let view = FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap();
    let report = check(&view).unwrap();
    assert!(report.is_sound());
    let told: Vec<_> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(told, ["1 blocks past its end"]);
}

/// A made-up tree in which a directory stands below itself once had a walk that never ended.
#[test]
fn a_directory_with_a_second_name_is_refused_by_whoever_goes_down() {
    let store = store();
    let files = files(&store);
    let above = make_directory(&files, ROOT, "above");
    let below = make_directory(&files, above, "below");
    let sound = files.snapshot(&Annotations::default()).unwrap();
    files
        .core
        .operate("make a circle", |operation| {
            operation.change(|editor| editor.put_name(below, b"circle", above, FileKind::Directory))
        })
        .unwrap();
    let walk = |files: &dyn ReadFiles| {
        Paths::new(files).walk("/", |_, _| Ok(ControlFlow::Continue(()))).map(drop)
    };
    expect_error(walk(&files), ErrorKind::Corrupt);
    expect_error(Paths::new(&files).remove_dir_all("above"), ErrorKind::Corrupt);
    let circle = FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap();
    expect_error(compare(&FilesView::open(sound).unwrap(), &circle), ErrorKind::Corrupt);
    assert!(!check(&circle).unwrap().is_sound());
}

#[test]
fn a_walk_passes_over_no_name_that_leads_nowhere() {
    let store = store();
    let files = files(&store);
    make_directory(&files, ROOT, "d");
    files
        .core
        .operate("make a name of nothing", |operation| {
            operation.change(|editor| editor.put_name(ROOT, b"name", Inode(99), FileKind::Regular))
        })
        .unwrap();
    let view = FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap();
    for files in [&files as &dyn ReadFiles, &view] {
        let walked = Paths::new(files).walk("/", |_, _| Ok(ControlFlow::Continue(())));
        expect_error(walked, ErrorKind::NotFound);
    }
}

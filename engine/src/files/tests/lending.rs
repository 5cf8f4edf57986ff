//! Content without a copy: the same bytes, where they lie.

use super::*;
use crate::files::blocks::first_block;
use crate::files::core::Core;
use crate::testing::Random;
use crate::{MapPolicy, ReadPolicy};

const BLOCK: usize = 4096;

/// What a range is shown to hold, and whether it was lent.
fn shown(
    files: &dyn ReadFiles,
    inode: Inode,
    offset: u64,
    length: usize,
) -> Result<(Vec<u8>, bool)> {
    let mut buffer = vec![0xee; length];
    let own = buffer.as_ptr_range();
    let mut shown = None;
    files.read_with(inode, offset, &mut buffer, &mut |bytes| {
        assert!(shown.is_none(), "shown once");
        shown = Some((bytes.to_vec(), !own.contains(&bytes.as_ptr()) && !bytes.is_empty()));
    })?;
    Ok(shown.expect("shown"))
}

/// Compares both ways to read a range; whether the bytes were lent.
fn expect_same(files: &dyn ReadFiles, inode: Inode, offset: u64, length: usize) -> bool {
    let mut expected = vec![0xdd; length];
    let read = files.read(inode, offset, &mut expected).unwrap();
    let (shown, is_lent) = shown(files, inode, offset, length).unwrap();
    assert!(shown == expected[..read], "{length} bytes at {offset}");
    is_lent
}

#[test]
fn what_lies_in_one_piece_in_a_frozen_layer_is_lent() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
    let files = files(&store);
    let inode = make(&files, ROOT, "file");
    let small = make(&files, ROOT, "small");
    files.write(inode, 0, &vec![7; 10 * BLOCK + 5]).unwrap();
    files.write(small, 0, b"in the metadata").unwrap();
    let is_lent = |files: &dyn ReadFiles, offset: u64, length: usize| {
        expect_same(files, inode, offset, length)
    };
    assert!(!is_lent(&files, 0, BLOCK), "of an open layer");
    files.flush().unwrap();
    assert!(!is_lent(&files, 0, BLOCK), "of an open layer");
    let frozen = files.snapshot(&Annotations::default()).unwrap();
    for count in [0, 1 << 20, 1 << 52, u64::MAX] {
        let lent = frozen.lend_blocks(first_block(inode.0), count).unwrap();
        assert!(lent.is_none(), "{count} blocks");
    }
    let snapshot = FilesView::open(frozen).unwrap();
    let both: [&dyn ReadFiles; 2] = [&files, &snapshot];
    for files in both {
        assert!(is_lent(files, 0, 10 * BLOCK));
        assert!(is_lent(files, 100, BLOCK), "parts of two blocks");
        let end = shown(files, inode, 9 * BLOCK as u64 + 1, 5 * BLOCK).unwrap();
        assert_eq!(end, (vec![7; BLOCK + 4], true));
        assert!(!is_lent(files, 20 * BLOCK as u64, BLOCK), "past the end");
        assert!(!is_lent(files, BLOCK as u64, 0), "nothing");
        assert!(!expect_same(files, small, 3, 100));
    }
    // What is written over is in memory, then in the open layer.
    files.write(inode, 3 * BLOCK as u64 + 9, b"new").unwrap();
    for _ in 0..2 {
        assert!(is_lent(&files, 0, 3 * BLOCK));
        assert!(!is_lent(&files, 0, 3 * BLOCK + 1));
        assert!(is_lent(&files, 4 * BLOCK as u64, 6 * BLOCK));
        assert!(is_lent(&snapshot, 0, 10 * BLOCK));
        files.flush().unwrap();
    }
    files.zero(inode, 5 * BLOCK as u64, BLOCK as u64, SizeChange::Keep).unwrap();
    assert!(!is_lent(&files, 4 * BLOCK as u64, 2 * BLOCK));
}

#[test]
fn what_is_lent_is_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
    let mut files = files(&store);
    let inode = make(&files, ROOT, "file");
    let mut random = Random::new(23);
    let reach = 60 * BLOCK as u64;
    let (mut lent, mut copied) = (0, 0);
    for step in 0..3000 {
        let (offset, length) = (random.below(reach), random.below(9 * BLOCK as u64));
        match random.below(40) {
            0 => drop(files.snapshot(&Annotations::default()).unwrap()),
            1 => files.flush().unwrap(),
            2 => files.zero(inode, offset, length, SizeChange::Keep).unwrap(),
            3 if step % 5 == 0 => files = reopened(&store, files),
            4 => {
                let offset = offset / BLOCK as u64 * BLOCK as u64;
                files.write(inode, offset, &vec![step as u8; length as usize]).unwrap();
            }
            _ => match expect_same(&files, inode, offset, length as usize) {
                true => lent += 1,
                false => copied += 1,
            },
        }
    }
    assert!(lent > 200 && copied > 200, "{lent} lent, {copied} copied");
}

#[test]
fn damage_is_not_lent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Store::create(&path, &StoreOptions::default()).unwrap();
    let files = files(&store);
    let inode = make(&files, ROOT, "file");
    let mut content = vec![7; 10 * BLOCK];
    content[6 * BLOCK..6 * BLOCK + 16].copy_from_slice(b"here is the hurt");
    files.write(inode, 0, &content).unwrap();
    let layer = files.snapshot(&Annotations::default()).unwrap().layer_id();
    files.close().unwrap();
    let hurt = |folder: &std::path::Path| {
        let mut open = vec![folder.to_owned()];
        let mut hurt = 0;
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    open.push(entry);
                    continue;
                }
                let mut bytes = std::fs::read(&entry).unwrap();
                let place = bytes.windows(16).position(|window| window == b"here is the hurt");
                if let Some(place) = place {
                    bytes[place] ^= 1;
                    std::fs::write(&entry, bytes).unwrap();
                    hurt += 1;
                }
            }
        }
        hurt
    };
    assert_eq!(hurt(&path), 1, "one place of one file");
    for map in [MapPolicy::Map, MapPolicy::Guarded] {
        let mut options = StoreOptions::default();
        options.volume.read = ReadPolicy { map, ..options.volume.read };
        let store = Store::open(&path, &options).unwrap();
        let files =
            Files::open(store.open_volume("tree").unwrap(), FilesOptions::default()).unwrap();
        for _ in 0..2 {
            assert!(expect_same(&files, inode, 0, 6 * BLOCK));
            assert!(expect_same(&files, inode, 7 * BLOCK as u64, 9 * BLOCK));
            let error = shown(&files, inode, 0, 10 * BLOCK).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(&layer.to_string()), "{error}");
        }
        files.close().unwrap();
    }
}

/// What was lent went into a message to the kernel, which met a page that was gone: the message was
/// lost, and whoever had asked waited for ever.
#[test]
fn what_the_host_lost_is_an_error_and_not_lent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut options = StoreOptions::default();
    options.volume.read = ReadPolicy { map: MapPolicy::Guarded, ..options.volume.read };
    let store = Store::create(&path, &options).unwrap();
    let files = files(&store);
    let inode = make(&files, ROOT, "file");
    files.write(inode, 0, &vec![7; 64 * BLOCK]).unwrap();
    let layer = files.snapshot(&Annotations::default()).unwrap().layer_id();
    assert!(expect_same(&files, inode, 0, 64 * BLOCK), "verified, and in memory");
    let layer = path.join(format!("layers/{layer}.layer"));
    std::fs::File::options().write(true).open(layer).unwrap().set_len(0).unwrap();
    let error = shown(&files, inode, 0, 64 * BLOCK).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreadable, "{error}");
}

/// Two files of which the locks on their contents are one waited for themselves; a flush, a writer and
/// `show` waited for each other.
#[test]
fn what_is_shown_content_reads_on_and_is_refused_what_would_wait_for_it() {
    let files = files(&store());
    let inodes: Vec<Inode> =
        (0..260).map(|number| make(&files, ROOT, &number.to_string())).collect();
    let (one, same_lock) = (inodes[0], inodes[256]);
    assert_eq!(Core::content_place(one), Core::content_place(same_lock));
    files.write(one, 0, &[1; 9000]).unwrap();
    files.write(same_lock, 0, &[2; 9000]).unwrap();
    let mut buffer = [0; 9000];
    std::thread::scope(|scope| {
        let mut show = |bytes: &[u8]| {
            assert_eq!(bytes, [1; 9000]);
            scope.spawn(|| files.write(same_lock, 0, &[3; 9000]).unwrap());
            // Until it waits for the lock that this thread has.
            while files.core.content(one).try_read().is_some() {
                std::thread::yield_now();
            }
            assert_eq!(content(&files, same_lock), [2; 9000]);
            expect_error(files.write(same_lock, 0, b"x"), ErrorKind::InvalidInput);
            expect_error(files.flush(), ErrorKind::InvalidInput);
            expect_error(files.snapshot(&Annotations::default()), ErrorKind::InvalidInput);
        };
        files.read_with(one, 0, &mut buffer, &mut show).unwrap();
    });
    assert_eq!(content(&files, same_lock), [3; 9000]);
    files.write(same_lock, 0, &[4; 9000]).unwrap();
    files.flush().unwrap();
}

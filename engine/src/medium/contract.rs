//! What every host and medium has to do, run over each of them: the engine cannot
//! tell them apart, so its tests on doubles hold for files.

use std::io::{ErrorKind, IoSlice};
use std::path::Path;

use super::{FileHost, Host, LockMode, LockWait, MemoryHost, Network, OpenMode};

/// Holds `host`, whose root is empty, to the contract of [`Host`] and of [`super::Medium`].
pub(crate) fn check(host: &dyn Host) {
    names_lead_to_files(host);
    paths_stay_inside(host);
    bytes_come_back(host);
    large_writes_come_back(host);
    ranges_are_allocated_and_punched(host);
    locks_belong_to_handles(host);
    bytes_are_locked_one_by_one(host);
}

fn names_lead_to_files(host: &dyn Host) {
    let (a, b) = (Path::new("folder/a"), Path::new("folder/b"));
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(host.open(a, OpenMode::CreateNew).map(drop)), ErrorKind::NotFound);
    host.create_folder(Path::new("folder")).unwrap();
    assert_eq!(kind(host.create_folder(Path::new("folder"))), ErrorKind::AlreadyExists);
    assert_eq!(kind(host.open(a, OpenMode::Read).map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(host.open(a, OpenMode::ReadWrite).map(drop)), ErrorKind::NotFound);

    let first = host.open(a, OpenMode::CreateNew).unwrap();
    assert_eq!(kind(host.open(a, OpenMode::CreateNew).map(drop)), ErrorKind::AlreadyExists);
    let again = host.open(a, OpenMode::OpenOrCreate).unwrap();
    assert_eq!(first.facts().unwrap(), again.facts().unwrap());
    assert_eq!(host.facts(a).unwrap(), first.facts().unwrap());

    let other = host.open(b, OpenMode::OpenOrCreate).unwrap();
    assert_ne!(other.facts().unwrap().identity, first.facts().unwrap().identity);
    assert_eq!(kind(host.rename_new(a, b)), ErrorKind::AlreadyExists);
    host.rename(a, b).unwrap();
    assert_eq!(host.facts(b).unwrap().identity, first.facts().unwrap().identity);
    assert_eq!(other.facts().unwrap().links, 0, "replaced, and open still");
    other.write_at(0, b"unlinked").unwrap();
    host.rename_new(b, a).unwrap();
    assert_eq!(host.list(Path::new("folder")).unwrap(), ["a"]);
    assert_eq!(host.list(Path::new("")).unwrap(), ["folder"]);
    host.sync_folder(Path::new("folder")).unwrap();
    host.sync_folder(Path::new("")).unwrap();
    assert_eq!(kind(host.sync_folder(Path::new("missing"))), ErrorKind::NotFound);
    assert_eq!(kind(host.list(Path::new("missing")).map(drop)), ErrorKind::NotFound);

    assert_eq!(first.facts().unwrap().links, 1);
    host.link(a, b).unwrap();
    assert_eq!(kind(host.link(a, b)), ErrorKind::AlreadyExists);
    assert_eq!(kind(host.link(Path::new("folder/missing"), b)), ErrorKind::NotFound);
    assert_eq!(host.facts(b).unwrap(), first.facts().unwrap());
    assert_eq!(first.facts().unwrap().links, 2);
    host.remove(b).unwrap();
    assert_eq!(first.facts().unwrap().links, 1);
    host.remove(a).unwrap();
    assert_eq!(first.facts().unwrap().links, 0);
    assert_eq!(kind(host.remove(a)), ErrorKind::NotFound);
    assert_eq!(kind(host.rename(a, b)), ErrorKind::NotFound);
    assert_eq!(kind(host.facts(a).map(drop)), ErrorKind::NotFound);
}

fn paths_stay_inside(host: &dyn Host) {
    for outside in ["..", "../escape", "folder/../../escape", "/escape", "./folder"] {
        let outside = Path::new(outside);
        let inside = Path::new("folder/c");
        for result in [
            host.open(outside, OpenMode::OpenOrCreate).map(drop),
            host.create_folder(outside),
            host.rename(outside, inside),
            host.rename_new(inside, outside),
            host.link(outside, inside),
            host.link(inside, outside),
            host.remove(outside),
            host.sync_folder(outside),
            host.list(outside).map(drop),
            host.facts(outside).map(drop),
        ] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput, "{outside:?}");
        }
    }
}

/// Larger than what one call hands over, in one slice and in several.
fn large_writes_come_back(host: &dyn Host) {
    let file = host.open(Path::new("large"), OpenMode::CreateNew).unwrap();
    let pattern: Vec<u8> = (0..1_500_000u32).map(|n| (n % 251) as u8).collect();
    file.write_at(7, &pattern).unwrap();
    let (first, rest) = pattern.split_at(100_000);
    let (second, third) = rest.split_at(262_144);
    let slices = [first, second, &[], third].map(IoSlice::new);
    file.write_vectored_at(2_000_000, &slices).unwrap();
    assert_eq!(file.facts().unwrap().length, 3_500_000);
    for offset in [7, 2_000_000] {
        let mut bytes = vec![0; pattern.len()];
        file.read_at(offset, &mut bytes).unwrap();
        assert!(bytes == pattern, "at {offset}");
    }
    host.remove(Path::new("large")).unwrap();
}

fn bytes_come_back(host: &dyn Host) {
    let path = Path::new("bytes");
    let file = host.open(path, OpenMode::CreateNew).unwrap();
    let pattern: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
    file.write_at(5000, &pattern).unwrap();
    let slices: Vec<&[u8]> = pattern.chunks(7).collect();
    let mut slices: Vec<IoSlice<'_>> = slices.into_iter().map(IoSlice::new).collect();
    slices.insert(0, IoSlice::new(&[]));
    assert!(slices.len() > 2048, "more than one call of the host");
    file.write_vectored_at(100_001, &slices).unwrap();
    file.write_vectored_at(500_000, &[]).unwrap();
    assert_eq!(file.facts().unwrap().length, 120_001);
    file.start_writeback(0, 120_001).unwrap();
    file.sync().unwrap();
    file.drop_cache().unwrap();
    assert!(file.facts().unwrap().allocated_bytes >= 40_000);

    let reader = host.open(path, OpenMode::Read).unwrap();
    for uncached in [false, true] {
        let read = |offset, length| {
            let mut bytes = vec![0xff; length];
            let done = match uncached {
                true => reader.read_uncached_at(offset, &mut bytes),
                false => reader.read_at(offset, &mut bytes),
            };
            done.map(|()| bytes)
        };
        assert_eq!(read(5000, pattern.len()).unwrap(), pattern);
        assert_eq!(read(100_001, pattern.len()).unwrap(), pattern);
        assert_eq!(read(5123, 1000).unwrap(), pattern[123..1123]);
        assert_eq!(read(0, 5000).unwrap(), [0; 5000]);
        assert_eq!(read(120_001, 0).unwrap(), []);
        for (offset, length) in [(120_001, 1), (120_000, 2), (0, 120_002), (1 << 40, 1)] {
            let error = read(offset, length).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{offset} {length} {uncached}");
        }
    }
    if let Some(map) = reader.map(4096, 16_384).unwrap() {
        assert_eq!(map.bytes(904, 1000), &pattern[..1000]);
        map.try_copy(904, &mut [0; 1000]).unwrap();
    }
    for refused in [
        reader.write_at(0, b"x"),
        reader.write_vectored_at(0, &[IoSlice::new(b"x")]),
        reader.punch(0, 4096),
        reader.allocate(0, 4096),
        reader.set_length(0),
    ] {
        refused.expect_err("opened for reading only");
    }
    host.remove(path).unwrap();
}

fn ranges_are_allocated_and_punched(host: &dyn Host) {
    let path = Path::new("ranges");
    let file = host.open(path, OpenMode::CreateNew).unwrap();
    assert_eq!(file.next_data(0).unwrap(), None);
    file.allocate(0, 1 << 20).unwrap();
    assert_eq!(file.facts().unwrap().length, 1 << 20);
    let mut bytes = vec![1; 4096];
    file.read_at((1 << 20) - 4096, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 4096]);
    file.allocate(0, 4096).unwrap();
    assert_eq!(file.facts().unwrap().length, 1 << 20, "never shorter");

    file.set_length(2 << 20).unwrap();
    file.write_at(1 << 20, &[7; 65_536]).unwrap();
    file.sync().unwrap();
    let (start, end) = file.next_data(1 << 20).unwrap().unwrap();
    assert!(start == 1 << 20 && end >= start + 65_536, "{start}..{end}");
    match file.punch(1 << 20, 65_536) {
        Ok(()) => {
            file.read_at(1 << 20, &mut bytes).unwrap();
            assert_eq!(bytes, [0; 4096]);
            assert_eq!(file.facts().unwrap().length, 2 << 20);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    }

    // What stands beside a punched range stays, and what was cut off does not come back.
    file.write_at(1 << 20, &[8; 3 * 4096]).unwrap();
    if file.punch((1 << 20) + 4096, 4096).is_ok() {
        let mut three = [1; 3 * 4096];
        file.read_at(1 << 20, &mut three).unwrap();
        assert_eq!(three, [[8; 4096], [0; 4096], [8; 4096]].concat()[..]);
    }
    file.set_length((1 << 20) + 100).unwrap();
    assert_eq!(file.facts().unwrap().length, (1 << 20) + 100);
    file.set_length(2 << 20).unwrap();
    file.read_at(1 << 20, &mut bytes).unwrap();
    assert_eq!((&bytes[..100], &bytes[100..]), (&[8; 100][..], &[0; 3996][..]));
    host.remove(path).unwrap();
}

fn bytes_are_locked_one_by_one(host: &dyn Host) {
    let path = Path::new("bytes.lock");
    let open = || host.open(path, OpenMode::OpenOrCreate).unwrap();
    let (first, second) = (open(), open());
    assert!(first.lock_byte(1 << 40, LockWait::Try).unwrap());
    assert!(first.lock_byte(1 << 40, LockWait::Try).unwrap(), "its own does not hinder");
    assert!(!second.lock_byte(1 << 40, LockWait::Try).unwrap());
    assert!(second.lock_byte((1 << 40) + 1, LockWait::Try).unwrap());
    assert!(second.lock(LockMode::Exclusive, LockWait::Try).unwrap(), "the file's is another one");
    host.open(path, OpenMode::Read).unwrap().lock_byte(0, LockWait::Try).unwrap_err();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| second.lock_byte(1 << 40, LockWait::Block).unwrap());
        drop(first);
        assert!(waiting.join().unwrap(), "closing gives it back");
    });
    assert!(!open().lock_byte(1 << 40, LockWait::Try).unwrap());
}

fn locks_belong_to_handles(host: &dyn Host) {
    use LockMode::{Exclusive, Shared};
    let path = Path::new("lock");
    let open = || host.open(path, OpenMode::OpenOrCreate).unwrap();
    let (first, second) = (open(), open());
    assert!(first.lock(Shared, LockWait::Try).unwrap());
    assert!(second.lock(Shared, LockWait::Try).unwrap());
    assert!(!open().lock(Exclusive, LockWait::Try).unwrap());
    second.unlock().unwrap();
    assert!(first.lock(Exclusive, LockWait::Try).unwrap(), "its own shared lock does not hinder");
    assert!(!second.lock(Shared, LockWait::Try).unwrap());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| second.lock(Exclusive, LockWait::Block).unwrap());
        drop(first);
        assert!(waiting.join().unwrap(), "closing gives the lock back");
    });
    assert!(!open().lock(Shared, LockWait::Try).unwrap());
    assert!(second.lock(Shared, LockWait::Try).unwrap(), "made weaker");
    assert!(open().lock(Shared, LockWait::Try).unwrap());
    host.remove(path).unwrap();
}

#[test]
fn memory_keeps_the_contract() {
    check(&MemoryHost::new());
}

#[test]
fn files_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    check(&FileHost::open_root(folder.path(), Network::Refuse).unwrap());
}

#[test]
fn files_in_memory_keep_the_contract() {
    let shared_memory = Path::new("/dev/shm");
    if !shared_memory.is_dir() {
        eprintln!("skipped: this machine has no /dev/shm");
        return;
    }
    let folder = tempfile::tempdir_in(shared_memory).unwrap();
    check(&FileHost::open_root(folder.path(), Network::Refuse).unwrap());
}

#[test]
fn a_root_is_made_with_the_folders_above_it_and_must_be_a_folder() {
    use crate::ErrorKind as Kind;
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b/c");
    let missing = FileHost::open_root(&deep, Network::Refuse).unwrap_err();
    assert_eq!((missing.kind(), missing.path()), (Kind::NotFound, Some(deep.as_path())));
    let host = FileHost::create_root(&deep, Network::Refuse).unwrap();
    assert_eq!(host.display_path(Path::new("name")), deep.join("name"));
    host.open(Path::new("name"), OpenMode::CreateNew).unwrap();
    let again = FileHost::create_root(&deep, Network::Refuse).unwrap();
    assert_eq!(again.list(Path::new("")).unwrap(), ["name"]);
    let file = FileHost::open_root(deep.join("name"), Network::Refuse).unwrap_err();
    assert_eq!(file.kind(), Kind::Io);
}

/// Whoever was on the machine read `/etc/shadow` of all images in root's store.
#[test]
fn folders_are_their_owners_alone_and_one_that_was_given_stays_as_it_is() {
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path| metadata(path).unwrap().permissions().mode() & 0o7777;
    let made = folder.path().join("above/made");
    let host = FileHost::create_root(&made, Network::Refuse).unwrap();
    host.create_folder(Path::new("inside")).unwrap();
    assert_eq!((mode(&made), mode(&made.join("inside"))), (0o700, 0o700));
    let beside = made.join("beside/deep");
    super::create_private_folders(&beside).unwrap();
    super::create_private_folders(&beside).unwrap();
    assert_eq!((mode(&made.join("beside")), mode(&beside)), (0o700, 0o700));

    let given = folder.path().join("given");
    std::fs::create_dir(&given).unwrap();
    set_permissions(&given, Permissions::from_mode(0o2775)).unwrap();
    let host = FileHost::create_root(&given, Network::Refuse).unwrap();
    host.create_folder(Path::new("inside")).unwrap();
    assert_eq!(mode(&given), 0o2775);
    assert_eq!(mode(&given.join("inside")) & 0o777, 0o700);
}

/// A link `index` had a collection remove all that ends in `.tmp` of where it led to.
#[test]
fn a_link_in_the_place_of_a_folder_is_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("outside")).unwrap();
    std::fs::create_dir_all(folder.path().join("root/inside")).unwrap();
    std::os::unix::fs::symlink("../outside", folder.path().join("root/link")).unwrap();
    std::os::unix::fs::symlink("root", folder.path().join("linked")).unwrap();
    // The root itself may be linked to.
    let host = FileHost::open_root(folder.path().join("linked"), Network::Refuse).unwrap();
    host.list(Path::new("inside")).unwrap();
    for name in ["link", "inside/../link"] {
        assert!(host.list(Path::new(name)).is_err() && host.sync_folder(Path::new(name)).is_err());
    }
}

#[test]
fn a_host_is_known_by_a_path_that_means_the_same_everywhere() {
    let here = FileHost::open_root(".", Network::Refuse).unwrap();
    let expected = std::env::current_dir().unwrap().join("name");
    assert_eq!(here.display_path(Path::new("name")), expected);
}

//! A running mount is asked by another process: this one.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use sapwood::files::{FilesView, Inode, ReadFiles};
use sapwood::{Annotations, ErrorKind};
use sapwood_fuse::{RunningMount, control_folder, remove_stale_socket, remove_stale_sockets};

use crate::harness::{Place, can_mount};

/// A file of a view that stands in its root.
fn read(view: &FilesView, name: &str) -> Option<Vec<u8>> {
    let inode = view.lookup(Inode::ROOT, name.as_bytes()).ok()?;
    let mut bytes = vec![0; view.attributes(inode).unwrap().size as usize];
    let length = view.read(inode, 0, &mut bytes).unwrap();
    assert_eq!(length, bytes.len());
    Some(bytes)
}

#[test]
fn a_flush_makes_durable_what_nobody_synced() {
    if !can_mount("a_flush_makes_durable_what_nobody_synced") {
        return;
    }
    let place = Place::new();
    let mut served = place.serve(&[]);
    fs::write(served.path("file"), vec![42; 100_000]).unwrap();
    let mut mount = place.ask("web");
    assert_eq!(mount.directory(), served.directory);
    mount.flush().unwrap();
    served.kill();
    drop(served);
    let served = place.serve(&[]);
    assert_eq!(fs::read(served.path("file")).unwrap(), vec![42; 100_000]);
    served.unmount();
    place.check();
}

/// `syncfs` returned before what was dirty had arrived at the server: a snapshot taken right
/// behind it lacked the last of what had been written.
#[test]
fn a_flush_has_what_the_kernel_was_still_writing_back() {
    if !can_mount("a_flush_has_what_the_kernel_was_still_writing_back") {
        return;
    }
    let place = Place::new();
    for round in 1..=5 {
        let mut served = place.serve(&[]);
        let file = fs::File::create(served.path("file")).unwrap();
        // Each second page: as many messages as pages.
        let pages = 4000;
        for page in 0..pages {
            file.write_all_at(&[round; 4096], page * 8192).unwrap();
        }
        place.ask("web").flush().unwrap();
        served.kill();
        drop((file, served));
        let served = place.serve(&[]);
        let file = fs::File::open(served.path("file")).unwrap();
        let mut bytes = [0; 4096];
        for page in 0..pages {
            file.read_exact_at(&mut bytes, page * 8192).unwrap();
            assert_eq!(bytes, [round; 4096], "round {round}, page {page}");
        }
        drop(file);
        served.unmount();
    }
}

#[test]
fn snapshots_of_a_mount_under_writers_are_whole() {
    if !can_mount("snapshots_of_a_mount_under_writers_are_whole") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (served, is_done) = (&served, &is_done);
            scope.spawn(move || {
                for round in 0_u64.. {
                    if is_done.load(Ordering::Relaxed) {
                        break;
                    }
                    // A file is put in place whole, then the next: no snapshot has it in part,
                    // nor the second of a later round than the first.
                    for name in ["first", "second"] {
                        let aside = served.path(&format!("{writer}-aside"));
                        let content = vec![(round % 251) as u8; 10_000 + writer * 1000];
                        fs::write(&aside, [&round.to_le_bytes()[..], &content].concat()).unwrap();
                        fs::File::open(&aside).unwrap().sync_data().unwrap();
                        fs::rename(&aside, served.path(&format!("{writer}-{name}"))).unwrap();
                    }
                }
            });
        }
        let store = place.store();
        for number in 0..8 {
            let annotations =
                Annotations { comment: Some(format!("number {number}")), ..Annotations::default() };
            let layer = place.ask("web").snapshot(&annotations).unwrap();
            let view = FilesView::open(store.snapshot_of(&layer.to_string()).unwrap()).unwrap();
            let comment = store.layer(layer).unwrap().annotations.comment;
            assert_eq!(comment, annotations.comment);
            for writer in 0..3 {
                let round = |name: &str| {
                    let content = read(&view, &format!("{writer}-{name}"))?;
                    let (round, rest) = content.split_first_chunk::<8>().unwrap();
                    let round = u64::from_le_bytes(*round);
                    assert_eq!(rest.len(), 10_000 + writer * 1000);
                    assert!(rest.iter().all(|&byte| u64::from(byte) == round % 251));
                    Some(round)
                };
                let (first, second) = (round("first"), round("second"));
                let next = second.map_or(Some(0), |second| Some(second + 1));
                assert!(first == second || first == next, "{first:?} and {second:?}");
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
    served.unmount();
    place.check();
}

#[test]
fn who_waits_is_told_when_the_mount_has_ended() {
    if !can_mount("who_waits_is_told_when_the_mount_has_ended") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    fs::write(served.path("file"), "x").unwrap();
    let mount = place.ask("web");
    let waiter = std::thread::spawn(move || mount.wait());
    served.unmount();
    waiter.join().unwrap().unwrap();
    let folder = control_folder(&place.store_path(), &sapwood::store::Name::new("web").unwrap());
    assert!(RunningMount::find(&folder).unwrap().is_none());
    assert!(!folder.exists(), "nothing is left of it");
}

#[test]
fn a_mount_that_was_killed_is_no_running_mount() {
    if !can_mount("a_mount_that_was_killed_is_no_running_mount") {
        return;
    }
    let place = Place::new();
    let mut served = place.serve(&[]);
    served.kill();
    let folder = control_folder(&place.store_path(), &sapwood::store::Name::new("web").unwrap());
    assert!(RunningMount::find(&folder).unwrap().is_none());
    drop(served);
    let store = place.store();
    assert_eq!(remove_stale_sockets(&store, true).unwrap(), 1);
    assert!(folder.exists());
    assert_eq!(remove_stale_sockets(&store, false).unwrap(), 1);
    assert!(!folder.exists());
    let served = place.serve(&[]);
    assert_eq!(remove_stale_sockets(&store, false).unwrap(), 0);
    remove_stale_socket(&store, &sapwood::store::Name::new("web").unwrap()).unwrap();
    place.ask("web").flush().unwrap();
    let error = place.store().open_volume("web").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    let holder = served.process().as_raw_nonzero().to_string();
    assert!(error.to_string().contains(&holder), "{error}");
    served.unmount();
}

/// Whoever mounted first owned the folder of all sockets, in a store that was shared on purpose, too.
#[test]
fn a_group_that_shares_a_store_shares_its_mounts() {
    if !can_mount("a_group_that_shares_a_store_shares_its_mounts") {
        return;
    }
    const GROUP: u32 = 65534;
    let place = Place::new();
    let facts = |path: &Path| {
        let found = fs::metadata(path).unwrap();
        (found.mode() & 0o7777, found.gid())
    };
    let folder = control_folder(&place.store_path(), &sapwood::store::Name::new("web").unwrap());
    let (mounts, socket) = (folder.parent().unwrap(), folder.join("control"));
    let own = rustix::process::getegid().as_raw();
    let served = place.serve(&[]);
    for (path, mode) in [(mounts, 0o700), (&*folder, 0o700), (&*socket, 0o600)] {
        assert_eq!(facts(path), (mode, own), "{}", path.display());
    }
    served.unmount();
    fs::remove_dir(mounts).unwrap();

    let layers = place.store_path().join("layers");
    chown(&layers, None, Some(GROUP)).unwrap();
    fs::set_permissions(&layers, fs::Permissions::from_mode(0o2770)).unwrap();
    let served = place.serve(&[]);
    for (path, mode) in [(mounts, 0o2770), (&*folder, 0o2770), (&*socket, 0o660)] {
        assert_eq!(facts(path), (mode, GROUP), "{}", path.display());
    }
    served.unmount();
    place.check();
}

/// Who shares a store said that a mount is on a FIFO, and whoever asked it waited for ever.
#[test]
fn what_a_server_says_that_it_is_mounted_on_is_a_directory() {
    let place = Place::new();
    let folder = control_folder(&place.store_path(), &sapwood::store::Name::new("web").unwrap());
    fs::create_dir_all(&folder).unwrap();
    let fifo = folder.join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let listener = UnixListener::bind(folder.join("control")).unwrap();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 6];
            stream.read_exact(&mut asked).unwrap();
            let said = format!("ok directory={} filesystem=0:0\n", fifo.display());
            stream.write_all(said.as_bytes()).unwrap();
        });
        // Who opens it to read does not wait for ever.
        let writer = scope.spawn(|| drop(fs::File::options().write(true).open(&fifo)));
        let error = place.ask("web").flush().unwrap_err();
        while !writer.is_finished() {
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
            drop(rustix::fs::open(&fifo, flags, rustix::fs::Mode::empty()).unwrap());
        }
        error
    });
    let source = error.io_source().expect("the host's word");
    assert_eq!(source.kind(), std::io::ErrorKind::NotADirectory, "{error}");
}

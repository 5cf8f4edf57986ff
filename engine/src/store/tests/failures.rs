//! What the host refuses: no room, no file more, a device that fails, a sync that does.

use super::*;
use crate::ErrorKind;
use crate::store::paths;
use crate::testing::{Call, CrashDisk, Fault, FaultHost, FaultKind, Repeat};
use crate::volume::CloneSource;

/// A snapshot of a fork without a durable name once wrote the name after the frozen header: no
/// room for it poisoned the volume, and was told as if nothing had happened.
#[test]
fn a_snapshot_without_room_changes_nothing_or_says_that_it_did() {
    let mut outcomes = std::collections::BTreeSet::new();
    for after in 0.. {
        let disk = CrashDisk::new();
        let faults = FaultHost::on_disk(&disk);
        let host: Arc<dyn Host> = faults.clone();
        let store = store_on(&host);
        let base = store.create_volume("base", DISK).unwrap();
        fill(&base, 0, 1, 1);
        let web = store.fork_snapshot(&freeze(&base), "web").unwrap();
        fill(&web, 1, 1, 2);
        let kind = FaultKind::NoSpace;
        faults.arm(Fault { kind, after, repeat: Repeat::Once });
        let result = web.snapshot(&Annotations::default());
        let was_injected = faults.injected() > 0;
        faults.disarm();
        match result {
            Ok(_) if !was_injected => break,
            Ok(_) => drop(outcomes.insert("found room elsewhere")),
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                outcomes.insert("nothing happened");
                assert_eq!([byte_in(&web, 0), byte_in(&web, 1)], [1, 2], "after {after}");
                fill(&web, 2, 1, 3);
                let snapshot = freeze(&web);
                assert_eq!([1, 2].map(|block| byte_of(&snapshot, block)), [2, 3], "after {after}");
                fill(&web, 2, 1, 4);
                web.flush().unwrap();
            }
            Err(error) => {
                outcomes.insert("poisoned");
                assert_eq!(error.kind(), ErrorKind::Poisoned, "after {after}: {error}");
                assert_eq!(web.flush().unwrap_err().kind(), ErrorKind::Poisoned);
                drop(web);
                let web = store.open_volume("web").unwrap();
                assert_eq!(byte_in(&web, 0), 1);
            }
        }
    }
    assert!(outcomes.contains("nothing happened") && outcomes.contains("poisoned"), "{outcomes:?}");
}

/// On a full host each fork that was tried left an empty file.
#[test]
fn a_fork_that_fails_leaves_no_file() {
    let mut failed = 0;
    for after in 0.. {
        let faults = FaultHost::new(Arc::new(MemoryHost::new()));
        let host: Arc<dyn Host> = faults.clone();
        let store = store_on(&host);
        freeze(&store.create_volume("base", DISK).unwrap());
        let files =
            || [paths::LAYERS, paths::NAMES].map(|folder| host.list(folder.as_ref()).unwrap());
        let before = files();
        faults.arm(Fault { kind: FaultKind::NoSpace, after, repeat: Repeat::Once });
        let result = store.fork("base@1", "web").map(drop);
        let was_injected = faults.injected() > 0;
        faults.disarm();
        match result {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "after {after}");
                assert_eq!(files(), before, "after {after}");
                failed += 1;
            }
            Ok(()) if was_injected => {}
            Ok(()) => break,
        }
    }
    assert!(failed > 2, "{failed}");
}

/// A first flush of a fork that found no room for the name poisoned the volume, and was told as one
/// that can be made again; a process that could open no file more lost what it had not flushed.
#[test]
fn what_lacks_room_or_a_file_is_made_again_or_told_as_poison() {
    type Work = fn(&crate::Volume) -> crate::Result<()>;
    let works: [Work; 2] =
        [|web| web.flush(), |web| web.snapshot(&Annotations::default()).map(drop)];
    let faults = [
        (FaultKind::NoSpace, ErrorKind::NoSpace),
        (FaultKind::NoDescriptor, ErrorKind::Io),
        (FaultKind::NotPermitted, ErrorKind::NotPermitted),
    ];
    for (kind, told) in faults {
        for work in works {
            let mut again = 0;
            for after in 0.. {
                let disk = CrashDisk::new();
                let faults = FaultHost::on_disk(&disk);
                let host: Arc<dyn Host> = faults.clone();
                let store = store_on(&host);
                let base = store.create_volume("base", DISK).unwrap();
                fill(&base, 0, 1, 1);
                let web = store.fork_snapshot(&freeze(&base), "web").unwrap();
                fill(&web, 1, 1, 2);
                faults.arm(Fault { kind, after, repeat: Repeat::Once });
                let result = work(&web);
                let was_injected = faults.injected() > 0;
                faults.disarm();
                match result {
                    Ok(()) if !was_injected => break,
                    Ok(()) => {}
                    Err(error) if web.flush().is_ok() => {
                        assert_eq!(error.kind(), told, "after {after}");
                        again += 1;
                    }
                    Err(error) => {
                        assert_ne!(error.kind(), ErrorKind::NoSpace, "after {after}: {error}");
                        continue;
                    }
                }
                fill(&web, 2, 1, 3);
                web.flush().unwrap();
                drop(web);
                let web = store.open_volume("web").unwrap();
                assert_eq!([0, 1, 2].map(|block| byte_in(&web, block)), [1, 2, 3], "after {after}");
            }
            assert!(again > 0, "{kind:?}");
        }
    }
}

/// Zeros that are written ahead of a commit once failed without consequences: a volume went on
/// after a device error.
#[test]
fn a_device_error_while_blocks_are_written_poisons() {
    let works: [fn(&Volume) -> crate::Result<()>; 3] = [
        |web| web.flush(),
        |web| web.snapshot(&Annotations::default()).map(drop),
        |web| web.clone_range(CloneSource::Own, 0, 8 * BLOCK as u64, BLOCK as u64),
    ];
    for work in works {
        let mut failed = 0;
        for after in 0.. {
            let faults = FaultHost::new(Arc::new(MemoryHost::new()));
            let host: Arc<dyn Host> = faults.clone();
            let web = store_on(&host).create_volume("web", DISK).unwrap();
            fill(&web, 0, 4, 1);
            let kind = FaultKind::DeviceError;
            faults.arm(Fault { kind, after, repeat: Repeat::Once });
            let result = work(&web);
            let was_injected = faults.injected() > 0;
            faults.disarm();
            if let Err(error) = result {
                failed += 1;
                let kind = web.write_at(0, &[2]).unwrap_err().kind();
                assert_eq!(kind, ErrorKind::Poisoned, "after {after}: {error}");
            } else if !was_injected {
                break;
            }
        }
        assert!(failed > 1, "{failed}");
    }
}

/// The kernel would answer that all is well, and its cache goes on serving what was lost.
#[test]
fn after_a_failed_sync_the_last_durable_commit_is_shown_and_no_sync_is_asked_again() {
    let faults = FaultHost::on_disk(&CrashDisk::new());
    let host: Arc<dyn Host> = faults.clone();
    let web = store_on(&host).create_volume("web", DISK).unwrap();
    fill(&web, 0, 4, 1);
    web.flush().unwrap();
    fill(&web, 0, 4, 2);
    let syncs = || faults.calls(Call::Sync);
    let before = syncs();
    assert!(!web.is_poisoned());
    faults.arm(Fault { kind: FaultKind::FailedSync, after: 0, repeat: Repeat::Once });
    let failed = web.flush().unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Io);
    assert!(web.is_poisoned());
    let why = web.flush().unwrap_err().to_string();
    assert!(why.contains(&format!("earlier error ({failed}); reopen")), "{why}");
    let refused = [
        web.write_at(0, &[3]),
        web.flush(),
        web.snapshot(&Annotations::default()).map(drop),
        web.checkpoint(),
    ];
    assert!(refused.iter().all(|it| it.as_ref().unwrap_err().kind() == ErrorKind::Poisoned));
    assert_eq!((byte_in(&web, 0), syncs() - before), (1, 1));
    assert_eq!(web.close().unwrap_err().kind(), ErrorKind::Poisoned);
    let web = reopened(&host).open_volume("web").unwrap();
    assert_eq!(byte_in(&web, 0), 1, "what the cache says is not what the device has");
}

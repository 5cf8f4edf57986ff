//! The crash disk itself: it gives every state that a host allows, and no other.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use sapwood::medium::{Host, LockMode, LockWait, OpenMode};
use sapwood::testing::{CrashDisk, CrashState, DistinctStates, Policy};

fn exhaustive() -> Policy {
    Policy { samples: 0, ..Policy::default() }
}

/// What the root folder holds: each file with its length and the first byte of each sector.
fn look(host: &dyn Host) -> String {
    let mut names = host.list(Path::new("")).unwrap();
    names.sort();
    let files = names.iter().map(|name| {
        let file = host.open(Path::new(name), OpenMode::Read).unwrap();
        let mut bytes = vec![0; file.facts().unwrap().length as usize];
        file.read_at(0, &mut bytes).unwrap();
        let sectors: Vec<String> = bytes.chunks(512).map(|sector| sector[0].to_string()).collect();
        format!("{}={}", name.display(), sectors.join(","))
    });
    files.collect::<Vec<_>>().join(" ")
}

fn all_looks(disk: &CrashDisk, policy: &Policy) -> BTreeSet<String> {
    disk.states_at(disk.log_len(), policy).map(|state| look(&*state.host())).collect()
}

fn set(looks: &[&str]) -> BTreeSet<String> {
    looks.iter().map(|look| look.to_string()).collect()
}

/// A disk with a durable file `a` of one sector of ones.
fn disk_with_a_file() -> (Arc<CrashDisk>, Arc<dyn Host>) {
    let disk = CrashDisk::new();
    let host = disk.host();
    let file = host.open(Path::new("a"), OpenMode::CreateNew).unwrap();
    file.write_at(0, &[1; 512]).unwrap();
    file.sync().unwrap();
    host.sync_folder(Path::new("")).unwrap();
    (disk, host)
}

#[test]
fn what_was_synced_is_there_and_nothing_else() {
    let (disk, host) = disk_with_a_file();
    assert_eq!(all_looks(&disk, &Policy::default()), set(&["a=1"]));
    let file = host.open(Path::new("a"), OpenMode::ReadWrite).unwrap();
    file.write_at(0, &[2; 512]).unwrap();
    file.sync().unwrap();
    assert_eq!(all_looks(&disk, &Policy::default()), set(&["a=2"]));
}

#[test]
fn unsynced_writes_arrive_in_any_subset() {
    let (disk, host) = disk_with_a_file();
    let file = host.open(Path::new("a"), OpenMode::ReadWrite).unwrap();
    file.set_length(1024).unwrap();
    file.sync().unwrap();
    file.write_at(0, &[2; 512]).unwrap();
    file.write_at(512, &[3; 512]).unwrap();
    file.write_at(0, &[4; 512]).unwrap();
    let expected = ["a=1,0", "a=2,0", "a=4,0", "a=1,3", "a=2,3", "a=4,3"];
    assert_eq!(all_looks(&disk, &exhaustive()), set(&expected));
    let states: Vec<CrashState> = disk.states_at(disk.log_len(), &exhaustive()).collect();
    assert_eq!(states.len(), 8, "three writes");
    let mut distinct = DistinctStates::default();
    states.iter().for_each(|state| {
        distinct.note(state);
    });
    assert_eq!(distinct.len(), 6, "a write under a later one makes no difference");
}

/// A name was durable and nothing of its file: the next file that was made took its number, and
/// both names led to it.
#[test]
fn a_file_made_after_a_power_cut_is_a_new_one() {
    let disk = CrashDisk::new();
    let host = disk.host();
    host.open(Path::new("a"), OpenMode::CreateNew).unwrap();
    host.sync_folder(Path::new("")).unwrap();
    let states: Vec<CrashState> = disk.states_at(disk.log_len(), &exhaustive()).collect();
    assert!(!states.is_empty());
    for state in states {
        let host = state.host();
        let file = host.open(Path::new("b"), OpenMode::CreateNew).unwrap();
        file.write_at(0, &[1; 512]).unwrap();
        assert_eq!(host.facts(Path::new("a")).unwrap().length, 0, "{}", state.describe());
    }
}

#[test]
fn an_earlier_point_knows_nothing_of_later_operations() {
    let (disk, host) = disk_with_a_file();
    let point = disk.log_len();
    let file = host.open(Path::new("a"), OpenMode::ReadWrite).unwrap();
    file.write_at(0, &[2; 512]).unwrap();
    file.sync().unwrap();
    let looks = |point| -> BTreeSet<String> {
        disk.states_at(point, &Policy::default()).map(|state| look(&*state.host())).collect()
    };
    assert_eq!(looks(point), set(&["a=1"]));
    assert_eq!(looks(point + 1), set(&["a=1", "a=2"]));
    assert_eq!(looks(point + 2), set(&["a=2"]));
}

#[test]
fn writes_tear_between_sectors_and_lengths_arrive_alone() {
    let (disk, host) = disk_with_a_file();
    let file = host.open(Path::new("a"), OpenMode::ReadWrite).unwrap();
    file.write_at(0, &[2; 3 * 512]).unwrap();
    let looks = all_looks(&disk, &Policy { samples: 400, ..Policy::default() });
    for expected in ["a=1", "a=2,2,2", "a=2", "a=2,2", "a=1,0,2", "a=1,2", "a=2,0,2", "a=1,0,0"] {
        assert!(looks.contains(expected), "{expected} not in {looks:?}");
    }
    let garbage = looks.iter().filter(|look| {
        look.split([',', '=']).skip(2).any(|sector| !["0", "1", "2"].contains(&sector))
    });
    assert!(garbage.count() > 0, "new ranges can hold anything: {looks:?}");
}

#[test]
fn names_are_durable_once_their_folder_is() {
    let (disk, host) = disk_with_a_file();
    let file = host.open(Path::new("b"), OpenMode::CreateNew).unwrap();
    file.write_at(0, &[2; 512]).unwrap();
    file.sync().unwrap();
    assert_eq!(all_looks(&disk, &exhaustive()), set(&["a=1", "a=1 b=2"]));
    host.sync_folder(Path::new("")).unwrap();
    assert_eq!(all_looks(&disk, &exhaustive()), set(&["a=1 b=2"]));
    host.rename(Path::new("b"), Path::new("a")).unwrap();
    assert_eq!(all_looks(&disk, &exhaustive()), set(&["a=1 b=2", "a=2"]), "whole or not at all");
    host.sync_folder(Path::new("")).unwrap();
    assert_eq!(all_looks(&disk, &exhaustive()), set(&["a=2"]));
    host.remove(Path::new("a")).unwrap();
    assert_eq!(all_looks(&disk, &exhaustive()), set(&["", "a=2"]));
}

#[test]
fn a_rename_can_be_durable_before_its_bytes() {
    let (disk, host) = disk_with_a_file();
    let file = host.open(Path::new("new"), OpenMode::CreateNew).unwrap();
    file.write_at(0, &[2; 512]).unwrap();
    host.rename(Path::new("new"), Path::new("a")).unwrap();
    host.sync_folder(Path::new("")).unwrap();
    let looks = all_looks(&disk, &exhaustive());
    assert!(looks.contains("a=") && looks.contains("a=2") && looks.contains("a=0"), "{looks:?}");
    assert!(!looks.contains("a=1"));
}

#[test]
fn a_file_in_a_folder_that_was_lost_is_lost() {
    let (disk, host) = disk_with_a_file();
    host.create_folder(Path::new("folder")).unwrap();
    let file = host.open(Path::new("folder/b"), OpenMode::CreateNew).unwrap();
    file.sync().unwrap();
    host.sync_folder(Path::new("folder")).unwrap();
    let present: Vec<bool> = disk
        .states_at(disk.log_len(), &exhaustive())
        .map(|state| state.host().facts(Path::new("folder/b")).is_ok())
        .collect();
    assert_eq!(present, [false, true], "the folder's own name was not synced");
}

#[test]
fn many_unsynced_operations_are_sampled_with_every_prefix_loss_and_survivor() {
    let (disk, host) = disk_with_a_file();
    let file = host.open(Path::new("a"), OpenMode::ReadWrite).unwrap();
    file.set_length(20 * 512).unwrap();
    file.sync().unwrap();
    for sector in 0..20 {
        file.write_at(sector * 512, &[9; 512]).unwrap();
    }
    let looks = all_looks(&disk, &Policy { samples: 100, ..Policy::default() });
    let look = |kept: &dyn Fn(usize) -> bool| {
        let sector = |n| {
            if kept(n) {
                "9"
            } else if n == 0 {
                "1"
            } else {
                "0"
            }
        };
        format!("a={}", (0..20).map(sector).collect::<Vec<_>>().join(","))
    };
    for n in 0..20 {
        assert!(looks.contains(&look(&|sector| sector < n)), "prefix of {n}");
        assert!(looks.contains(&look(&|sector| sector != n)), "loss of {n}");
        assert!(looks.contains(&look(&|sector| sector == n)), "survivor {n}");
    }
    assert!(looks.len() > 100);
    let again = all_looks(&disk, &Policy { samples: 100, ..Policy::default() });
    assert_eq!(looks, again, "the same seed gives the same states");
    let other = all_looks(&disk, &Policy { samples: 100, seed: 2, ..Policy::default() });
    assert_ne!(looks, other);
}

#[test]
fn a_killed_process_leaves_its_cache_and_no_lock() {
    let (disk, host) = disk_with_a_file();
    let file = host.open(Path::new("a"), OpenMode::ReadWrite).unwrap();
    assert!(file.lock(LockMode::Exclusive, LockWait::Try).unwrap());
    file.write_at(0, &[2; 512]).unwrap();
    disk.kill();
    file.write_at(0, &[3; 512]).unwrap_err();
    file.read_at(0, &mut [0; 1]).unwrap_err();
    host.remove(Path::new("a")).unwrap_err();
    let next = disk.host();
    assert_eq!(look(&*next), "a=2");
    let again = next.open(Path::new("a"), OpenMode::ReadWrite).unwrap();
    assert!(again.lock(LockMode::Exclusive, LockWait::Try).unwrap());
    drop(file);
    let third = next.open(Path::new("a"), OpenMode::Read).unwrap();
    assert!(!third.lock(LockMode::Shared, LockWait::Try).unwrap(), "not the dead one's to give");
    assert_eq!(
        all_looks(&disk, &exhaustive()),
        set(&["a=1", "a=2"]),
        "killing makes nothing durable"
    );
}

#[test]
fn a_machine_killed_at_a_point_goes_on_from_there() {
    let (disk, host) = disk_with_a_file();
    let file = host.open(Path::new("a"), OpenMode::ReadWrite).unwrap();
    file.write_at(0, &[2; 512]).unwrap();
    let point = disk.log_len();
    file.write_at(0, &[3; 512]).unwrap();
    file.sync().unwrap();
    let killed = disk.killed_at(point);
    assert_eq!(look(&*killed.host()), "a=2");
    assert_eq!(all_looks(&killed, &exhaustive()), set(&["a=1", "a=2"]));
    killed.host().open(Path::new("a"), OpenMode::ReadWrite).unwrap().sync().unwrap();
    assert_eq!(all_looks(&killed, &exhaustive()), set(&["a=2"]));
    assert_eq!(all_looks(&disk, &exhaustive()), set(&["a=3"]), "the other machine is another one");
}

#[test]
fn a_state_records_again() {
    let (disk, host) = disk_with_a_file();
    let file = host.open(Path::new("a"), OpenMode::ReadWrite).unwrap();
    file.write_at(0, &[2; 512]).unwrap();
    let lost = disk.states_at(disk.log_len(), &exhaustive()).next().unwrap();
    assert!(lost.describe().ends_with("write 0 +512 of file 1: lost"), "{}", lost.describe());
    let second = lost.disk();
    let file = second.host().open(Path::new("a"), OpenMode::ReadWrite).unwrap();
    file.write_at(0, &[3; 512]).unwrap();
    assert_eq!(all_looks(&second, &exhaustive()), set(&["a=1", "a=3"]));
}

#[test]
fn an_empty_file_that_survives_keeps_its_identity() {
    let (disk, host) = disk_with_a_file();
    host.open(Path::new("empty"), OpenMode::CreateNew).unwrap();
    host.sync_folder(Path::new("")).unwrap();
    let host = disk.states_at(disk.log_len(), &exhaustive()).next().unwrap().host();
    let empty = host.open(Path::new("empty"), OpenMode::ReadWrite).unwrap();
    let new = host.open(Path::new("new"), OpenMode::CreateNew).unwrap();
    assert_ne!(empty.facts().unwrap().identity, new.facts().unwrap().identity);
}

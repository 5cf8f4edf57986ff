//! The server dies.

use std::fs::{self, File};

use crate::harness::{Place, Served, can_mount};

#[test]
fn after_a_kill_the_last_commit_is_there() {
    if !can_mount("after_a_kill_the_last_commit_is_there") {
        return;
    }
    let place = Place::new();
    for round in 0..5_u8 {
        let mut served = place.serve(&[]);
        for before in 0..round {
            let content = fs::read(served.path(&format!("synced-{before}"))).unwrap();
            assert_eq!(content, vec![before; 50_000]);
        }
        let path = served.path(&format!("synced-{round}"));
        fs::write(&path, vec![round; 50_000]).unwrap();
        File::open(&path).unwrap().sync_all().unwrap();
        fs::write(served.path("not-synced"), vec![round; 50_000]).unwrap();
        served.kill();
        let error = fs::read(&path).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(107), "the transport endpoint is not connected");
        // What is in the way is named, and goes with an unmount.
        let refused = Served::start(&place.store_path(), "web", &served.directory, &["dead"]);
        let said = refused.err().expect("a dead mount is in the way");
        assert!(said.contains("server has gone"), "{said}");
        drop(served);
        place.check();
    }
}

#[test]
fn a_synced_directory_has_its_names_after_a_kill() {
    if !can_mount("a_synced_directory_has_its_names_after_a_kill") {
        return;
    }
    let place = Place::new();
    let mut served = place.serve(&[]);
    fs::create_dir(served.path("folder")).unwrap();
    File::create(served.path("folder/file")).unwrap();
    File::open(served.path("folder")).unwrap().sync_all().unwrap();
    served.kill();
    drop(served);
    let served = place.serve(&[]);
    assert!(served.path("folder/file").is_file());
    served.unmount();
}

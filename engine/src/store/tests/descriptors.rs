//! A process that can open no file more.

use super::*;
use crate::testing::{Fault, FaultHost, FaultKind, Repeat};

/// With exactly one descriptor left the snapshot got as far as the frozen header, could not open
/// the frozen layer, and poisoned the volume.
#[test]
fn a_snapshot_that_can_open_no_file_changes_nothing_wherever_that_meets_it() {
    for after in 0.. {
        let host = FaultHost::new(Arc::new(MemoryHost::new()));
        let store = store_on(&(host.clone() as Arc<dyn Host>));
        let volume = store.create_volume("web", DISK).unwrap();
        fill(&volume, 0, 4, 1);
        volume.flush().unwrap();
        fill(&volume, 2, 4, 2);
        host.arm(Fault { kind: FaultKind::NoDescriptor, after, repeat: Repeat::Forever });
        let taken = volume.snapshot(&Annotations::default());
        let injected = host.injected();
        host.disarm();
        if injected == 0 {
            taken.unwrap();
            assert!(after >= 3, "the new top, the frozen layer and the store's lock are opened");
            return;
        }
        taken.unwrap_err();
        assert_eq!(store.layers().unwrap().len(), 1, "the file of the new top went again");
        fill(&volume, 5, 1, 3);
        let snapshot = freeze(&volume);
        assert_eq!([0, 2, 4, 5].map(|block| byte_of(&snapshot, block)), [1, 2, 2, 3], "{after}");
        volume.close().unwrap();
        expect_no_damage(&(host as Arc<dyn Host>));
    }
}

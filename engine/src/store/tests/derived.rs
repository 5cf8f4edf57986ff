//! Files that are derived from others, in a store that came from elsewhere.

use super::*;
use crate::chain::tests::forge;
use crate::extent::{Extent, Target};
use crate::units::SourceIndex;

/// A disk of 40 snapshots: its first two blocks are of the oldest, and the first is written again once.
fn store_of_many() -> (Arc<dyn Host>, Store, Snapshot) {
    let (host, store) = memory();
    let disk = store.create_volume("disk", DISK).unwrap();
    fill(&disk, 0, 2, 1);
    let mut last = freeze(&disk);
    for number in 2..41 {
        fill(&disk, if number == 20 { 0 } else { number }, 1, number as u8);
        last = freeze(&disk);
    }
    disk.close().unwrap();
    (host, store, last)
}

/// A store whose indexes show older content than its layers was called sound.
#[test]
fn a_check_tells_an_index_that_says_something_else_than_its_layers() {
    let changes: [fn(&mut [Extent]); 4] = [
        // What the oldest layer holds there, which verifies.
        |extents| {
            let Target::Data { source, block } = extents[1].target else { panic!("data") };
            let block = crate::units::FileBlock(block.0 - 1);
            extents[0].target = Target::Data { source, block };
        },
        |extents| extents[0].target = Target::Zero,
        |extents| extents[0].length = 0,
        |extents| {
            let Target::Data { source, .. } = &mut extents[3].target else { panic!("data") };
            *source = SourceIndex(source.0 ^ 1);
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let (host, store, last) = store_of_many();
        assert_eq!(byte_of(&last, 0), 20);
        last.view().wait_for_merges();
        expect_no_damage(&host);
        let tip = last.reference();
        drop(last);
        forge(&store.inner().unwrap().layers, &tip, change);

        let options = CheckOptions { data: false };
        let report = check(&host, Path::new(""), &options, &mut |_| ()).unwrap();
        let [found] = &report.damage().collect::<Vec<_>>()[..] else {
            panic!("{number}: {:?}", report.findings)
        };
        let index = format!("index/{}.index", tip.id);
        assert!(found.path.ends_with(&index), "{number}: {found}");
        assert!(found.what.starts_with("address "), "{number}: {found}");
        let read = reopened(&host).snapshot_of("disk@1").unwrap();
        assert!(number > 2 || byte_of(&read, 0) != 20, "{number}: it is believed");

        assert!(Store::mend_on(Arc::clone(&host), &StoreOptions::default()).unwrap().indexes > 0);
        expect_no_damage(&host);
        assert_eq!(byte_of(&reopened(&host).snapshot_of("disk@1").unwrap(), 0), 20);
    }
}

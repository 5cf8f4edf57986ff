//! What a newer version wrote into a tree, of which the layer tells nothing.

use std::path::Path;

use super::{freeze, memory, reopened};
use crate::ErrorKind;
use crate::files::{Files, FilesOptions, FilesView, TreeSeverity, check};
use crate::format::{Annotations, Features, Header};
use crate::medium::OpenMode;
use crate::store::{GcOptions, Replace, paths};
use crate::units::BlockAddress;

/// Removing the name once took the volume with all that it had written last.
#[test]
fn a_volume_whose_tree_is_of_a_newer_version_stays() {
    for (offset, value) in [(6, 2), (8 + 5, 1), (16, 1)] {
        let (host, store) = memory();
        let files = Files::open(store.create_tree("tree").unwrap(), FilesOptions::default());
        files.unwrap().close().unwrap();
        let volume = store.open_volume("tree").unwrap();
        volume.write_blocks(BlockAddress(0), offset, &[value]).unwrap();
        volume.close().unwrap();
        let store = reopened(&host);
        let may_be_read = offset == 16;
        for is_frozen in [false, true] {
            if is_frozen {
                let volume = store.open_volume("tree").unwrap();
                drop(volume.snapshot(&Annotations::default()).unwrap());
                volume.close().unwrap();
                store.tag("tree@1", "tree:1", Replace::Refuse).unwrap();
            }
            let opened = Files::open(store.open_volume("tree").unwrap(), FilesOptions::default());
            let error = opened.err().unwrap();
            assert!(error.is_newer() && error.kind() == ErrorKind::Unsupported, "{error}");
            let viewed = FilesView::open(store.snapshot_of("tree").unwrap());
            match may_be_read {
                true => {
                    let report = check(&viewed.unwrap()).unwrap();
                    let severities = report.findings.iter().map(|finding| finding.severity);
                    assert!(severities.eq([TreeSeverity::Newer]), "{:?}", report.findings);
                    assert!(report.is_sound());
                }
                false => {
                    assert!(viewed.unwrap_err().is_newer());
                    assert!(store.remove("tree").unwrap_err().is_newer());
                    assert!(store.reset("tree").unwrap_err().is_newer());
                }
            }
            // What its layers need is known.
            store.collect(&GcOptions { dry_run: false }).unwrap();
        }
        store.remove("tree:1").unwrap();
        store.collect(&GcOptions { dry_run: false }).unwrap();
        store.snapshot_of("tree@1").unwrap();
        assert_eq!(store.remove("tree").is_ok(), may_be_read);
    }
}

/// Nothing of the fork is newer, and what it stands on stays.
#[test]
fn a_fork_of_a_layer_of_a_newer_version_can_be_removed() {
    let (host, store) = memory();
    let files = Files::open(store.create_tree("tree").unwrap(), FilesOptions::default());
    files.unwrap().close().unwrap();
    let snapshot = freeze(&store.open_volume("tree").unwrap());
    let id = snapshot.layer_id();
    store.fork_snapshot(&snapshot, "fork").unwrap().close().unwrap();
    drop(snapshot);
    let medium = host.open(&paths::layer(id), OpenMode::ReadWrite).unwrap();
    let header = crate::layer::read_header(&*medium, Path::new("")).unwrap().header;
    let features = Features { incompatible: 1, ..header.features };
    let newer = Header { features, ..header };
    for slot in 0..2 {
        medium.write_at(slot * 4096, &newer.encode(slot)).unwrap();
    }
    let store = reopened(&host);
    assert!(store.snapshot_of("fork").unwrap_err().is_newer());
    assert_eq!(store.remove("fork").unwrap().name.as_deref(), Some("fork"));
    assert!(host.facts(&paths::layer(id)).is_ok());
}

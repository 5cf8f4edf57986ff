//! What frozen layers hold that nothing names goes back to the host.

use super::*;
use crate::layer::{read_header, update_header};
use crate::medium::OpenMode;
use crate::store::{GcOptions, paths};
use crate::units::LayerId;
use crate::volume::CloneSource;

const DRY: GcOptions = GcOptions { dry_run: true };
const REAL: GcOptions = GcOptions { dry_run: false };
/// How many blocks are written, and how many of them are dropped before the snapshot.
const WRITTEN: u64 = 1000;
const DROPPED: u64 = 800;
/// What a layer may take besides what is left of them, in bytes.
const REST: u64 = 160 << 10;

fn allocated(host: &Arc<dyn Host>, layer: LayerId) -> u64 {
    host.facts(&paths::layer(layer)).unwrap().allocated_bytes
}

/// A volume with a snapshot that was taken after most of what was written was dropped again.
fn trimmed(store: &Store) -> (Volume, Snapshot) {
    let volume = store.create_volume("web", 2 * WRITTEN * BLOCK as u64).unwrap();
    fill(&volume, 0, WRITTEN, 1);
    volume.flush().unwrap();
    volume.discard(100 * BLOCK as u64, DROPPED * BLOCK as u64).unwrap();
    fill(&volume, WRITTEN, 3, 2);
    volume.flush().unwrap();
    // A commit that the snapshot makes drops some, too.
    fill(&volume, WRITTEN, 3, 3);
    let snapshot = freeze(&volume);
    (volume, snapshot)
}

fn expect_content(snapshot: &Snapshot) {
    for (block, byte) in [(0, 1), (99, 1), (100, 0), (899, 0), (900, 1), (999, 1), (1002, 3)] {
        assert_eq!(byte_of(snapshot, block), byte, "{block}");
    }
}

/// All that was dropped before stayed in the layer for ever, and no collection found it.
#[test]
fn what_was_dropped_before_a_snapshot_goes_back_with_the_next_flush_checkpoint_or_close() {
    let ways: [fn(Volume); 5] = [
        |volume| {
            fill(&volume, 5, 1, 9);
            volume.flush().unwrap();
        },
        |volume| volume.checkpoint().unwrap(),
        |volume| volume.close().unwrap(),
        |volume| volume.close_at_snapshot().unwrap(),
        |volume| volume.abandon().unwrap(),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let (_folder, host, store) = files();
        let (volume, snapshot) = trimmed(&store);
        let layer = snapshot.layer_id();
        assert!(
            allocated(&host, layer) >= WRITTEN * BLOCK as u64,
            "a snapshot does not wait for it"
        );
        way(volume);
        let kept = (WRITTEN - DROPPED) * BLOCK as u64;
        let left = allocated(&host, layer);
        assert!((kept..kept + REST).contains(&left), "{left} left in way {number}");
        expect_content(&snapshot);
        drop(snapshot);
        expect_content(&reopened(&host).snapshot_of("web@1").unwrap());
        store.seal("web@1").unwrap();
        expect_no_damage(&host);
    }
}

#[test]
fn what_a_volume_had_no_time_to_give_back_a_collection_finds() {
    let (_folder, host, store) = files();
    let (volume, snapshot) = trimmed(&store);
    let layer = snapshot.layer_id();
    drop((volume, snapshot));
    // The process died before the second slot had arrived.
    let medium = host.open(&paths::layer(layer), OpenMode::ReadWrite).unwrap();
    let header = read_header(&*medium, Path::new("")).unwrap().header;
    medium.write_at((1 - header.generation % 2) * 4096, &[0; 4096]).unwrap();

    let before = allocated(&host, layer);
    let dry = store.collect(&DRY).unwrap();
    assert_eq!(allocated(&host, layer), before);
    let report = store.collect(&REAL).unwrap();
    assert_eq!(report, dry);
    let [(thinned, bytes)] = report.thinned[..] else { panic!("{report:?}") };
    assert_eq!(thinned, layer);
    assert!(bytes >= DROPPED * BLOCK as u64, "{bytes}");
    // The host may take a block to note the stretches in.
    assert!((before - bytes..=before - bytes + BLOCK as u64).contains(&allocated(&host, layer)));
    assert!(read_header(&*medium, Path::new("")).unwrap().slots_agree);
    assert_eq!(store.collect(&REAL).unwrap().thinned, []);

    for store in [store, reopened(&host)] {
        expect_content(&store.snapshot_of("web@1").unwrap());
        assert!(!store.layer(layer).unwrap().thinned, "all that it names is there");
        store.seal("web@1").unwrap();
    }
    expect_no_damage(&host);
}

/// The process before died after a sync had failed: the host's cache says that the layer is frozen,
/// and its journal may be what a power cut leaves.
#[test]
fn nothing_goes_of_a_layer_that_the_device_does_not_know_as_frozen() {
    let (host, store) = memory();
    let (volume, snapshot) = trimmed(&store);
    let layer = snapshot.layer_id();
    drop((volume, snapshot));
    let medium = host.open(&paths::layer(layer), OpenMode::ReadWrite).unwrap();
    let mut header = read_header(&*medium, Path::new("")).unwrap().header;
    let open = crate::format::LayerState::Open;
    (header.state, header.freeze_generation) = (open, 0);
    header.generation += 1;
    update_header(&*medium, Path::new(""), &header).unwrap();
    let before = allocated(&host, layer);
    let given = crate::layer::give_back(&*medium, Path::new(""), std::iter::once(0..1 << 20));
    assert_eq!(given.unwrap(), crate::layer::GivenBack::NotAtRest);
    assert_eq!(allocated(&host, layer), before);
}

#[test]
fn blocks_that_others_name_and_layers_that_open_ones_refer_to_stay() {
    let (_folder, host, store) = files();
    let (volume, snapshot) = trimmed(&store);
    let layer = snapshot.layer_id();
    let other = store.create_volume("other", DISK).unwrap();
    let four = 4 * BLOCK as u64;
    other.clone_range(CloneSource::Snapshot(&snapshot), 95 * BLOCK as u64, 0, four).unwrap();
    other.flush().unwrap();
    drop((volume, snapshot));
    assert_eq!(store.collect(&REAL).unwrap().thinned, [], "an open layer refers to it");
    let borrowed = freeze(&other);
    other.close_at_snapshot().unwrap();
    let thinned = store.collect(&REAL).unwrap().thinned;
    assert_eq!(thinned.len(), 1);
    assert_eq!(thinned[0].0, layer);
    assert_eq!([0, 3].map(|block| byte_of(&borrowed, block)), [1, 1]);
    expect_no_damage(&host);
}

//! Space that goes back to the host while a volume is in use.

use super::*;

const MIB: u64 = 1 << 20;

fn allocated(home: &MemoryHome, layer: LayerId) -> u64 {
    home.layers.host().facts(&path_of(layer)).unwrap().allocated_bytes
}

fn write(volume: &Volume, offset: u64, length: u64, byte: u8) {
    volume.write_at(offset, &vec![byte; length as usize]).unwrap();
}

/// It did not before the journal was full, after 512 commits.
#[test]
fn much_that_was_discarded_goes_back_with_the_flush() {
    let home = MemoryHome::new();
    let volume = create(&home, 64 * MIB, VolumeOptions::default());
    write(&volume, 0, 48 * MIB, 1);
    volume.flush().unwrap();
    assert_eq!(volume.counters().checkpoints, 0);
    volume.discard(2 * MIB, 44 * MIB).unwrap();
    volume.flush().unwrap();
    // 4 MiB in use, and 16 MiB for the next writes.
    assert!(allocated(&home, volume.layer_id()) <= 22 * MIB);
    assert_eq!(volume.counters().checkpoints, 1);
    // Little does not.
    for round in 0..20 {
        write(&volume, round * 8192, 4096, 2);
        volume.discard(round * 8192 + 4096, 4096).unwrap();
        volume.flush().unwrap();
    }
    assert_eq!(volume.counters().checkpoints, 1);
}

#[test]
fn what_is_written_over_and_over_makes_no_checkpoints() {
    let home = MemoryHome::new();
    let volume = create(&home, 64 * MIB, VolumeOptions::default());
    write(&volume, 0, 48 * MIB, 1);
    volume.flush().unwrap();
    for round in 0..40 {
        write(&volume, round % 6 * 8 * MIB, 8 * MIB, round as u8);
        volume.flush().unwrap();
    }
    assert!(volume.counters().checkpoints <= 1, "{:?}", volume.counters());
}

#[test]
fn what_a_frozen_layer_holds_waits_for_reads_that_began_before() {
    let home = MemoryHome::new();
    let volume = create(&home, 16 * MIB, VolumeOptions::default());
    write(&volume, 0, 8 * MIB, 1);
    volume.flush().unwrap();
    volume.discard(0, 7 * MIB).unwrap();
    volume.flush().unwrap();
    let layer = volume.layer_id();
    let read = volume.epochs.pin();
    volume.snapshot(&Annotations::default()).unwrap();
    for byte in 0..3 {
        write(&volume, 0, 4096, byte);
        volume.flush().unwrap();
        volume.checkpoint().unwrap();
        assert!(allocated(&home, layer) >= 8 * MIB, "INV-01");
    }
    drop(read);
    write(&volume, 0, 4096, 9);
    volume.flush().unwrap();
    assert!(allocated(&home, layer) < 2 * MIB);
    let mut bytes = [0; 4096];
    volume.read_at(8 * MIB - 4096, &mut bytes).unwrap();
    assert_eq!(bytes, [1; 4096]);
}

//! What stays within its bounds, and what many threads do to one block.

use super::*;
use crate::chain::ViewTarget;

#[test]
fn maps_and_journal_stay_within_their_bounds() {
    let home = MemoryHome::new();
    let options = VolumeOptions { buffer_bytes: 4096, ..small() };
    let volume = create(&home, 4096 << 12, options);
    let most = options.map_extents_max;
    for block in 0..500 {
        volume.write_at(block * 8192, &[1; 4096]).unwrap();
        assert!(volume.state.read().pending.map.len() <= most);
    }
    volume.flush().unwrap();
    for block in 0..200 {
        volume.write_at(block * 8192, &[2; 4096]).unwrap();
        volume.flush().unwrap();
        assert!(volume.journal.lock().records <= options.journal_records_max);
    }
    assert!(volume.counters().checkpoints >= 200 / (options.journal_records_max + 1));

    let options = VolumeOptions { journal_records_max: u64::MAX, ..options };
    let volume = create(&home, 4096 << 12, options);
    for block in 0..200 {
        volume.write_at(block * 8192, &[1; 4096]).unwrap();
        volume.flush().unwrap();
        assert!(volume.state.read().committed.map.len() <= most);
    }
}

#[test]
fn parts_of_a_block_that_many_threads_write_are_all_there() {
    const BLOCKS: u64 = 8;
    let home = MemoryHome::new();
    let volume = create(&home, 1 << 20, VolumeOptions { buffer_bytes: 2 * 4096, ..small() });
    std::thread::scope(|scope| {
        for part in 0..4_u64 {
            let volume = &volume;
            scope.spawn(move || {
                for round in 1..=100_u8 {
                    for block in 0..BLOCKS {
                        let bytes = [round + part as u8; 1024];
                        volume.write_at(block * 4096 + part * 1024, &bytes).unwrap();
                    }
                }
            });
        }
    });
    let mut bytes = [0; 1024];
    for part in 0..BLOCKS * 4 {
        volume.read_at(part * 1024, &mut bytes).unwrap();
        assert!(bytes == [100 + (part % 4) as u8; 1024], "part {part}");
    }
}

#[test]
fn extents_tell_how_deep_their_blocks_lie() {
    let home = MemoryHome::new();
    let volume = create(&home, 1 << 20, VolumeOptions::default());
    for block in 0..3 {
        volume.write_at(block * 4096, &[1; 4096]).unwrap();
        if block < 2 {
            drop(volume.snapshot(&Annotations::default()).unwrap());
        }
    }
    let depths: Vec<_> = volume
        .all_extents()
        .filter_map(|extent| match extent.unwrap().target {
            ViewTarget::Data { depth, .. } => Some(depth),
            _ => None,
        })
        .collect();
    assert_eq!(depths, [2, 1, 0]);
}

#[test]
fn blocks_of_zeros_take_no_space_unless_they_are_to() {
    for detect_zeroes in [true, false] {
        let home = MemoryHome::new();
        let options = VolumeOptions { detect_zeroes, ..VolumeOptions::default() };
        let volume = create(&home, 1 << 20, options);
        volume.write_at(0, &[1; 4096]).unwrap();
        drop(volume.snapshot(&Annotations::default()).unwrap());
        volume.write_at(0, &[0; 8192]).unwrap();
        volume.flush().unwrap();
        let zero_blocks = volume.counters().zero_blocks;
        let first = volume.all_extents().next().unwrap().unwrap().target;
        assert_eq!(
            (zero_blocks, first == ViewTarget::Zero),
            match detect_zeroes {
                true => (2, true),
                false => (0, false),
            }
        );
        let mut bytes = [7; 8192];
        volume.read_at(0, &mut bytes).unwrap();
        assert!(bytes == [0; 8192]);
    }
}

//! What the allocator hands out, and when what was freed comes back.

use super::*;

struct Endless;

impl Space for Endless {
    fn grow(&self, _: FileBlock, _: u64) -> Result<()> {
        Ok(())
    }

    fn fill(&self, _: FileBlock, _: u64) -> Result<()> {
        Ok(())
    }

    fn next_written(&self, _: FileBlock) -> Result<Option<(FileBlock, FileBlock)>> {
        Ok(None)
    }
}

struct Full;

impl Space for Full {
    fn grow(&self, _: FileBlock, _: u64) -> Result<()> {
        Err(crate::Error::new(crate::ErrorKind::NoSpace, "grow"))
    }

    fn fill(&self, _: FileBlock, _: u64) -> Result<()> {
        Ok(())
    }

    fn next_written(&self, _: FileBlock) -> Result<Option<(FileBlock, FileBlock)>> {
        Ok(None)
    }
}

#[test]
fn a_block_waits_for_reads_before_it_is_handed_out_again() {
    let epochs = Epochs::default();
    let mut allocator = Allocator::fresh(12, 2, 10);
    let taken = allocator.allocate_contiguous(8, &epochs, &Full).unwrap();
    assert_eq!(taken, BlockRange { first: FileBlock(2), count: 8 });
    let pin = epochs.pin();
    allocator.release(taken, &epochs);
    assert!(allocator.allocate_contiguous(1, &epochs, &Full).is_err());
    drop(pin);
    assert_eq!(allocator.allocate_contiguous(8, &epochs, &Full).unwrap(), taken);
}

#[test]
fn data_leaves_the_reserve_to_metadata() {
    let epochs = Epochs::default();
    let mut allocator = Allocator::fresh(12, 2, 2 + RESERVE_BLOCKS);
    assert!(allocator.allocate(1, &epochs, &Full).is_err());
    assert!(allocator.allocate_contiguous(RESERVE_BLOCKS, &epochs, &Full).is_ok());
}

#[test]
fn a_shared_block_goes_with_its_last_extent() {
    let epochs = Epochs::default();
    let mut allocator = Allocator::fresh(12, 2, 3);
    let block = allocator.allocate_contiguous(1, &epochs, &Full).unwrap();
    allocator.share(block);
    allocator.release(block, &epochs);
    assert!(allocator.allocate_contiguous(1, &epochs, &Full).is_err());
    allocator.release(block, &epochs);
    assert_eq!(allocator.allocate_contiguous(1, &epochs, &Full).unwrap(), block);
}

#[test]
fn what_a_header_named_waits_for_the_sync() {
    let epochs = Epochs::default();
    let mut allocator = Allocator::fresh(12, 2, 3);
    let block = allocator.allocate_contiguous(1, &epochs, &Full).unwrap();
    allocator.release_after_sync(block);
    assert!(allocator.allocate_contiguous(1, &epochs, &Full).is_err());
    let due = allocator.begin_sync();
    allocator.end_sync(due, &epochs);
    assert_eq!(allocator.allocate_contiguous(1, &epochs, &Full).unwrap(), block);
}

#[test]
fn a_saved_allocator_comes_back_the_same() {
    let epochs = Epochs::default();
    let mut allocator = Allocator::fresh(12, 2, 100);
    let taken = allocator.allocate(40, &epochs, &Endless).unwrap();
    allocator.release(BlockRange { first: FileBlock(10), count: 5 }, &epochs);
    allocator.share(BlockRange { first: taken[0].first, count: 1 });
    let saved = allocator.save(7, &[]);
    assert_eq!(FreeSpace::decode(&saved.encode()).unwrap(), saved);
    let mut again = Allocator::saved(12, &saved, 100);
    assert_eq!(again.free, 100 - 2 - 35);
    again.release(BlockRange { first: taken[0].first, count: 1 }, &epochs);
    assert_eq!(again.free, 100 - 2 - 35, "the block has another extent");
}

#[test]
fn a_stretch_is_found_where_looking_block_by_block_finds_it() {
    let mut random = crate::testing::Random::new(5);
    for _ in 0..200 {
        let blocks = 1 + random.below(300);
        let mut allocator = Allocator::fresh(12, 0, blocks);
        let mut at = 0;
        while at < blocks {
            let count = (1 + random.below(90)).min(blocks - at);
            if random.below(2) == 0 {
                allocator.take(BlockRange { first: FileBlock(at), count });
            }
            at += count;
        }
        allocator.cursor = random.below(blocks + 1);
        let cursor = allocator.cursor % blocks;
        for count in 1..100 {
            let is_free =
                |first: u64| (first..first + count).all(|block| !allocator.is_used(block));
            let within = |from: u64, end: u64| {
                (from..(end + 1).saturating_sub(count)).find(|&first| is_free(first))
            };
            let expected = within(cursor, blocks).or_else(|| within(0, cursor));
            let found = allocator.find_stretch(count).map(|range| range.first.0);
            assert_eq!(found, expected, "{count} blocks of {blocks} from {cursor} on");
        }
    }
}

#[test]
fn few_blocks_are_few_bytes() {
    let blocks = |log2: u32| Allocator::empty(log2).short_blocks_max();
    assert_eq!([12, 13, 16].map(blocks), [16, 8, 1]);
}

#[test]
fn long_free_stretches_are_given_back_and_not_handed_out_meanwhile() {
    let epochs = Epochs::default();
    let keep = KEEP_BYTES >> 12;
    let long = PUNCH_BYTES_MIN >> 12;
    let mut allocator = Allocator::fresh(12, 2, 2 + 2 * keep);
    let all = allocator.allocate_contiguous(2 * keep, &epochs, &Full).unwrap();
    // Every other one of some short stretches, one that is just too short, and a long one.
    let free = |allocator: &mut Allocator, first: u64, count: u64| {
        let range = BlockRange { first: FileBlock(all.first.0 + first), count };
        allocator.release(range, &epochs);
        range
    };
    for short in 0..8 {
        free(&mut allocator, 2 * short, 1);
    }
    free(&mut allocator, 20, long - 1);
    let rest = free(&mut allocator, 40 + long, 2 * keep - 40 - long);
    let punched = allocator.take_punchable(10, &epochs);
    assert_eq!(punched.len(), 1, "{punched:?}");
    assert_eq!(punched[0].first, rest.first);
    assert!(punched[0].count >= long && punched[0].count <= rest.count - keep + long + 8);
    let mut handed_out = Vec::new();
    while let Ok(one) = allocator.allocate_contiguous(1, &epochs, &Full) {
        handed_out.push(one.first);
    }
    let inside = |block: &FileBlock| {
        (punched[0].first.0..punched[0].first.0 + punched[0].count).contains(&block.0)
    };
    assert!(!handed_out.iter().any(inside));
    allocator.put_punched(&punched, true);
    let again = allocator.allocate_contiguous(punched[0].count, &epochs, &Full).unwrap();
    assert_eq!(again, punched[0]);
}

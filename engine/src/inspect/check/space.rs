//! Who claims which block of a layer file, and whether the saved free space agrees.

use crate::format::{FreeSpace, PieceRef};
use crate::units::{BlockSize, FileBlock};

/// The blocks of one layer file that its metadata and its visible data take.
///
/// Holds 16 bytes for each stretch of consecutive data blocks, whatever its length.
#[derive(Debug)]
pub struct Space {
    block_size: BlockSize,
    metadata: Vec<Claim>,
    starts: Vec<u64>,
    ends: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Claim {
    start: u64,
    end: u64,
    what: &'static str,
}

/// A stretch of blocks that `extents` extents map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    start: u64,
    end: u64,
    extents: u64,
}

/// What does not fit together: the block, and in words.
pub type Conflict = (FileBlock, String);

impl Space {
    /// Nothing but the header slots is claimed yet.
    pub fn new(block_size: BlockSize) -> Space {
        let header = Claim {
            start: 0,
            end: block_size.blocks_for(crate::format::header::HEADER_BYTES),
            what: "header slots",
        };
        Space { block_size, metadata: vec![header], starts: Vec::new(), ends: Vec::new() }
    }

    /// Claims the blocks of a piece.
    pub fn piece(&mut self, piece: &PieceRef, what: &'static str) {
        let end = piece.place.0.saturating_add(self.block_size.blocks_for(piece.bytes));
        self.metadata.push(Claim { start: piece.place.0, end, what });
    }

    /// Claims the block of a record's head, or of one to come.
    pub fn record(&mut self, place: FileBlock, what: &'static str) {
        self.metadata.push(Claim { start: place.0, end: place.0.saturating_add(1), what });
    }

    /// Claims the data blocks of an extent.
    pub fn data(&mut self, first: FileBlock, count: u64) {
        // An extent whose end does not fit in 64 bits was refused when it was read.
        let (start, end) = (first.0, first.0.saturating_add(count));
        match self.ends.last_mut() {
            Some(last) if *last == start => *last = end,
            _ => {
                self.starts.push(start);
                self.ends.push(end);
            }
        }
    }

    /// Compares all claims with each other and with the saved free space; gives how many blocks
    /// that one holds to be in use and nothing claims.
    pub fn compare(
        mut self,
        free_space: Option<&FreeSpace>,
        conflict: &mut dyn FnMut(Conflict),
    ) -> u64 {
        self.metadata.sort_by_key(|claim| (claim.start, claim.end));
        let stretches = stretches(&mut self.starts, &mut self.ends);
        for pair in self.metadata.windows(2) {
            if pair[1].start < pair[0].end {
                let what = format!("the {} lies over the {}", pair[1].what, pair[0].what);
                conflict((FileBlock(pair[1].start), what));
            }
        }
        let mut claims = self.metadata.iter().peekable();
        for stretch in &stretches {
            while claims.next_if(|claim| claim.end <= stretch.start).is_some() {}
            if let Some(claim) = claims.peek().filter(|claim| claim.start < stretch.end) {
                let block = FileBlock(claim.start.max(stretch.start));
                conflict((block, format!("an extent maps the {} as data", claim.what)));
            }
        }
        match free_space {
            Some(free_space) => self.compare_free(&stretches, free_space, conflict),
            None => 0,
        }
    }

    fn compare_free(
        &self,
        stretches: &[Stretch],
        free_space: &FreeSpace,
        conflict: &mut dyn FnMut(Conflict),
    ) -> u64 {
        let claimed = self.metadata.iter().map(|claim| (claim.start, claim.end, claim.what));
        let data = stretches.iter().map(|stretch| (stretch.start, stretch.end, "data"));
        let mut blocks = 0;
        for (start, end, what) in claimed.chain(data) {
            if end > free_space.blocks {
                let what = format!(
                    "the free space covers {} blocks, and {what} lies past that",
                    free_space.blocks
                );
                conflict((FileBlock(start.max(free_space.blocks)), what));
            }
            for block in start..end.min(free_space.blocks) {
                blocks += 1;
                if free_space.used[(block / 64) as usize] >> (block % 64) & 1 == 0 {
                    let what = format!("the free space would hand out a block of {what}");
                    conflict((FileBlock(block), what));
                    break;
                }
            }
        }
        let mut listed = free_space.shared.iter().peekable();
        for stretch in stretches.iter().filter(|stretch| stretch.extents > 1) {
            for block in stretch.start..stretch.end {
                while let Some((other, extra)) = listed.next_if(|(other, _)| other.0 < block) {
                    conflict((*other, format!("counted as shared {} times too often", extra)));
                }
                let extra = stretch.extents - 1;
                let counted =
                    listed.next_if(|(other, _)| other.0 == block).map_or(0, |entry| entry.1);
                if u64::from(counted) != extra {
                    let what = format!("counted as shared {counted} times, found {extra} times");
                    conflict((FileBlock(block), what));
                }
            }
        }
        for (block, extra) in listed {
            conflict((*block, format!("counted as shared {extra} times too often")));
        }
        let used: u64 = free_space.used.iter().map(|word| u64::from(word.count_ones())).sum();
        used.saturating_sub(blocks)
    }
}

/// The stretches of blocks with how many extents each has, from where extents start and end.
fn stretches(starts: &mut [u64], ends: &mut [u64]) -> Vec<Stretch> {
    starts.sort_unstable();
    ends.sort_unstable();
    let mut found = Vec::new();
    let (mut next_start, mut next_end, mut extents, mut at) = (0, 0, 0, 0);
    while next_end < ends.len() {
        let event =
            starts.get(next_start).map_or(ends[next_end], |&start| start.min(ends[next_end]));
        if extents > 0 && event > at {
            found.push(Stretch { start: at, end: event, extents });
        }
        at = event;
        while starts.get(next_start) == Some(&at) {
            (next_start, extents) = (next_start + 1, extents + 1);
        }
        while ends.get(next_end) == Some(&at) {
            (next_end, extents) = (next_end + 1, extents - 1);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(place: u64, bytes: u64) -> PieceRef {
        PieceRef { place: FileBlock(place), bytes, generation: 1, head_crc: 0 }
    }

    fn conflicts(space: Space, free: Option<&FreeSpace>) -> Vec<u64> {
        let mut found = Vec::new();
        space.compare(free, &mut |(block, _)| found.push(block.0));
        found
    }

    #[test]
    fn two_claims_on_one_block_are_a_conflict() {
        let mut space = Space::new(BlockSize::DEFAULT);
        space.piece(&piece(2, 8192), "run");
        space.record(FileBlock(4), "record");
        space.data(FileBlock(5), 10);
        space.data(FileBlock(15), 10);
        assert_eq!(conflicts(space, None), []);

        let mut space = Space::new(BlockSize::DEFAULT);
        space.piece(&piece(1, 4096), "run");
        space.record(FileBlock(7), "record");
        space.data(FileBlock(5), 10);
        assert_eq!(conflicts(space, None), [1, 7]);
    }

    #[test]
    fn blocks_of_two_extents_are_counted_as_often() {
        let space = || {
            let mut space = Space::new(BlockSize::DEFAULT);
            space.data(FileBlock(5), 10);
            space.data(FileBlock(8), 2);
            space
        };
        assert_eq!(conflicts(space(), None), []);
        let shared = vec![(FileBlock(8), 1), (FileBlock(9), 1)];
        let free = FreeSpace { sequence: 0, blocks: 20, used: vec![0x7fff | 1 << 19], shared };
        assert_eq!(conflicts(space(), Some(&free)), []);
        assert_eq!(space().compare(Some(&free), &mut |_| ()), 4);
        let fewer = FreeSpace { shared: vec![(FileBlock(8), 1)], ..free.clone() };
        assert_eq!(conflicts(space(), Some(&fewer)), [9]);
        let more = FreeSpace { shared: vec![(FileBlock(7), 1)], ..free };
        assert_eq!(conflicts(space(), Some(&more)), [7, 8, 9]);
    }

    #[test]
    fn the_free_space_must_not_hand_out_what_is_claimed() {
        let mut space = Space::new(BlockSize::DEFAULT);
        space.data(FileBlock(5), 3);
        let free = FreeSpace { sequence: 0, blocks: 7, used: vec![0b010_0011], shared: Vec::new() };
        assert_eq!(conflicts(space, Some(&free)), [7, 6]);
    }
}

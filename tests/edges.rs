//! Offsets and lengths at the edges of what numbers hold: exact up to the limit, an error past it.
//!
//! Every call is made with every pair of edges, on disks whose sizes are edges and on a tree. What
//! has to come of it is told by arithmetic that cannot overflow, and by a plain list of what was done.

use std::collections::BTreeSet;
use std::sync::Arc;

use sapwood::medium::MemoryHost;
use sapwood::units::{ADDRESS_END, VOLUME_BYTES_MAX};
use sapwood::volume::CloneSource;
use sapwood::{
    Annotations, BlockAddress, ErrorKind, ReadAt, ReadRequest, Result, Store, StoreOptions, Volume,
};

const BLOCK: u64 = 4096;
const EDGES: [u64; 22] = [
    0,
    1,
    511,
    512,
    4095,
    4096,
    4097,
    (1 << 31) - 1,
    1 << 31,
    (1 << 31) + 1,
    (1 << 32) - 1,
    1 << 32,
    (1 << 32) + 1,
    1 << 53,
    (1 << 63) - 4096,
    (1 << 63) - 1,
    1 << 63,
    (1 << 63) + 1,
    u64::MAX - 4096,
    u64::MAX - 4095,
    u64::MAX - 1,
    u64::MAX,
];
/// Those of which there may be a buffer.
const LENGTHS: [usize; 8] = [0, 1, 511, 512, 4095, 4096, 4097, 8193];
const SIZES: [u64; 7] = [0, 1, 4096, 8193, (1 << 32) + 1, VOLUME_BYTES_MAX - 1, VOLUME_BYTES_MAX];

/// What was done, newest last, by bytes.
#[derive(Default)]
struct Done(Vec<Deed>);

struct Deed {
    start: u128,
    length: u64,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Fill(u8),
    /// What stood at `from` when so many deeds were done.
    Clone {
        from: u128,
        deeds: usize,
    },
}

impl Done {
    fn byte(&self, at: u128) -> u8 {
        let (mut at, mut deeds) = (at, self.0.len());
        while let Some(newest) = self.0[..deeds].iter().rposition(|deed| deed.holds(at)) {
            match self.0[newest].what {
                What::Fill(byte) => return byte,
                What::Clone { from, deeds: then } => {
                    (at, deeds) = (from + (at - self.0[newest].start), then);
                }
            }
        }
        0
    }

    /// The places where something begins or ends, and those beside them.
    fn places(&self) -> BTreeSet<u128> {
        let edges =
            self.0.iter().flat_map(|deed| [deed.start, deed.start + u128::from(deed.length)]);
        edges.flat_map(|edge| [edge.saturating_sub(1), edge, edge + 1]).collect()
    }

    /// Notes what was done, or that it was refused, as it had to be.
    fn note(&mut self, result: Result<()>, has_to_be_done: bool, deed: Deed, said: &str) {
        match result {
            Ok(()) => {
                assert!(has_to_be_done, "{said} was done");
                if deed.length > 0 {
                    self.0.push(deed);
                }
            }
            Err(error) => {
                assert!(!has_to_be_done, "{said}: {error}");
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{said}: {error}");
            }
        }
    }
}

impl Deed {
    fn holds(&self, at: u128) -> bool {
        (self.start..self.start + u128::from(self.length)).contains(&at)
    }
}

fn ends_inside(start: u64, length: u64, size: u64) -> bool {
    u128::from(start) + u128::from(length) <= size.into()
}

fn store() -> Store {
    Store::create_on(Arc::new(MemoryHost::new()), &StoreOptions::default()).unwrap()
}

/// Reads all places that were ever touched of a disk of `size` bytes, and each length at each edge.
fn expect_shown(done: &Done, size: u64, read: impl Fn(u64, &mut [u8]) -> Result<()>) {
    let touched = done.places().into_iter().filter_map(|place| u64::try_from(place).ok());
    let all = EDGES.into_iter().flat_map(|at| LENGTHS.map(|length| (at, length)));
    for (offset, length) in touched.map(|place| (place, 1)).chain(all) {
        let said = format!("reading {length} bytes at {offset} of {size}");
        let mut bytes = vec![0xee; length];
        let found = read(offset, &mut bytes);
        let inside = ends_inside(offset, length as u64, size);
        match found {
            Ok(()) => assert!(inside, "{said}"),
            Err(error) => {
                assert!(!inside, "{said}: {error}");
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{said}: {error}");
                continue;
            }
        }
        for at in [0, length.wrapping_sub(1)].into_iter().filter(|at| *at < length) {
            let expected = done.byte(u128::from(offset) + at as u128);
            assert_eq!(bytes[at], expected, "{said}, byte {at} of them");
        }
    }
}

fn expect_all_shown(done: &Done, size: u64, volume: &Volume) {
    assert_eq!(volume.size_bytes(), size);
    expect_shown(done, size, |offset, bytes| volume.read_at(offset, bytes));
    expect_shown(done, size, |offset, buffer| volume.read_many(&mut [ReadAt { offset, buffer }]));
}

#[test]
fn a_disk_takes_what_ends_at_its_end_and_nothing_that_goes_past() {
    for size in SIZES {
        let store = store();
        let volume = store.create_volume("disk", size).unwrap();
        let mut done = Done::default();
        let mut byte = 0;
        let mut write = |done: &mut Done, offset: u64, length: usize| {
            byte = byte % 250 + 1;
            let deed = Deed { start: offset.into(), length: length as u64, what: What::Fill(byte) };
            let said = format!("writing {length} bytes at {offset} of {size}");
            let written = volume.write_at(offset, &vec![byte; length]);
            done.note(written, ends_inside(offset, length as u64, size), deed, &said);
        };
        let before_end = LENGTHS.map(|length| size.wrapping_sub(length as u64));
        for offset in EDGES.into_iter().chain(before_end) {
            LENGTHS.iter().for_each(|&length| write(&mut done, offset, length));
        }
        expect_all_shown(&done, size, &volume);
        let snapshot = volume.snapshot(&Annotations::default()).unwrap();
        let deeds_then = done.0.len();
        expect_shown(&done, size, |offset, bytes| snapshot.read_at(offset, bytes));
        expect_shown(&done, size, |offset, buffer| {
            snapshot.read_many(&mut [ReadAt { offset, buffer }])
        });

        for (offset, length) in EDGES.into_iter().flat_map(|at| EDGES.map(|length| (at, length))) {
            let inside = ends_inside(offset, length, size);
            let said = format!("{length} bytes at {offset} of {size}");
            for blank in [Volume::discard, Volume::write_zeroes] {
                write(&mut done, offset, 8193);
                let deed = Deed { start: offset.into(), length, what: What::Fill(0) };
                done.note(blank(&volume, offset, length), inside, deed, &said);
            }
            write(&mut done, offset, 4096);
            let is_whole = length.is_multiple_of(BLOCK) && offset.is_multiple_of(BLOCK);
            for (from, to) in [(offset, 0), (0, offset), (offset, offset)] {
                let said = format!("cloning {length} bytes from {from} to {to} of {size}");
                for (source, in_batch) in [
                    (CloneSource::Snapshot(&snapshot), false),
                    (CloneSource::Own, false),
                    (CloneSource::Own, true),
                ] {
                    let deeds = match source {
                        CloneSource::Own => done.0.len(),
                        CloneSource::Snapshot(_) => deeds_then,
                    };
                    // Of a snapshot the last block counts whole.
                    let from_size = match source {
                        CloneSource::Own => size,
                        CloneSource::Snapshot(_) => size.next_multiple_of(BLOCK),
                    };
                    let inside =
                        ends_inside(from, length, from_size) && ends_inside(to, length, size);
                    let what = What::Clone { from: from.into(), deeds };
                    let cloned = match in_batch {
                        true => volume.batch().clone_range(source, from, to, length),
                        false => volume.clone_range(source, from, to, length),
                    };
                    let deed = Deed { start: to.into(), length, what };
                    done.note(cloned, is_whole && inside, deed, &said);
                }
            }
        }
        drop(snapshot);
        expect_all_shown(&done, size, &volume);
        volume.close().unwrap();
        expect_all_shown(&done, size, &store.open_volume("disk").unwrap());
    }
}

#[test]
fn a_disk_may_be_so_large_and_no_larger() {
    let store = store();
    let volume = store.create_volume("disk", 1).unwrap();
    volume.write_at(0, &[7]).unwrap();
    for size in EDGES {
        let is_allowed = size <= VOLUME_BYTES_MAX;
        let made = store.create_volume(&format!("disk-{size}"), size);
        let resized = volume.resize(size);
        for (what, result) in [("made", made.map(drop)), ("resized", resized)] {
            match result {
                Ok(()) => assert!(is_allowed, "{what}: {size}"),
                Err(error) => {
                    assert!(!is_allowed, "{what}: {size}: {error}");
                    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{what}: {error}");
                }
            }
        }
        if is_allowed {
            assert_eq!(volume.size_bytes(), size);
            // The last byte is there, and what is cut off does not come back.
            let last = size.checked_sub(1);
            last.inspect(|&last| volume.write_at(last, &[9]).unwrap());
            let past = volume.write_at(size, &[9]).unwrap_err();
            assert_eq!(past.kind(), ErrorKind::InvalidInput, "{past}");
            volume.resize(size / 2).unwrap();
            volume.resize(size).unwrap();
            let mut byte = [0xee];
            last.inspect(|&last| volume.read_at(last, &mut byte).unwrap());
            assert!(last.is_none() || byte == [0], "{size}");
        }
    }
}

/// A way to read from a byte of a block on.
type ReadBlocks<'a> = dyn Fn(BlockAddress, u64, &mut [u8]) -> Result<()> + 'a;

/// By block addresses: any address of a tree, and of a snapshot also those past its disk.
#[test]
fn blocks_are_reached_up_to_the_last_address_and_ranges_of_them_end_there() {
    const ADDRESSES: [u64; 9] = [
        0,
        1,
        1 << 32,
        (1 << 52) - 1,
        1 << 52,
        1 << 63,
        ADDRESS_END - 2,
        ADDRESS_END - 1,
        ADDRESS_END,
    ];
    const OFFSETS: [u64; 7] = [0, 1, 4095, 4096, 1 << 63, u64::MAX - 4096, u64::MAX];
    let end = u128::from(ADDRESS_END) * u128::from(BLOCK);
    let store = store();
    let volume = store.create_tree("tree").unwrap();
    let mut done = Done::default();
    let places: Vec<(u64, u64, usize)> = ADDRESSES
        .into_iter()
        .flat_map(|address| OFFSETS.map(|offset| (address, offset)))
        .flat_map(|(address, offset)| LENGTHS.map(|length| (address, offset, length)))
        .collect();
    let start_of =
        |address: u64, offset: u64| u128::from(address) * u128::from(BLOCK) + u128::from(offset);
    for (number, &(address, offset, length)) in places.iter().enumerate() {
        let byte = (number % 250 + 1) as u8;
        let start = start_of(address, offset);
        let inside = start + length as u128 <= end;
        let said = format!("{length} bytes at {offset} of block {address}");
        let at = BlockAddress(address);
        let deed = Deed { start, length: length as u64, what: What::Fill(byte) };
        done.note(volume.write_blocks(at, offset, &vec![byte; length]), inside, deed, &said);
        if number % 5 == 0 {
            let deed = Deed { start, length: length as u64, what: What::Fill(0) };
            let blanked = volume.discard_blocks(at, offset, length as u64);
            done.note(blanked, inside, deed, &said);
        }
    }
    let snapshot = volume.snapshot(&Annotations::default()).unwrap();
    let read: [&ReadBlocks<'_>; 4] = [
        &|address, offset, buffer| {
            volume.read_blocks_many(&mut [ReadRequest { address, offset, buffer }])
        },
        &|at, offset, bytes| volume.read_blocks(at, offset, bytes),
        &|at, offset, bytes| snapshot.read_blocks(at, offset, bytes),
        &|address, offset, buffer| {
            snapshot.read_blocks_many(&mut [ReadRequest { address, offset, buffer }])
        },
    ];
    for &(address, offset, length) in &places {
        let start = start_of(address, offset);
        for read in read {
            let said = format!("{length} bytes at {offset} of block {address}");
            let mut bytes = vec![0xee; length];
            match read(BlockAddress(address), offset, &mut bytes) {
                Ok(()) => {
                    assert!(start + length as u128 <= end, "{said}");
                    for at in [0, length.wrapping_sub(1)].into_iter().filter(|at| *at < length) {
                        assert_eq!(bytes[at], done.byte(start + at as u128), "{said}, byte {at}");
                    }
                }
                Err(error) => {
                    assert!(start + length as u128 > end, "{said}: {error}");
                    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{said}: {error}");
                }
            }
        }
    }
    for start in ADDRESSES.into_iter().chain(EDGES) {
        for end in ADDRESSES.into_iter().chain(EDGES) {
            let (start, end) = (BlockAddress(start), BlockAddress(end));
            let all = end.0.saturating_sub(start.0);
            let told: u64 = snapshot.extents(start, end).map(|extent| extent.unwrap().length).sum();
            assert_eq!(told, all, "{start} to {end}");
            let told: u64 = volume.extents(start, end).map(|extent| extent.unwrap().length).sum();
            assert_eq!(told, all, "{start} to {end} of the volume");
        }
    }
    for blocks in EDGES {
        let to = BlockAddress(ADDRESS_END - 1);
        let result = volume.clone_blocks(CloneSource::Own, BlockAddress(0), to, blocks);
        assert_eq!(result.is_ok(), blocks <= 1, "{blocks} blocks to the last address");
        let result =
            volume.clone_blocks(CloneSource::Snapshot(&snapshot), to, BlockAddress(0), blocks);
        assert_eq!(result.is_ok(), blocks <= 1, "{blocks} blocks from the last address");
    }
}

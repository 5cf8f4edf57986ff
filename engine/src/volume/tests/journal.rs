//! What opening takes for a journal that ends, and what for one that is damaged.

use super::*;
use crate::extent::Extent;
use crate::format::{Record, header::HEADER_BYTES};
use crate::layer::HeaderSlots;
use crate::units::{BlockAddress, FileBlock};

/// A volume with two commits, left as a crash leaves it, and the places of their records.
struct Left {
    home: Arc<MemoryHome>,
    file: LayerHandle,
    header: Header,
    places: [FileBlock; 2],
}

impl Left {
    fn new() -> Left {
        let home = MemoryHome::new();
        let volume = create(&home, 1 << 20, VolumeOptions::default());
        for byte in [1, 2] {
            volume.write_at(0, &[byte; 4096]).unwrap();
            volume.flush().unwrap();
        }
        let file = home.handle(volume.layer_id(), OpenMode::ReadWrite);
        let HeaderSlots { header, slots_agree } = read_header(&*file.medium, &file.path).unwrap();
        assert!(slots_agree && header.journal.sequence == 0, "no checkpoint was made");
        let places = [header.journal.next, header.journal.after_next];
        Left { home, file, header, places }
    }

    fn record(&self, number: usize) -> Record {
        let mut page = [0; 4096];
        self.file.medium.read_at(self.places[number].0 << 12, &mut page).unwrap();
        Record::decode(&page, self.header.layer, self.places[number]).unwrap().0
    }

    fn write_record(&self, number: usize, record: &Record) {
        let (page, _) = record.encode(self.header.layer, self.places[number]);
        self.write(self.places[number], &page[..]);
    }

    fn write(&self, block: FileBlock, bytes: &[u8]) {
        self.file.medium.write_at(block.0 << 12, bytes).unwrap();
    }

    /// The first byte and how many torn records were dropped, or what opening said.
    fn open(&self) -> Result<(u8, u64), ErrorKind> {
        let home = Arc::<MemoryHome>::clone(&self.home);
        let volume = Volume::open(home, &self.home.entry(), VolumeOptions::default());
        let volume = volume.map_err(|error| error.kind())?;
        let mut byte = [0];
        volume.read_at(0, &mut byte).unwrap();
        Ok((byte[0], volume.recovery().torn_records))
    }
}

#[test]
fn a_record_that_does_not_follow_the_one_before_is_no_commit() {
    assert_eq!(Left::new().open(), Ok((2, 0)));
    let change = |change: &dyn Fn(&mut Record)| {
        let left = Left::new();
        let mut record = left.record(1);
        change(&mut record);
        left.write_record(1, &record);
        left.open()
    };
    assert_eq!(change(&|_| ()), Ok((2, 0)));
    assert_eq!(change(&|record| record.previous ^= 1), Ok((1, 1)));
    assert_eq!(change(&|record| record.next.0 += 1), Ok((1, 1)));
    assert_eq!(change(&|record| record.sequence = 3), Ok((1, 0)));
}

/// One block at two addresses, with another checksum at each: the last one alone was looked at, and a
/// check of the same file found the commit torn.
#[test]
fn a_commit_that_gives_a_block_two_checksums_is_none() {
    let again = |change: &dyn Fn(&mut u32)| {
        let left = Left::new();
        let mut record = left.record(1);
        let [extent] = record.extents[..] else { panic!("{record:?}") };
        record.extents.push(Extent { start: BlockAddress(9), ..extent });
        let mut checksum = record.checksums[0];
        change(&mut checksum);
        // That of the last address is right.
        record.checksums.insert(0, checksum);
        left.write_record(1, &record);
        left.open()
    };
    assert_eq!(again(&|_| ()), Ok((2, 0)), "as after a clone");
    assert_eq!(again(&|checksum| *checksum ^= 1), Ok((1, 1)));
}

#[test]
fn only_what_is_not_known_to_be_durable_may_be_torn() {
    let head = |left: &Left| left.write(left.places[1], &[0; 4096]);
    let half_a_head = |left: &Left| left.write(FileBlock(left.places[1].0), &[0xff; 100]);
    let blocks = |left: &Left| {
        let record = left.record(1);
        let target = record.extents[0].target;
        let crate::extent::Target::Data { block, .. } = target else { panic!("{target:?}") };
        left.write(block, &[9; 4096]);
    };
    let damages: [&dyn Fn(&Left); 3] = [&head, &half_a_head, &blocks];
    for (number, (damage, torn)) in damages.into_iter().zip([0, 0, 1]).enumerate() {
        let left = Left::new();
        damage(&left);
        assert_eq!(left.open(), Ok((1, torn)), "damage {number}");
        // Left there, it might be whole again behind a later one.
        let mut page = [7; 4096];
        left.file.medium.read_at(left.places[1].0 << 12, &mut page).unwrap();
        assert_eq!(page == [0; 4096], number != 1, "damage {number}");

        let left = Left::new();
        damage(&left);
        let mut header = left.header.clone();
        header.journal.durable_sequence = 2;
        let slots: Vec<u8> = (0..2).flat_map(|slot| header.encode(slot)).collect();
        assert_eq!(slots.len() as u64, HEADER_BYTES);
        left.write(FileBlock(0), &slots);
        assert_eq!(left.open(), Err(ErrorKind::Corrupt), "damage {number}");
    }
    // One with a whole record behind it is no tail, whatever is known.
    let left = Left::new();
    left.write(left.places[0], &[0; 4096]);
    assert_eq!(left.open(), Err(ErrorKind::Corrupt));
}

#[test]
fn an_open_file_shorter_than_its_header_says_is_damage() {
    let left = Left::new();
    left.file.medium.set_length(left.header.file_bytes - 1).unwrap();
    assert_eq!(left.open(), Err(ErrorKind::Corrupt));
}

#[test]
fn more_than_recovery_reads_is_durable_before_its_record() {
    let home = MemoryHome::new();
    let volume = create(&home, 64 << 20, VolumeOptions::default());
    let syncs_of = |change: &dyn Fn()| {
        let before = volume.counters().syncs;
        change();
        volume.flush().unwrap();
        volume.counters().syncs - before
    };
    let write = |offset, bytes| volume.write_at(offset, &vec![1; bytes]).unwrap();
    assert_eq!(syncs_of(&|| write(0, 1 << 19)), 1);
    assert_eq!(syncs_of(&|| write(0, 2 << 20)), 2);
    assert_eq!(syncs_of(&|| write(0, 1 << 12)), 1);
    // Blocks that were durable before are read all the same.
    let clone = || volume.clone_range(CloneSource::Own, 0, 8 << 20, 2 << 20).unwrap();
    assert_eq!(syncs_of(&clone), 2);
    drop(volume);
    let volume = reopen(&home, VolumeOptions::default());
    let mut bytes = vec![0; 2 << 20];
    volume.read_at(8 << 20, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 1));
}

/// Its record may not be durable yet, and until then nothing says that the volume needs the blocks.
#[test]
fn a_clone_keeps_its_source_until_its_commit_is_durable() {
    let home = MemoryHome::new();
    let volume = create(&home, 1 << 20, VolumeOptions::default());
    volume.write_at(0, &[1; 4096]).unwrap();
    let snapshot = volume.snapshot(&Annotations::default()).unwrap();
    volume.clone_range(CloneSource::Snapshot(&snapshot), 0, 8192, 4096).unwrap();
    drop(snapshot);
    let held = || {
        let state = volume.state.read();
        (state.held.len(), state.held_under_way.len())
    };
    assert_eq!(held(), (1, 0));
    volume.cut_aside().unwrap().unwrap();
    assert_eq!(held(), (0, 1), "the commit is under way");
    volume.rejoin();
    volume.flush().unwrap();
    assert_eq!(held(), (0, 0));
}

#[test]
fn cuts_wait_for_batches_and_are_refused_to_who_holds_one() {
    for is_snapshot in [false, true] {
        let home = MemoryHome::new();
        let volume = create(&home, 1 << 20, VolumeOptions::default());
        let cut = || match is_snapshot {
            true => volume.snapshot(&Annotations::default()).map(drop),
            false => volume.flush(),
        };
        let batch = volume.batch();
        batch.write_at(0, &[1; 4096]).unwrap();
        assert_eq!(cut().unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(volume.resize(1 << 21).unwrap_err().kind(), ErrorKind::InvalidInput);
        std::thread::scope(|scope| {
            let other = scope.spawn(cut);
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(!other.is_finished());
            batch.write_at(4096, &[1; 4096]).unwrap();
            drop(batch);
            other.join().unwrap().unwrap();
        });
        drop(volume);
        let volume = reopen(&home, VolumeOptions::default());
        let mut bytes = [0; 8192];
        volume.read_at(0, &mut bytes).unwrap();
        assert!(bytes == [1; 8192]);
    }
}

/// A block that was dropped before it was written: its late write must not hit what came after.
#[test]
fn a_block_on_its_way_into_the_file_is_not_handed_out_again() {
    let home = MemoryHome::new();
    let volume = create(&home, 1 << 20, VolumeOptions::default());
    volume.write_at(0, &[1; 4096]).unwrap();
    let spill = volume.start_spill(&mut volume.state.write()).unwrap().unwrap();
    let target = volume.state.read().find(BlockAddress(0)).unwrap().target;
    let Some(crate::extent::Target::Data { block: place, .. }) = target else {
        panic!("{target:?}")
    };
    volume.write_zeroes(0, 4096).unwrap();
    let is_handed_out = || {
        let mut state = volume.state.write();
        let top = Arc::clone(&state.top);
        let mut take = || state.allocator.allocate_contiguous(1, &volume.epochs, &*top).unwrap();
        (0..64).any(|_| take().first == place)
    };
    assert!(!is_handed_out());
    volume.finish_spill(&spill).unwrap();
    drop(spill);
    assert!(is_handed_out());
}

//! What a collection takes beside an open layer whose journal is damaged: nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{BLOCK, DISK, byte_in, fill, freeze, memory, reopened};
use crate::ErrorKind;
use crate::extent::Target;
use crate::format::{Header, PieceRef, Record};
use crate::inspect::{Severity, check};
use crate::medium::{Host, Medium, OpenMode};
use crate::store::{GcOptions, Store, paths};
use crate::units::{FileBlock, LayerId, SourceIndex};
use crate::volume::{CloneSource, look_in};

const DRY: GcOptions = GcOptions { dry_run: true };
/// How many layers are cloned from in one commit: more than the head of a record has room for.
const MANY: u64 = 60;

/// A volume whose journal alone says that it needs blocks of removed snapshots, as a crash leaves it.
struct Left {
    host: Arc<dyn Host>,
    store: Store,
    top: LayerId,
    medium: Arc<dyn Medium>,
    header: Header,
    /// Its records, the oldest first, with where their heads lie.
    records: Vec<(FileBlock, Record)>,
    needed: BTreeSet<LayerId>,
}

impl Left {
    /// Two commits, one that clones from as many layers, and then as many others as said.
    fn new(sources: u64, after: u8) -> Left {
        let (host, store) = memory();
        let golden = store.create_volume("golden", DISK).unwrap();
        let snapshots: Vec<_> = (0..sources)
            .map(|number| {
                fill(&golden, number, 1, number as u8 + 1);
                freeze(&golden)
            })
            .collect();
        drop(golden);
        let volume = store.create_volume("disk", DISK).unwrap();
        let commit = |byte| {
            fill(&volume, 63, 1, byte);
            volume.flush().unwrap();
        };
        (1..=2).for_each(commit);
        for (number, snapshot) in snapshots.iter().enumerate() {
            let (from, at) = (CloneSource::Snapshot(snapshot), (number * BLOCK) as u64);
            volume.clone_range(from, at, at, BLOCK as u64).unwrap();
        }
        commit(3);
        (4..4 + after).for_each(commit);
        let top = volume.layer_id();
        let needed = snapshots.iter().map(|snapshot| snapshot.layer_id()).collect();
        drop((volume, snapshots));
        store.remove("golden").unwrap();
        let path = paths::layer(top);
        let medium = host.open(&path, OpenMode::ReadWrite).unwrap();
        let header = crate::layer::read_header(&*medium, &path).unwrap().header;
        let mut records = Vec::new();
        let (mut next, mut after_next) = (header.journal.next, header.journal.after_next);
        loop {
            let mut page = [0; 4096];
            medium.read_at(next.byte_offset(header.block_size), &mut page).unwrap();
            let Ok((record, _)) = Record::decode(&page, top, next) else { break };
            let place = std::mem::replace(&mut next, after_next);
            after_next = record.after_next;
            records.push((place, record));
        }
        assert_eq!(records.len(), 3 + usize::from(after), "no checkpoint was made");
        Left { host, store, top, medium, header, records, needed }
    }

    fn path(&self) -> PathBuf {
        paths::layer(self.top)
    }

    fn offset(&self, place: FileBlock) -> u64 {
        place.byte_offset(self.header.block_size)
    }

    /// The table of sources that the record which clones names.
    fn table(&self) -> Option<PieceRef> {
        self.records[2].1.sources
    }

    /// That all commits are known to be durable.
    fn set_durable(&mut self) {
        self.header.journal.durable_sequence = self.records.len() as u64;
        for slot in 0..2 {
            self.medium.write_at(slot * 4096, &self.header.encode(slot)).unwrap();
        }
    }

    /// With bytes of the file changed, says what a reader says, and expects a collection to refuse
    /// exactly where that finds damage, and else to take nothing that is needed.
    fn bent(&self, offset: u64, bytes: &[u8], what: &str) -> Result<(), ErrorKind> {
        let mut held = vec![0; bytes.len()];
        self.medium.read_at(offset, &mut held).unwrap();
        self.medium.write_at(offset, bytes).unwrap();
        let verdict = self.verdict(what);
        self.medium.write_at(offset, &held).unwrap();
        verdict
    }

    fn verdict(&self, what: &str) -> Result<(), ErrorKind> {
        let read = look_in(&self.host, &self.path()).map(drop).map_err(|error| error.kind());
        let collected = self.store.collect(&DRY);
        assert_eq!(collected.as_ref().map(drop).map_err(|error| error.kind()), read, "{what}");
        match collected {
            Ok(report) => {
                let taken = |(id, _): &(LayerId, u64)| self.needed.contains(id);
                assert!(!report.freed.iter().any(taken), "{what}: {report:?}");
            }
            Err(_) => {
                let obstacles = self.store.obstacles().unwrap();
                assert!(obstacles.layers.keys().eq([&self.top]), "{what}: {obstacles:?}");
            }
        }
        read
    }

    /// Each byte of a stretch flipped: all at its start, where the fields are, then some.
    fn flips(&self, offset: u64, length: u64) -> impl Iterator<Item = (u64, u8)> + '_ {
        let bytes = (0..length).filter(|at| at % 4096 < 320 || at % 97 == 0 || at % 4096 > 4091);
        bytes.map(move |at| {
            let mut byte = [0];
            self.medium.read_at(offset + at, &mut byte).unwrap();
            (offset + at, byte[0] ^ (1 << (at % 8)))
        })
    }
}

/// A collection once took the first record that was not whole for the end of the journal: it took the
/// layers that later ones need, and ended well.
#[test]
fn damage_in_a_journal_is_no_end_of_it_for_a_collection() {
    for (sources, is_durable) in [(1, false), (1, true), (MANY, false)] {
        let mut left = Left::new(sources, 2);
        assert_eq!(left.table().is_some(), sources == MANY);
        if is_durable {
            left.set_durable();
        }
        assert_eq!(left.verdict("as it was left"), Ok(()));
        let last = left.records.len() - 1;
        let refused = Err(ErrorKind::Corrupt);
        for (number, (place, _)) in left.records.iter().enumerate() {
            let verdict = if number < last || is_durable { refused } else { Ok(()) };
            let offset = left.offset(*place);
            for (at, byte) in left.flips(offset, 4096) {
                let what = format!("record {number}, byte {}", at - offset);
                assert_eq!(left.bent(at, &[byte], &what), verdict, "{what}");
            }
            let what = format!("record {number}, zeros");
            assert_eq!(left.bent(offset, &[0; 4096], &what), verdict, "{what}");
            for (other, (from, _)) in left.records.iter().enumerate() {
                let mut page = [0; 4096];
                left.medium.read_at(left.offset(*from), &mut page).unwrap();
                let what = format!("record {number}, in its place record {other}");
                let verdict = match other {
                    _ if other == number => Ok(()),
                    // What came before the last one may lie in the place of the last one.
                    _ => verdict,
                };
                assert_eq!(left.bent(offset, &page, &what), verdict, "{what}");
            }
        }
        if let Some(table) = left.table() {
            let offset = left.offset(table.place);
            for (at, byte) in left.flips(offset, table.bytes) {
                let what = format!("table of sources, byte {}", at - offset);
                assert_eq!(left.bent(at, &[byte], &what), refused, "{what}");
            }
        }
        for (at, byte) in left.flips(0, 8192) {
            // The other slot says the same.
            let what = format!("slots, byte {at}");
            assert_eq!(left.bent(at, &[byte], &what), Ok(()), "{what}");
        }
        // And all is there for who reads what the file was.
        let store = reopened(&left.host);
        store.collect(&GcOptions { dry_run: false }).unwrap();
        let volume = store.open_volume("disk").unwrap();
        assert!((0..sources).all(|block| byte_in(&volume, block) == block as u8 + 1));
    }
}

/// Where the commit that clones is the last and nothing says that it is durable, blocks of it that do not
/// verify are what a power cut leaves, and so is a head that does not. What a whole head names is kept.
#[test]
fn a_torn_commit_keeps_what_its_head_names() {
    let mut left = Left::new(1, 0);
    let (place, record) = left.records[2].clone();
    let own = record.extents.iter().find_map(|extent| match extent.target {
        Target::Data { source: SourceIndex::OWN, block } => Some(block),
        _ => None,
    });
    let (own, head) = (left.offset(own.unwrap()), left.offset(place));
    assert_eq!(left.bent(own, &[0xee], "a block of the last commit"), Ok(()));
    let mut page = [0; 4096];
    left.medium.read_at(head, &mut page).unwrap();
    left.medium.write_at(head + 100, &[page[100] ^ 1]).unwrap();
    look_in(&left.host, &left.path()).unwrap();
    left.store.collect(&DRY).unwrap();
    left.medium.write_at(head, &page).unwrap();
    left.set_durable();
    let refused = Err(ErrorKind::Corrupt);
    assert_eq!(left.bent(own, &[0xee], "a block of a commit that is durable"), refused);
    for (at, byte) in left.flips(head, 4096) {
        assert_eq!(left.bent(at, &[byte], "the head of a commit that is durable"), refused);
    }
}

/// What a file has lost past what its header says is told by its length.
#[test]
fn an_open_file_that_is_too_short_stops_a_collection() {
    let left = Left::new(1, 2);
    let length = left.medium.facts().unwrap().length;
    let mut bytes = vec![0; length as usize];
    left.medium.read_at(0, &mut bytes).unwrap();
    for cut in [left.header.file_bytes - 1, 8192] {
        left.medium.set_length(cut).unwrap();
        assert_eq!(left.verdict("cut"), Err(ErrorKind::Corrupt), "{cut}");
        left.medium.write_at(0, &bytes).unwrap();
    }
    assert_eq!(left.verdict("whole again"), Ok(()));
}

/// A record of a newer version was the end of the journal for a collection, and for a writer a torn one,
/// which it erased.
#[test]
fn a_record_of_a_newer_version_is_neither_damage_nor_the_end() {
    let left = Left::new(1, 2);
    for (number, (place, _)) in left.records.iter().enumerate() {
        let offset = left.offset(*place);
        let mut page = [0; 4096];
        left.medium.read_at(offset, &mut page).unwrap();
        let whole = page;
        page[6] = 2;
        let checksum = crc32fast::hash(&page[..4092]);
        page[4092..].copy_from_slice(&checksum.to_le_bytes());
        let what = format!("record {number}");
        assert_eq!(left.bent(offset, &page, &what), Err(ErrorKind::Unsupported), "{what}");
        left.medium.write_at(offset, &page).unwrap();
        let store = reopened(&left.host);
        let refused = [
            store.remove("disk").map(drop),
            store.reset("disk"),
            store.open_volume("disk").map(drop),
            store.give_up(&left.top.to_string()).map(drop),
        ];
        for (verb, refused) in refused.into_iter().enumerate() {
            let error = refused.unwrap_err();
            assert!(error.is_newer() || verb == 3, "{what}, {verb}: {error}");
        }
        let report = check(&left.host, Path::new(""), &Default::default(), &mut |_| ()).unwrap();
        let is = |severity| report.findings.iter().any(|finding| finding.severity == severity);
        assert!(is(Severity::Newer) && !is(Severity::Damage), "{what}: {:?}", report.findings);
        left.medium.write_at(offset, &whole).unwrap();
    }
}

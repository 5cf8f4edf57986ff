//! The commit protocol by itself, on cells instead of blocks: with all of its
//! rules nothing is ever lost, and with any one of them taken out the crash disk
//! finds the loss. So it is a test of the protocol and of the disk at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use sapwood::medium::{Host, Medium, OpenMode};
use sapwood::testing::{CrashDisk, DistinctStates, Policy, Random};

const CELL_BYTES: usize = 1024;
const CELLS: u64 = 18;
const ADDRESSES: u64 = 3;
const SLOTS: [u64; 2] = [0, 1];

/// The rules that the protocol stands on; each can be taken out.
#[derive(Clone, Copy)]
struct Rules {
    /// Blocks of a commit under way are not written again in place.
    cut_blocks_stay: bool,
    /// Opening for writing first syncs the file.
    recovery_syncs: bool,
    /// The head of a torn tail is erased before anything else is written.
    torn_tail_is_erased: bool,
    /// A record names the places of the next two.
    two_places_are_named: bool,
    /// A change of the header writes both slots.
    both_slots_are_written: bool,
}

const ALL_RULES: Rules = Rules {
    cut_blocks_stay: true,
    recovery_syncs: true,
    torn_tail_is_erased: true,
    two_places_are_named: true,
    both_slots_are_written: true,
};

/// A run or a record, as the next record names the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    number: u64,
    nonce: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    generation: u64,
    sequence: u64,
    next: [u64; 2],
    /// Address and cell.
    map: Vec<(u64, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    sequence: u64,
    before: Link,
    nonce: u64,
    after_next: u64,
    /// Address, cell and value: the value stands for the checksum of the block.
    items: Vec<(u64, u64, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cell {
    Erased,
    Header { generation: u64, run: u64 },
    Run(Run),
    Record(Record),
    Data { place: u64, value: u64 },
}

impl Cell {
    fn encode(&self) -> [u8; CELL_BYTES] {
        let mut words: Vec<u64> = Vec::new();
        match self {
            Cell::Erased => words.push(0),
            Cell::Header { generation, run } => words.extend([1, *generation, *run]),
            Cell::Run(run) => {
                words.extend([2, run.generation, run.sequence, run.next[0], run.next[1]]);
                words.push(run.map.len() as u64);
                words.extend(run.map.iter().flat_map(|(address, cell)| [*address, *cell]));
            }
            Cell::Record(record) => {
                words.extend([3, record.sequence, record.before.number, record.before.nonce]);
                words.extend([record.nonce, record.after_next, record.items.len() as u64]);
                words.extend(record.items.iter().flat_map(|item| [item.0, item.1, item.2]));
            }
            Cell::Data { place, value } => words.extend([4, *place, *value]),
        }
        let mut bytes = [0; CELL_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(&words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        // Bytes of both sectors depend on the content: a torn cell never verifies.
        for byte in &mut bytes[words.len() * 8..CELL_BYTES - 8] {
            *byte = words[words.len() - 1] as u8 | 1;
        }
        let crc = u64::from(crc32fast::hash(&bytes[..CELL_BYTES - 8]));
        bytes[CELL_BYTES - 8..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; CELL_BYTES]) -> Option<Cell> {
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap()))
            .collect();
        if u64::from(crc32fast::hash(&bytes[..CELL_BYTES - 8])) != words[CELL_BYTES / 8 - 1] {
            return None;
        }
        Some(match words[0] {
            0 => Cell::Erased,
            1 => Cell::Header { generation: words[1], run: words[2] },
            2 => Cell::Run(Run {
                generation: words[1],
                sequence: words[2],
                next: [words[3], words[4]],
                map: words[6..][..words[5] as usize * 2]
                    .chunks_exact(2)
                    .map(|entry| (entry[0], entry[1]))
                    .collect(),
            }),
            3 => Cell::Record(Record {
                sequence: words[1],
                before: Link { number: words[2], nonce: words[3] },
                nonce: words[4],
                after_next: words[5],
                items: words[7..][..words[6] as usize * 3]
                    .chunks_exact(3)
                    .map(|item| (item[0], item[1], item[2]))
                    .collect(),
            }),
            4 => Cell::Data { place: words[1], value: words[2] },
            _ => return None,
        })
    }
}

type Content = BTreeMap<u64, u64>;

struct UnderWay {
    record: Record,
    map: BTreeMap<u64, u64>,
}

struct Engine {
    file: Arc<dyn Medium>,
    rules: Rules,
    committed: BTreeMap<u64, u64>,
    pending: BTreeMap<u64, u64>,
    under_way: Option<UnderWay>,
    free: BTreeSet<u64>,
    /// Freed by the last change of the header, once the next sync is over.
    free_after_sync: Vec<u64>,
    generation: u64,
    run: u64,
    sequence: u64,
    records: Vec<u64>,
    next: [u64; 2],
    before: Link,
}

#[derive(Debug)]
struct Damage(&'static str);

impl Engine {
    fn create(host: &dyn Host, rules: Rules) -> Engine {
        let file = host.open(Path::new("cells"), OpenMode::CreateNew).unwrap();
        host.sync_folder(Path::new("")).unwrap();
        let run = Run { generation: 1, sequence: 0, next: [3, 4], map: Vec::new() };
        file.write_at(CELL_BYTES as u64 * (CELLS - 1), &[0; CELL_BYTES]).unwrap();
        file.write_at(2 * CELL_BYTES as u64, &Cell::Run(run).encode()).unwrap();
        file.sync().unwrap();
        for slot in SLOTS {
            let header = Cell::Header { generation: 1, run: 2 };
            file.write_at(slot * CELL_BYTES as u64, &header.encode()).unwrap();
            file.sync().unwrap();
        }
        Engine::open(host, rules).expect("what was just made is whole")
    }

    fn open(host: &dyn Host, rules: Rules) -> Result<Engine, Damage> {
        let file = host.open(Path::new("cells"), OpenMode::ReadWrite).unwrap();
        if rules.recovery_syncs {
            file.sync().unwrap();
        }
        let read = |place| read_cell(&*file, place);
        let slots = SLOTS.map(|slot| match read(slot) {
            Some(Cell::Header { generation, run }) => Some((generation, run)),
            _ => None,
        });
        let mut newest_first: Vec<(u64, u64)> = slots.into_iter().flatten().collect();
        newest_first.sort_by_key(|(generation, _)| std::cmp::Reverse(*generation));
        let (place, run) = newest_first
            .iter()
            .find_map(|(generation, place)| match read(*place) {
                Some(Cell::Run(run)) if run.generation == *generation => Some((*place, run)),
                _ => None,
            })
            .ok_or(Damage("no header leads to a run"))?;
        let mut engine = Engine {
            rules,
            committed: run.map.into_iter().collect(),
            pending: BTreeMap::new(),
            under_way: None,
            free: BTreeSet::new(),
            free_after_sync: Vec::new(),
            generation: run.generation,
            run: place,
            sequence: run.sequence,
            records: Vec::new(),
            next: run.next,
            before: Link { number: run.generation, nonce: 0 },
            file: file.clone(),
        };
        engine.replay()?;
        if rules.torn_tail_is_erased
            && matches!(engine.read(engine.next[0]), Some(Cell::Record(record))
                if record.sequence == engine.sequence + 1)
        {
            engine.write(engine.next[0], &Cell::Erased);
            engine.file.sync().unwrap();
        }
        if rules.both_slots_are_written && slots[0] != slots[1] {
            for slot in SLOTS {
                let header = Cell::Header { generation: engine.generation, run: engine.run };
                engine.write(slot, &header);
                engine.file.sync().unwrap();
            }
        }
        let mut used: BTreeSet<u64> = engine.committed.values().copied().collect();
        used.extend(engine.records.iter().chain(&engine.next).chain(&SLOTS));
        used.insert(engine.run);
        engine.free = (0..CELLS).filter(|cell| !used.contains(cell)).collect();
        Ok(engine)
    }

    fn replay(&mut self) -> Result<(), Damage> {
        let rotten = Damage("a broken record with a whole one behind it");
        loop {
            let whole = |cell, sequence| match cell {
                Some(Cell::Record(record)) if record.sequence == sequence => Some(record),
                _ => None,
            };
            let follows = |record: &Record, before| record.before == before;
            let second = |engine: &Engine, place, sequence| {
                engine.rules.two_places_are_named && whole(engine.read(place), sequence).is_some()
            };
            let record = whole(self.read(self.next[0]), self.sequence + 1);
            let Some(record) = record.filter(|record| follows(record, self.before)) else {
                return match second(self, self.next[1], self.sequence + 2) {
                    true => Err(rotten),
                    false => Ok(()),
                };
            };
            let link = Link { number: record.sequence, nonce: record.nonce };
            let next = whole(self.read(self.next[1]), record.sequence + 1);
            if !next.is_some_and(|next| follows(&next, link)) {
                if second(self, record.after_next, record.sequence + 2) {
                    return Err(rotten);
                }
                let verifies = |(_, place, value): &(u64, u64, u64)| {
                    self.read(*place) == Some(Cell::Data { place: *place, value: *value })
                };
                if !record.items.iter().all(verifies) {
                    return Ok(());
                }
            }
            self.committed
                .extend(record.items.iter().map(|(address, place, _)| (*address, *place)));
            self.records.push(self.next[0]);
            self.before = link;
            self.sequence = record.sequence;
            self.next = [self.next[1], record.after_next];
        }
    }

    fn content(&self) -> Result<Content, Damage> {
        let entries = self.committed.iter().map(|(address, place)| match self.read(*place) {
            Some(Cell::Data { place: found, value }) if found == *place => Ok((*address, value)),
            _ => Err(Damage("a committed block does not verify")),
        });
        entries.collect()
    }

    fn read(&self, place: u64) -> Option<Cell> {
        read_cell(&*self.file, place)
    }

    fn write(&self, place: u64, cell: &Cell) {
        self.file.write_at(place * CELL_BYTES as u64, &cell.encode()).unwrap();
    }

    fn allocate(&mut self, random: &mut Random) -> Option<u64> {
        let free: Vec<u64> = self.free.iter().copied().collect();
        let cell = *(!free.is_empty()).then(|| random.pick(&free))?;
        self.free.remove(&cell);
        Some(cell)
    }

    fn put(&mut self, address: u64, value: u64, random: &mut Random) -> bool {
        if !self.rules.cut_blocks_stay
            && let Some(place) = self.under_way.as_ref().and_then(|cut| cut.map.get(&address))
        {
            self.write(*place, &Cell::Data { place: *place, value });
            return true;
        }
        let Some(place) = self.allocate(random) else { return false };
        self.free.extend(self.pending.insert(address, place));
        self.write(place, &Cell::Data { place, value });
        true
    }

    fn begin_commit(&mut self, random: &mut Random) -> bool {
        if self.under_way.is_some() || self.pending.is_empty() {
            return false;
        }
        let Some(after_next) = self.allocate(random) else { return false };
        let map = std::mem::take(&mut self.pending);
        let items = map.iter().map(|(address, place)| match self.read(*place) {
            Some(Cell::Data { value, .. }) => (*address, *place, value),
            other => panic!("just written, and now {other:?}"),
        });
        let record = Record {
            sequence: self.sequence + 1,
            before: self.before,
            nonce: random.bits(),
            after_next,
            items: items.collect(),
        };
        self.write(self.next[0], &Cell::Record(record.clone()));
        self.under_way = Some(UnderWay { record, map });
        true
    }

    fn finish_commit(&mut self) -> bool {
        let Some(UnderWay { record, map }) = self.under_way.take() else { return false };
        self.file.sync().unwrap();
        self.records.push(self.next[0]);
        self.next = [self.next[1], record.after_next];
        self.before = Link { number: record.sequence, nonce: record.nonce };
        self.sequence = record.sequence;
        for (address, place) in map {
            self.free.extend(self.committed.insert(address, place));
        }
        self.free.extend(self.free_after_sync.drain(..));
        true
    }

    /// Writes the map as a run; stops before the step of the number given, as a crash there would.
    fn checkpoint(&mut self, stop_before: u64, random: &mut Random) {
        let Some(place) = self.allocate(random) else { return };
        let generation = self.generation + 1;
        let run = Run {
            generation,
            sequence: self.sequence,
            next: self.next,
            map: self.committed.iter().map(|(address, cell)| (*address, *cell)).collect(),
        };
        let header = Cell::Header { generation, run: place };
        let first = generation % 2;
        let steps: [&dyn Fn(&Engine); 5] = [
            &|engine| engine.write(place, &Cell::Run(run.clone())),
            &|engine| engine.file.sync().unwrap(),
            &|engine| engine.write(1 - first, &header),
            &|engine| engine.file.sync().unwrap(),
            &|engine| {
                if engine.rules.both_slots_are_written {
                    engine.write(first, &header);
                }
            },
        ];
        for (number, step) in (0..).zip(steps) {
            if number == stop_before {
                return;
            }
            step(self);
        }
        let mut former = std::mem::take(&mut self.records);
        former.push(std::mem::replace(&mut self.run, place));
        self.generation = generation;
        self.before = Link { number: generation, nonce: 0 };
        match self.rules.both_slots_are_written {
            true => self.free_after_sync.extend(former),
            false => self.free.extend(former),
        }
    }
}

fn read_cell(file: &dyn Medium, place: u64) -> Option<Cell> {
    let mut bytes = [0; CELL_BYTES];
    file.read_at(place * CELL_BYTES as u64, &mut bytes).unwrap();
    Cell::decode(&bytes)
}

/// What a run of the protocol may show when it is opened again.
struct Allowed {
    acknowledged: Content,
    in_flight: Option<Content>,
}

impl Allowed {
    fn judge(&self, host: &dyn Host, rules: Rules) -> Result<(Engine, Content), String> {
        let engine =
            Engine::open(host, rules).map_err(|Damage(what)| format!("opens to damage: {what}"))?;
        let shown = engine.content().map_err(|Damage(what)| format!("opens to damage: {what}"))?;
        match shown == self.acknowledged || Some(&shown) == self.in_flight.as_ref() {
            true => Ok((engine, shown)),
            false => Err(format!("shows {shown:?}, acknowledged {:?}", self.acknowledged)),
        }
    }
}

/// Plays one random run; the first violation it meets, if any.
fn play(seed: u64, rules: Rules, seen: &mut DistinctStates) -> Option<String> {
    let mut random = Random::new(seed);
    let policy = Policy { exhaustive_max: 5, samples: 12, seed };
    let mut disk = CrashDisk::new();
    let mut engine = Engine::create(&*disk.host(), rules);
    let mut current = Content::new();
    let mut allowed = Allowed { acknowledged: Content::new(), in_flight: None };
    for _ in 0..4 + random.below(30) {
        let at_rest = engine.under_way.is_none() && engine.pending.is_empty();
        let mut die = false;
        match random.below(11) {
            0..3 => {
                // Mostly few values: equal blocks at equal places are what ghosts are made of.
                let values = if random.one_in(3) { 1 << 40 } else { 2 };
                let value = random.below(values);
                let address = random.below(ADDRESSES);
                if engine.put(address, value, &mut random) {
                    current.insert(address, value);
                }
            }
            3 | 4 if engine.begin_commit(&mut random) => allowed.in_flight = Some(current.clone()),
            5 | 6 if engine.finish_commit() => {
                allowed.acknowledged = allowed.in_flight.take().expect("a commit was under way");
            }
            7 if at_rest => {
                let step = random.below(16);
                engine.checkpoint(step, &mut random);
                die = step < 5;
            }
            8 if at_rest => {
                if let Some(found) = rot(&disk, &engine, rules, &allowed, &mut random) {
                    return Some(found);
                }
            }
            9 | 10 => die = true,
            _ => {}
        }
        if !die {
            continue;
        }
        if random.one_in(3) {
            disk.kill();
        } else {
            let mut states = Vec::new();
            for state in disk.states_at(disk.log_len(), &policy) {
                if seen.note(&state)
                    && let Err(what) = allowed.judge(&*state.host(), rules)
                {
                    return Some(format!("{what}\n{}", state.describe()));
                }
                states.push(state);
            }
            disk = random.pick(&states).disk();
        }
        let (reopened, shown) = match allowed.judge(&*disk.host(), rules) {
            Ok(opened) => opened,
            Err(what) => return Some(format!("{what} after\n{}", disk.describe_log(0))),
        };
        engine = reopened;
        current = shown.clone();
        // What was shown is the truth from now on.
        allowed = Allowed { acknowledged: shown, in_flight: None };
    }
    None
}

/// One metadata cell rots while nothing is going on: it is reported, or makes no difference.
fn rot(
    disk: &Arc<CrashDisk>,
    engine: &Engine,
    rules: Rules,
    allowed: &Allowed,
    random: &mut Random,
) -> Option<String> {
    let point = disk.log_len();
    let at_rest = disk.states_at(point, &Policy::default());
    if at_rest.pending_len() > 0 {
        return None;
    }
    let older_records = engine.records.len().saturating_sub(1);
    let mut cells = vec![SLOTS[0], SLOTS[1], engine.run];
    cells.extend(&engine.records[..older_records]);
    let rotten = *random.pick(&cells);
    let copy = disk.killed_at(point);
    let file = copy.host().open(Path::new("cells"), OpenMode::ReadWrite).unwrap();
    file.write_at(rotten * CELL_BYTES as u64 + 8, &[0x5a; 8]).unwrap();
    let shown = Engine::open(&*copy.host(), rules).and_then(|engine| engine.content()).ok()?;
    (shown != allowed.acknowledged).then(|| format!("cell {rotten} rots: silently {shown:?}"))
}

fn first_violation(rules: Rules, seeds: u64, seen: &mut DistinctStates) -> Option<String> {
    (0..seeds).find_map(|seed| play(seed, rules, seen))
}

#[test]
fn with_all_rules_nothing_is_lost() {
    let mut seen = DistinctStates::default();
    let violation = first_violation(ALL_RULES, 1500, &mut seen);
    assert_eq!(violation, None);
    assert!(seen.len() > 20_000, "only {} distinct states", seen.len());
    println!("{} distinct states after a power cut", seen.len());
}

#[test]
fn with_any_rule_taken_out_a_loss_is_found() {
    let without = [
        ("cut blocks stay", Rules { cut_blocks_stay: false, ..ALL_RULES }),
        ("recovery syncs", Rules { recovery_syncs: false, ..ALL_RULES }),
        ("torn tail is erased", Rules { torn_tail_is_erased: false, ..ALL_RULES }),
        ("two places are named", Rules { two_places_are_named: false, ..ALL_RULES }),
        ("both slots are written", Rules { both_slots_are_written: false, ..ALL_RULES }),
    ];
    for (rule, rules) in without {
        let violation = first_violation(rules, 20_000, &mut DistinctStates::default());
        assert!(violation.is_some(), "nothing is lost without the rule that {rule}");
    }
}

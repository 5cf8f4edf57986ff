//! Operations, then a power cut somewhere among them: every volume opens to its last
//! acknowledged commit or to a later state that was being committed, and the store is sound.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use sapwood::ErrorKind;
use sapwood::medium::Host;
use sapwood::store::Store;
use sapwood::testing::{CrashDisk, ModelLayer, Policy};
use sapwood_fuzz::world::{Operation, World, assert_sound, options};

#[derive(Arbitrary, Debug)]
struct Input {
    operations: Vec<Operation>,
    /// Where the power goes, as a share of all that was written.
    cut: u16,
    seed: u64,
}

/// How many operations are tried: each may be a crash of its own.
const OPERATIONS_MAX: usize = 16;
/// How many states after the power cut are opened.
const STATES_MAX: usize = 24;

/// What a volume held after each operation, from the log's length at which it was acknowledged.
struct History {
    name: String,
    /// Length of the log, the state, and whether it was durable by then.
    states: Vec<(usize, ModelLayer, bool)>,
}

fuzz_target!(|input: Input| {
    let disk = CrashDisk::new();
    let host: Arc<dyn Host> = disk.host();
    let mut world = World::new(host);
    let mut history = History { name: "v0".to_owned(), states: Vec::new() };
    history.note(&world, disk.log_len());
    let start = disk.log_len();
    for operation in input.operations.iter().take(OPERATIONS_MAX) {
        world.step(operation);
        history.note(&world, disk.log_len());
        // The volume may have been removed: there is nothing to find then.
        if !world.now.volumes.contains_key("v0") {
            return;
        }
    }
    let written = disk.log_len() - start;
    let point = start + usize::from(input.cut) * written / usize::from(u16::MAX);
    let policy = Policy { exhaustive_max: 4, samples: 8, seed: input.seed };
    for state in disk.states_at(point, &policy).take(STATES_MAX) {
        let host = state.host();
        let store = Store::open_on(Arc::clone(&host), &options()).expect("a store opens");
        let volume = match store.open_volume(&history.name) {
            Ok(volume) => volume,
            Err(error) if error.kind() == ErrorKind::NotFound => panic!("the name is gone"),
            Err(error) => panic!("{error}\n{}", state.describe()),
        };
        let mut bytes = vec![0xee; volume.size_bytes() as usize];
        volume.read_at(0, &mut bytes).expect("read after a power cut");
        let found = history
            .allowed(point)
            .any(|held| held.size == volume.size_bytes() && held.read(0, held.size) == bytes);
        assert!(found, "neither the last commit nor one under way\n{}", state.describe());
        drop(volume);
        assert_sound(&host);
    }
});

impl History {
    fn note(&mut self, world: &World, log_length: usize) {
        if let (Some(now), Some(durable)) =
            (world.now.volumes.get(&self.name), world.durable.get(&self.name))
        {
            self.states.push((log_length, now.clone(), false));
            self.states.push((log_length, durable.clone(), true));
        }
    }

    /// The last state that was durable when `point` operations had been logged, and all after it
    /// that a commit under way may have made durable.
    fn allowed(&self, point: usize) -> impl Iterator<Item = &ModelLayer> {
        let last = self
            .states
            .iter()
            .rposition(|(length, _, durable)| *durable && *length <= point)
            .unwrap_or(0);
        // The operation that was under way ended at the first length past the point.
        let end = self
            .states
            .iter()
            .position(|(length, _, _)| *length > point)
            .map_or(self.states.len(), |first| (first + 2).min(self.states.len()));
        self.states[last..end.max(last + 1)].iter().map(|(_, held, _)| held)
    }
}

//! What operations ask of the host, on stores of more and more layers: nothing quadratic, and
//! nothing at all for layers that an operation is not about.

use super::*;
use crate::store::{GcOptions, Removal, Replace};
use crate::testing::{Call, FaultHost};

/// The calls that one layer file more may cost.
const CALLS: [Call; 5] = [Call::Open, Call::Facts, Call::Read, Call::List, Call::Map];

fn counted() -> (Arc<FaultHost>, Store) {
    let host = FaultHost::new(Arc::new(MemoryHost::new()));
    let store = Store::create_on(host.clone(), &StoreOptions::default()).unwrap();
    (host, store)
}

/// A chain of so many snapshots, each of which has a tag.
fn chain(layers: u64) -> (Arc<FaultHost>, Store) {
    let (host, store) = counted();
    let volume = store.create_volume("vm", DISK).unwrap();
    for layer in 0..layers {
        fill(&volume, layer % 32, 1, layer as u8);
        freeze(&volume);
        store.tag("vm@1", &format!("tag:{layer}"), Replace::Refuse).unwrap();
    }
    volume.close().unwrap();
    // Whoever opens it next writes the index for which its maker may have had no time.
    store.open_volume("vm").unwrap().close().unwrap();
    (host, store)
}

/// So many forks of one snapshot.
fn wide(layers: u64) -> (Arc<FaultHost>, Store) {
    let (host, store) = counted();
    let volume = store.create_volume("vm", DISK).unwrap();
    fill(&volume, 0, 4, 1);
    freeze(&volume);
    volume.close().unwrap();
    for layer in 0..layers {
        store.fork("vm@1", &format!("fork-{layer}")).unwrap();
    }
    (host, store)
}

/// How many calls `work` makes, by a process that has just started.
fn calls(host: &Arc<FaultHost>, work: impl FnOnce(&Store)) -> u64 {
    let store = Store::open_on(host.clone(), &StoreOptions::default()).unwrap();
    let sum = || CALLS.iter().map(|call| host.calls(*call)).sum::<u64>();
    let before = sum();
    work(&store);
    sum() - before
}

type Work = (&'static str, fn(&Store));

const WALKS: [Work; 9] = [
    ("names", |store| drop(store.names().unwrap())),
    ("layers", |store| drop(store.layers().unwrap())),
    ("kept snapshots", |store| drop(store.kept_snapshots().unwrap())),
    ("lineage", |store| drop(store.lineage("vm").unwrap())),
    ("usage", |store| assert!(store.usage().unwrap().layers > 0)),
    ("usage of names", |store| drop(store.usage_of_names().unwrap())),
    ("holdings", |store| drop(store.holdings().unwrap())),
    ("dry collection", |store| drop(store.collect(&GcOptions { dry_run: true }).unwrap())),
    ("would free", |store| {
        let removal = Removal { names: ["vm".to_owned()].into(), ..Removal::default() };
        drop(store.would_free(&removal).unwrap());
    }),
];

#[test]
fn what_looks_at_every_layer_looks_at_each_a_few_times() {
    for make in [chain, wide] {
        let (small, large) = (make(40), make(160));
        for (name, work) in WALKS {
            let (few, many) = (calls(&small.0, work), calls(&large.0, work));
            println!("{name}: {few} calls, {many} on four times the layers");
            assert!(many <= 4 * few && many <= 40 * 160, "{name}: {few}, then {many} calls");
        }
        let remove: fn(&Store) = |store| drop(store.remove("vm").unwrap());
        // It stops at the first name that holds all of it, which may be any of them.
        for (made, layers) in [(small, 40), (large, 160)] {
            let calls = calls(&made.0, remove);
            assert!(calls <= 12 * layers, "removal: {calls} calls on {layers} layers");
        }
    }
}

#[test]
fn what_is_about_one_layer_looks_at_no_other() {
    let works: [Work; 6] = [
        ("show", |store| drop(store.layer(store.resolve("vm@1").unwrap().layer).unwrap())),
        ("tag", |store| store.tag("vm@1", "fresh", Replace::Refuse).map(drop).unwrap()),
        ("write", |store| {
            let volume = store.open_volume("vm").unwrap();
            fill(&volume, 40, 1, 1);
            volume.close().unwrap();
        }),
        ("snapshot", |store| drop(freeze(&store.open_volume("vm").unwrap()))),
        ("fork", |store| drop(store.fork("vm@1", "fresh-fork").unwrap())),
        ("reset", |store| store.reset("vm").unwrap()),
    ];
    for make in [chain, wide] {
        let (small, large) = (make(40), make(160));
        for (name, work) in works {
            let (few, many) = (calls(&small.0, work), calls(&large.0, work));
            println!("{name}: {few} calls, {many} on four times the layers");
            // A chain's index stands in a few files more.
            assert!(many <= few + 24, "{name}: {few}, then {many} calls");
        }
    }
    // The first other name that is read holds what a fork stands on.
    let remove: fn(&Store) = |store| drop(store.remove("fork-7").unwrap());
    let (few, many) = (calls(&wide(40).0, remove), calls(&wide(160).0, remove));
    assert!(many <= few + 8, "removal: {few}, then {many} calls");
}

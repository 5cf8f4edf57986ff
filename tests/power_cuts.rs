//! Power cuts at every point of every workload, and of the recoveries from them (INV-02, INV-10).

use std::sync::Mutex;

use crate::harness::power_cut::{Tally, Thoroughness, cut_everywhere};
use crate::harness::store::StoreSubject;
use crate::harness::workloads;

#[test]
fn every_workload_survives_power_cuts_at_every_point() {
    let total = Mutex::new(Tally::default());
    let queue = Mutex::new(workloads::all().into_iter());
    let work = || {
        while let Some((name, steps)) = { queue.lock().unwrap().next() } {
            let tally = cut_everywhere::<StoreSubject>(&steps, &Thoroughness::usual(1))
                .unwrap_or_else(|what| panic!("{name}: {what}"));
            println!("{name}: {tally:?}");
            total.lock().unwrap().add(&tally);
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let total = total.into_inner().unwrap();
    println!(
        "{} distinct states of the disk after a power cut, {} tried at {} points, {} in mapped files",
        total.distinct, total.tried, total.points, total.mapped
    );
    assert!(total.distinct >= 200_000, "only {} distinct states", total.distinct);
    assert!(total.mapped >= 500, "only {} states in mapped files", total.mapped);
}

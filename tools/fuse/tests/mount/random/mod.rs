//! Random trees on a mount, held against the plain model of the whole-system tests, while the
//! mount is unmounted, its server killed, and snapshots are taken.

#[path = "../../../../../tests/trees/model.rs"]
mod model;
mod player;
#[path = "../../../../../tests/trees/step.rs"]
#[expect(dead_code, reason = "what is done to the whole tree is drawn here, by rounds")]
mod step;

use std::time::Duration;

use sapwood::Annotations;
use sapwood::testing::Random;

use crate::harness::{Place, Served, can_mount, shell};
use model::{Model, Observed};
use player::{Player, difference, observe};

/// Programs that change the tree at the same time, each below a directory of its own.
const PLAYERS: u64 = 3;
/// What each does between two looks at the whole.
const STEPS: u64 = 120;
/// Looks of a run.
const ROUNDS: u64 = 24;

/// How a round ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The mount is asked for a commit.
    Flush,
    /// Every changed file and directory is synced by itself.
    Sync,
    Snapshot,
    /// The kernel forgets what it has cached.
    Forget,
    Remount,
    /// The server dies, and with it all that was not committed.
    Kill,
    /// It dies while a commit is under way.
    KillInFlush,
}

const ENDS: [End; 7] =
    [End::Flush, End::Sync, End::Snapshot, End::Forget, End::Remount, End::Kill, End::KillInFlush];

#[test]
fn a_mount_shows_what_the_model_shows() {
    let test = "a_mount_shows_what_the_model_shows";
    if !can_mount(test) {
        return;
    }
    let factor = std::env::var("SAPWOOD_MOUNT_FACTOR").map_or(1, |text| text.parse().unwrap());
    let mut steps = 0;
    for seed in 1..=2 * factor {
        steps += run(seed);
    }
    println!("{steps} operations on trees");
}

/// One run; how many operations it took.
fn run(seed: u64) -> u64 {
    let place = Place::new();
    let mut random = Random::new(seed);
    let mut served = place.serve(&["devices"]);
    let mut players: Vec<_> = (0..PLAYERS).map(|number| Player::new(seed, number)).collect();
    for player in &mut players {
        player.begin(&served.directory);
    }
    place.ask("web").flush().unwrap();
    let mut durable: Vec<Model> = players.iter().map(|player| player.model.clone()).collect();
    let mut snapshots: Vec<Vec<Observed>> = Vec::new();
    for round in 0..ROUNDS {
        std::thread::scope(|scope| {
            for player in &mut players {
                let directory = &served.directory;
                scope.spawn(move || {
                    player.play(directory, STEPS).unwrap_or_else(|what| {
                        panic!("seed {seed}, round {round}: {what}");
                    });
                });
            }
        });
        let end = *random.pick(&ENDS);
        let context = format!("seed {seed}, round {round}, {end:?}");
        let models =
            |players: &[Player]| players.iter().map(|player| player.model.clone()).collect();
        match end {
            End::Flush => {
                place.ask("web").flush().unwrap();
                durable = models(&players);
            }
            End::Sync => {
                players.iter_mut().for_each(|player| player.sync(&served.directory));
                durable = models(&players);
            }
            End::Snapshot => {
                place.ask("web").snapshot(&Annotations::default()).unwrap();
                durable = models(&players);
                snapshots.push(players.iter().map(|player| player.model.observed()).collect());
            }
            End::Forget => {
                // No commit: of what is cached only what the mount has can go.
                shell(&served.directory, "echo 3 > /proc/sys/vm/drop_caches");
            }
            End::Remount => {
                players.iter_mut().for_each(Player::let_go);
                served.unmount();
                served = place.serve(&["devices"]);
                durable = models(&players);
            }
            End::Kill => {
                served = kill(&place, served, &mut players);
                go_back(&mut players, &durable);
            }
            End::KillInFlush => {
                let mut mount = place.ask("web");
                let wait = Duration::from_micros(random.below(8000));
                let asked = std::thread::spawn(move || mount.flush());
                std::thread::sleep(wait);
                served = kill(&place, served, &mut players);
                if asked.join().unwrap().is_ok() {
                    durable = models(&players);
                }
                // A commit that nobody was told of may be there, but whole.
                let found: Vec<_> = show(&served, &players);
                if found != expected(&players) {
                    go_back(&mut players, &durable);
                }
                durable = models(&players);
            }
        }
        compare(&context, &show(&served, &players), &expected(&players));
    }
    players.iter_mut().for_each(Player::let_go);
    served.unmount();
    place.check();
    for (back, expected) in (1..).zip(snapshots.iter().rev()).take(4) {
        let served = place.serve_as(&format!("web@{back}"), "frozen", &["view"]);
        compare(&format!("seed {seed}, web@{back}"), &show(&served, &players), expected);
        served.unmount();
    }
    players.iter().map(|player| player.steps).sum()
}

/// Kills the server and mounts again what it left.
fn kill(place: &Place, mut served: Served, players: &mut [Player]) -> Served {
    served.kill();
    players.iter_mut().for_each(Player::let_go);
    drop(served);
    place.serve(&["devices"])
}

fn go_back(players: &mut [Player], durable: &[Model]) {
    for (player, model) in players.iter_mut().zip(durable) {
        player.go_back(model);
    }
}

fn expected(players: &[Player]) -> Vec<Observed> {
    players.iter().map(|player| player.model.observed()).collect()
}

fn show(served: &Served, players: &[Player]) -> Vec<Observed> {
    players.iter().map(|player| observe(&player.root(&served.directory)).unwrap()).collect()
}

fn compare(context: &str, found: &[Observed], expected: &[Observed]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!(found == expected, "{context}: {}", difference(found, expected));
    }
}

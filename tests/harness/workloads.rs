//! Workloads that between them do everything, each short enough to be interrupted everywhere.

use super::step::Step;

fn name(name: &str) -> String {
    name.to_owned()
}

fn write(volume: &str, block: u64, blocks: u64, value: u64) -> Step {
    Step::Write { volume: name(volume), block, blocks, value }
}

fn flush(volume: &str) -> Step {
    Step::Flush { volume: name(volume) }
}

fn snapshot(volume: &str, tag: &str) -> Step {
    Step::Snapshot { volume: name(volume), tag: name(tag) }
}

fn fork(tag: &str, volume: &str) -> Step {
    Step::Fork { tag: name(tag), volume: name(volume) }
}

/// All of them, under their names.
pub fn all() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        ("commits and checkpoints", commits_and_checkpoints()),
        ("overwrites beside commits", overwrites_beside_commits()),
        ("large commits", large_commits()),
        ("snapshots and forks", snapshots_and_forks("disk")),
        ("sizes and discards", sizes_and_discards()),
        ("blocks dropped before snapshots", blocks_dropped_before_snapshots()),
        ("clones", clones()),
        ("removal and collection", removal_and_collection()),
        ("flattening", flattening()),
        ("importing", importing()),
    ]
}

/// More commits than the journal may hold, blocks rewritten all the time.
pub fn commits_and_checkpoints() -> Vec<Step> {
    let mut steps = vec![Step::Create { volume: name("disk"), blocks: 8 }];
    for round in 0..9 {
        steps.push(write("disk", round % 4, 1 + round % 3, round + 1));
        steps.push(flush("disk"));
    }
    steps.push(Step::Checkpoint { volume: name("disk") });
    steps.push(write("disk", 3, 2, 50));
    steps.push(flush("disk"));
    steps.push(Step::Reopen);
    steps.push(write("disk", 0, 8, 51));
    steps.push(flush("disk"));
    steps
}

/// Writes that are rewritten before and after they are committed, in parts of blocks.
fn overwrites_beside_commits() -> Vec<Step> {
    let bytes =
        |offset, length, value| Step::WriteBytes { volume: name("disk"), offset, length, value };
    vec![
        Step::Create { volume: name("disk"), blocks: 6 },
        bytes(100, 8000, 1),
        bytes(5000, 10, 2),
        flush("disk"),
        bytes(4095, 2, 3),
        bytes(0, 1, 4),
        write("disk", 1, 1, 5),
        write("disk", 1, 1, 6),
        flush("disk"),
        write("disk", 1, 1, 7),
        write("disk", 1, 1, 0),
        bytes(20_000, 4000, 8),
        flush("disk"),
        flush("disk"),
    ]
}

/// Commits whose data is made durable before their record.
fn large_commits() -> Vec<Step> {
    vec![
        Step::Create { volume: name("disk"), blocks: 300 },
        write("disk", 0, 10, 1),
        flush("disk"),
        write("disk", 2, 290, 2),
        flush("disk"),
        write("disk", 100, 3, 3),
        flush("disk"),
    ]
}

/// Forks of forks, each written to; `disk` is the name of the first volume.
pub fn snapshots_and_forks(disk: &str) -> Vec<Step> {
    vec![
        Step::Create { volume: name(disk), blocks: 6 },
        write(disk, 0, 4, 1),
        flush(disk),
        write(disk, 1, 1, 2),
        snapshot(disk, "base:1"),
        write(disk, 2, 1, 3),
        fork("base:1", "fork"),
        write("fork", 2, 2, 4),
        flush("fork"),
        snapshot(disk, "base:2"),
        Step::Seal { tag: name("base:2") },
        snapshot("fork", "fork:1"),
        fork("fork:1", "leaf"),
        write("leaf", 5, 1, 5),
        flush("leaf"),
        Step::Reset { volume: name("fork") },
        write("fork", 0, 1, 6),
        flush("fork"),
    ]
}

fn sizes_and_discards() -> Vec<Step> {
    let resize = |blocks| Step::Resize { volume: name("disk"), blocks };
    let discard = |block, blocks| Step::Discard { volume: name("disk"), block, blocks };
    vec![
        Step::Create { volume: name("disk"), blocks: 8 },
        write("disk", 0, 8, 1),
        snapshot("disk", "base:1"),
        resize(3),
        flush("disk"),
        resize(12),
        flush("disk"),
        discard(1, 1),
        Step::Zero { volume: name("disk"), block: 2, blocks: 1 },
        flush("disk"),
        write("disk", 1, 6, 2),
        discard(4, 8),
        flush("disk"),
        Step::Checkpoint { volume: name("disk") },
        snapshot("disk", "base:2"),
        resize(0),
        flush("disk"),
    ]
}

/// Layers that are frozen with more than a few blocks that nothing names: given back by a checkpoint, by
/// a close, and, as power cuts come in between, by a collection.
fn blocks_dropped_before_snapshots() -> Vec<Step> {
    let discard = |block, blocks| Step::Discard { volume: name("disk"), block, blocks };
    vec![
        Step::Create { volume: name("disk"), blocks: 40 },
        write("disk", 0, 40, 1),
        flush("disk"),
        discard(3, 30),
        flush("disk"),
        snapshot("disk", "base:1"),
        write("disk", 1, 1, 2),
        flush("disk"),
        Step::Checkpoint { volume: name("disk") },
        write("disk", 4, 30, 3),
        flush("disk"),
        // What the commit under way drops.
        write("disk", 2, 33, 4),
        snapshot("disk", "base:2"),
        Step::Reopen,
        write("disk", 5, 1, 5),
        flush("disk"),
        Step::Collect,
    ]
}

fn clones() -> Vec<Step> {
    let clone = |from, to, blocks| Step::Clone { volume: name("disk"), from, to, blocks };
    vec![
        Step::Create { volume: name("disk"), blocks: 10 },
        write("disk", 0, 4, 1),
        clone(0, 5, 4),
        flush("disk"),
        write("disk", 0, 2, 2),
        clone(1, 0, 3),
        flush("disk"),
        snapshot("disk", "base:1"),
        Step::Create { volume: name("other"), blocks: 6 },
        write("other", 3, 1, 3),
        Step::CloneFrom { volume: name("other"), tag: name("base:1"), from: 0, to: 1, blocks: 4 },
        flush("other"),
        Step::RemoveTag { tag: name("base:1") },
        Step::RemoveVolume { volume: name("disk") },
        Step::Collect,
        write("other", 2, 1, 4),
        flush("other"),
    ]
}

fn removal_and_collection() -> Vec<Step> {
    vec![
        Step::Create { volume: name("disk"), blocks: 8 },
        write("disk", 0, 8, 1),
        snapshot("disk", "base:1"),
        write("disk", 0, 3, 2),
        snapshot("disk", "base:2"),
        write("disk", 2, 3, 3),
        snapshot("disk", "base:3"),
        fork("base:2", "fork"),
        write("fork", 7, 1, 4),
        flush("fork"),
        Step::RemoveTag { tag: name("base:2") },
        Step::RemoveSnapshot { volume: name("disk"), number: 2 },
        Step::Collect,
        Step::RemoveVolume { volume: name("fork") },
        Step::Collect,
        Step::RemoveTag { tag: name("base:1") },
        Step::RemoveSnapshot { volume: name("disk"), number: 2 },
        Step::Collect,
        write("disk", 4, 2, 5),
        flush("disk"),
    ]
}

fn flattening() -> Vec<Step> {
    vec![
        Step::Create { volume: name("disk"), blocks: 6 },
        write("disk", 0, 5, 1),
        snapshot("disk", "base:1"),
        write("disk", 1, 2, 2),
        Step::Discard { volume: name("disk"), block: 3, blocks: 1 },
        snapshot("disk", "base:2"),
        Step::Flatten { tag: name("base:2"), flat: name("flat:1") },
        Step::RemoveTag { tag: name("base:1") },
        Step::RemoveTag { tag: name("base:2") },
        Step::RemoveVolume { volume: name("disk") },
        Step::Collect,
        fork("flat:1", "fork"),
        write("fork", 0, 1, 3),
        flush("fork"),
    ]
}

/// Images that come from elsewhere, forked, removed, and one of them replaced.
fn importing() -> Vec<Step> {
    let import = |tag, blocks, value, snapshots| {
        let tag = name(tag);
        Step::Import { tag, blocks, value, snapshots }
    };
    vec![
        import("base:1", 7, 1, 3),
        fork("base:1", "disk"),
        write("disk", 2, 2, 2),
        flush("disk"),
        import("base:2", 2, 3, 2),
        Step::RemoveTag { tag: name("base:2") },
        Step::Collect,
        import("base:2", 3, 4, 1),
        snapshot("disk", "disk:1"),
    ]
}

/// Forks of a sealed base, each frozen, sealed and made one layer of its own, while others write;
/// for real processes, since with the power cut everywhere it would take very long.
pub fn sealing_and_flattening_of_forks() -> Vec<Step> {
    let mut steps = vec![
        Step::Import { tag: name("base:1"), blocks: 6, value: 1, snapshots: 1 },
        Step::Seal { tag: name("base:1") },
    ];
    for number in 1..=3 {
        let (volume, tag) = (format!("fork{number}"), format!("fork:{number}"));
        steps.push(fork("base:1", &volume));
        steps.push(write(&volume, number, 2, 10 + number));
        steps.push(snapshot(&volume, &tag));
        steps.push(write(&volume, 0, 1, 20 + number));
        steps.push(flush(&volume));
        steps.push(Step::Seal { tag: tag.clone() });
        steps.push(Step::Flatten { tag, flat: format!("flat:{number}") });
    }
    steps.push(Step::RemoveTag { tag: name("fork:2") });
    steps.push(Step::Collect);
    steps
}

/// Many commits of a few blocks, which go into places that were written before; for real processes.
pub fn small_commits() -> Vec<Step> {
    let mut steps = vec![Step::Create { volume: name("disk"), blocks: 64 }];
    for round in 0..24 {
        for piece in 0..1 + round % 3 {
            steps.push(write("disk", (round * 29 + piece * 17) % 62, 1 + round % 2, round + 1));
        }
        steps.push(flush("disk"));
    }
    steps.push(Step::Discard { volume: name("disk"), block: 8, blocks: 16 });
    steps.push(Step::Checkpoint { volume: name("disk") });
    steps.push(Step::Reopen);
    for round in 0..8 {
        steps.push(write("disk", round * 7, 1, 100 + round));
        steps.push(flush("disk"));
    }
    steps
}

/// A chain so deep that its merged index is written to a file; for real processes.
pub fn deep_chain() -> Vec<Step> {
    let mut steps = vec![Step::Create { volume: name("disk"), blocks: 4 }];
    for number in 1..=33 {
        steps.push(write("disk", number % 4, 1, number));
        steps.push(snapshot("disk", &format!("deep:{number}")));
    }
    steps.push(Step::Reopen);
    steps.push(write("disk", 1, 1, 77));
    steps.push(flush("disk"));
    steps
}

/// Layers of every kind, small: what a store of this version looks like to later ones.
pub fn of_every_kind() -> Vec<Step> {
    vec![
        Step::Create { volume: name("disk"), blocks: 6 },
        write("disk", 0, 5, 1),
        snapshot("disk", "base:1"),
        write("disk", 1, 2, 2),
        Step::Discard { volume: name("disk"), block: 3, blocks: 1 },
        snapshot("disk", "base:2"),
        write("disk", 1, 1, 3),
        Step::Zero { volume: name("disk"), block: 0, blocks: 1 },
        snapshot("disk", "base:3"),
        Step::Seal { tag: name("base:3") },
        Step::RemoveTag { tag: name("base:2") },
        Step::RemoveSnapshot { volume: name("disk"), number: 2 },
        Step::Collect,
        Step::Import { tag: name("image:1"), blocks: 4, value: 4, snapshots: 2 },
        fork("image:1", "fork"),
        Step::CloneFrom { volume: name("fork"), tag: name("base:3"), from: 1, to: 0, blocks: 2 },
        flush("fork"),
        Step::Flatten { tag: name("base:3"), flat: name("flat:1") },
        write("disk", 2, 1, 5),
        flush("disk"),
        write("disk", 4, 2, 6),
        flush("disk"),
    ]
}

//! Random workloads: actions that make a step of whatever is there when their turn comes.

use proptest::prelude::*;

use super::BLOCK_BYTES;
use super::expect::Truth;
use super::step::Step;

/// The most volumes and tags that a random workload has at once.
const NAMES_MAX: usize = 4;
/// The largest volume in a random workload, in blocks.
const BLOCKS_MAX: u64 = 24;

/// What is done next; the numbers pick names and ranges among those there are.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    pub kind: ActionKind,
    pub picks: [u16; 4],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    Create,
    Write,
    WriteBytes,
    Zero,
    Discard,
    Clone,
    CloneFrom,
    Resize,
    Flush,
    Checkpoint,
    Snapshot,
    Fork,
    Reset,
    Seal,
    Flatten,
    RemoveVolume,
    RemoveTag,
    RemoveSnapshot,
    Collect,
    Reopen,
    /// Every process dies.
    Kill,
    /// The power goes.
    PowerCut,
}

/// Actions, those that change content the most often.
pub fn action() -> impl Strategy<Value = Action> {
    use ActionKind::*;
    let kind = prop_oneof![
        4 => Just(Write),
        3 => Just(WriteBytes),
        2 => Just(Flush),
        2 => Just(Snapshot),
        2 => Just(Fork),
        1 => prop::sample::select(vec![Zero, Discard, Clone, CloneFrom, Resize]),
        1 => prop::sample::select(vec![Create, Checkpoint, Reset, Seal, Flatten, Reopen]),
        1 => prop::sample::select(vec![RemoveVolume, RemoveTag, RemoveSnapshot, Collect]),
        1 => prop::sample::select(vec![Kill, PowerCut]),
    ];
    (kind, any::<[u16; 4]>()).prop_map(|(kind, picks)| Action { kind, picks })
}

impl Action {
    /// The step that it makes of `truth`; `None` where there is nothing to do it to.
    pub fn step(&self, truth: &Truth) -> Option<Step> {
        let [first, second, third, fourth] = self.picks.map(u64::from);
        let pick = |names: Vec<&String>, pick: u64| {
            (!names.is_empty()).then(|| names[pick as usize % names.len()].clone())
        };
        let volume = || pick(truth.volumes.keys().collect(), first);
        let tag = || pick(truth.tags.keys().collect(), second);
        let blocks_of = |volume: &String| truth.volumes[volume].size / BLOCK_BYTES;
        // A range of at least one block inside so many.
        let range = |blocks: u64, at: u64, count: u64| {
            let block = at % blocks.max(1);
            (blocks > 0).then(|| (block, 1 + count % (blocks - block)))
        };
        let free = |prefix: &str, taken: &dyn Fn(&String) -> bool| {
            let names = (0..NAMES_MAX).map(|number| format!("{prefix}{number}"));
            names.into_iter().find(|name| !taken(name))
        };
        let new_volume = || free("volume", &|name| truth.volumes.contains_key(name));
        let new_tag = || free("tag:", &|name| truth.tags.contains_key(name));
        Some(match self.kind {
            ActionKind::Create => {
                Step::Create { volume: new_volume()?, blocks: 1 + second % BLOCKS_MAX }
            }
            ActionKind::Write => {
                let volume = volume()?;
                let (block, blocks) = range(blocks_of(&volume), second, third)?;
                // One in eight writes zeros.
                Step::Write { volume, block, blocks, value: fourth / 8 * u64::from(fourth % 8 > 0) }
            }
            ActionKind::WriteBytes => {
                let volume = volume()?;
                let (offset, length) =
                    range(truth.volumes[&volume].size, second * 7, third % 9000)?;
                Step::WriteBytes { volume, offset, length, value: fourth + 1 }
            }
            ActionKind::Zero => {
                let volume = volume()?;
                let (block, blocks) = range(blocks_of(&volume), second, third)?;
                Step::Zero { volume, block, blocks }
            }
            ActionKind::Discard => {
                let volume = volume()?;
                let (block, blocks) = range(blocks_of(&volume), second, third)?;
                Step::Discard { volume, block, blocks }
            }
            ActionKind::Clone => {
                let volume = volume()?;
                let (from, left) = range(blocks_of(&volume), second, u64::MAX - 1)?;
                let (to, blocks) = range(blocks_of(&volume), third, fourth)?;
                Step::Clone { volume, from, to, blocks: blocks.min(left) }
            }
            ActionKind::CloneFrom => {
                let (volume, tag) = (volume()?, tag()?);
                let source = truth.tags[&tag].size / BLOCK_BYTES;
                let (from, most) = range(source, third, fourth)?;
                let (to, blocks) = range(blocks_of(&volume), fourth, third)?;
                Step::CloneFrom { volume, tag, from, to, blocks: blocks.min(most) }
            }
            ActionKind::Resize => Step::Resize { volume: volume()?, blocks: second % BLOCKS_MAX },
            ActionKind::Flush => Step::Flush { volume: volume()? },
            ActionKind::Checkpoint => Step::Checkpoint { volume: volume()? },
            ActionKind::Snapshot => Step::Snapshot { volume: volume()?, tag: new_tag()? },
            ActionKind::Fork => Step::Fork { tag: tag()?, volume: new_volume()? },
            ActionKind::Reset => {
                let volume = volume()?;
                truth.volumes[&volume].parent.is_some().then_some(Step::Reset { volume })?
            }
            ActionKind::Seal => Step::Seal { tag: tag()? },
            ActionKind::Flatten => Step::Flatten { tag: tag()?, flat: new_tag()? },
            ActionKind::RemoveVolume => Step::RemoveVolume { volume: volume()? },
            ActionKind::RemoveTag => Step::RemoveTag { tag: tag()? },
            ActionKind::RemoveSnapshot => {
                let volume = volume()?;
                let tagged =
                    |layer| truth.tags.values().any(|other| std::sync::Arc::ptr_eq(other, layer));
                let history = truth.history(&volume);
                let untagged = (1..).zip(&history).filter(|(_, layer)| !tagged(layer));
                let numbers: Vec<usize> = untagged.map(|(number, _)| number).collect();
                let number = *numbers.get(second as usize % numbers.len().max(1))?;
                Step::RemoveSnapshot { volume, number }
            }
            ActionKind::Collect => Step::Collect,
            ActionKind::Reopen => Step::Reopen,
            ActionKind::Kill | ActionKind::PowerCut => return None,
        })
    }
}

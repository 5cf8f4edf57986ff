//! What a store must show after each step, and after a crash during it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sapwood::testing::ModelLayer;

use super::step::{Step, pattern};
use super::{BLOCK_BYTES, Observed};

/// The plain truth about a store: what its users see, and what is durable.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// What reads give while the store is open.
    pub current: Truth,
    /// What is there after a crash now.
    pub durable: Truth,
    /// Volumes that were made and not flushed yet: after a crash they may be missing.
    unflushed: BTreeSet<String>,
}

/// Names and what they lead to.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub volumes: BTreeMap<String, ModelLayer>,
    pub tags: BTreeMap<String, Arc<ModelLayer>>,
    /// Snapshots that were removed one by one: no history counts them.
    removed: Vec<Arc<ModelLayer>>,
}

/// One state that is allowed after a crash.
#[derive(Clone, Debug)]
pub struct Allowed {
    pub observed: Observed,
    truth: Truth,
    /// Names that may be missing, with `NAME@N` of theirs.
    pub optional: BTreeSet<String>,
}

impl Allowed {
    /// Whether a store that shows `found` is in this state.
    pub fn admits(&self, found: &Observed) -> bool {
        let missing_is_optional = |name: &String| {
            found.contents.contains_key(name)
                || self.optional.contains(name.split('@').next().unwrap_or(name))
        };
        self.observed.contents.keys().all(missing_is_optional)
            && found.contents.iter().all(|(name, bytes)| {
                self.observed.contents.get(name).is_some_and(|expected| expected == bytes)
            })
    }
}

impl Allowed {
    /// `found` and nothing else.
    pub fn just(found: &Observed) -> Allowed {
        Expectation::showing(found).at_rest().remove(0)
    }

    /// What is true from now on, once a store in this state was found to show `found`. What was
    /// never flushed may still go with the next crash.
    pub fn settled(&self, found: &Observed) -> Expectation {
        let mut truth = self.truth.clone();
        truth.volumes.retain(|name, _| found.contents.contains_key(name));
        let unflushed = self.optional.clone();
        Expectation { current: truth.clone(), durable: truth, unflushed }
    }
}

impl Truth {
    fn top(&mut self, volume: &str) -> &mut ModelLayer {
        self.volumes.get_mut(volume).expect("workloads name volumes that are there")
    }

    /// The snapshots that a volume stands on, newest first: `NAME@1` and so on.
    pub fn history(&self, volume: &str) -> Vec<Arc<ModelLayer>> {
        let newest = self.volumes[volume].parent.clone();
        let all = std::iter::successors(newest, |layer| layer.parent.clone());
        all.filter(|layer| !self.removed.iter().any(|gone| Arc::ptr_eq(gone, layer))).collect()
    }

    /// All that can be read.
    pub fn observed(&self) -> Observed {
        let bytes = |layer: &ModelLayer| Arc::new(layer.read(0, layer.size));
        let mut contents = BTreeMap::new();
        for (name, top) in &self.volumes {
            contents.insert(name.clone(), bytes(top));
            for (number, snapshot) in (1..).zip(self.history(name)) {
                contents.insert(format!("{name}@{number}"), bytes(&snapshot));
            }
        }
        contents.extend(self.tags.iter().map(|(tag, layer)| (tag.clone(), bytes(layer))));
        Observed { contents }
    }
}

impl Expectation {
    /// What a store that shows `observed` can be taken for.
    pub fn showing(observed: &Observed) -> Expectation {
        let layer = |below: Option<Arc<ModelLayer>>, bytes: &[u8]| {
            let mut layer = below.map_or(ModelLayer::new(BLOCK_BYTES, 0), ModelLayer::on);
            layer.resize(bytes.len() as u64);
            layer.write(0, bytes);
            layer
        };
        let mut truth = Truth::default();
        for (name, bytes) in &observed.contents {
            if name.contains(':') {
                truth.tags.insert(name.clone(), Arc::new(layer(None, bytes)));
            } else if !name.contains('@') {
                let snapshots = (1..).map_while(|n| observed.contents.get(&format!("{name}@{n}")));
                let oldest_first: Vec<_> =
                    snapshots.collect::<Vec<_>>().into_iter().rev().collect();
                let below = oldest_first
                    .into_iter()
                    .fold(None, |below, bytes| Some(Arc::new(layer(below, bytes))));
                truth.volumes.insert(name.clone(), layer(below, bytes));
            }
        }
        Expectation { current: truth.clone(), durable: truth, unflushed: BTreeSet::new() }
    }

    /// What may be found after a crash between two steps.
    pub fn at_rest(&self) -> Vec<Allowed> {
        vec![self.allow(self.durable.clone())]
    }

    fn allow(&self, durable: Truth) -> Allowed {
        let observed = durable.observed();
        Allowed { observed, truth: durable, optional: self.unflushed.clone() }
    }

    /// What `step` does; gives what may be found after a crash while it is done.
    pub fn perform(&mut self, step: &Step) -> Vec<Allowed> {
        let mut allowed = self.at_rest();
        match step {
            Step::Create { volume, blocks } => {
                self.add(volume, ModelLayer::new(BLOCK_BYTES, blocks * BLOCK_BYTES));
            }
            Step::Fork { tag, volume } => {
                let tagged = self.current.tags[tag].clone();
                self.add(volume, ModelLayer::on(tagged));
            }
            Step::Write { volume, block, blocks, value } => {
                let bytes = pattern(*value, blocks * BLOCK_BYTES);
                self.current.top(volume).write(block * BLOCK_BYTES, &bytes);
            }
            Step::WriteBytes { volume, offset, length, value } => {
                self.current.top(volume).write(*offset, &pattern(*value, *length));
            }
            Step::Zero { volume, block, blocks } | Step::Discard { volume, block, blocks } => {
                let (offset, length) = (block * BLOCK_BYTES, blocks * BLOCK_BYTES);
                self.current.top(volume).discard(offset, length);
            }
            Step::Clone { volume, from, to, blocks } => {
                let top = self.current.top(volume);
                let source = top.clone();
                top.clone_range(&source, *from, *to, *blocks);
            }
            Step::CloneFrom { volume, tag, from, to, blocks } => {
                let source = self.current.tags[tag].clone();
                self.current.top(volume).clone_range(&source, *from, *to, *blocks);
            }
            Step::Resize { volume, blocks } => {
                self.current.top(volume).resize(blocks * BLOCK_BYTES);
            }
            Step::Flush { volume } => self.commit(volume),
            Step::Snapshot { volume, tag } => {
                self.commit(volume);
                allowed.extend(self.at_rest());
                let top = self.current.top(volume).forked();
                let snapshot = top.parent.clone().expect("a fork has a parent");
                self.in_both(|truth| *truth.top(volume) = top.clone());
                allowed.extend(self.at_rest());
                self.in_both(|truth| {
                    truth.tags.insert(tag.clone(), snapshot.clone());
                });
            }
            Step::Import { tag, blocks, value, snapshots } => {
                let mut layer = ModelLayer::new(BLOCK_BYTES, blocks * BLOCK_BYTES);
                for number in 0..*snapshots {
                    if number > 0 {
                        layer = ModelLayer::on(Arc::new(layer));
                    }
                    let data = pattern(*value + number, (blocks - number) * BLOCK_BYTES);
                    layer.write(number * BLOCK_BYTES, &data);
                }
                let layer = Arc::new(layer);
                self.in_both(|truth| {
                    truth.tags.insert(tag.clone(), layer.clone());
                });
            }
            Step::Reset { volume } => self.in_both(|truth| truth.top(volume).reset()),
            Step::Flatten { tag, flat } => {
                let source = &self.current.tags[tag];
                let mut layer = ModelLayer::new(BLOCK_BYTES, source.size);
                layer.write(0, &source.read(0, source.size));
                let layer = Arc::new(layer);
                self.in_both(|truth| {
                    truth.tags.insert(flat.clone(), layer.clone());
                });
            }
            Step::RemoveVolume { volume } => {
                // Its snapshots go one by one, before its name does.
                let history = self.durable.history(volume);
                for subset in 0..1_u32 << history.len() {
                    let mut partly = self.durable.clone();
                    let gone = (0..).zip(&history).filter(|(bit, _)| subset >> bit & 1 == 1);
                    partly.removed.extend(gone.map(|(_, snapshot)| snapshot.clone()));
                    allowed.push(self.allow(partly));
                }
                self.in_both(|truth| {
                    truth.volumes.remove(volume);
                });
            }
            Step::RemoveTag { tag } => self.in_both(|truth| {
                truth.tags.remove(tag);
            }),
            Step::Reopen => {
                // Closing commits.
                let volumes: Vec<String> = self.current.volumes.keys().cloned().collect();
                for volume in volumes {
                    self.commit(&volume);
                    allowed.extend(self.at_rest());
                }
            }
            Step::RemoveSnapshot { volume, number } => {
                let snapshot = self.current.history(volume)[*number - 1].clone();
                self.in_both(|truth| truth.removed.push(snapshot.clone()));
            }
            Step::Checkpoint { .. } | Step::Seal { .. } | Step::Collect => {}
        }
        allowed.extend(self.at_rest());
        allowed
    }

    fn add(&mut self, volume: &str, top: ModelLayer) {
        self.in_both(|truth| {
            truth.volumes.insert(volume.to_owned(), top.clone());
        });
        self.unflushed.insert(volume.to_owned());
    }

    fn commit(&mut self, volume: &str) {
        let top = self.current.volumes[volume].clone();
        self.durable.volumes.insert(volume.to_owned(), top);
        self.unflushed.remove(volume);
    }

    fn in_both(&mut self, mut change: impl FnMut(&mut Truth)) {
        change(&mut self.current);
        change(&mut self.durable);
    }
}

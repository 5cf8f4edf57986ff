//! One collection from beginning to end.

use std::collections::BTreeSet;

use super::census::{Census, census};
use super::plan::{Assume, Plan, plan};
use super::{sweep, unnamed};
use crate::error::Result;
use crate::format::LayerState;
use crate::layer::GivenBack;
use crate::store::handle::{Inner, Store};
use crate::store::locks::StoreLock;
use crate::store::released::Released;
use crate::store::{headers, seal};
use crate::units::LayerId;

/// How a collection is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcOptions {
    /// Only tell what would go; nothing is changed.
    pub dry_run: bool,
}

/// What a collection has freed, or would free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Layers whose files went, with the bytes that the host had allocated for each.
    pub freed: Vec<(LayerId, u64)>,
    /// Those of `freed` that are open: what volumes had written since their last snapshot, to which no name
    /// leads.
    pub nameless: BTreeSet<LayerId>,
    /// Layers that stay, with the bytes of their blocks that went: of removed ones that others stand on
    /// what nobody can see, of kept ones what nothing names.
    pub thinned: Vec<(LayerId, u64)>,
    /// How many other files went: written aside, stale indexes and digests, locks of no name.
    pub other_files: u64,
    /// How many layers stay.
    pub kept_layers: u64,
    /// The host cannot give space inside files back: what was thinned still takes its space.
    pub host_cannot_punch: bool,
    /// Snapshots whose names were removed and that stay, with what their files take in bytes, as it is not
    /// known whether another name needs them.
    pub held_back: Vec<(LayerId, u64)>,
    /// The layers that are lost, and may stand on those.
    pub unknown: BTreeSet<LayerId>,
}

impl GcReport {
    /// All bytes together.
    pub fn freed_bytes(&self) -> u64 {
        self.freed.iter().chain(&self.thinned).map(|(_, bytes)| bytes).sum()
    }

    pub(in crate::store) fn of(census: &Census, plan: &Plan) -> GcReport {
        let is_open = |id: &LayerId| {
            let header = census.layers.get(id).and_then(|resident| resident.header.as_ref());
            header.is_some_and(|header| header.state == LayerState::Open)
        };
        GcReport {
            freed: plan.unlink.clone(),
            nameless: plan.unlink.iter().map(|(id, _)| *id).filter(is_open).collect(),
            thinned: plan.thin.iter().map(|thinning| (thinning.id, thinning.bytes)).collect(),
            other_files: plan.litter.len() as u64,
            kept_layers: plan.kept_layers,
            ..GcReport::default()
        }
    }
}

impl Store {
    /// Frees what nobody can see: the files of layers that no kept snapshot, volume or open view
    /// goes through, and in removed layers that others stand on the blocks hidden from all of
    /// them. In kept layers it finds what their volumes had dropped before they were frozen and did not
    /// come to give back, where that is 64 KiB and more. What stays of a removed layer, and how it goes,
    /// [`remove`](Store::remove) says. Safe beside readers, writers and forks of other
    /// processes; needs no free byte.
    ///
    /// A layer is sealed before blocks of it go, so that what stands on it can still be sealed.
    /// Where that fails, as its data do not verify, the layer stays whole, all else is freed, and
    /// the error is returned at the end.
    pub fn collect(&self, options: &GcOptions) -> Result<GcReport> {
        let inner = self.inner()?;
        match options.dry_run {
            true => {
                let (released, census, plan) = {
                    let _alone = StoreLock::exclusive(inner.host())?;
                    let released = Released::look(inner)?;
                    let removed = released.free.iter().copied().collect();
                    let assume = Assume { removed, ..Assume::default() };
                    let (census, plan) = make_plan(inner, &assume)?;
                    (released, census, plan)
                };
                let mut report = GcReport::of(&census, &plan);
                (report.held_back, report.unknown) = (released.held_back, released.unknown);
                let unnamed =
                    unnamed::find(&inner.host, inner.options.volume.read, &census, &plan)?;
                report.thinned.extend(unnamed.iter().map(|found| (found.id, found.bytes)));
                Ok(report)
            }
            false => collect(inner),
        }
    }

    /// Takes away, durably, the layers whose maker stopped before they got a tag, and nothing
    /// else: what a maker that failed calls once it has dropped what it made. Those that somebody has
    /// open, or that something else stands on, stay.
    ///
    /// Errors: [`Corrupt`](crate::ErrorKind::Corrupt) where a layer or a name does not verify.
    pub fn discard_unfinished(&self) -> Result<()> {
        let inner = self.inner()?;
        let host = inner.host();
        let _alone = StoreLock::exclusive(host)?;
        let census = census(host)?;
        let all = plan(&inner.host, inner.options.volume.read, &census, &Assume::default())?;
        let unlink = all.unlink.into_iter().filter(|(id, _)| census.unfinished.contains(id));
        let discarded = Plan { unlink: unlink.collect(), ..Plan::default() };
        discarded.unlink.iter().for_each(|(id, _)| inner.cache.forget(*id));
        sweep::unlink_and_mark(host, &discarded)
    }
}

fn collect(inner: &Inner) -> Result<GcReport> {
    let host = inner.host();
    let mut assume = Assume::default();
    let mut failure = None;
    let (released, census, plan) = loop {
        let seal_first = {
            let _alone = StoreLock::exclusive(host)?;
            let released = Released::look(inner)?;
            released.settle(inner)?;
            let (census, plan) = make_plan(inner, &assume)?;
            if plan.seal_first.is_empty() {
                sweep::unlink_and_mark(host, &plan)?;
                break (released, census, plan);
            }
            plan.seal_first
        };
        // Sealing reads all data below: not while others wait for the lock.
        for id in seal_first {
            if let Err(error) = seal_one(inner, id) {
                assume.untouchable.insert(id);
                failure.get_or_insert(error);
            }
        }
    };
    let mut report = GcReport::of(&census, &plan);
    (report.held_back, report.unknown) = (released.held_back, released.unknown);
    for (id, _) in &report.freed {
        inner.cache.forget(*id);
    }
    for thinning in &plan.thin {
        inner.cache.forget(thinning.id);
        if !sweep::punch(host, thinning)? {
            report.host_cannot_punch = true;
            report.thinned.clear();
            break;
        }
    }
    if !report.host_cannot_punch {
        for found in unnamed::find(&inner.host, inner.options.volume.read, &census, &plan)? {
            match unnamed::punch(host, &found)? {
                GivenBack::Done => report.thinned.push((found.id, found.bytes)),
                GivenBack::NotAtRest => {}
                GivenBack::HostCannot => {
                    report.host_cannot_punch = true;
                    break;
                }
            }
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(report),
    }
}

fn seal_one(inner: &Inner, id: LayerId) -> Result<()> {
    match headers::read(inner.host(), id)? {
        Some(header) => seal::seal_chain(inner, &header.layer_ref()).map(|_| ()),
        // Another collection took it meanwhile.
        None => Ok(()),
    }
}

fn make_plan(inner: &Inner, assume: &Assume) -> Result<(Census, Plan)> {
    let census = census(inner.host())?;
    let plan = plan(&inner.host, inner.options.volume.read, &census, assume)?;
    Ok((census, plan))
}

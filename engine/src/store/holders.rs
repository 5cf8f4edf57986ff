//! Whether a name's history holds a snapshot, as far as that can be told where layers are lost.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::headers::Headers;
use super::history::{History, history, is_lost};
use super::names::FoundName;
use super::resolve::newest_known;
use crate::error::{Error, Result};
use crate::format::{Header, LayerKind, LayerRef, NameKind};
use crate::units::LayerId;

/// What the histories of names hold.
#[derive(Debug)]
pub enum Held {
    /// What was asked for, and with it all below: the history of this name does.
    Asked(String),
    /// These, and not what was asked for, as far as is known.
    Others(Others),
}

/// What histories hold that do not lead to what was asked for.
#[derive(Debug, Default)]
pub struct Others {
    /// All layers that were met.
    pub layers: HashSet<LayerId>,
    /// Layers that are lost or damaged, below which anything may lie.
    pub ends: BTreeMap<LayerId, End>,
}

/// A layer at which histories end that are not whole.
#[derive(Debug)]
pub struct End {
    /// What is wrong with it.
    pub error: Error,
    /// What it held, a disk or a tree, where something that stands on it tells.
    pub kind: Option<LayerKind>,
}

impl End {
    /// Whether the layer may stand on this one: all layers of a chain are of one kind.
    pub fn may_stand_on(&self, header: &Header) -> bool {
        self.kind.is_none_or(|kind| kind == header.kind)
    }
}

/// A walk down from a name.
struct Walk<'a> {
    name: String,
    history: History<'a>,
    kind: Option<LayerKind>,
    /// The top of a volume, which says of what kind the volume is where nothing below it does.
    top: Option<LayerId>,
}

/// What a step down a history has met.
enum Step {
    /// What was looked for.
    Met,
    /// Another layer, for the first time.
    Further,
    /// The end, or what another walk has met.
    Ended,
}

/// Whether the history of one of those `names` that count leads to `asked`. The caller holds the store's lock, so that
/// names stay as they are.
pub fn who_holds<'a>(
    headers: impl Into<Headers<'a>>,
    asked: LayerId,
    names: impl Iterator<Item = Result<impl Borrow<FoundName>>>,
    counts: impl Fn(&FoundName) -> bool,
) -> Result<Held> {
    let headers = headers.into();
    let mut others = Others::default();
    // What a volume's name says that its top stands on, even where that cannot be read.
    let mut below_tops: HashMap<LayerId, Option<LayerRef>> = HashMap::new();
    let mut ended: Vec<(LayerId, End, String)> = Vec::new();
    let step = |walk: &mut Walk<'_>, others: &mut Others, ended: &mut Vec<_>| {
        match walk.history.next() {
            None => Ok(Step::Ended),
            Some(Ok(header)) if header.layer == asked => Ok(Step::Met),
            // From a layer that was met before on down, all were.
            Some(Ok(header)) if !others.layers.insert(header.layer) => Ok(Step::Ended),
            Some(Ok(header)) => {
                walk.kind = Some(header.kind);
                Ok(Step::Further)
            }
            Some(Err(error)) if is_lost(&error) => {
                let of_top = || headers.read(walk.top?).ok()?.map(|header| header.kind);
                let kind = walk.kind.or_else(of_top);
                let name = walk.name.clone();
                ended.extend(walk.history.met().map(|id| (id, End { error, kind }, name)));
                Ok(Step::Ended)
            }
            Some(Err(error)) => Err(error),
        }
    };
    // All walks go down side by side: what holds it most often does so near its own tip, and a
    // chain that does not may be long.
    let mut walks = Vec::new();
    for name in names {
        let name = name?;
        let name = name.borrow();
        let is_volume = name.entry.kind == NameKind::Volume;
        if is_volume {
            below_tops.insert(name.entry.top, name.entry.parent);
        }
        if !counts(name) {
            continue;
        }
        let (newest, _) = newest_known(headers, name)?;
        let top = is_volume.then_some(name.entry.top);
        let walked = name.entry.name.clone();
        let mut walk = Walk { name: walked, history: history(headers, newest), kind: None, top };
        match step(&mut walk, &mut others, &mut ended)? {
            // All of the one is in the other.
            Step::Met => return Ok(Held::Asked(walk.name)),
            Step::Ended => {}
            Step::Further => walks.push(walk),
        }
    }
    loop {
        while !walks.is_empty() {
            let mut further = Vec::new();
            for mut walk in walks {
                match step(&mut walk, &mut others, &mut ended)? {
                    Step::Met => return Ok(Held::Asked(walk.name)),
                    Step::Ended => {}
                    Step::Further => further.push(walk),
                }
            }
            walks = further;
        }
        walks = Vec::new();
        for (id, end, name) in std::mem::take(&mut ended) {
            match below_tops.get_mut(&id) {
                // Once: what lies below it is walked then.
                Some(below) => walks.extend(below.take().map(|below| Walk {
                    name,
                    history: history(headers, Some(below)),
                    kind: end.kind,
                    top: None,
                })),
                None => {
                    let known =
                        others.ends.entry(id).or_insert(End { error: end.error, kind: None });
                    known.kind = known.kind.or(end.kind);
                }
            }
        }
        if walks.is_empty() {
            return Ok(Held::Others(others));
        }
    }
}

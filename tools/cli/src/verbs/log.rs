//! `log`: lists a layer and its ancestors, newest first, or draws the tree they stand in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use sapwood::format::LayerRef;
use sapwood::store::{LayerInfo, LineageLeft, NamesLeft, Store};
use sapwood::units::{Digest, LayerId};
use sapwood::{ErrorKind, NameEntry, NameKind};
use serde::Serialize;

use crate::args::LogArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::table::{Column, Table};
use crate::output::{Report, Text, printable};
use crate::picture::graph::{self, Node};
use crate::reports::{DamageReport, LayerReport, names_of_layers, short, when};

/// So many small volumes on one layer are drawn as one.
const ALIKE_MIN: usize = 4;
/// A volume is small up to this: hardly more than a fork takes that holds nothing yet.
const SMALL_BYTES_MAX: u64 = 64 << 10;

#[derive(Serialize)]
struct Lineage<'a> {
    reference: &'a str,
    layers: Vec<Entry>,
    /// What is lost or damaged of it, newest first.
    damaged: Vec<DamageReport>,
}

#[derive(Serialize)]
struct Entry {
    names: Vec<String>,
    #[serde(flatten)]
    layer: LayerReport,
}

impl Entry {
    fn new(names: Vec<String>, info: &LayerInfo, store: &Store) -> Entry {
        Entry { names, layer: LayerReport::new(info, store) }
    }
}

impl Report for Lineage<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let mut table = Table::new(&[
            Column::Left("LAYER"),
            Column::Left("STATE"),
            Column::Right("OWN DATA"),
            Column::Right("ALLOCATED"),
            Column::Left("CREATED"),
            Column::Left("NAMES"),
            Column::Left("COMMENT"),
        ]);
        for entry in &self.layers {
            table.row([
                short(&entry.layer.layer).to_owned(),
                entry.layer.state_text(),
                entry.layer.data_bytes.map(|bytes| text.units.size(bytes)).unwrap_or_default(),
                text.units.size(entry.layer.allocated_bytes),
                when(entry.layer.created),
                entry.names.join(", "),
                printable(entry.layer.comment.as_deref().unwrap_or_default()),
            ]);
        }
        if !self.layers.is_empty() {
            table.write(text)?;
        }
        DamageReport::write_all(&self.damaged, text)
    }
}

#[derive(Serialize)]
struct Tree<'a> {
    reference: &'a str,
    layers: Vec<Entry>,
    /// Those that others of the tree stand on, or a name leads to, and that are lost or damaged: they
    /// are drawn, after `layers` in the order of places.
    #[serde(skip)]
    lost: Vec<Lost>,
    #[serde(skip)]
    parents: Vec<Option<usize>>,
    #[serde(skip)]
    tip: usize,
    /// What is wrong with layers that are lost or cannot be read; which tree some stand in is not
    /// known.
    damaged: Vec<DamageReport>,
}

struct Lost {
    layer: LayerId,
    names: Vec<String>,
    newer: bool,
}

impl Report for Tree<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let sound =
            self.layers.iter().map(|entry| (entry.layer.state == "open", label(entry, text)));
        let lost = self.lost.iter().map(|lost| (false, label_of_lost(lost, text)));
        let mut nodes: Vec<Node> = sound
            .chain(lost)
            .zip(&self.parents)
            .map(|((is_open, label), parent)| Node { parent: *parent, is_open, label })
            .collect();
        for group in self.groups_of_small() {
            let first = &self.layers[group[0]].names[0];
            let last = &self.layers[group[group.len() - 1]].names[0];
            let count = group.len();
            nodes[group[0]].label = format!("{first} ... {last}  {count} volumes");
            // A leaf that is cut off is not drawn.
            group[1..].iter().for_each(|&index| nodes[index].parent = None);
        }
        graph::draw(&nodes, self.tip, text)?;
        DamageReport::write_all(&self.damaged, text)
    }
}

impl Tree<'_> {
    /// Groups of small volumes on one layer, by name.
    fn groups_of_small(&self) -> impl Iterator<Item = Vec<usize>> {
        let mut is_leaf = vec![true; self.parents.len()];
        for parent in self.parents.iter().flatten() {
            is_leaf[*parent] = false;
        }
        let mut groups: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
        for (index, Entry { names, layer }) in self.layers.iter().enumerate() {
            let is_small = layer.state == "open" && layer.allocated_bytes <= SMALL_BYTES_MAX;
            if is_small && !names.is_empty() && is_leaf[index] && index != self.tip {
                groups.entry(self.parents[index]).or_default().push(index);
            }
        }
        let sorted = groups.into_values().map(|mut group| {
            group.sort_by_key(|&index| &self.layers[index].names);
            group
        });
        sorted.filter(|group| group.len() >= ALIKE_MIN)
    }
}

fn label_of_lost(lost: &Lost, text: &Text<'_>) -> String {
    let what = if lost.newer { "of a newer version" } else { "lost or damaged" };
    format!("{}  {what}", label_of_names(&lost.layer.to_string(), &lost.names, text))
}

fn label_of_names(layer: &str, names: &[String], text: &Text<'_>) -> String {
    let label = text.palette.faint(short(layer));
    match names {
        [] => label,
        names => format!("{label}  {}", text.palette.bold(&names.join(", "))),
    }
}

fn label(entry: &Entry, text: &Text<'_>) -> String {
    let palette = text.palette;
    let mut label = label_of_names(&entry.layer.layer, &entry.names, text);
    if let Some(bytes) = entry.layer.data_bytes {
        label = format!("{label}  {}", text.units.size(bytes));
    }
    if entry.layer.state != "open" && entry.layer.state != "frozen" || entry.layer.removed {
        label = format!("{label}  {}", entry.layer.state_text());
    }
    match &entry.layer.comment {
        Some(comment) => format!("{label}  {}", palette.faint(&printable(comment))),
        None => label,
    }
}

pub fn run(args: &LogArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let reference = args.reference.as_str();
    let LineageLeft { layers, lost } = store.lineage_left(reference)?;
    let damages: Damages = lost.into_iter().collect();
    if args.graph {
        return draw(&store, reference, damages, context);
    }
    let names = names_of_layers(&store, reference, layers.iter().map(|info| info.id))?;
    let names_of = |id: &LayerId| names.get(id).cloned().unwrap_or_default();
    let layers = layers.iter().map(|info| Entry::new(names_of(&info.id), info, &store)).collect();
    let is_whole = damages.is_empty();
    let damaged = reports_of(damages).collect();
    context.print_what_is_left(&Lineage { reference, layers, damaged }, is_whole)
}

/// What is wrong with layers, or that they are of a newer version.
type Damages = Vec<(LayerId, sapwood::Error)>;

fn reports_of(damages: Damages) -> impl Iterator<Item = DamageReport> {
    let report = |(id, error): (_, sapwood::Error)| {
        DamageReport::of_layer(id, error.to_string(), error.is_newer())
    };
    damages.into_iter().map(report)
}

/// Draws the tree that `reference` stands in; `damages` is what its own history lacks.
fn draw(
    store: &Store,
    reference: &str,
    mut damages: Damages,
    context: &Context<'_>,
) -> Result<Verdict> {
    let NamesLeft { names: named, damaged: damaged_names } = store.names_left()?;
    let mut names: HashMap<LayerId, Vec<String>> = HashMap::new();
    for entry in &named {
        names.entry(entry.top).or_default().push(entry.name.clone());
    }
    let tip = store.resolve(reference)?.layer;
    let (mut layers, unreadable) = layers_of(store)?;
    damages.extend(unreadable);
    // Oldest first; what is still open has no time, and goes by its name.
    layers.sort_by_cached_key(|info| {
        (info.annotations.created.unwrap_or(i64::MAX), names.get(&info.id).cloned(), info.id)
    });
    let Some(tree) = Forest::of(layers, &damages, &named).tree_of(tip) else {
        let error = sapwood::Error::new(ErrorKind::Stale, "draw the tree of layers");
        return Err(error.about("layer", "gone meanwhile", tip).into());
    };
    // What others stand on and is not there; what came meanwhile is no loss.
    let missing = tree.lost.iter().filter_map(|id| Some((*id, store.layer(*id).err()?)));
    damages.extend(missing);
    // What the history says of a layer comes first, and says most.
    let mut told = HashSet::new();
    damages.retain(|(id, _)| told.insert(*id));
    let is_whole = damages.is_empty() && damaged_names.is_empty();
    let newer: HashSet<LayerId> =
        damages.iter().filter(|(_, error)| error.is_newer()).map(|(id, _)| *id).collect();
    let damaged = damaged_names.into_iter().map(DamageReport::of_name).chain(reports_of(damages));
    let names_of = |id: &LayerId| names.get(id).cloned().unwrap_or_default();
    let layers = tree.layers.iter().map(|info| Entry::new(names_of(&info.id), info, store));
    let lost = tree.lost.iter().map(|id| Lost {
        layer: *id,
        names: names_of(id),
        newer: newer.contains(id),
    });
    let (layers, lost, damaged) = (layers.collect(), lost.collect(), damaged.collect());
    let TreeOfLayers { parents, tip, .. } = tree;
    let report = Tree { reference, layers, lost, parents, tip, damaged };
    context.print_what_is_left(&report, is_whole)
}

/// All layers that can be read, and those that cannot.
fn layers_of(store: &Store) -> Result<(Vec<LayerInfo>, Damages)> {
    let (mut layers, mut damages) = (Vec::new(), Vec::new());
    for id in store.layer_ids()? {
        match store.layer(id) {
            Ok(info) => layers.push(info),
            // Gone meanwhile, or never durable.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.is_of_one_file() => damages.push((id, error)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((layers, damages))
}

/// All layers, and how they stand on each other.
struct Forest {
    /// What can be read.
    layers: Vec<LayerInfo>,
    /// What is lost or damaged, whose places come after those.
    lost: Vec<LayerId>,
    /// The place of each one's parent.
    parents: Vec<Option<usize>>,
    place_of: HashMap<LayerId, usize>,
    by_digest: HashMap<Digest, usize>,
}

/// The part of a [`Forest`] that one layer stands in.
struct TreeOfLayers {
    layers: Vec<LayerInfo>,
    lost: Vec<LayerId>,
    parents: Vec<Option<usize>>,
    tip: usize,
}

impl Forest {
    fn of(layers: Vec<LayerInfo>, damages: &Damages, named: &[NameEntry]) -> Forest {
        let places = || layers.iter().enumerate();
        let place_of = places().map(|(place, info)| (info.id, place)).collect();
        let by_digest = places().filter_map(|(place, info)| Some((info.digest?, place))).collect();
        let recorded: Vec<_> = layers.iter().map(|info| info.parent).collect();
        let (lost, parents) = (Vec::new(), Vec::new());
        let mut forest = Forest { layers, lost, parents, place_of, by_digest };
        for parent in recorded {
            let place = parent.map(|parent| forest.place_of_recorded(&parent));
            forest.parents.push(place);
        }
        for (id, _) in damages {
            forest.place_of(*id);
        }
        forest.lost_tops_by_their_names(named);
        forest
    }

    /// Of a top that cannot be read its name still knows the parent.
    fn lost_tops_by_their_names(&mut self, named: &[NameEntry]) {
        let tops = named.iter().filter(|entry| entry.kind == NameKind::Volume);
        let parents: HashMap<LayerId, Option<LayerRef>> =
            tops.map(|entry| (entry.top, entry.parent)).collect();
        let mut at = 0;
        while at < self.lost.len() {
            let parent = parents.get(&self.lost[at]).copied().flatten();
            let place = parent.map(|parent| self.place_of_recorded(&parent));
            self.parents.push(place);
            at += 1;
        }
    }

    fn place_of_recorded(&mut self, wanted: &LayerRef) -> usize {
        // A sealed parent may stand there under another id: its digest is who it is.
        let other = || self.by_digest.get(&wanted.digest?).copied();
        match self.place_of.get(&wanted.id).copied().or_else(other) {
            Some(place) => place,
            None => self.place_of(wanted.id),
        }
    }

    fn place_of(&mut self, id: LayerId) -> usize {
        let (lost, sound) = (&mut self.lost, self.layers.len());
        *self.place_of.entry(id).or_insert_with(|| {
            lost.push(id);
            sound + lost.len() - 1
        })
    }

    /// The tree that `tip` stands in; its layers stay in their order. `None` for one that went meanwhile.
    fn tree_of(self, tip: LayerId) -> Option<TreeOfLayers> {
        let Forest { layers, lost, parents, place_of, .. } = self;
        let tip = *place_of.get(&tip)?;
        let mut members = graph::members(&parents, tip);
        members.sort_unstable();
        let place = |index: usize| members.binary_search(&index).ok();
        let (sound, others) = members.split_at(members.partition_point(|&at| at < layers.len()));
        Some(TreeOfLayers {
            parents: members.iter().map(|&index| parents[index].and_then(place)).collect(),
            tip: place(tip)?,
            layers: sound.iter().map(|&index| layers[index].clone()).collect(),
            lost: others.iter().map(|&index| lost[index - layers.len()]).collect(),
        })
    }
}

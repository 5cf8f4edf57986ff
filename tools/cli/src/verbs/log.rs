//! `log`: lists a layer and its ancestors, newest first, or draws the tree they stand in.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use sapwood::ErrorKind;
use sapwood::store::{LayerInfo, Store};
use sapwood::units::{Digest, LayerId};
use serde::Serialize;

use crate::args::LogArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::table::{Column, Table};
use crate::output::{Report, Text, printable};
use crate::picture::graph::{self, Node};
use crate::reports::{LayerReport, names_of_layers, short, when};

/// So many small volumes on one layer are drawn as one.
const ALIKE_MIN: usize = 4;
/// A volume is small up to this: hardly more than a fork takes that holds nothing yet.
const SMALL_BYTES_MAX: u64 = 64 << 10;

#[derive(Serialize)]
struct Lineage<'a> {
    reference: &'a str,
    layers: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    names: Vec<String>,
    #[serde(flatten)]
    layer: LayerReport,
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
        table.write(text)
    }
}

#[derive(Serialize)]
struct Tree<'a> {
    reference: &'a str,
    layers: Vec<Entry>,
    #[serde(skip)]
    parents: Vec<Option<usize>>,
    #[serde(skip)]
    tip: usize,
    /// What is wrong with layers that cannot be read: which tree they stand in is not known.
    damaged: Vec<Damaged>,
}

#[derive(Serialize)]
struct Damaged {
    layer: String,
    damage: String,
}

impl Report for Tree<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let node = |(entry, parent): (&Entry, &Option<usize>)| Node {
            parent: *parent,
            is_open: entry.layer.state == "open",
            label: label(entry, text),
        };
        let mut nodes: Vec<Node> = self.layers.iter().zip(&self.parents).map(node).collect();
        for group in self.groups_of_small() {
            let first = &self.layers[group[0]].names[0];
            let last = &self.layers[group[group.len() - 1]].names[0];
            let count = group.len();
            nodes[group[0]].label = format!("{first} ... {last}  {count} volumes");
            // A leaf that is cut off is not drawn.
            group[1..].iter().for_each(|&index| nodes[index].parent = None);
        }
        graph::draw(&nodes, self.tip, text)?;
        for Damaged { layer, damage } in &self.damaged {
            writeln!(text, "{}: {damage}", short(layer))?;
        }
        Ok(())
    }
}

impl Tree<'_> {
    /// Groups of small volumes on one layer, by name.
    fn groups_of_small(&self) -> impl Iterator<Item = Vec<usize>> {
        let mut is_leaf = vec![true; self.layers.len()];
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

fn label(entry: &Entry, text: &Text<'_>) -> String {
    let palette = text.palette;
    let mut label = palette.faint(short(&entry.layer.layer));
    if !entry.names.is_empty() {
        label = format!("{label}  {}", palette.bold(&entry.names.join(", ")));
    }
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
    let entry = |names: Option<&Vec<String>>, info: &LayerInfo| Entry {
        names: names.cloned().unwrap_or_default(),
        layer: LayerReport::new(info, &store),
    };
    if !args.graph {
        let lineage = store.lineage(&args.reference)?;
        let ids = lineage.iter().map(|info| info.id);
        let names = names_of_layers(&store, &args.reference, ids)?;
        let layers = lineage.iter().map(|info| entry(names.get(&info.id), info)).collect();
        return context.print(&Lineage { reference: &args.reference, layers });
    }
    let names = all_names(&store)?;
    let tip = store.resolve(&args.reference)?.layer;
    let (mut layers, damaged) = layers_of(&store)?;
    // Oldest first; what is still open has no time, and goes by its name.
    layers.sort_by_cached_key(|info| {
        (info.annotations.created.unwrap_or(i64::MAX), names.get(&info.id).cloned(), info.id)
    });
    let Some(tree) = tree_of(layers, tip) else {
        let error = sapwood::Error::new(ErrorKind::Stale, "draw the tree of layers");
        return Err(error.about("layer", "gone meanwhile", tip).into());
    };
    let entries = tree.layers.iter().map(|info| entry(names.get(&info.id), info)).collect();
    let (reference, is_whole) = (&args.reference, damaged.is_empty());
    let TreeOfLayers { parents, tip, .. } = tree;
    let report = Tree { reference, layers: entries, parents, tip, damaged };
    context.print_what_is_left(&report, is_whole)
}

/// All layers that can be read, and those that cannot.
fn layers_of(store: &Store) -> Result<(Vec<LayerInfo>, Vec<Damaged>)> {
    let (mut layers, mut damaged) = (Vec::new(), Vec::new());
    for id in store.layer_ids()? {
        match store.layer(id) {
            Ok(info) => layers.push(info),
            // Gone meanwhile, or never durable.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                damaged.push(Damaged { layer: id.to_string(), damage: error.to_string() });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((layers, damaged))
}

struct TreeOfLayers {
    layers: Vec<LayerInfo>,
    /// The place of each one's parent.
    parents: Vec<Option<usize>>,
    tip: usize,
}

/// The tree that `tip` stands in; its layers stay in their order.
fn tree_of(layers: Vec<LayerInfo>, tip: LayerId) -> Option<TreeOfLayers> {
    let parents = places_of_parents(&layers);
    let tip = layers.iter().position(|info| info.id == tip)?;
    let mut members = graph::members(&parents, tip);
    members.sort_unstable();
    let place = |index: usize| members.binary_search(&index).ok();
    Some(TreeOfLayers {
        parents: members.iter().map(|&index| parents[index].and_then(place)).collect(),
        tip: place(tip)?,
        layers: members.iter().map(|&index| layers[index].clone()).collect(),
    })
}

fn places_of_parents(layers: &[LayerInfo]) -> Vec<Option<usize>> {
    let by_id: HashMap<LayerId, usize> =
        layers.iter().enumerate().map(|(index, info)| (info.id, index)).collect();
    let sealed = layers.iter().enumerate().filter_map(|(index, info)| Some((info.digest?, index)));
    let by_digest: HashMap<Digest, usize> = sealed.collect();
    let place = |info: &LayerInfo| {
        let parent = info.parent?;
        // A sealed parent may stand there under another id: its digest is who it is.
        by_id.get(&parent.id).or_else(|| by_digest.get(&parent.digest?)).copied()
    };
    layers.iter().map(place).collect()
}

/// The names of all layers: tags, and volumes at their tops.
fn all_names(store: &Store) -> Result<HashMap<LayerId, Vec<String>>> {
    let mut names: HashMap<LayerId, Vec<String>> = HashMap::new();
    for entry in store.names()? {
        names.entry(entry.top).or_default().push(entry.name);
    }
    Ok(names)
}

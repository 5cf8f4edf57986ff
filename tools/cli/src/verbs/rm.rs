//! `rm`: removes tags, volumes or snapshots, or files in trees.

use std::collections::HashSet;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use sapwood::files::Paths;
use sapwood::store::{GivenUp, Name, RemoveReport, Store};
use sapwood::{ErrorKind, LayerId, ResolvedKind};
use sapwood_container::{Status, container, give_up_commit};
use sapwood_fuse::remove_stale_socket;
use sapwood_oci::by_id;
use serde::Serialize;

use super::stop::kill;
use crate::args::RmArgs;
use crate::context::Context;
use crate::error::{CliError, Exit, Result, Verdict};
use crate::obstacles::{advised, whether_needed};
use crate::output::size::counted;
use crate::output::{Report, Text};
use crate::tree::{TreePath, Word, as_reference, change, open_view, runs_of_one_tree};

/// How long a temporary container may take to be gone once its process is, before it is removed here.
const OWN_REMOVAL: Duration = Duration::from_secs(5);
/// How often somebody who waits looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

#[derive(Serialize)]
struct Removals {
    removed: Vec<Removal>,
}

#[derive(Serialize)]
struct Removal {
    reference: String,
    layers_removed: Vec<String>,
    /// Lost or damaged ones at which its history ended: what is below them is left as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers_lost: Vec<String>,
    /// Those that stay until it is known whether other names need them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers_released: Vec<String>,
    /// Lost or damaged ones of other names that may stand on those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers_unknown: Vec<String>,
    /// The name whose history holds the snapshot that a tag led to, which stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_by: Option<String>,
    /// So many of them are still there: `gc` takes them.
    #[serde(skip)]
    left: u64,
}

impl Removal {
    fn of(reference: String, report: RemoveReport, is_tag: bool) -> Removal {
        let ids = |ids: &[LayerId]| ids.iter().map(ToString::to_string).collect();
        let gone: Vec<_> = report.snapshots.iter().chain(&report.top).copied().collect();
        Removal {
            reference,
            layers_removed: ids(&gone),
            layers_lost: ids(&report.lost),
            layers_released: ids(&report.released),
            layers_unknown: ids(&report.unknown),
            kept_by: report.kept_by.filter(|_| is_tag),
            left: report.snapshots.len() as u64,
        }
    }

    fn without_layers(reference: String) -> Removal {
        Removal {
            reference,
            layers_removed: Vec::new(),
            layers_lost: Vec::new(),
            layers_released: Vec::new(),
            layers_unknown: Vec::new(),
            kept_by: None,
            left: 0,
        }
    }
}

impl Report for Removals {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        for removal in &self.removed {
            let Removal { reference, left, layers_lost, layers_released, .. } = removal;
            match (left, &removal.kept_by) {
                (0, None) => writeln!(text, "removed {reference}")?,
                (0, Some(name)) => {
                    let stays = format!("its snapshot stays, in the history of {name}");
                    writeln!(text, "removed {reference}: {stays}")?;
                }
                _ => {
                    let snapshots = counted(*left, "snapshot");
                    writeln!(text, "removed {reference}: {snapshots} left to `gc`")?;
                }
            }
            for layer in layers_lost {
                let left = "snapshots that only it leads to are left as they are";
                writeln!(text, "layer {layer} is lost, damaged or of a newer version: {left}")?;
            }
            if !layers_released.is_empty() {
                let snapshots = counted(layers_released.len() as u64, "snapshot");
                let why = whether_needed(&removal.layers_unknown);
                writeln!(text, "{snapshots} more left to `gc`, {why}")?;
            }
        }
        Ok(())
    }
}

pub fn run(args: &RmArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let (mut places, mut names) = sort(&args.words)?;
    if args.damaged {
        return give_up(&store, &places, &names, context);
    }
    // A word that is mistyped stops the whole line before anything is gone.
    keep_those_there(&mut names, args.force, context, |name| {
        store.resolve(&by_id(&store, name)?)?;
        Ok(())
    })?;
    keep_those_there(&mut places, args.force, context, |place| {
        let view = open_view(&store, &place.reference)?;
        place.named(Paths::new(&view).resolve_link(&place.path)).map(drop)
    })?;
    for places in runs_of_one_tree(&places) {
        remove_files(&store, places, args.recursive)?;
    }
    let mut removed: Vec<Removal> =
        places.iter().map(|place| Removal::without_layers(place.to_string())).collect();
    let mut failed = Vec::new();
    let meant = meant(&store, names)?;
    let mut gone = HashSet::new();
    // A volume goes by itself: what is remembered of the others is kept as long as they are.
    for words in meant.chunk_by(|one, next| !one.is_volume && !next.is_volume) {
        let done = remove(&store, words, args.force, &mut gone, &mut removed, &mut failed);
        if let Err(error) = done {
            // It is about the store, and would meet the others too; what went before is told all the same.
            failed.push(error);
            break;
        }
    }
    context.print(&Removals { removed })?;
    let Some(last) = failed.pop() else { return Ok(Verdict::Done) };
    failed.iter().for_each(|error| context.print_error(error));
    Err(last)
}

/// Removes names and snapshots, all of them together. What cannot be removed keeps none of the others;
/// snapshots that went are `gone`.
fn remove(
    store: &Store,
    words: &[Meant],
    force: bool,
    gone: &mut HashSet<LayerId>,
    removed: &mut Vec<Removal>,
    failed: &mut Vec<CliError>,
) -> Result<()> {
    let mut left = Vec::new();
    for meant in words {
        match make_ready(store, &meant.word, force) {
            Ok(true) => left.push(meant),
            Ok(false) => removed.push(Removal::without_layers(meant.word.clone())),
            Err(error) => failed.push(error),
        }
    }
    store.remove_each(&left, |meant, report| {
        let word = meant.word.clone();
        match report {
            Ok(report) => {
                gone.extend(report.snapshots.iter().copied());
                removed.push(Removal::of(word, report, meant.is_tag));
            }
            Err(_) if meant.snapshot.is_some_and(|snapshot| gone.contains(&snapshot)) => {
                removed.push(Removal::without_layers(word));
            }
            Err(error) => failed.push(error.into()),
        }
    })?;
    Ok(())
}

/// What runs over a volume, and what is remembered of it, goes before the volume does. Whether that is still
/// there then.
fn make_ready(store: &Store, word: &str, force: bool) -> Result<bool> {
    if force && !end(store, word)? {
        return Ok(false);
    }
    sapwood_container::remove_record(store, word)?;
    if let Ok(name) = Name::new(word) {
        remove_stale_socket(store, &name)?;
    }
    Ok(true)
}

/// What a word of the line means.
struct Meant {
    word: String,
    /// The same for as long as it is there, whatever else goes: `NAME@1` is another snapshot once the
    /// newest is gone.
    reference: String,
    /// The snapshot, where it is one and no name.
    snapshot: Option<LayerId>,
    is_tag: bool,
    is_volume: bool,
}

impl AsRef<str> for Meant {
    fn as_ref(&self) -> &str {
        &self.reference
    }
}

/// What all words mean before anything is gone, each thing once.
fn meant(store: &Store, words: Vec<String>) -> Result<Vec<Meant>> {
    let (mut meant, mut seen) = (Vec::new(), HashSet::new());
    for word in words {
        let resolved = store.resolve(&by_id(store, &word)?)?;
        let is_name = resolved.name.is_some() && resolved.index == 0;
        let is_tag = is_name && resolved.kind == ResolvedKind::Tag;
        let is_volume = is_name && !is_tag;
        let snapshot = (!is_name).then_some(resolved.layer);
        let reference = snapshot.map_or_else(|| word.clone(), |snapshot| snapshot.to_string());
        if seen.insert((resolved.name.filter(|_| is_name), snapshot)) {
            meant.push(Meant { word, reference, snapshot, is_tag, is_volume });
        }
    }
    Ok(meant)
}

/// Looks for what is to be removed. What is not there is told and left out with `force`, as by others,
/// and an error without.
fn keep_those_there<T>(
    words: &mut Vec<T>,
    force: bool,
    context: &Context<'_>,
    look: impl Fn(&T) -> Result<()>,
) -> Result<()> {
    let mut there = Vec::new();
    for word in words.drain(..) {
        match look(&word) {
            Err(error) if force && error.exit() == Exit::NotFound => {
                context.output.note(&error.to_string());
            }
            found => {
                found?;
                there.push(word);
            }
        }
    }
    *words = there;
    Ok(())
}

fn give_up(
    store: &Store,
    places: &[TreePath],
    names: &[String],
    context: &Context<'_>,
) -> Result<Verdict> {
    if let Some(place) = places.first() {
        return Err(CliError::usage(format!("{place}: --damaged is for names and layers")));
    }
    let mut removed = Vec::new();
    for name in names {
        let removal = Removal::without_layers(name.clone());
        let given_up = store.give_up(name).map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => advised(store, error),
            _ => error.into(),
        });
        removed.push(match given_up? {
            GivenUp::Name(reference) => Removal { reference, ..removal },
            GivenUp::Layer(layer) => Removal { layers_removed: vec![layer.to_string()], ..removal },
        });
    }
    context.print(&Removals { removed })
}

/// Ends what runs in a container, where there is one of this name; whether it is still there then.
fn end(store: &Store, name: &str) -> Result<bool> {
    let Ok(container) = container(store, name) else { return Ok(true) };
    if container.status == Status::Running {
        match kill(store, name) {
            // What it wrote last waits for room: it goes with it.
            Err(_) if give_up_commit(store, name)? => kill(store, name)?,
            killed => killed?,
        }
    }
    // One that goes with its process is removed by that which served it.
    let is_there = || store.resolve(name).is_ok();
    let patience = Instant::now() + OWN_REMOVAL;
    while container.record.settings.is_temporary && is_there() && Instant::now() < patience {
        thread::sleep(LOOK_AGAIN);
    }
    Ok(is_there())
}

/// Files in trees, and names of the store.
fn sort(words: &[Word]) -> Result<(Vec<TreePath>, Vec<String>)> {
    let (mut places, mut names) = (Vec::new(), Vec::new());
    for word in words {
        match word {
            Word::Tree(place) => places.push(place.clone()),
            Word::Other(name) => names.push(as_reference(name)?.to_owned()),
        }
    }
    Ok((places, names))
}

/// Removes files of one tree, in one commit.
fn remove_files(store: &Store, places: &[TreePath], recursive: bool) -> Result<()> {
    change(store, &places[0].reference, |files| {
        let paths = Paths::new(files);
        for place in places {
            place.named(match recursive {
                true => paths.remove_dir_all(&place.path),
                false => paths.remove_file(&place.path),
            })?;
        }
        Ok(())
    })
}

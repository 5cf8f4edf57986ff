//! The way past what `gc` refuses beside, in words.

use sapwood::store::{Obstacles, Store};
use sapwood::{ErrorKind, LayerId, LayerState, NameKind};
use sapwood_container::shell_word;

use crate::error::{CliError, Result};

/// What takes everything out of the way of `gc` that it refuses beside; nothing where there is no such
/// thing.
pub fn ways_out(store: &Store) -> Result<Vec<String>> {
    let Obstacles { names, layers } = store.obstacles()?;
    let known = store.names_left()?.names;
    let of_name = |name: &str| format!("`rm --damaged {}` gives up that name", shell_word(name));
    // What a newer version made is for that to deal with.
    let damaged = names.iter().filter(|name| !name.is_newer);
    let mut ways: Vec<_> = damaged.map(|damaged| of_name(&damaged.name)).collect();
    for (layer, _) in layers.iter().filter(|(_, error)| !error.is_newer()) {
        let on_it: Vec<_> = known.iter().filter(|entry| entry.top == *layer).collect();
        let words: Vec<_> = on_it.iter().map(|entry| shell_word(&entry.name)).collect();
        let names = words.join(" ");
        let is_volume = on_it.iter().any(|entry| entry.kind == NameKind::Volume);
        ways.push(match (on_it.is_empty(), is_volume && goes_with_its_volume(store, *layer)) {
            (true, _) => format!("`rm --damaged {layer}` gives up that layer"),
            (false, true) => format!("`rm {names}` gives up layer {layer}"),
            (false, false) => {
                format!("`rm {names}`, and then `rm --damaged {layer}` gives up that layer")
            }
        });
    }
    Ok(ways)
}

/// Whether a layer that a volume's name leads to goes with the name: one that may be a snapshot stays.
fn goes_with_its_volume(store: &Store, top: LayerId) -> bool {
    match store.layer(top) {
        Ok(layer) => layer.state == LayerState::Open,
        // Of one that has nothing of a header no more is known.
        Err(error) => matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound),
    }
}

/// What stopped a verb, with the ways past what `gc` refuses beside.
pub fn advised(store: &Store, cause: sapwood::Error) -> CliError {
    match ways_out(store) {
        Ok(ways) if !ways.is_empty() => CliError::Advised { cause, advice: ways.join("; ") },
        // What is wrong then is said by the error itself.
        _ => cause.into(),
    }
}

/// When snapshots go of which it is not known whether other names need them.
pub fn whether_needed(unknown: &[String]) -> String {
    let layers = unknown.join(", ");
    let are = if unknown.len() == 1 { "is" } else { "are" };
    format!(
        "once it is known whether other names need them: {layers} {are} lost, damaged or of a newer version, and may stand on them"
    )
}

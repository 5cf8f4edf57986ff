//! What a reference means in a store.

use super::handle::{Inner, Store};
use super::headers::{self, Headers};
use super::name::Name;
use super::names::{self, FoundName, list_folder};
use super::paths::{self, LayersEntry};
use super::reference::Reference;
use super::{digests, history};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Header, LayerRef, LayerState, NameKind};
use crate::medium::Host;
use crate::units::LayerId;

/// What a reference was resolved by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResolvedKind {
    /// The name of a tag, or a step back from it.
    Tag,
    /// The name of a volume, or a step back from it.
    Volume,
    /// The id of a snapshot's layer, its digest, or the beginning of one.
    Layer,
    /// The id, or the beginning of one, of a layer that is open.
    Open,
}

/// What a reference means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The layer; of a volume itself its open top. Between a [snapshot](crate::Volume::snapshot) and
    /// the next flush of a volume the name leads to the snapshot, and so does this: nothing of the new
    /// top was promised yet, and who opens the name after a crash goes on from there.
    pub layer: LayerId,
    /// What it was resolved by.
    pub kind: ResolvedKind,
    /// The whole name that was found, if it was one.
    pub name: Option<String>,
    /// How many snapshots back from the name: 0 for what the name itself stands for.
    pub index: u64,
    /// What a tag recorded of its layer.
    recorded: Option<LayerRef>,
}

impl Resolved {
    /// Whether it means what is still written, and no snapshot: the current state of a volume, by its
    /// name or the id of its layer.
    pub fn is_live(&self) -> bool {
        match self.kind {
            ResolvedKind::Volume => self.index == 0,
            ResolvedKind::Open => true,
            ResolvedKind::Tag | ResolvedKind::Layer => false,
        }
    }

    /// That the layer found is the one that the tag was given to, and not another one of the same id:
    /// one that another copy of the store has written since, or an older one.
    pub(super) fn expect_recorded(&self, host: &dyn Host, header: &Header) -> Result<()> {
        let Some(recorded) = &self.recorded else { return Ok(()) };
        let verified = recorded.verify(&header.layer_ref());
        verified.map_err(|error| error.in_file(host.display_path(&paths::layer(header.layer))))
    }
}

impl Store {
    /// What `reference` means: a tag or volume name (looked up as it is, then with `:latest`),
    /// `NAME@N` (0 the current state, 1 the newest snapshot, and so on back, removed ones not
    /// counted), a layer id or digest, or at least four hexadecimal digits of one.
    ///
    /// Errors: [`ErrorKind::NotFound`]; [`ErrorKind::Ambiguous`] for a prefix of several.
    pub fn resolve(&self, reference: &str) -> Result<Resolved> {
        resolve(self.inner()?, reference)
    }
}

/// See [`Store::resolve`].
pub(super) fn resolve(inner: &Inner, text: &str) -> Result<Resolved> {
    let reference = Reference::parse(text)?;
    if let Some((name, found)) = find_name(inner, &reference.name)? {
        let kind = match found.entry.kind {
            NameKind::Tag => ResolvedKind::Tag,
            NameKind::Volume => ResolvedKind::Volume,
        };
        let index = reference.back.unwrap_or(0);
        let (layer, recorded) = match index {
            0 if kind == ResolvedKind::Tag => (found.entry.top, found.entry.parent),
            0 => (found.entry.top, None),
            _ => (step_back(inner, text, &found, index)?, None),
        };
        return Ok(Resolved { layer, kind, name: Some(name.to_string()), index, recorded });
    }
    match reference.prefix {
        Some(prefix) => {
            let layer = find_prefix(inner, text, &prefix)?;
            let kind = match headers::read(inner.host(), layer) {
                Ok(Some(header)) if header.state == LayerState::Open => ResolvedKind::Open,
                // What is wrong with it is told to those who open it.
                _ => ResolvedKind::Layer,
            };
            Ok(Resolved { layer, kind, name: None, index: 0, recorded: None })
        }
        None => Err(names::missing(&reference.name)),
    }
}

/// The name as it is, else with `:latest`.
pub(super) fn find_name(inner: &Inner, name: &Name) -> Result<Option<(Name, FoundName)>> {
    if let Some(found) = names::read(inner.host(), name)? {
        return Ok(Some((name.clone(), found)));
    }
    let Some(latest) = Reference::latest(name) else { return Ok(None) };
    Ok(names::read(inner.host(), &latest)?.map(|found| (latest, found)))
}

/// The newest frozen layer in the history of a name: of a tag its layer, of a volume the
/// parent of its top, or the top itself where it was frozen and the name not changed yet.
///
/// Errors: [`ErrorKind::Unreadable`] of a top that the host cannot give, which may be such a snapshot:
/// what is older than that would be taken for the newest.
pub(super) fn newest_frozen(inner: &Inner, found: &FoundName) -> Result<Option<LayerRef>> {
    match newest_known(inner.host(), found)? {
        (_, Some(error)) => Err(error),
        (newest, None) => Ok(newest),
    }
}

/// As [`newest_frozen`], as far as it can be told: beside a top that cannot be read, what it stands
/// on by its name, which may not be all.
pub(super) fn newest_known<'a>(
    headers: impl Into<Headers<'a>>,
    found: &FoundName,
) -> Result<(Option<LayerRef>, Option<Error>)> {
    let mut unreadable = None;
    if found.entry.kind == NameKind::Volume {
        match headers.into().read(found.entry.top) {
            Ok(Some(header)) if header.state == LayerState::Frozen => {
                return Ok((Some(header.layer_ref()), None));
            }
            Ok(_) => {}
            // What is wrong with an open top is told by opening it, not by looking at its past.
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Err(error) if error.is_of_one_file() => unreadable = Some(error),
            Err(error) => return Err(error),
        }
    }
    Ok((found.entry.parent, unreadable))
}

/// The header of what a reference means.
///
/// Errors: as [`Store::layer_of`].
pub(super) fn header_of(inner: &Inner, resolved: &Resolved) -> Result<Header> {
    let header = headers::read(inner.host(), resolved.layer)?;
    let header = header.ok_or_else(|| not_there(inner, resolved))?;
    if !resolved.is_live() {
        headers::expect_frozen(inner.host(), &header)?;
        resolved.expect_recorded(inner.host(), &header)?;
    }
    Ok(header)
}

/// What it says that the file of `resolved` is not there, or was never written: a name does not lead
/// to nothing.
pub(super) fn not_there(inner: &Inner, resolved: &Resolved) -> Error {
    let host = inner.host();
    let missing = || headers::missing(host, resolved.layer);
    let still_there = || match &resolved.name {
        Some(name) => names::read(host, &Name::new(name.as_str())?),
        None => Ok(None),
    };
    match still_there() {
        Ok(Some(found)) if resolved.index == 0 && leads_to_lost(&found, resolved.layer) => {
            match headers::read(host, resolved.layer) {
                Err(error) => error,
                Ok(_) => headers::lost_top(host, resolved.layer),
            }
        }
        Ok(_) => missing(),
        Err(error) => error,
    }
}

/// Whether the name of a volume still leads to a top that could not be read and was durable.
pub(super) fn is_lost_top(host: &dyn Host, found: &FoundName) -> Result<bool> {
    let now = names::read(host, &Name::new(found.entry.name.as_str())?)?;
    Ok(now.is_some_and(|now| leads_to_lost(&now, found.entry.top)))
}

/// A name that nothing was synced of may have lost its top in a crash, and goes on from its parent.
fn leads_to_lost(found: &FoundName, top: LayerId) -> bool {
    found.is_durable() && found.entry.top == top
}

fn step_back(inner: &Inner, text: &str, found: &FoundName, index: u64) -> Result<LayerId> {
    // Of a volume the newest snapshot is one step back, of a tag its own layer is no step.
    let mut left = match found.entry.kind {
        NameKind::Volume => index - 1,
        NameKind::Tag => index,
    };
    for header in history::history(inner.host(), newest_frozen(inner, found)?) {
        let header: Header = header?;
        // What a tag stands for is kept, whatever its mark says.
        let tagged = found.entry.kind == NameKind::Tag && header.layer == found.entry.top;
        if header.removed && !tagged {
            continue;
        }
        if left == 0 {
            return Ok(header.layer);
        }
        left -= 1;
    }
    Err(Error::new(ErrorKind::NotFound, format!("look up {text}")).about(
        "snapshots",
        index.saturating_sub(left + 1),
        format!("at least {index}"),
    ))
}

fn find_prefix(inner: &Inner, text: &str, prefix: &str) -> Result<LayerId> {
    let host = inner.host();
    if let Ok(id) = prefix.parse::<LayerId>()
        && headers::read(host, id)?.is_some()
    {
        return Ok(id);
    }
    let mut matches = Vec::new();
    for file in list_folder(host, paths::LAYERS.as_ref())? {
        if let Some(LayersEntry::Layer(id)) = paths::parse_layers_entry(&file)
            && file.starts_with(prefix)
        {
            matches.push(id);
        }
    }
    if matches.is_empty() {
        let found = digests::find_prefix(host, prefix)?;
        // Layers of one digest hold the same; which of them is meant makes no difference.
        let one = found.iter().all(|(digest, _)| *digest == found[0].0);
        matches.extend(found.iter().take(if one { 1 } else { usize::MAX }).map(|(_, id)| *id));
    }
    matches.sort_unstable();
    match matches[..] {
        [id] => Ok(id),
        [] => Err(Error::new(ErrorKind::NotFound, format!("look up {text}")).about(
            "reference",
            "no name, layer id or digest like it",
            "one of them",
        )),
        [first, second, ..] => Err(Error::new(ErrorKind::Ambiguous, format!("look up {text}"))
            .about(
                "layers",
                format!("{} that begin so, among them {first} and {second}", matches.len()),
                "one",
            )),
    }
}

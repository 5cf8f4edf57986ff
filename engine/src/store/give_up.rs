//! Giving up what is damaged, so that it does not stand in the way of all else.

use super::Name;
use super::collect::obstacles;
use super::handle::{Inner, Store};
use super::headers;
use super::locks::{NameLock, StoreLock};
use super::names::{self, failed, list_folder};
use super::paths::{self, LayersEntry};
use super::reference::Reference;
use crate::error::{Error, ErrorKind, Result};
use crate::medium::{LockMode, LockWait};
use crate::units::LayerId;

const GIVE_UP: &str = "give up what is damaged";

/// What was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// A name: nobody knows what it led to. What a volume had written since its last snapshot is
    /// garbage now; snapshots stay.
    Name(String),
    /// A layer: its file is gone.
    Layer(LayerId),
}

impl Store {
    /// Removes a name or a layer of which nobody can tell any more what it needs, durably.
    ///
    /// A [collection](Store::collect) refuses beside one, as it could take what that needs: all that does
    /// so, as [`obstacles`](Store::obstacles) lists it, can be given up. Before it is, [`inspect`](crate::inspect) can show what is left of it; afterwards what
    /// stood on such a layer stays unreadable, and can be removed as anything else.
    ///
    /// `reference` is a name, a layer id, or at least four digits of one that mean no other.
    ///
    /// Errors, before anything is changed: [`ErrorKind::NotFound`]; [`ErrorKind::Ambiguous`];
    /// [`ErrorKind::InvalidInput`] for what is not damaged so, and for a layer that a name leads to
    /// (the name is removed first); [`ErrorKind::Locked`] where somebody has it open;
    /// [`ErrorKind::Io`] for a file that we may not read, of which others may know better, and what it says
    /// itself of one that a [newer version](Error::is_newer) made, which knows better.
    pub fn give_up(&self, reference: &str) -> Result<GivenUp> {
        let inner = self.inner()?;
        let parsed = Reference::parse(reference)?;
        let host = inner.host();
        // As references are looked up: the name as it is, then with `:latest`, then as an id.
        for name in [&parsed.name].into_iter().chain(&Reference::latest(&parsed.name)) {
            match names::read(host, name) {
                Ok(None) => {}
                Ok(Some(_)) => return Err(sound("name", name)),
                Err(error) if error.is_damage() && !is_refused(&error) => {
                    return give_up_name(inner, name);
                }
                Err(error) => return Err(error),
            }
        }
        match parsed.prefix {
            Some(prefix) => give_up_layer(inner, find_file(inner, reference, &prefix)?),
            None => Err(names::missing(&parsed.name)),
        }
    }
}

fn give_up_name(inner: &Inner, name: &Name) -> Result<GivenUp> {
    let host = inner.host();
    let _lock = NameLock::try_take(host, name)?;
    let _alone = StoreLock::exclusive(host)?;
    match names::read(host, name) {
        Err(error) if error.is_damage() => names::remove(host, name)?,
        Err(error) => return Err(error),
        // Whoever had the name before has given it up, or made another of it.
        Ok(_) => return Err(sound("name", name)),
    }
    Ok(GivenUp::Name(name.to_string()))
}

fn give_up_layer(inner: &Inner, id: LayerId) -> Result<GivenUp> {
    let host = inner.host();
    let _alone = StoreLock::exclusive(host)?;
    let path = paths::layer(id);
    let host_says = |error| failed(host, GIVE_UP, &path)(error);
    let medium = match headers::open_existing(host, id) {
        Ok(medium) => Some(medium),
        // Whoever may read it may find it sound, and may have it open.
        Err(error) if is_refused(&error) => return Err(error.with_kind(ErrorKind::Io)),
        Err(error) if error.is_damage() => None,
        Err(error) => return Err(error),
    };
    if let Some(medium) = &medium
        && !medium.lock(LockMode::Exclusive, LockWait::Try).map_err(host_says)?
    {
        return Err(Error::new(ErrorKind::Locked, GIVE_UP)
            .in_file(host.display_path(&path))
            .about("lock", "held by another process", "free"));
    }
    for named in names::each(host)? {
        let named = named?.entry;
        if named.top == id {
            let found = format!("what {} leads to", named.name);
            return Err(Error::invalid(GIVE_UP, "layer", found, "no name on it: that goes first"));
        }
    }
    match obstacles(&inner.host, inner.options.volume.read)?.layers.remove(&id) {
        None => return Err(sound("layer", id)),
        Some(error) if error.is_newer() => return Err(error),
        Some(_) => {}
    }
    let folder = paths::LAYERS.as_ref();
    host.remove(&path).map_err(host_says)?;
    host.sync_folder(folder).map_err(failed(host, "sync the folder", folder))?;
    inner.cache.forget(id);
    Ok(GivenUp::Layer(id))
}

/// Whether it is only we who may not read a file.
fn is_refused(error: &Error) -> bool {
    error.io_source().is_some_and(|source| source.kind() == std::io::ErrorKind::PermissionDenied)
}

/// The one layer file whose name begins with `prefix`: what it holds cannot be asked.
fn find_file(inner: &Inner, text: &str, prefix: &str) -> Result<LayerId> {
    let mut found = Vec::new();
    for file in list_folder(inner.host(), paths::LAYERS.as_ref())? {
        match paths::parse_layers_entry(&file) {
            Some(LayersEntry::Layer(id)) if file.starts_with(prefix) => found.push(id),
            _ => {}
        }
    }
    match found[..] {
        [id] => Ok(id),
        [] => Err(Error::new(ErrorKind::NotFound, format!("look up {text}")).about(
            "reference",
            "no name or layer file like it",
            "one of them",
        )),
        _ => Err(Error::new(ErrorKind::Ambiguous, format!("look up {text}")).about(
            "layer files",
            format!("{} that begin so", found.len()),
            "one",
        )),
    }
}

fn sound(field: &'static str, what: impl std::fmt::Display) -> Error {
    let found = format!("{what}, which no collection refuses beside");
    let expected = "what is damaged itself; all else is removed, whatever it stands on";
    Error::invalid(GIVE_UP, field, found, expected)
}

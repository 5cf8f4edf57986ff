//! The diffIDs of layers that were made here, computed once and kept beside the layers.
//!
//! A frozen layer says nothing new of itself, so what is found out about it later stands in a file of its own:
//! a line for each layer, appended whole. The file is derived, as indexes are: a line that is missing, torn
//! or of a layer that is gone costs a computation and nothing else.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, Write};

use rustix::fs::{FlockOperation, flock};
use sapwood::format::LayerRef;
use sapwood::medium::{OpenMode, WorkFolder};
use sapwood::{Error, ErrorKind, LayerId, Result, Store};

use crate::Sha256;

/// The file in a store's folder.
const FILE: &str = "diff-ids";
/// How much of it is read: lines of half a million layers.
const BYTES_MAX: u64 = 64 << 20;
/// How many digits of the digest of a line end it.
const CHECK_DIGITS: usize = 16;

/// A layer over the one below it: what its tar follows from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place(String);

impl Place {
    /// The layer that its children record as `layer`, where the filesystem layer under it is `below`.
    pub fn new(layer: &LayerRef, below: Option<LayerId>) -> Place {
        let below = below.map_or("-".to_owned(), |below| below.to_string());
        let LayerRef { id, freeze_generation, map_checksum, .. } = layer;
        Place(format!("{id} {freeze_generation} {map_checksum:016x} {below}"))
    }
}

/// The diffIDs that were computed in a store.
#[derive(Clone, Debug, Default)]
pub struct DiffIds(HashMap<Place, Sha256>);

impl DiffIds {
    /// Reads them.
    pub fn of(store: &Store) -> Result<DiffIds> {
        let Some(file) = open(store, OpenMode::Read)? else { return Ok(DiffIds::default()) };
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(failed(store))?;
        Ok(DiffIds(lines(&bytes).filter_map(entry).collect()))
    }

    /// That of a layer.
    pub fn get(&self, place: &Place) -> Option<Sha256> {
        self.0.get(place).copied()
    }

    /// Notes some that were computed. Nothing is synced.
    pub fn note(store: &Store, computed: &[(Place, Sha256)]) -> Result<()> {
        let text: String = computed.iter().map(|(place, diff_id)| line(place, *diff_id)).collect();
        let missing = || failed(store)(io::ErrorKind::NotFound.into());
        let mut file = WorkFolder::open(store.path())?.ok_or_else(missing)?.append(FILE)?;
        let locked = flock(&file, FlockOperation::LockShared).map_err(io::Error::from);
        locked.and_then(|()| file.write_all(text.as_bytes())).map_err(failed(store))
    }

    /// Forgets all of them; whether there was such a file.
    pub fn forget(store: &Store) -> Result<bool> {
        match std::fs::remove_file(store.path().join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true).map_err(failed(store)),
        }
    }

    /// Forgets those of layers that are gone.
    pub fn retain(store: &Store, is_there: &dyn Fn(&str) -> bool) -> Result<()> {
        let Some(mut file) = open(store, OpenMode::ReadWrite)? else { return Ok(()) };
        let rewrite = |file: &mut File| {
            flock(&*file, FlockOperation::LockExclusive)?;
            let mut bytes = Vec::new();
            (&*file).take(BYTES_MAX).read_to_end(&mut bytes)?;
            let is_kept =
                |line: &&str| entry(line).is_some() && line.split(' ').next().is_some_and(is_there);
            let kept = lines(&bytes).filter(is_kept).flat_map(|line| [line, "\n"]);
            let kept: String = kept.collect();
            // Most often all are there: what is not written anew needs no room.
            if kept.len() == bytes.len() {
                return Ok(());
            }
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(kept.as_bytes())
        };
        rewrite(&mut file).map_err(failed(store))
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok())
}

fn line(place: &Place, diff_id: Sha256) -> String {
    let mut line = format!("{} {diff_id}", place.0);
    let check = Sha256::of(line.as_bytes()).to_hex();
    writeln!(line, " {}", &check[..CHECK_DIGITS]).expect("writing to a string");
    line
}

fn entry(text: &str) -> Option<(Place, Sha256)> {
    let (place, diff_id) = text.rsplit_once(' ')?.0.rsplit_once(' ')?;
    let (place, diff_id) = (Place(place.to_owned()), diff_id.parse().ok()?);
    (line(&place, diff_id).trim_end() == text).then_some((place, diff_id))
}

/// The file; `None` where nothing was noted yet. A link in its place is followed nowhere.
fn open(store: &Store, mode: OpenMode) -> Result<Option<File>> {
    let Some(folder) = WorkFolder::open(store.path())? else { return Ok(None) };
    match folder.file(FILE, mode) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}

fn failed(store: &Store) -> impl Fn(io::Error) -> Error {
    let path = store.path().join(FILE);
    move |error| Error::io("keep the digests of layers", error).in_file(&path)
}

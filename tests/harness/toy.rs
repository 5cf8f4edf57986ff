//! A store so simple that it is right, or wrong in one chosen way: what the harness is tested on.
//!
//! All that is durable stands in one file, which every commit replaces.

use std::path::Path;
use std::sync::Arc;

use sapwood::medium::{Host, OpenMode};

use super::expect::Expectation;
use super::step::Step;
use super::{Observed, Subject};

/// The one thing that a toy gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    None,
    /// The file is renamed without having been synced.
    NoFileSync,
    /// The folder is not synced after the rename.
    NoFolderSync,
    /// The file is changed where it lies.
    InPlace,
    /// An error of a sync is taken for success.
    IgnoresSyncErrors,
}

/// The toy with mistake number `MISTAKE` of [`MISTAKES`].
pub struct Toy<const MISTAKE: usize> {
    host: Arc<dyn Host>,
    truth: Expectation,
}

pub const MISTAKES: [Mistake; 5] = [
    Mistake::None,
    Mistake::NoFileSync,
    Mistake::NoFolderSync,
    Mistake::InPlace,
    Mistake::IgnoresSyncErrors,
];

impl<const MISTAKE: usize> Toy<MISTAKE> {
    fn save(&self, observed: &Observed) -> Result<(), String> {
        let mistake = MISTAKES[MISTAKE];
        let text = |error: std::io::Error| error.to_string();
        let (aside, place) = (Path::new("aside"), Path::new("state"));
        let target = if mistake == Mistake::InPlace { place } else { aside };
        let file = self.host.open(target, OpenMode::OpenOrCreate).map_err(text)?;
        file.write_at(0, &encode(observed)).map_err(text)?;
        if mistake != Mistake::NoFileSync {
            match file.sync() {
                Err(error) if mistake != Mistake::IgnoresSyncErrors => return Err(text(error)),
                _ => {}
            }
        }
        if mistake != Mistake::InPlace {
            self.host.rename(aside, place).map_err(text)?;
        }
        if mistake != Mistake::NoFolderSync {
            self.host.sync_folder(Path::new("")).map_err(text)?;
        }
        Ok(())
    }
}

impl<const MISTAKE: usize> Subject for Toy<MISTAKE> {
    fn create(host: Arc<dyn Host>) -> Result<Self, String> {
        let toy = Toy { host, truth: Expectation::default() };
        toy.save(&Observed::default())?;
        Ok(toy)
    }

    fn open(host: Arc<dyn Host>) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let file = host.open(Path::new("state"), OpenMode::Read).map_err(text)?;
        let mut bytes = vec![0; file.facts().map_err(text)?.length as usize];
        file.read_uncached_at(0, &mut bytes).map_err(text)?;
        let opened = decode(&bytes).ok_or("the file is damaged")?;
        Ok(Toy { host, truth: Expectation::showing(&opened) })
    }

    fn perform(&mut self, step: &Step) -> Result<(), String> {
        let mut truth = self.truth.clone();
        truth.perform(step);
        let durable = truth.durable.observed();
        if durable != self.truth.durable.observed() {
            self.save(&durable)?;
        }
        self.truth = truth;
        Ok(())
    }

    fn look(host: Arc<dyn Host>) -> Result<Observed, String> {
        Self::open(host)?.observe()
    }

    fn observe(&self) -> Result<Observed, String> {
        Ok(self.truth.current.observed())
    }
}

fn encode(observed: &Observed) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    for (name, content) in &observed.contents {
        bytes.extend((name.len() as u64).to_le_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend((content.len() as u64).to_le_bytes());
        bytes.extend(&**content);
    }
    let length = bytes.len() as u64;
    bytes[4..12].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Observed> {
    let length = u64::from_le_bytes(bytes.get(4..12)?.try_into().ok()?) as usize;
    let bytes = bytes.get(..length).filter(|bytes| bytes.len() >= 12)?;
    if crc32fast::hash(&bytes[4..]).to_le_bytes() != bytes[..4] {
        return None;
    }
    let mut rest = bytes.get(12..)?;
    let mut take = |count: Option<usize>| {
        let (taken, left) = rest.split_at_checked(count?)?;
        rest = left;
        Some(taken)
    };
    let mut observed = Observed::default();
    while let Some(length) = take(Some(8)) {
        let length = u64::from_le_bytes(length.try_into().ok()?) as usize;
        let name = String::from_utf8(take(Some(length))?.to_vec()).ok()?;
        let length = u64::from_le_bytes(take(Some(8))?.try_into().ok()?) as usize;
        observed.contents.insert(name, Arc::new(take(Some(length))?.to_vec()));
    }
    Some(observed)
}

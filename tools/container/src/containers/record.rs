//! What is remembered of a container beside its volume.
//!
//! It is derived bookkeeping: a container is its volume, and one whose record is gone still knows
//! its image. A record whose volume is gone means nothing.

use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use sapwood::medium::{OpenMode, WorkFolder};
use sapwood::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::process::Process;
use crate::settings::Settings;

/// Where it stands in the folder of a container.
const FILE: &str = "record.json";
/// Longer ones are refused: they are read whole.
const BYTES_MAX: u64 = 16 << 20;

/// The record of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it was made of, as it was asked for.
    pub image: String,
    /// The layer that was then.
    pub image_layer: String,
    /// What was asked for.
    pub settings: Settings,
    /// What runs in it.
    pub process: Process,
    /// The directories that the image says others write to: they are made where its tree lacks them.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// The signal that asks it to end, where the image names one.
    pub stop_signal: Option<String>,
    /// When it was made, in nanoseconds since 1970 UTC, as all times here.
    pub created: i64,
    /// When its process was started last.
    pub started: Option<i64>,
    /// When that ended.
    pub finished: Option<i64>,
    /// What that ended with.
    pub exit_code: Option<u8>,
    /// Why it did not come to run, where it did not.
    pub error: Option<String>,
    /// Why what its process wrote last was not committed, where it was not: it is lost.
    #[serde(default)]
    pub lost: Option<String>,
    /// The name of the runtime that runs it, or ran it last.
    pub runtime: Option<String>,
    /// What that runtime calls it.
    pub runtime_id: Option<String>,
}

impl Record {
    /// Reads the record in the folder of a container; `None` where there is none.
    ///
    /// Errors: [`ErrorKind::Corrupt`] for one that cannot be understood.
    pub fn read(folder: &WorkFolder) -> Result<Option<Record>> {
        let path = folder.path().join(FILE);
        let operation = "read the record of a container";
        let mut bytes = Vec::new();
        let read = match folder.file(FILE, OpenMode::Read) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?.take(BYTES_MAX + 1).read_to_end(&mut bytes),
        };
        read.map_err(|error| Error::io(operation, error).in_file(&path))?;
        let bad = |found: String, expected| {
            Err(Error::corrupt(operation, "record", found, expected).in_file(&path))
        };
        if bytes.len() as u64 > BYTES_MAX {
            return bad("a longer one".to_owned(), "at most 16 MiB");
        }
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) => bad(error.to_string(), "one that this version writes"),
        }
    }

    /// Writes it: after a crash the one before is there, or this one.
    pub fn write(&self, folder: &WorkFolder) -> Result<()> {
        let failed = |error: serde_json::Error| {
            Error::io("write the record of a container", error.into()).in_file(folder.path())
        };
        folder.replace(FILE, &serde_json::to_vec_pretty(self).map_err(failed)?)
    }
}

/// Nanoseconds since 1970 UTC.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}

/// That a container is not there.
pub fn missing(name: &str, found: &str) -> Error {
    let operation = "find a container";
    Error::new(ErrorKind::NotFound, operation).about("container", format!("{name}, {found}"), "one")
}

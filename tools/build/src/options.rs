//! What whoever builds decides.

use std::path::PathBuf;

use sapwood_oci::Platform;

use crate::patterns::Ignore;

/// The argument that gives all that is made its time, as [`Options::source_date_epoch`] does.
pub const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// A build.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Containerfile's name, for errors.
    pub file: PathBuf,
    /// What it says.
    pub containerfile: Vec<u8>,
    /// The directory that files are copied from; none, where there is none.
    pub context: Option<PathBuf>,
    /// What of it is left out.
    pub ignore: Ignore,
    /// Further directories that files are copied from, by name.
    pub contexts: Vec<(String, PathBuf)>,
    /// The tags of the image.
    pub tags: Vec<String>,
    /// The stage that becomes it; the last one, where nothing is said.
    pub target: Option<String>,
    /// Values of arguments.
    pub arguments: Vec<(String, String)>,
    /// Labels besides those of the Containerfile.
    pub labels: Vec<(String, String)>,
    /// Files that steps may read and the image does not get, by id.
    pub secrets: Vec<(String, Secret)>,
    /// What the image runs on.
    pub platform: Platform,
    /// The time of all that is made, in seconds since 1970 UTC, than which no file of it is newer: then
    /// equal steps make equal images, whenever they run. Now, where nothing is said.
    pub source_date_epoch: Option<i64>,
    /// Whether what was made before is used.
    pub cache: CacheUse,
    /// Images made elsewhere whose layers count as made before.
    pub cache_from: Vec<String>,
    /// Whether it is told why a step was not made before.
    pub explain: bool,
    /// The program that runs others, by name; where nothing is said, one that is there.
    pub runtime: Option<String>,
}

impl Options {
    /// The time of all that is made, where one is given, in nanoseconds since 1970 UTC.
    pub(crate) fn epoch_nanoseconds(&self) -> Option<i64> {
        self.source_date_epoch.map(|seconds| seconds.saturating_mul(1_000_000_000))
    }
}

/// Whether layers that were made before are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheUse {
    /// They are.
    #[default]
    Use,
    /// All is made anew.
    Ignore,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// In a file of the host.
    File(PathBuf),
    /// Here.
    Value(Vec<u8>),
}

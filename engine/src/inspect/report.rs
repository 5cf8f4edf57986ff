//! What a check found.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, told};
use crate::units::{FileBlock, LayerId};

/// How many findings a report keeps; what comes past that is counted. A file that is bad
/// from end to end must not fill the memory with the news.
pub const FINDINGS_MAX: usize = 10_000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing, harms nothing: a derived file that is stale, space that nobody uses.
    Note,
    /// One of two copies is bad and the other one serves; the next writer makes it good.
    /// A power cut may leave this behind.
    Degraded,
    /// A newer version of this software made it: what it holds was not looked at. Nothing is wrong with it.
    Newer,
    /// Something stored does not verify or does not fit together.
    Damage,
}

impl Severity {
    /// The severity as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Degraded => "degraded",
            Severity::Newer => "newer",
            Severity::Damage => "damage",
        }
    }

    /// As what to tell an error that would be this bad: what a newer version made is no damage.
    pub(super) fn of(self, error: &Error) -> Severity {
        if error.is_newer() { Severity::Newer } else { self }
    }
}

/// One finding: how bad, where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub path: PathBuf,
    /// The byte in that file, where one is known.
    pub offset: Option<u64>,
    /// The layer, where it is known.
    pub layer: Option<LayerId>,
    /// The data block, where it is about one.
    pub block: Option<FileBlock>,
    /// What was found and what was expected.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity.as_str(), self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// Layer files.
    pub layers: u64,
    /// Name files.
    pub names: u64,
    /// Merged indexes.
    pub indexes: u64,
    /// Runs of extents, with every chunk of each.
    pub runs: u64,
    /// Journal records.
    pub records: u64,
    /// Extents that the maps of the layers come to.
    pub extents: u64,
    /// Data blocks whose checksum was computed.
    pub data_blocks: u64,
    /// Torn tails of journals: commits that were never acknowledged.
    pub torn_tails: u64,
}

impl CheckCounts {
    pub(super) fn add(&mut self, other: &CheckCounts) {
        self.layers += other.layers;
        self.names += other.names;
        self.indexes += other.indexes;
        self.runs += other.runs;
        self.records += other.records;
        self.extents += other.extents;
        self.data_blocks += other.data_blocks;
        self.torn_tails += other.torn_tails;
    }
}

/// What a check found, and how much it looked at.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// The findings, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub findings_left_out: u64,
    /// How much was looked at.
    pub counts: CheckCounts,
}

impl CheckReport {
    /// Whether nothing is damaged; there may be notes, copies that the next writer restores, and what only
    /// a newer version can look at.
    pub fn is_sound(&self) -> bool {
        self.damage().next().is_none() && self.findings_left_out == 0
    }

    /// The findings that are damage.
    pub fn damage(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Damage)
    }

    pub(super) fn push(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.findings_left_out += 1;
        }
    }

    pub(super) fn absorb(&mut self, other: CheckReport) {
        self.counts.add(&other.counts);
        self.findings_left_out += other.findings_left_out;
        for finding in other.findings {
            self.push(finding);
        }
    }
}

/// What an error says besides its kind, file and offset.
pub(super) fn text_of(error: &Error) -> String {
    let mut text = error.operation().to_owned();
    if error.is_newer() {
        text += ": made by a newer version";
    }
    if let Some(field) = error.field() {
        text += &format!(": {field}");
    }
    if let (Some(found), Some(expected)) = (error.found(), error.expected()) {
        text += &format!(": {}", told(error.is_newer(), found, expected));
    }
    if let Some(source) = error.io_source() {
        text += &format!(": {source}");
    }
    text
}

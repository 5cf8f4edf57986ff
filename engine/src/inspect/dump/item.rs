//! What a dump gives: structured, with one rendering as text.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::inspect::file::InspectedFile;
use crate::inspect::report::text_of;
use crate::units::{Digest, LayerId};

/// One structure of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpItem {
    /// The byte of the file where it begins.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// How deep it stands inside others; 0 for the file.
    pub depth: u32,
    /// What it is.
    pub what: String,
    /// Whether it verifies.
    pub verdict: Verdict,
    /// Its fields, in order of their places.
    pub fields: Vec<DumpField>,
}

/// Whether a structure verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its checksums are right, and it is what leads one to expect it there.
    Verified,
    /// It has no checksum of its own: what it is part of says whether it verifies.
    Part,
    /// Something was expected that power may have cut: nothing is there, or half of it.
    Absent(String),
    /// It does not verify, and why.
    Broken(String),
}

/// A field of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpField {
    /// The byte of the file where it stands.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its name, as in the tables of the format.
    pub name: String,
    /// What it holds.
    pub value: DumpValue,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpValue {
    /// A count, a place, a length.
    Number(u64),
    /// A time before or after 1970.
    Signed(i64),
    /// Bits, or a checksum; shown in hexadecimal with so many digits.
    Bits {
        /// The bits.
        value: u64,
        /// How many digits.
        digits: usize,
    },
    /// A number with a meaning of its own, and the meaning.
    Named {
        /// The number.
        value: u64,
        /// What it means.
        name: String,
    },
    /// A layer id.
    Layer(LayerId),
    /// A digest; `None` where all bytes are zero.
    Digest(Option<Digest>),
    /// Text.
    Text(String),
    /// So many reserved bytes, all zero as they should be.
    Zeros(u64),
    /// Nothing is referred to.
    Nothing,
    /// Bytes in hexadecimal, the first 32 of them.
    Bytes(String),
}

impl DumpItem {
    /// An item without fields.
    pub(super) fn new(
        depth: u32,
        offset: u64,
        bytes: u64,
        what: impl Into<String>,
        verdict: Verdict,
    ) -> DumpItem {
        DumpItem { offset, bytes, depth, what: what.into(), verdict, fields: Vec::new() }
    }
}

impl Verdict {
    pub(super) fn of<T>(result: &Result<T, Error>) -> Verdict {
        match result {
            Ok(_) => Verdict::Verified,
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                Verdict::Broken(format!("of a form unknown here: {}", text_of(error)))
            }
            Err(error) => Verdict::Broken(text_of(error)),
        }
    }
}

/// The file as a whole.
pub(super) fn of_file(file: &InspectedFile) -> DumpItem {
    DumpItem::new(0, 0, file.length(), file.path().display().to_string(), Verdict::Part)
}

impl fmt::Display for DumpItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = 2 * self.depth as usize;
        write!(f, "{:>12}  {:indent$}{}, {} bytes", self.offset, "", self.what, self.bytes)?;
        match &self.verdict {
            Verdict::Verified => write!(f, ": ok")?,
            Verdict::Part => {}
            Verdict::Absent(why) => write!(f, ": absent: {why}")?,
            Verdict::Broken(why) => write!(f, ": BROKEN: {why}")?,
        }
        for field in &self.fields {
            let width = 34_usize.saturating_sub(indent);
            let (name, value) = (&field.name, &field.value);
            write!(f, "\n{:>12}  {:indent$}  {name:width$} {value}", field.offset, "")?;
        }
        Ok(())
    }
}

impl fmt::Display for DumpValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DumpValue::Number(value) => write!(f, "{value}"),
            DumpValue::Signed(value) => write!(f, "{value}"),
            DumpValue::Bits { value, digits } => write!(f, "0x{value:0digits$x}"),
            DumpValue::Named { value, name } => write!(f, "{value} ({name})"),
            DumpValue::Layer(id) => write!(f, "{id}"),
            DumpValue::Digest(Some(digest)) => write!(f, "{digest}"),
            DumpValue::Digest(None) | DumpValue::Nothing => write!(f, "none"),
            DumpValue::Text(text) => write!(f, "{text:?}"),
            DumpValue::Zeros(count) => write!(f, "{count} zero bytes"),
            DumpValue::Bytes(hex) => write!(f, "{hex}"),
        }
    }
}

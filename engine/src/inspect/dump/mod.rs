//! Every structure of a file with its place, its fields and whether it verifies.
//!
//! A file that does not open is dumped as far as it can be decoded: fields are read whether or
//! not their page verifies, and where no header slot does, every page of the file is looked at.

mod item;
mod layer;
mod others;
mod schema;
mod tree;

use std::path::Path;
use std::sync::Arc;

use super::file::InspectedFile;
use crate::error::Result;
use crate::format::page::{MAGIC, PageKind};
use crate::medium::Host;
use crate::units::PAGE_BYTES;
pub use item::{DumpField, DumpItem, DumpValue, Verdict};

/// What a dump goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpOptions {
    /// Also gives each extent of each run, in order, and of a tree of files its pages and items.
    pub extents: bool,
}

impl Default for DumpOptions {
    fn default() -> DumpOptions {
        DumpOptions { extents: true }
    }
}

/// Who takes the items, in the order in which one leads to the other; an error ends the dump.
type Visit<'a> = &'a mut dyn FnMut(&DumpItem) -> Result<()>;

/// Hands every structure of the file `path` to `visit`: a layer, a merged index, a name
/// file or the file of a store. Of the other files of a store it says what they are.
///
/// # Errors
///
/// Those of the host where the file cannot be opened, and what `visit` returns. What the
/// file holds is never an error: it is in the verdicts.
pub fn dump(
    host: &Arc<dyn Host>,
    path: &Path,
    options: &DumpOptions,
    visit: &mut dyn FnMut(&DumpItem) -> Result<()>,
) -> Result<()> {
    let file = InspectedFile::open(&**host, path)?;
    visit(&item::of_file(&file))?;
    match kind_of(&file, path) {
        Some(PageKind::Index) => others::index(&file, options, visit),
        Some(PageKind::Name) => others::name(&file, visit),
        Some(PageKind::Store) => others::store(&file, visit),
        None => others::without_structures(&file, path, visit),
        _ => layer::layer(&file, options, visit),
    }
}

/// What the file is: as its first page says, else as its name does; none where it has no pages.
fn kind_of(file: &InspectedFile, path: &Path) -> Option<PageKind> {
    let first = file.page(0).ok().filter(|page| page[..4] == MAGIC.to_le_bytes());
    let said = first.and_then(|page| schema::kind_named(u16::from_le_bytes([page[4], page[5]])));
    let extension = path.extension().and_then(|extension| extension.to_str());
    said.or(match (extension, path.file_name()?.to_str()?) {
        (Some("index"), _) => Some(PageKind::Index),
        (Some("name"), _) => Some(PageKind::Name),
        (None, "store") if file.length() == PAGE_BYTES => Some(PageKind::Store),
        (_, name) if others::meaning_of(name).is_some() => None,
        _ => Some(PageKind::Header),
    })
}

//! Whether a tree fits together: pages, items, names, counts, contents.
//!
//! The block engine vouches for each block; what is looked at here is what the blocks say.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::blocks::FILE_BLOCK_BITS;
use super::names::is_cookie_of;
use super::read::{PIECE_BITS, Reader};
use super::types::{FileKind, Inode, is_inline, kind_of};
use super::view::FilesView;
use crate::chain::ViewTarget;
use crate::error::Result;
use crate::format::files::entry::{AttributeHead, NamePlace};
use crate::format::files::{EntryValue, InodeFlags, InodeRecord, ItemKind, Key};
use crate::units::{ADDRESS_END, BlockAddress};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TreeSeverity {
    /// Worth knowing, harms nothing: space that nothing names.
    Note,
    /// Something does not fit together.
    Damage,
}

/// Something that was found in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFinding {
    /// How bad it is.
    pub severity: TreeSeverity,
    /// The file it is about, where it is about one.
    pub inode: Option<Inode>,
    /// The page, where it is about one.
    pub page: Option<u32>,
    /// What was found and what was expected.
    pub what: String,
}

/// What checking found, and how much was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeReport {
    /// Pages of the tree.
    pub pages: u64,
    /// Files of all kinds.
    pub files: u64,
    /// Names.
    pub names: u64,
    /// What was found.
    pub findings: Vec<TreeFinding>,
}

/// How many findings are listed; of a tree that is all wrong the first ones say enough.
const FINDINGS_MAX: usize = 1000;

impl TreeReport {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < TreeSeverity::Damage)
    }

    fn add(&mut self, severity: TreeSeverity, inode: Option<u32>, page: Option<u32>, what: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(TreeFinding { severity, inode: inode.map(Inode), page, what });
        }
    }

    fn damage(&mut self, inode: u32, what: impl Into<String>) {
        self.add(TreeSeverity::Damage, Some(inode), None, what.into());
    }
}

/// What is known of a file while its tree is looked through.
struct Seen {
    record: InodeRecord,
    names: u32,
    directories: u32,
    pieces: u64,
    piece_bytes: u64,
    has_attributes: bool,
    is_orphan: bool,
    /// Its own place was among its names.
    name_found: bool,
    links: u32,
}

/// Checks a whole tree. Errors are those of reading; what does not fit together is in the report.
pub fn check(view: &FilesView) -> Result<TreeReport> {
    let mut check = Check { view, report: TreeReport::default(), files: HashMap::new() };
    if check.pages()? && check.items()? {
        check.files();
        check.ways_to_the_root();
        check.attachments();
        check.blocks()?;
    }
    Ok(check.report)
}

struct Check<'a> {
    view: &'a FilesView,
    report: TreeReport,
    files: HashMap<u32, Seen>,
}

impl Check<'_> {
    fn reader(&self) -> Reader<'_> {
        self.view.reader()
    }

    /// Walks all pages from the root on; whether they can be read.
    fn pages(&mut self) -> Result<bool> {
        let pages = self.view.reader().pages;
        let superblock = pages.superblock;
        let mut reached = HashSet::from([superblock.root]);
        let mut left = vec![(superblock.root, superblock.levels - 1)];
        let mut readable = true;
        while let Some((number, level)) = left.pop() {
            let page = match pages.page(number) {
                Ok(page) => page,
                Err(error) => {
                    let severity = TreeSeverity::Damage;
                    self.report.add(severity, None, Some(number), error.to_string());
                    readable = false;
                    continue;
                }
            };
            let severity = TreeSeverity::Damage;
            if page.level() != level {
                let what = format!("level {}, expected {level}", page.level());
                self.report.add(severity, None, Some(number), what);
                readable = false;
                continue;
            }
            for slot in 0..page.len() {
                if level > 0 && !reached.insert(page.child(slot)) {
                    let what = format!("page {} stands in two places", page.child(slot));
                    self.report.add(severity, None, Some(number), what);
                    readable = false;
                } else if level > 0 {
                    left.push((page.child(slot), level - 1));
                }
            }
        }
        // The first page counts too, and is in no tree.
        self.report.pages = reached.len() as u64 + 1;
        if self.report.pages != superblock.pages {
            let what =
                format!("{} pages, the first page says {}", self.report.pages, superblock.pages);
            self.report.add(TreeSeverity::Damage, None, Some(0), what);
        }
        for extent in pages.blocks.extents(BlockAddress(1), BlockAddress(1 << FILE_BLOCK_BITS)) {
            let extent = extent?;
            if !matches!(extent.target, ViewTarget::Data { .. }) {
                continue;
            }
            for page in extent.start.0..extent.start.0 + extent.length {
                if !reached.contains(&(page as u32)) {
                    let what = "a page that the tree does not reach".to_owned();
                    self.report.add(TreeSeverity::Note, None, Some(page as u32), what);
                }
            }
        }
        Ok(readable)
    }

    /// Looks at each item in the order of keys: records come first. Whether all could be read.
    fn items(&mut self) -> Result<bool> {
        let view = self.view;
        let mut attribute: Option<(Key, u64, u64)> = None;
        let scanned = view.reader().pages.scan(Key::MIN, Key::MAX, |key, value| {
            if let Err(error) = self.item(key, value, &mut attribute) {
                self.report.damage(key.inode(), error.to_string());
            }
            Ok(ControlFlow::Continue(()))
        });
        self.end_attribute(attribute);
        if let Err(error) = scanned {
            self.report.add(TreeSeverity::Damage, None, None, error.to_string());
            return Ok(false);
        }
        Ok(true)
    }

    fn item(
        &mut self,
        key: Key,
        value: &[u8],
        attribute: &mut Option<(Key, u64, u64)>,
    ) -> Result<()> {
        let (kind, inode) = (key.kind()?, key.inode());
        let of_attribute = kind == ItemKind::Attribute && key.sub() & ((1 << PIECE_BITS) - 1) != 0;
        if !of_attribute {
            let ended = attribute.take();
            self.end_attribute(ended);
        }
        if kind == ItemKind::Inode {
            return self.inode(key, value);
        }
        if kind == ItemKind::Free {
            if self.files.contains_key(&inode) {
                self.report.damage(inode, "its number is noted as free");
            }
            return Ok(());
        }
        if !self.files.contains_key(&inode) {
            let what = format!("a file that is not there has an item: {}", kind.as_str());
            self.report.damage(inode, what);
            return Ok(());
        }
        match kind {
            ItemKind::Entry => return self.entry(key, value),
            ItemKind::Attribute => self.attribute(key, value, attribute)?,
            ItemKind::Link => self.link(inode, NamePlace::decode(value)?)?,
            ItemKind::Content => {
                let seen = self.files.get_mut(&inode).expect("looked up above");
                if key.sub() != seen.pieces {
                    let what =
                        format!("piece {} of its content, expected {}", key.sub(), seen.pieces);
                    self.report.damage(inode, what);
                } else {
                    seen.pieces += 1;
                    seen.piece_bytes += value.len() as u64;
                }
            }
            ItemKind::Orphan => {
                self.files.get_mut(&inode).expect("looked up above").is_orphan = true;
            }
            ItemKind::Inode | ItemKind::Free => {}
        }
        Ok(())
    }

    fn inode(&mut self, key: Key, value: &[u8]) -> Result<()> {
        let record = InodeRecord::decode(value)?;
        kind_of(&record)?;
        self.report.files += 1;
        if key.inode() == 0 || key.sub() != 0 || key.inode() >= self.superblock_next() {
            self.report.damage(key.inode(), "a number that was never given to a file");
        }
        let seen = Seen {
            record,
            names: 0,
            directories: 0,
            pieces: 0,
            piece_bytes: 0,
            has_attributes: false,
            is_orphan: false,
            name_found: false,
            links: 0,
        };
        self.files.insert(key.inode(), seen);
        Ok(())
    }

    fn superblock_next(&self) -> u32 {
        self.view.reader().pages.superblock.next_inode
    }

    fn entry(&mut self, key: Key, value: &[u8]) -> Result<()> {
        let entry = EntryValue::decode(value)?;
        self.report.names += 1;
        let name = entry.name.escape_ascii().to_string();
        if !is_cookie_of(&self.reader().pages, key.sub(), entry.name) {
            self.report
                .damage(key.inode(), format!("\"{name}\" does not stand where its hash says"));
        }
        let directory = self.files.get_mut(&key.inode()).expect("looked up by the caller");
        if kind_of(&directory.record)? != FileKind::Directory {
            self.report.damage(key.inode(), format!("has the name \"{name}\" and is no directory"));
            return Ok(());
        }
        if u16::from(entry.kind) << 12 == FileKind::Directory.mode_bits() {
            directory.directories += 1;
        }
        let Some(seen) = self.files.get_mut(&entry.inode) else {
            let what = format!("\"{name}\" leads to file {}, which is not there", entry.inode);
            self.report.damage(key.inode(), what);
            return Ok(());
        };
        seen.names += 1;
        let place = NamePlace { directory: key.inode(), cookie: key.sub() };
        seen.name_found |= seen.record.name == place;
        if entry.kind != seen.record.kind_bits() {
            let what = format!("\"{name}\" says another kind than the file");
            self.report.damage(key.inode(), what);
        }
        Ok(())
    }

    fn attribute(
        &mut self,
        key: Key,
        value: &[u8],
        attribute: &mut Option<(Key, u64, u64)>,
    ) -> Result<()> {
        self.files.get_mut(&key.inode()).expect("looked up by the caller").has_attributes = true;
        if key.sub() & ((1 << PIECE_BITS) - 1) == 0 {
            let head = AttributeHead::decode(value)?;
            let left = u64::from(head.value_bytes) - head.first.len() as u64;
            *attribute = Some((key, left, 1));
            return Ok(());
        }
        match attribute {
            Some((first, left, piece))
                if first.inode() == key.inode()
                    && first.sub() + *piece == key.sub()
                    && *left >= value.len() as u64 =>
            {
                *left -= value.len() as u64;
                *piece += 1;
            }
            _ => self.report.damage(key.inode(), "a piece of an attribute that belongs to none"),
        }
        Ok(())
    }

    fn end_attribute(&mut self, attribute: Option<(Key, u64, u64)>) {
        if let Some((key, left, _)) = attribute
            && left > 0
        {
            let what = format!("an attribute lacks {left} bytes of its value");
            self.report.damage(key.inode(), what);
        }
    }

    fn link(&mut self, inode: u32, place: NamePlace) -> Result<()> {
        let key = Key::new(ItemKind::Entry, place.directory, place.cookie);
        let leads_here = match self.reader().pages.get(key)? {
            Some(item) => EntryValue::decode(&item)?.inode == inode,
            None => false,
        };
        if !leads_here {
            self.report.damage(inode, "a link to a name that does not lead to it");
        }
        self.files.get_mut(&inode).expect("looked up by the caller").links += 1;
        Ok(())
    }

    /// Holds what was counted against what each record says.
    fn files(&mut self) {
        let files = std::mem::take(&mut self.files);
        for (&inode, seen) in &files {
            self.file(inode, seen);
        }
        self.files = files;
        let superblock = self.view.reader().pages.superblock;
        let (files, names) = (superblock.inodes, superblock.entries);
        for (what, counted, said) in
            [("files", self.report.files, files), ("names", self.report.names, names)]
        {
            if counted != said {
                let what = format!("{counted} {what}, the first page says {said}");
                self.report.add(TreeSeverity::Damage, None, Some(0), what);
            }
        }
    }

    fn file(&mut self, inode: u32, seen: &Seen) {
        let record = &seen.record;
        let kind = kind_of(record).expect("checked when it was read");
        let is_directory = kind == FileKind::Directory;
        let attachments = self.view.reader().pages.superblock.attachments();
        let is_root = inode == Inode::ROOT.0 || attachments == Some(Inode(inode));
        let mut bad = |what: String| self.report.damage(inode, what);
        let links = match (is_directory, seen.is_orphan) {
            (true, false) => 2 + seen.directories,
            (true, true) => 0,
            (false, _) => seen.names,
        };
        if record.links != links {
            bad(format!("{} links, counted {links}", record.links));
        }
        if seen.names == 0 && !is_root && !seen.is_orphan {
            bad("no name leads to it, and it is not noted as open".to_owned());
        }
        if is_directory && seen.names > 1 || is_root && seen.names > 0 {
            bad(format!("a directory with {} names", seen.names));
        }
        if seen.names > 0 && (!seen.name_found || seen.links != seen.names - 1) {
            bad(format!("{} names, of which it knows {}", seen.names, seen.links + 1));
        }
        if seen.is_orphan && seen.names > 0 {
            bad("noted as open without a name, and has one".to_owned());
        }
        let inline = is_inline(record);
        let fits = match kind {
            FileKind::Symlink => inline && seen.piece_bytes == record.size,
            FileKind::Regular if inline => seen.piece_bytes == record.size,
            _ => !inline && seen.pieces == 0,
        };
        if !fits {
            bad(format!(
                "{} bytes of content in the metadata, size {}",
                seen.piece_bytes, record.size
            ));
        }
        if record.flags.has(InodeFlags::ATTRIBUTES) != seen.has_attributes {
            bad("what it says of having extended attributes is wrong".to_owned());
        }
    }

    /// That each directory has a way up to the root.
    fn ways_to_the_root(&mut self) {
        let mut known = HashSet::from([Inode::ROOT.0]);
        known.extend(self.reader().pages.superblock.attachments().map(|directory| directory.0));
        let mut lost = Vec::new();
        for (&inode, seen) in &self.files {
            let is_directory = kind_of(&seen.record).is_ok_and(|kind| kind == FileKind::Directory);
            if !is_directory || seen.is_orphan {
                continue;
            }
            let (mut way, mut at) = (HashSet::new(), inode);
            let found = loop {
                if known.contains(&at) {
                    break true;
                }
                if !way.insert(at) {
                    break false;
                }
                match self.files.get(&at) {
                    Some(seen) => at = seen.record.name.directory,
                    None => break false,
                }
            };
            match found {
                true => known.extend(way),
                false => lost.push(inode),
            }
        }
        for inode in lost {
            self.report.damage(inode, "no way leads from it to the root");
        }
        if !self.files.contains_key(&Inode::ROOT.0) {
            self.report.damage(Inode::ROOT.0, "the root is not there");
        }
    }

    /// That the directory of the attachments is one of its own, with nothing but regular files.
    fn attachments(&mut self) {
        let Some(directory) = self.reader().pages.superblock.attachments() else { return };
        let own = NamePlace { directory: directory.0, cookie: 0 };
        let is_one = self.files.get(&directory.0).is_some_and(|seen| {
            seen.record.name == own
                && kind_of(&seen.record).is_ok_and(|kind| kind == FileKind::Directory)
        });
        if !is_one {
            let what = "the first page says that it holds the attachments, and it cannot";
            self.report.damage(directory.0, what);
            return;
        }
        let mut bad = Vec::new();
        for (&inode, seen) in &self.files {
            let here = seen.record.name.directory == directory.0 && inode != directory.0;
            let is_regular = kind_of(&seen.record).is_ok_and(|kind| kind == FileKind::Regular);
            if here && seen.names > 0 && (!is_regular || seen.names > 1) {
                bad.push(inode);
            }
        }
        for inode in bad {
            self.report.damage(inode, "an attachment that is not a regular file of one name");
        }
    }

    /// That blocks of files belong to files.
    fn blocks(&mut self) -> Result<()> {
        let (start, end) = (BlockAddress(1 << FILE_BLOCK_BITS), BlockAddress(ADDRESS_END));
        for extent in self.view.reader().pages.blocks.extents(start, end) {
            let extent = extent?;
            if !matches!(extent.target, ViewTarget::Data { .. }) {
                continue;
            }
            let inode = (extent.start.0 >> FILE_BLOCK_BITS) as u32;
            let belongs = self.files.get(&inode).is_some_and(|seen| {
                !is_inline(&seen.record)
                    && kind_of(&seen.record).is_ok_and(|kind| kind == FileKind::Regular)
            });
            if !belongs {
                let what = format!("{} blocks that no file names", extent.length);
                self.report.add(TreeSeverity::Note, Some(inode), None, what);
            }
        }
        Ok(())
    }
}

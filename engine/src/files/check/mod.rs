//! Whether a tree fits together: pages, items, names, counts, contents.
//!
//! The block engine vouches for each block; what is looked at here is what the blocks say.

mod items;
mod relations;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::blocks::FILE_BLOCK_BITS;
use super::read::Reader;
use super::types::Inode;
use super::view::FilesView;
use crate::chain::ViewTarget;
use crate::error::{Error, Result};
use crate::units::BlockAddress;
use items::Seen;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TreeSeverity {
    /// Worth knowing, harms nothing: space that nothing names.
    Note,
    /// A newer version of this software made it: it is read, and not written. Nothing is wrong with it.
    Newer,
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
    /// The file of the store, and the byte in it, that could not be read, where that is all that is wrong:
    /// what the tree says there is not known.
    pub unread: Option<(PathBuf, u64)>,
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

    /// Whether all of the tree could be read.
    pub fn is_whole(&self) -> bool {
        self.findings.iter().all(|finding| finding.unread.is_none())
    }

    fn add(&mut self, severity: TreeSeverity, inode: Option<u32>, page: Option<u32>, what: String) {
        let inode = inode.map(Inode);
        self.push(TreeFinding { severity, inode, page, what, unread: None });
    }

    /// What could not be read, or decoded.
    fn failed(&mut self, inode: Option<u32>, page: Option<u32>, error: &Error) {
        let unread = error.path().map(|path| (path.to_owned(), error.offset().unwrap_or(0)));
        let (severity, inode) = (TreeSeverity::Damage, inode.map(Inode));
        self.push(TreeFinding { severity, inode, page, what: error.to_string(), unread });
    }

    fn push(&mut self, finding: TreeFinding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    fn damage(&mut self, inode: u32, what: impl Into<String>) {
        self.add(TreeSeverity::Damage, Some(inode), None, what.into());
    }
}

/// Checks a whole tree. Errors are those of reading; what does not fit together is in the report.
pub fn check(view: &FilesView) -> Result<TreeReport> {
    let mut check = Check { view, report: TreeReport::default(), files: HashMap::new() };
    if let Err(newer) = view.reader().pages.superblock.expect_writable() {
        check.report.add(TreeSeverity::Newer, None, Some(0), newer.to_string());
    }
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
                    self.report.failed(None, Some(number), &error);
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
}

//! What items say of each other: counts, ways to the root, blocks and the files they belong to.

use std::collections::HashSet;

use super::items::Seen;
use super::{Check, TreeSeverity};
use crate::chain::ViewTarget;
use crate::error::Result;
use crate::files::blocks::FILE_BLOCK_BITS;
use crate::files::types::{FileKind, Inode, is_inline, kind_of};
use crate::format::files::InodeFlags;
use crate::format::files::entry::NamePlace;
use crate::units::{ADDRESS_END, BlockAddress};

impl Check<'_> {
    /// Holds what was counted against what each record says.
    pub(super) fn files(&mut self) {
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
    pub(super) fn ways_to_the_root(&mut self) {
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
        let own = NamePlace { directory: Inode::ROOT.0, cookie: 0 };
        match self.files.get(&Inode::ROOT.0) {
            None => self.report.damage(Inode::ROOT.0, "the root is not there"),
            Some(root) if root.record.name != own => {
                self.report.damage(Inode::ROOT.0, "the root says that it has a name");
            }
            Some(_) => {}
        }
    }

    /// That the directory of the attachments is one of its own, with nothing but regular files.
    pub(super) fn attachments(&mut self) {
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

    /// That blocks of files belong to files, and lie within them.
    pub(super) fn blocks(&mut self) -> Result<()> {
        let (start, end) = (BlockAddress(1 << FILE_BLOCK_BITS), BlockAddress(ADDRESS_END));
        let block_size = self.reader().block_size();
        for extent in self.view.reader().pages.blocks.extents(start, end) {
            let extent = extent?;
            if !matches!(extent.target, ViewTarget::Data { .. }) {
                continue;
            }
            let inode = (extent.start.0 >> FILE_BLOCK_BITS) as u32;
            let record = self.files.get(&inode).map(|seen| &seen.record).filter(|record| {
                !is_inline(record) && kind_of(record).is_ok_and(|kind| kind == FileKind::Regular)
            });
            let what = match record {
                None => format!("{} blocks that no file names", extent.length),
                Some(record) => {
                    let file_end =
                        (u64::from(inode) << FILE_BLOCK_BITS) + block_size.blocks_for(record.size);
                    let past = (extent.start.0 + extent.length).saturating_sub(file_end);
                    if past == 0 {
                        continue;
                    }
                    format!("{} blocks past its end", past.min(extent.length))
                }
            };
            self.report.add(TreeSeverity::Note, Some(inode), None, what);
        }
        Ok(())
    }
}

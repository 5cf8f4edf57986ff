//! How many blocks of sparse files hold data, remembered.
//!
//! Counting them walks all extents of a file, and the kernel asks with every `stat` and every
//! change of times. What was counted once is kept in step by those who change content.

use std::collections::HashMap;
use std::ops::Range;

use parking_lot::Mutex;

use super::blocks::{Blocks, first_block};
use super::types::Inode;
use crate::chain::ViewTarget;
use crate::error::Result;
use crate::units::BlockAddress;

/// How many files are remembered; past it all are forgotten.
const FILES_MAX: usize = 4096;
/// How many kinds of changes under way are told apart: files share one.
const PLACES: usize = 256;

/// The files whose blocks were counted.
#[derive(Debug)]
pub struct Occupied {
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    blocks: HashMap<u32, u64>,
    /// Odd while the content of a file of that place changes: what is counted then is not kept.
    changes: Box<[u64; PLACES]>,
}

/// A change of a file's content. Dropped without [`Recount::done`], the file is forgotten.
#[derive(Debug)]
pub struct Recount<'a> {
    occupied: &'a Occupied,
    blocks: &'a dyn Blocks,
    inode: Inode,
    range: Range<u64>,
    /// What is counted outside of the range, where the file was counted before.
    outside: Option<u64>,
}

impl Occupied {
    pub fn new() -> Occupied {
        let counts = Counts { blocks: HashMap::new(), changes: Box::new([0; PLACES]) };
        Occupied { counts: Mutex::new(counts) }
    }

    /// How many of the first `length` blocks of a file, which are all it has, hold data.
    pub fn count(&self, blocks: &dyn Blocks, inode: Inode, length: u64) -> Result<u64> {
        let before = {
            let counts = self.counts.lock();
            if let Some(&count) = counts.blocks.get(&inode.0) {
                return Ok(count);
            }
            counts.changes[place(inode)]
        };
        let count = count_data(blocks, inode, 0..length)?;
        let mut counts = self.counts.lock();
        if before % 2 == 0 && counts.changes[place(inode)] == before {
            if counts.blocks.len() >= FILES_MAX {
                counts.blocks.clear();
            }
            counts.blocks.insert(inode.0, count);
        }
        Ok(count)
    }

    /// Begins a change of the blocks `range` of a file that has `length` blocks. The caller holds
    /// the lock on its content, to change it.
    pub fn change<'a>(
        &'a self,
        blocks: &'a dyn Blocks,
        inode: Inode,
        length: u64,
        range: Range<u64>,
    ) -> Recount<'a> {
        let known = {
            let mut counts = self.counts.lock();
            counts.changes[place(inode)] += 1;
            counts.blocks.get(&inode.0).copied()
        };
        let mut recount = Recount { occupied: self, blocks, inode, range, outside: None };
        recount.outside = known.and_then(|known| known.checked_sub(recount.inside(length)?));
        recount
    }

    /// Forgets all files: the volume shows another state than before.
    pub fn clear(&self) {
        let mut counts = self.counts.lock();
        counts.blocks.clear();
        // By two: what changes meanwhile still changes.
        counts.changes.iter_mut().for_each(|changes| *changes += 2);
    }
}

impl Recount<'_> {
    /// The change is made, and the file has `length` blocks now.
    pub fn done(self, length: u64) {
        let count = self.outside.and_then(|outside| Some(outside + self.inside(length)?));
        self.end(count);
        std::mem::forget(self);
    }

    /// What is counted in the range of a file of `length` blocks: what lies past them means
    /// nothing. `None` where that cannot be told: whoever counts the whole file is told why.
    fn inside(&self, length: u64) -> Option<u64> {
        let inside = self.range.start..self.range.end.min(length);
        count_data(self.blocks, self.inode, inside).ok()
    }

    fn end(&self, count: Option<u64>) {
        let mut counts = self.occupied.counts.lock();
        match count {
            Some(count) => counts.blocks.insert(self.inode.0, count),
            None => counts.blocks.remove(&self.inode.0),
        };
        counts.changes[place(self.inode)] += 1;
    }
}

impl Drop for Recount<'_> {
    fn drop(&mut self) {
        self.end(None);
    }
}

fn place(inode: Inode) -> usize {
    inode.0 as usize % PLACES
}

fn count_data(blocks: &dyn Blocks, inode: Inode, range: Range<u64>) -> Result<u64> {
    if range.is_empty() {
        return Ok(0);
    }
    let start = first_block(inode.0).0;
    let mut count = 0;
    for extent in blocks.extents(BlockAddress(start + range.start), BlockAddress(start + range.end))
    {
        let extent = extent?;
        if matches!(extent.target, ViewTarget::Data { .. }) {
            count += extent.length;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::files::{Files, FilesOptions, NewFile, ReadFiles, SetAttributes, SizeChange};
    use crate::medium::MemoryHost;
    use crate::testing::Random;
    use crate::{Store, StoreOptions};

    /// How many bytes the files of the test reach.
    const REACH: u64 = 200 * 4096;

    fn expect_counted(files: &Files, inode: Inode, step: usize) {
        let attributes = files.attributes(inode).unwrap();
        let blocks = attributes.size.div_ceil(4096);
        let counted = count_data(files.volume(), inode, 0..blocks).unwrap();
        // What stands in the metadata takes no blocks.
        let expected =
            if attributes.size <= 1024 { attributes.allocated_bytes } else { counted * 4096 };
        assert_eq!(attributes.allocated_bytes, expected, "{inode} at step {step}");
    }

    #[test]
    fn what_is_remembered_is_what_a_count_finds() {
        let store =
            Store::create_on(Arc::new(MemoryHost::new()), &StoreOptions::default()).unwrap();
        let files =
            Files::open(store.create_tree("tree").unwrap(), FilesOptions::default()).unwrap();
        let new = NewFile::regular(0o644);
        let mut inodes: Vec<Inode> = (0..3)
            .map(|n| files.create(Inode::ROOT, format!("{n}").as_bytes(), &new).unwrap().inode)
            .collect();
        let mut random = Random::new(11);
        let mut remembered = 0;
        for step in 0..4000 {
            let (n, other) = (random.below(3) as usize, random.below(3) as usize);
            let inode = inodes[n];
            let (offset, length) = (random.below(REACH), random.below(20_000));
            match random.below(12) {
                0 => {
                    let set = SetAttributes { size: Some(offset), ..SetAttributes::default() };
                    files.set_attributes(inode, &set).unwrap();
                }
                1 | 2 => files.zero(inode, offset, length, SizeChange::Extend).unwrap(),
                3 if n != other => {
                    let offset = offset & !4095;
                    files.copy_range(inodes[other], offset, inode, offset, length * 8).unwrap();
                }
                4 if step % 8 == 0 => {
                    // The number is given again, to a file that has nothing.
                    let name = format!("{n}");
                    files.unlink(Inode::ROOT, name.as_bytes()).unwrap();
                    inodes[n] = files.create(Inode::ROOT, name.as_bytes(), &new).unwrap().inode;
                }
                5 if step % 16 == 0 => files.flush().unwrap(),
                _ => files.write(inode, offset, &vec![7; length as usize]).unwrap(),
            }
            remembered +=
                usize::from(files.core.occupied.counts.lock().blocks.contains_key(&inode.0));
            expect_counted(&files, inodes[n], step);
            expect_counted(&files, inodes[other], step);
        }
        assert!(remembered > 2000, "only {remembered} steps began from a count");
    }

    #[test]
    fn a_file_whose_change_fails_is_counted_anew() {
        let store =
            Store::create_on(Arc::new(MemoryHost::new()), &StoreOptions::default()).unwrap();
        let files =
            Files::open(store.create_tree("tree").unwrap(), FilesOptions::default()).unwrap();
        let inode = files.create(Inode::ROOT, b"file", &NewFile::regular(0o644)).unwrap().inode;
        files.write(inode, 1 << 20, &[1; 8192]).unwrap();
        assert_eq!(files.attributes(inode).unwrap().allocated_bytes, 8192);
        let occupied = &files.core.occupied;
        drop(occupied.change(files.volume(), inode, 258, 0..10));
        assert!(occupied.counts.lock().blocks.is_empty());
        let change = occupied.change(files.volume(), inode, 258, 0..10);
        // Somebody asks in the midst of a change: the answer is not kept.
        assert_eq!(occupied.count(files.volume(), inode, 258).unwrap(), 2);
        assert!(occupied.counts.lock().blocks.is_empty());
        change.done(258);
        assert_eq!(occupied.count(files.volume(), inode, 258).unwrap(), 2);
        assert_eq!(occupied.counts.lock().blocks.len(), 1);
    }
}

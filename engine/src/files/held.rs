//! Files that are held open: they stay without a name, and go when nobody holds them.

use std::ops::ControlFlow;

use super::core::Core;
use super::live::Files;
use super::operation::Operation;
use super::types::Inode;
use crate::error::{ErrorKind, Result};
use crate::format::files::{ItemKind, Key};

/// What freeing a file is called in errors.
const FREE: &str = "free a file without a name";

impl Core {
    /// Frees the files without a name: nobody holds one that was open when the volume was closed.
    pub(super) fn free_orphans(&self) -> Result<()> {
        loop {
            let mut orphans = Vec::new();
            self.look(|reader| {
                let (first, _) = Key::range(ItemKind::Orphan, 0);
                let (_, last) = Key::range(ItemKind::Orphan, u32::MAX);
                reader.pages.scan(first, last, |key, _| {
                    let inode = Inode(key.inode());
                    orphans.push((inode, reader.record(inode)?.generation));
                    Ok(match orphans.len() < 1024 {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    })
                })
            })?;
            if orphans.is_empty() {
                return Ok(());
            }
            for orphan in orphans {
                self.operate(FREE, |operation| operation.free_unless_held(orphan))?;
            }
        }
    }
}

impl Operation<'_> {
    /// Frees a file that had no name left a moment ago: unless it is held, has one again, or went
    /// already, and its number is another's.
    pub fn free_unless_held(&self, (inode, generation): (Inode, u32)) -> Result<()> {
        // Who gives a file a name holds this lock, too: what is found here stays so until it is gone.
        let _content = self.core.content(inode).write();
        let record = match self.core.look(|reader| reader.record(inode)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            record => record?,
        };
        let is_it = record.generation == generation && record.links == 0;
        let is_held = self.core.held.lock().contains_key(&inode.0);
        match is_it && !is_held {
            true => self.free(inode),
            false => Ok(()),
        }
    }
}

impl Files {
    /// Holds a file open: it stays, with or without a name, until it is released as often.
    pub fn hold(&self, inode: Inode) {
        *self.core.held.lock().entry(inode.0).or_insert(0) += 1;
    }

    /// Gives back all holds that are left, as when whoever had them is gone.
    pub fn release_all(&self) -> Result<()> {
        let held: Vec<(u32, u64)> = self.core.held.lock().iter().map(|(k, v)| (*k, *v)).collect();
        held.into_iter().try_for_each(|(inode, count)| self.release(Inode(inode), count))
    }

    /// Gives back `count` holds of a file. With the last one, a file without a name goes.
    pub fn release(&self, inode: Inode, count: u64) -> Result<()> {
        self.core.volume.check_process(FREE)?;
        {
            let mut held = self.core.held.lock();
            let Some(holds) = held.get_mut(&inode.0) else { return Ok(()) };
            *holds = holds.saturating_sub(count);
            if *holds > 0 {
                return Ok(());
            }
            held.remove(&inode.0);
        }
        let record = match self.core.look(|reader| reader.record(inode)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            record => record?,
        };
        if record.links > 0 {
            return Ok(());
        }
        self.core.operate(FREE, |operation| operation.free_unless_held((inode, record.generation)))
    }
}

//! Numbers for new pages: of freed ones first.

use super::change::{Change, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::format::files::page::PAGES_END;

impl Change<'_> {
    /// A number for a new page.
    pub(super) fn allocate_page(&mut self) -> Result<u32> {
        let number = match self.tree.freed.pop_first() {
            Some(number) => {
                self.tree.note_step(Step::TakenFromFreed(number));
                number
            }
            None => self.take_spare()?,
        };
        self.superblock_mut().pages += 1;
        Ok(number)
    }

    fn take_spare(&mut self) -> Result<u32> {
        if let Some(number) = self.tree.space.take(self.blocks)? {
            self.tree.note_step(Step::TakenFromSpare(number));
            return Ok(number);
        }
        let superblock = self.superblock_mut();
        if superblock.pages_end == PAGES_END {
            return Err(Error::new(ErrorKind::NoSpace, "add a page to a file tree").about(
                "pages",
                superblock.pages,
                format!("fewer than {PAGES_END}"),
            ));
        }
        superblock.pages_end += 1;
        Ok(superblock.pages_end - 1)
    }
}

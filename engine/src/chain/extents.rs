//! Walking over what a view holds.

use super::view::{View, ViewTarget};
use crate::error::Result;
use crate::units::BlockAddress;

/// A stretch of addresses that a view says one thing about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewExtent {
    /// The first address.
    pub start: BlockAddress,
    /// How many blocks, at least 1.
    pub length: u64,
    /// What the first address holds; data blocks go on one by one.
    pub target: ViewTarget,
}

/// The extents of a view: see [`View::extents`]. As long as possible; after an error it ends.
#[derive(Debug)]
pub struct ViewExtents<'a> {
    view: &'a View,
    next: BlockAddress,
    end: BlockAddress,
}

impl View {
    /// All that the view says about `[start, end)`, in address order, holes too.
    pub fn extents(&self, start: BlockAddress, end: BlockAddress) -> ViewExtents<'_> {
        ViewExtents { view: self, next: start, end }
    }
}

impl Iterator for ViewExtents<'_> {
    type Item = Result<ViewExtent>;

    fn next(&mut self) -> Option<Result<ViewExtent>> {
        if self.next >= self.end {
            return None;
        }
        let start = self.next;
        let mut first = None;
        while self.next < self.end {
            let span = match self.view.find(self.next) {
                Ok(span) => span,
                Err(error) => {
                    self.next = self.end;
                    return Some(Err(error));
                }
            };
            let target = *first.get_or_insert(span.target);
            if target.advanced(self.next.0 - start.0) != span.target {
                break;
            }
            self.next = span.end.min(self.end);
        }
        let length = self.next.0 - start.0;
        first.map(|target| Ok(ViewExtent { start, length, target }))
    }
}

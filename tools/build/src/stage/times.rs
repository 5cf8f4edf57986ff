//! Times of files that do not depend on when a build runs.

use std::ops::ControlFlow;

use sapwood::files::{Attributes, Inode, Paths, SetAttributes, Time, changes};

use super::StageBuild;
use crate::error::Stop;

impl StageBuild<'_> {
    /// Makes no file that a step made or changed newer than what was asked for.
    pub(super) fn limit_times(&mut self) -> Result<(), Stop> {
        let Some(seconds) = self.build.options.source_date_epoch else { return Ok(()) };
        let latest = Time { seconds, nanoseconds: 0 };
        let before = self.view()?;
        let workshop = self.workshop()?;
        let after = workshop.committed()?;
        let mut newer: Vec<Inode> = Vec::new();
        let mut look =
            |file: &Attributes| newer.extend((file.modified > latest).then_some(file.inode));
        match &before {
            Some(before) => {
                let changes = changes(before, &after)?;
                changes.iter().filter_map(|change| change.after.as_ref()).for_each(look);
            }
            None => Paths::new(&after).walk("/", |_, file| {
                look(file);
                Ok(ControlFlow::Continue(()))
            })?,
        }
        let files = workshop.files()?;
        for inode in newer {
            let set = SetAttributes { modified: Some(latest), ..SetAttributes::default() };
            files.set_attributes(inode, &set)?;
        }
        Ok(())
    }
}

//! `COPY --link`: files in a layer of their own, on nothing, which is put on whatever is below.

use sapwood::files::{FileKind, Files, FilesView, Inode, Paths, ReadFiles, SetAttributes, SetMode};
use sapwood::{Error, ErrorKind, Result, Snapshot};
use sapwood_archive::tar::Attribute;
use sapwood_archive::transfer_layer;

use super::copying::Copying;
use super::{StageBuild, kind_at};
use crate::cache::Inputs;
use crate::copy::Owner;
use crate::error::Stop;
use crate::event::Outcome;
use crate::workshop::Workshop;

impl StageBuild<'_> {
    /// Makes the layer on nothing, unless it is there, and puts it on what is below, unless that
    /// was done: its blocks are shared, and no file is read for it.
    pub(super) fn copy_linked(
        &mut self,
        inputs: Inputs,
        created_by: String,
        copying: &Copying,
    ) -> Result<Outcome, Stop> {
        let mut applied = Inputs::default();
        applied.add("instruction", &created_by);
        // And not the layer's id, which is another one on each machine.
        applied.add("linked layer", inputs.key().as_str());
        let by = created_by.clone();
        self.layer(applied, by, |stage| {
            let below = stage.reason.take();
            let linked = stage.linked(&inputs, &created_by, copying)?;
            stage.reason = match (stage.reason.take(), below) {
                (Some(why), _) => Some(why),
                (None, Some(below)) => Some(format!("{below}; its files were not copied again")),
                (None, None) => None,
            };
            let view = FilesView::open(linked)?;
            let files = stage.workshop()?.files()?;
            let way = Way::of(files, &view, &copying.destination)?;
            transfer_layer(None, &view, files, &mut |_| {})?;
            way.restore(files)?;
            Ok(())
        })
    }

    fn linked(
        &mut self,
        inputs: &Inputs,
        created_by: &str,
        copying: &Copying,
    ) -> Result<Snapshot, Stop> {
        let key = inputs.key();
        // It stands on nothing, so nothing below it can be new.
        let above = self.workshop.take();
        let found = self.find(None, &key, inputs);
        self.workshop = above;
        if let Some(found) = found? {
            return Ok(found);
        }
        let owner = copying.owner.as_deref().map(owner_on_nothing).transpose()?;
        let mut workshop = Workshop::on(self.build.store, None)?;
        let made = copying.put(workshop.files()?, owner).and_then(|()| {
            inputs.attach_to(workshop.files()?)?;
            Ok(workshop.layer(&self.annotations(created_by, key.as_str()))?)
        });
        workshop.finish()?;
        made
    }
}

/// Whom `USER[:GROUP]` means where no tree has names for anybody.
fn owner_on_nothing(text: &str) -> Result<Owner> {
    Owner::find(None, text).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let expected = "numbers: what is linked is made on nothing, which has names for nobody";
            let error = Error::new(ErrorKind::NotFound, "copy files");
            error.about("owner", format!("{text:?}"), expected)
        }
        _ => error,
    })
}

/// The directories on the way to where files are put: they stay as they were below.
struct Way(Vec<(Inode, SetAttributes, Vec<Attribute>)>);

impl Way {
    fn of(files: &Files, linked: &FilesView, destination: &str) -> Result<Way> {
        let mut way = Vec::new();
        let ends = destination.match_indices('/').map(|(at, _)| at + 1);
        for end in ends.chain([destination.len()]) {
            // What is something else there takes the place of a directory here.
            if kind_at(linked, &destination[..end])? != Some(FileKind::Directory) {
                break;
            }
            let inode = match Paths::new(files).resolve(&destination[..end]) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
                {
                    break;
                }
                inode => inode?,
            };
            let attributes = files.attributes(inode)?;
            if attributes.kind != FileKind::Directory {
                break;
            }
            let set = SetAttributes {
                permissions: Some(attributes.permissions),
                owner: Some(attributes.owner),
                group: Some(attributes.group),
                accessed: Some(attributes.accessed),
                modified: Some(attributes.modified),
                ..SetAttributes::default()
            };
            let mut extended = Vec::new();
            for name in files.extended_attribute_names(inode)? {
                let value = files.extended_attribute(inode, &name)?;
                extended.push((name, value));
            }
            way.push((inode, set, extended));
        }
        Ok(Way(way))
    }

    fn restore(self, files: &Files) -> Result<()> {
        for (inode, set, extended) in self.0 {
            for (name, value) in extended {
                files.set_extended_attribute(inode, &name, &value, SetMode::Any)?;
            }
            files.set_attributes(inode, &set)?;
        }
        Ok(())
    }
}

//! Tar streams into a tree: as they are, or as layers of an image.

use std::cell::RefCell;
use std::io::Read;
use std::rc::Rc;

use sapwood::files::{Files, Inode};
use sapwood::{Error, Result};

use super::name::{LayerName, components, layer_target};
use super::target::{Content, SharedRecorder, Target, write_pieces};
use crate::options::ImportOptions;
use crate::report::{Meter, Progress, Report};
use crate::residue::Recorder;
use crate::tar::{Member, MemberKind, TarReader, as_path};

/// How much of a file's content is written at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Puts the files of a tar stream into the tree, below the directory `into`.
///
/// Names are taken from `into`, with a slash before them or not; `..` is refused. Symlinks on the
/// way are followed below `into` and never out of it, those at the end of a name never. Hard
/// links lead to files that are there already. A directory over a directory replaces its
/// attributes, anything else is removed and made anew, so of two members with one name the later
/// counts. Directories that no member speaks of belong to root, with permissions 0755. Names
/// that begin with `.wh.` are names. Owners are taken by number. Nothing is flushed.
///
/// The stream has to be right and whole: see [`TarReader::next_member`]. After an error the tree
/// holds what came before it.
///
/// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput) and
/// [`Unsupported`](sapwood::ErrorKind::Unsupported) for what the stream says, with the member's
/// name; [`NotPermitted`](sapwood::ErrorKind::NotPermitted) for kinds that the options refuse;
/// those of [`Files`].
pub fn import_tar(
    files: &Files,
    into: Inode,
    input: &mut dyn Read,
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report> {
    let mut target = Target::new(files, into, options, Meter::new(progress));
    each_member(input, options, None, |member, content| {
        let name = components(&member.name)?;
        match &member.kind {
            MemberKind::HardLink(to) => target.put_link(&name, &components(to)?),
            _ => target.put(&name, member, content),
        }
    })?;
    target.finish()
}

/// Applies a layer of an image, a tar stream, on the tree as it is.
///
/// As [`import_tar`], and besides: `.wh.NAME` removes NAME, and `.wh..wh..opq` all names of its
/// directory. Both act on what the tree held before, wherever they stand in the stream, and never
/// on what the layer itself brings. Where there is nothing to remove they do nothing. What AUFS kept for itself
/// in the root (`.wh..wh.plnk` and the like) is passed over. Directories
/// of the tree that the layer does not speak of keep their times.
///
/// Cost is in proportion to the layer and to what it removes.
///
/// Errors: as [`import_tar`]; [`InvalidInput`](sapwood::ErrorKind::InvalidInput) for names that
/// begin with `.wh.` and mean neither.
pub fn import_layer(
    files: &Files,
    input: &mut dyn Read,
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report> {
    layer(files, input, options, progress, None)
}

/// As [`import_layer`], and takes down what the stream holds beyond the tree, in attachments:
/// [`export_residue`](crate::export_residue) writes the very same bytes again.
pub fn import_layer_recorded(
    files: &Files,
    input: &mut dyn Read,
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report> {
    let recorder = Rc::new(RefCell::new(Recorder::new(files)?));
    let report = layer(files, input, options, progress, Some(&recorder))?;
    let recorder = Rc::into_inner(recorder).expect("the stream and the target are gone");
    recorder.into_inner().finish()?;
    Ok(report)
}

fn layer(
    files: &Files,
    input: &mut dyn Read,
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress),
    recorder: Option<&SharedRecorder>,
) -> Result<Report> {
    let mut target = Target::for_layer(files, options, Meter::new(progress))?;
    if let Some(recorder) = recorder {
        target.record(Rc::clone(recorder));
    }
    each_member(input, options, recorder, |member, content| {
        let name = LayerName::parse(&member.name)?;
        let is_file = member.kind == MemberKind::File;
        match (name, &member.kind) {
            (LayerName::File(name), MemberKind::HardLink(to)) => {
                target.put_link(&name, &layer_target(to)?)
            }
            (LayerName::File(name), _) => target.put(&name, member, content),
            (LayerName::Whiteout(above, name), _) if is_file => target.white_out(&above, name),
            (LayerName::Opaque(components), _) if is_file => target.make_opaque(&components),
            (LayerName::Leftover, _) => Ok(()),
            (_, kind) => {
                let found = format!("a {}", kind.as_str());
                Err(Error::invalid("import an image layer", "kind of a whiteout", found, "a file"))
            }
        }
    })?;
    target.finish()
}

/// Shows all members, and names the one that an error is about.
fn each_member(
    input: &mut dyn Read,
    options: &ImportOptions,
    recorder: Option<&SharedRecorder>,
    mut each: impl FnMut(&Member, &mut dyn Content) -> Result<()>,
) -> Result<()> {
    let mut reader =
        TarReader::new(input).with_attributes(options.extended_attributes).with_end(options.end);
    if let Some(recorder) = recorder.map(Rc::clone) {
        reader.observe(Box::new(move |bytes| recorder.borrow_mut().bytes(bytes)));
    }
    let recorder = recorder.map(Rc::clone);
    let mut stream = Stream { reader, buffer: vec![0; CHUNK_BYTES], recorder };
    while let Some(member) = stream.reader.next_member()? {
        each(&member, &mut stream).map_err(|error| error.in_file(as_path(&member.name)))?;
    }
    Ok(())
}

/// The content of the current member.
struct Stream<'a> {
    reader: TarReader<&'a mut dyn Read>,
    buffer: Vec<u8>,
    recorder: Option<SharedRecorder>,
}

impl Content for Stream<'_> {
    fn fill(
        &mut self,
        files: &Files,
        inode: Inode,
        member: &Member,
        tell: &mut dyn FnMut(usize),
    ) -> Result<()> {
        if let Some(recorder) = &self.recorder
            && member.kind == MemberKind::File
            && self.reader.is_content_apart()
        {
            recorder.borrow_mut().content(inode, member.size)?;
        }
        write_pieces(files, inode, member, tell, &mut |write| {
            while let Some(chunk) = self.reader.next_chunk(&mut self.buffer)? {
                write(chunk.offset, &self.buffer[..chunk.length])?;
            }
            Ok(())
        })
    }
}

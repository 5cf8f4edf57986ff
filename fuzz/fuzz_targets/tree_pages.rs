//! Arbitrary bytes over the metadata of a tree of files, with block checksums that are right:
//! each call ends, without a panic, and takes memory in proportion to the tree. Where the check finds
//! nothing, all of the tree can be read, and what changes it leaves it sound.
#![no_main]

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use sapwood::ErrorKind;
use sapwood::files::{
    self, FileKind, Files, FilesView, Inode, NewFile, Paths, ReadFiles, RenameMode, Seek,
    SetAttributes, SetMode, TreeReport,
};
use sapwood::store::Store;
use sapwood_fuzz::trees::pages::{self, Spoil};

/// How many things are done to the pages.
const SPOILS_MAX: usize = 16;
/// How many files are looked at: many more than there are.
const FILES_MAX: usize = 1000;

fuzz_target!(|spoils: Vec<Spoil>| {
    let (store, volume) = pages::tree_of(pages::pages()).expect("a sound tree");
    let before = volume.snapshot(&Default::default()).expect("a snapshot");
    let mut spoilt = pages::pages().clone();
    spoils.iter().take(SPOILS_MAX).for_each(|spoil| spoil.apply(&mut spoilt));
    pages::write(&volume, &spoilt).expect("memory takes what is written");
    let after = volume.snapshot(&Default::default()).expect("a snapshot");
    let before = FilesView::open(before).expect("a sound tree");
    let mut is_sound = false;
    if let Ok(after) = FilesView::open(after) {
        is_sound = look_at_all(&store, &before, &after);
        look(&after, is_sound);
    }
    match Files::open(volume, pages::files_options()) {
        Ok(files) => {
            change(&files);
            look(&files, is_sound);
            if let Ok(snapshot) = files.snapshot(&Default::default())
                && let Ok(after) = FilesView::open(snapshot)
            {
                let report = files::check(&after);
                assert!(!is_sound || is_clean(&report), "what was sound is not: {report:?}");
            }
        }
        // A feature that this version does not know may be read and not written.
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        Err(error) => assert!(!is_sound, "what is sound does not open: {error}"),
    }
});

fn is_clean(report: &sapwood::Result<TreeReport>) -> bool {
    report.as_ref().is_ok_and(TreeReport::is_sound)
}

/// Reads what there is, file by file. What cannot be read is an error, and that is all; of a sound tree
/// there is nothing like that.
fn look(files: &dyn ReadFiles, is_sound: bool) {
    let done = |error: Option<sapwood::Error>| {
        let error = error.filter(|_| is_sound);
        assert!(error.is_none(), "what the check finds sound cannot be read: {error:?}");
    };
    let mut found = Vec::new();
    let walked = Paths::new(files).walk("/", |path, attributes| {
        found.push((path.to_vec(), *attributes));
        Ok(match found.len() < FILES_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        })
    });
    done(walked.err());
    let mut buffer = vec![0; 1 << 16];
    for (path, attributes) in found {
        let inode = attributes.inode;
        match attributes.kind {
            FileKind::Symlink => done(files.read_link(inode).err()),
            FileKind::Regular => {
                for offset in [0, attributes.size.saturating_sub(100)] {
                    done(files.read(inode, offset, &mut buffer).err());
                    done(files.seek(inode, offset, Seek::Data).err());
                    done(files.seek(inode, offset, Seek::Hole).err());
                }
            }
            _ => {}
        }
        let names = files.extended_attribute_names(inode);
        for name in names.as_deref().unwrap_or_default() {
            done(files.extended_attribute(inode, name).err());
        }
        done(names.err());
        let path = [b"/", &path[..]].concat();
        done(Paths::new(files).symlink_metadata(OsStr::from_bytes(&path)).err());
    }
    let _ = files.statistics();
}

/// What looks at a tree as a whole; whether it is sound.
fn look_at_all(store: &Store, before: &FilesView, after: &FilesView) -> bool {
    let is_sound = is_clean(&files::check(after));
    let _ = files::changes(before, after);
    let _ = files::changes(after, before);
    let _ = files::shares(after);
    let _ = files::usage(after);
    let _ = files::blame(store, after, Inode(2));
    // A comparison from the root on is as long as its walk, which a sound tree bounds.
    if is_sound {
        files::compare(before, after).expect("what the check finds sound can be walked");
    }
    is_sound
}

/// Changes of each kind, where the tree lets them.
fn change(files: &Files) {
    let paths = Paths::new(files);
    let mut buffer = vec![7; 5000];
    for name in ["a/small-1", "a/b/pieces-2", "a/b/c/large", "a/b/link", "a/way", "fresh"] {
        let _ = paths.write(name, &buffer[..100]);
        if let Ok(inode) = paths.resolve(name) {
            let _ = files.write(inode, 2000, &buffer);
            let _ = files.set_extended_attribute(inode, b"user.more", &buffer[..700], SetMode::Any);
            let _ = files.remove_extended_attribute(inode, b"user.note");
            let shorter = SetAttributes { size: Some(1500), ..SetAttributes::default() };
            let _ = files.set_attributes(inode, &shorter);
            let _ = files.read(inode, 0, &mut buffer);
        }
        let _ = paths.rename(name, "a/b/moved");
        let _ = paths.hard_link("a/b/moved", name);
    }
    if let (Ok(a), Ok(b)) = (paths.resolve("a"), paths.resolve("a/b")) {
        let _ = files.rename(a, b"b", Inode::ROOT, b"empty", RenameMode::Exchange);
        let _ = files.rename(Inode::ROOT, b"a", b, b"below itself", RenameMode::Replace);
    }
    for number in 0..30 {
        let name = format!("new-{number}");
        let _ = files.create(Inode::ROOT, name.as_bytes(), &NewFile::regular(0o644));
    }
    for number in 0..40 {
        let _ = paths.remove_file(format!("a/small-{number}"));
    }
    let _ = files.flush();
}

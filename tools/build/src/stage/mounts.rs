//! What a program of `RUN` sees besides the tree.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sapwood::files::{Paths, ReadFiles};
use sapwood::medium::create_private_folders;
use sapwood::{Error, ErrorKind, Result, Store};
use sapwood_archive::{ExportOptions, export_directory};
use sapwood_container::{Access, Content, Job, Mount as JobMount, Place};
use sapwood_fuse::{AccessTimes, Audience, Mount as Served, MountOptions};

use super::{StageBuild, absolute};
use crate::cache::Inputs;
use crate::containerfile::{Instruction, Mount, MountKind, Problem, Run};
use crate::copy::{Looked, Placing, Target, digest};
use crate::error::Stop;
use crate::kept::{Kept, New, Sharing, keep};
use crate::options::Secret;
use crate::origin::{Found, Group, Origin, Selection, select};
use crate::workshop::Workshop;

/// A mount whose words are replaced and whose files are found.
pub(super) struct Wanted {
    target: String,
    what: What,
    access: Access,
    variable: Option<String>,
}

/// Files of an origin.
struct Files {
    origin: Origin,
    group: Group,
    looked: Looked,
}

enum What {
    Bind(Files),
    Cache {
        id: String,
        sharing: Sharing,
        permissions: Option<u32>,
        owner: (Option<u32>, Option<u32>),
        begins_with: Option<Files>,
    },
    Memory {
        size_bytes: Option<u64>,
    },
    Secret {
        bytes: Vec<u8>,
        permissions: u16,
        owner: (u32, u32),
    },
}

impl StageBuild<'_> {
    /// Finds what is to be mounted, and notes what counts of it.
    pub(super) fn mounts(
        &self,
        instruction: &Instruction,
        run: &Run,
        inputs: &mut Inputs,
    ) -> Result<Vec<Wanted>, Stop> {
        let mut wanted = Vec::new();
        for mount in &run.mounts {
            wanted.extend(self.mount(instruction, mount, inputs)?);
        }
        Ok(wanted)
    }

    fn mount(
        &self,
        instruction: &Instruction,
        mount: &Mount,
        inputs: &mut Inputs,
    ) -> Result<Option<Wanted>, Stop> {
        let in_text = |problem: Problem| Stop::from(problem.in_text(&instruction.text));
        let word = mount.kind.as_ref().map(|word| self.expanded(instruction, word)).transpose()?;
        let kind = mount.kind_of(word.as_deref()).map_err(in_text)?;
        let options = mount.options(kind).map_err(in_text)?;
        let option = |name: &str| -> Result<Option<String>, Stop> {
            let found = options.iter().find(|(there, _)| *there == name);
            let word = found.and_then(|(_, word)| word.as_ref());
            word.map(|word| self.expanded(instruction, word)).transpose()
        };
        let wrong = |found: String, expected: &str| -> Stop {
            in_text(Problem::new(mount.text.at, "mount", found, expected))
        };
        let is_on = |name: &str| -> Result<bool, Stop> {
            let is_there = options.iter().any(|(there, _)| *there == name);
            match option(name)?.as_deref() {
                None => Ok(is_there),
                Some("true" | "1") => Ok(true),
                Some("false" | "0") => Ok(false),
                Some(other) => Err(wrong(format!("{name}={other:?}"), "true or false")),
            }
        };
        let number = |name: &str, radix: u32| match option(name)? {
            None => Ok(None),
            Some(text) => u32::from_str_radix(&text, radix)
                .map(Some)
                .map_err(|_| wrong(format!("{name}={text:?}"), "a number")),
        };
        let directory = &self.state.configuration.config.working_dir;
        let target = option("target")?.map(|target| absolute(directory, &target));
        let owner = (number("uid", 10)?, number("gid", 10)?);
        // Who may read what is there is for a program to find out.
        if matches!(kind, MountKind::Secret | MountKind::Cache) {
            for name in ["mode", "uid", "gid"] {
                if let Some(value) = option(name)? {
                    inputs.add(format!("{name} of a mount"), value);
                }
            }
        }
        let from = mount.from();
        let files = |source: &str| -> Result<Files, Stop> {
            let origin = self.origin(from)?;
            let group = select(&origin, source, &Selection::default())?.into_iter().next();
            let group = group.ok_or_else(|| wrong(format!("{source:?}"), "one that is there"))?;
            let looked = digest(&origin, std::slice::from_ref(&group))?;
            Ok(Files { origin, group, looked })
        };
        // What is said last counts, of both words.
        let mut access = match kind {
            MountKind::Bind => Access::ReadOnly,
            _ => Access::ReadWrite,
        };
        for (option, _) in &options {
            access = match (*option, is_on("readonly")?, is_on("readwrite")?) {
                ("readonly", true, _) | ("readwrite", _, false) => Access::ReadOnly,
                ("readonly", false, _) | ("readwrite", _, true) => Access::ReadWrite,
                _ => access,
            };
        }
        let mut variable = None;
        let at = target.as_deref().unwrap_or_default();
        let read_only_or_not = |access| match access {
            Access::ReadOnly => "read-only ",
            Access::ReadWrite => "",
        };
        let what = match kind {
            MountKind::Bind => {
                let files = files(option("source")?.as_deref().unwrap_or("/"))?;
                inputs.add("mount", format!("{}bind {at}", read_only_or_not(access)));
                for (path, digest) in &files.looked.files {
                    inputs.add_file(path, digest);
                }
                What::Bind(files)
            }
            MountKind::Cache => {
                let sharing = match option("sharing")?.as_deref() {
                    None | Some("shared") => Sharing::Shared,
                    Some("private") => Sharing::Private,
                    Some("locked") => Sharing::Locked,
                    Some(other) => {
                        let expected = "shared, private or locked";
                        return Err(wrong(format!("sharing={other:?}"), expected));
                    }
                };
                inputs.add("mount", format!("{}cache {at}", read_only_or_not(access)));
                let id = option("id")?;
                if let Some(id) = &id {
                    inputs.add("id of a mount", id);
                }
                let mut id = id.unwrap_or_else(|| at.to_owned());
                let source = option("source")?.unwrap_or_else(|| "/".to_owned());
                let begins_with = match from {
                    Some(_) => Some(files(&source)?),
                    None if source.trim_matches('/').is_empty() => None,
                    None => {
                        let expected = "a from beside it: a new directory has nothing in it";
                        return Err(wrong(format!("source={source:?}"), expected));
                    }
                };
                if let Some(files) = &begins_with {
                    if !files.is_directory() {
                        return Err(wrong(format!("source={source:?}"), "a directory"));
                    }
                    // Other files to begin with are another directory.
                    id = format!("{id}\0{}", files.digest());
                    for (path, digest) in &files.looked.files {
                        inputs.add_file(path, digest);
                    }
                }
                What::Cache { id, sharing, permissions: number("mode", 8)?, owner, begins_with }
            }
            MountKind::Tmpfs => {
                let size_bytes = match option("size")? {
                    None => None,
                    Some(text) => {
                        Some(size(&text).ok_or_else(|| wrong(format!("size={text:?}"), "a size"))?)
                    }
                };
                inputs.add("mount", format!("tmpfs {at}"));
                if let Some(size_bytes) = size_bytes {
                    inputs.add("size of a mount", size_bytes.to_string());
                }
                What::Memory { size_bytes }
            }
            MountKind::Secret => {
                let name = target.as_deref().and_then(|target| target.rsplit('/').next());
                let id = option("id")?.or_else(|| name.map(str::to_owned));
                let id = id.ok_or_else(|| wrong("a secret without id".into(), "id or target"))?;
                variable = option("env")?;
                inputs.add("mount", format!("secret {id}"));
                for (name, value) in [("target", &target), ("variable", &variable)] {
                    if let Some(value) = value {
                        inputs.add(format!("{name} of a secret"), value);
                    }
                }
                let secrets = &self.build.options.secrets;
                let Some((_, secret)) = secrets.iter().rfind(|(there, _)| *there == id) else {
                    return match is_on("required")? {
                        false => Ok(None),
                        true => {
                            let expected = "a secret that is given to the build";
                            Err(wrong(format!("secret {id:?}"), expected))
                        }
                    };
                };
                let bytes = match secret {
                    Secret::Value(bytes) => bytes.clone(),
                    Secret::File(path) => fs::read(path)
                        .map_err(|error| Error::io("read a secret", error).in_file(path))?,
                };
                access = Access::ReadOnly;
                let permissions = number("mode", 8)?.unwrap_or(0o400) as u16 & 0o7777;
                let owner = (owner.0.unwrap_or(0), owner.1.unwrap_or(0));
                let in_folder = format!("/run/secrets/{id}");
                let target = match (&target, &variable) {
                    (Some(target), _) => target.clone(),
                    (None, None) => in_folder,
                    // Only the variable was asked for.
                    (None, Some(_)) => String::new(),
                };
                let what = What::Secret { bytes, permissions, owner };
                return Ok(Some(Wanted { target, what, access, variable }));
            }
        };
        Ok(Some(Wanted { target: target.unwrap_or_default(), what, access, variable }))
    }
}

/// What is mounted for a program, and goes when it has ended.
#[derive(Default)]
pub(super) struct Mounted {
    served: Vec<(Served, Option<Workshop>)>,
    /// Held as long as they are used.
    kept: Vec<Kept>,
}

impl Mounted {
    /// Mounts all that is wanted.
    pub fn all(
        &mut self,
        stage: &StageBuild<'_>,
        wanted: &[Wanted],
        place: &Place,
        job: &mut Job,
    ) -> Result<(), Stop> {
        for (number, Wanted { target, what, access, variable }) in wanted.iter().enumerate() {
            let content = match what {
                What::Bind(files) => {
                    let directory = place.trees().join(number.to_string());
                    self.bind(stage, files, *access, directory)?
                }
                What::Cache { id, sharing, permissions, owner, begins_with } => {
                    let fill = begins_with.as_ref().map(|files| {
                        |directory: &Path| files.write_into(stage.build.store, directory)
                    });
                    let fill = fill.as_ref().map(|fill| fill as _);
                    let new = New { fill, permissions: *permissions, owner: *owner };
                    let kept = keep(stage.build.store, id, *sharing, &new)?;
                    let directory = Arc::clone(&kept.directory);
                    self.kept.push(kept);
                    Content::Opened(directory)
                }
                What::Memory { size_bytes } => {
                    Content::Memory { size_bytes: *size_bytes, permissions: 0o1777 }
                }
                What::Secret { bytes, permissions, owner: (owner, group) } => {
                    if let Some(variable) = variable {
                        let value = String::from_utf8_lossy(bytes);
                        job.process.environment.push(format!("{variable}={value}"));
                    }
                    let (bytes, permissions) = (bytes.clone(), *permissions);
                    Content::Secret { bytes, owner: *owner, group: *group, permissions }
                }
            };
            if !target.is_empty() {
                let target = PathBuf::from(target);
                job.mounts.push(JobMount { target, content, access: *access });
            }
        }
        Ok(())
    }

    /// Files of an origin as a tree of their own: what is written is lost.
    fn bind(
        &mut self,
        stage: &StageBuild<'_>,
        files: &Files,
        access: Access,
        directory: PathBuf,
    ) -> Result<Content> {
        create_private_folders(&directory)
            .map_err(|error| Error::io("mount files", error).in_file(&directory))?;
        let options = MountOptions {
            source: "sapwood".to_owned(),
            audience: Audience::Everybody,
            access_times: AccessTimes::Off,
            set_user_id: true,
            devices: false,
            ..MountOptions::default()
        };
        let (served, workshop, path) = match (&files.origin, access) {
            (Origin::Tree(tree), Access::ReadOnly) => {
                let view = Arc::clone(&tree.view);
                let path = files.top().map(|top| top.path.clone()).unwrap_or_default();
                (Served::read_only(view, &directory, options)?, None, path)
            }
            _ => {
                let mut workshop = Workshop::on(stage.build.store, None)?;
                let destination = files.put_into(&workshop)?;
                let mut served = None;
                let lent = workshop.hand_over(|files| {
                    served = Some(Served::writable(files, &directory, options)?);
                    Ok(())
                });
                if let Err(error) = lent {
                    workshop.finish()?;
                    return Err(error);
                }
                let Some(served) = served else {
                    return Err(Error::new(ErrorKind::Io, "mount files: nothing was mounted"));
                };
                (served, Some(workshop), destination.to_vec())
            }
        };
        let root = directory;
        self.served.push((served, workshop));
        let path = PathBuf::from(String::from_utf8_lossy(&path).into_owned());
        Ok(Content::Tree { root, path })
    }

    /// Unmounts all.
    pub fn end(self) -> Result<()> {
        let mut ended = Ok(());
        for (served, workshop) in self.served.into_iter().rev() {
            let unmounted = served.unmounter().unmount();
            let waited = served.wait();
            let finished = workshop.map_or(Ok(()), Workshop::finish);
            ended = ended.and(unmounted.map(|_| ())).and(waited).and(finished);
        }
        ended
    }
}

impl Files {
    fn top(&self) -> Option<&Found> {
        self.group.items.first().map(|top| &top.file)
    }

    fn is_directory(&self) -> bool {
        self.top().is_some_and(Found::is_directory)
    }

    /// What they are, in a few digits.
    fn digest(&self) -> String {
        let mut inputs = Inputs::default();
        for (path, digest) in &self.looked.files {
            inputs.add_file(path, digest);
        }
        inputs.key().as_str().to_owned()
    }

    /// Puts them into a volume of their own; where they are in it.
    fn put_into(&self, workshop: &Workshop) -> Result<&'static [u8]> {
        let destination = if self.is_directory() { &b"/files/"[..] } else { b"/file" };
        let placing = Placing { destination: destination.to_vec(), owner: None, permissions: None };
        let mut target = Target::new(workshop.files()?, &placing);
        target.put(&self.origin, &self.group, self.looked.contents_of(0))?;
        target.finish()?;
        Ok(destination)
    }

    /// Writes what is in the directory into one of the host, with its attributes.
    fn write_into(&self, store: &Store, directory: &Path) -> Result<()> {
        let write = |view: &dyn ReadFiles, from| {
            export_directory(view, from, directory, &ExportOptions::default(), &mut |_| {})
        };
        if let (Origin::Tree(tree), Some(top)) = (&self.origin, self.top()) {
            return write(&*tree.view, top.inode()).map(|_| ());
        }
        let workshop = Workshop::on(store, None)?;
        let written = self.put_into(&workshop).and_then(|destination| {
            let files = workshop.files()?;
            write(files, Paths::new(files).resolve(OsStr::from_bytes(destination))?)
        });
        workshop.finish()?;
        written.map(|_| ())
    }
}

/// A size in bytes: a number, or one with k, m or g.
fn size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.trim_end_matches("ib").trim_end_matches('b');
    let digits = lower.trim_end_matches(['k', 'm', 'g', 't']);
    let scale = match &lower[digits.len()..] {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << scale)
}

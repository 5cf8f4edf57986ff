//! `COPY` and `ADD`.

use std::sync::Arc;

use sapwood::files::{FileKind, Files, FilesView};
use sapwood::{Error, ErrorKind};
use sapwood_archive::is_archive;
use sapwood_archive::tar::MemberKind;

use super::{StageBuild, absolute, kind_at};
use crate::cache::{Inputs, shown_name};
use crate::containerfile::{CopyFiles, Instruction, Kind, Mode, Problem, Word, expand};
use crate::copy::{Document, Looked, Owner, Permissions, Placing, Target};
use crate::copy::{digest, unpack};
use crate::error::Stop;
use crate::event::Outcome;
use crate::origin::{Group, Origin, Selection, TreeOrigin, select};
use crate::patterns::Ignore;
use crate::plan::{FromName, from_name, too_late};

/// How an archive is found out: its first bytes say what it is.
const LOOK_BYTES: usize = 1 << 20;
/// What names begin with that a network would have to bring.
const REMOTE: [&str; 5] = ["http://", "https://", "git://", "ssh://", "git@"];

/// What is copied, and how.
pub(super) struct Copying {
    pub origin: Option<Origin>,
    pub groups: Vec<Group>,
    pub looked: Looked,
    /// Whether each group is an archive that is unpacked.
    pub archives: Vec<bool>,
    pub documents: Vec<Document>,
    pub destination: String,
    pub owner: Option<String>,
    pub permissions: Option<Permissions>,
    /// Whether directories come along: then the destination is one, whatever there is to copy.
    pub parents: bool,
}

impl StageBuild<'_> {
    pub(super) fn copy(
        &mut self,
        instruction: &Instruction,
        files: &CopyFiles,
    ) -> Result<Outcome, Stop> {
        let mut inputs = Inputs::default();
        let copying = self.copying(instruction, files, &mut inputs)?;
        let created_by = self.copied_by(instruction, files, &copying)?;
        if files.link {
            return self.copy_linked(inputs, created_by, &copying);
        }
        self.layer(inputs, created_by, |stage| {
            let view = stage.view()?;
            let owner = match &copying.owner {
                None => None,
                Some(owner) => Some(Owner::find(view.as_ref().map(|view| view as _), owner)?),
            };
            copying.put(stage.workshop()?.files()?, owner)
        })
    }

    /// Finds all that is copied, and notes what it is.
    fn copying(
        &mut self,
        instruction: &Instruction,
        files: &CopyFiles,
        inputs: &mut Inputs,
    ) -> Result<Copying, Stop> {
        let name = instruction.kind.name();
        let is_add = matches!(instruction.kind, Kind::Add(_));
        let problem = |word: &Word, found: String, expected: &str| {
            Stop::from(Problem::new(word.at, name, found, expected).in_text(&instruction.text))
        };
        let destination = self.expanded(instruction, &files.destination)?;
        let destination = absolute(&self.state.configuration.config.working_dir, &destination);
        let count = files.sources.len() + files.documents.len();
        if count > 1 && !destination.ends_with('/') {
            let expected = "a directory, with a slash at its end, for more than one source";
            return Err(problem(&files.destination, format!("{destination:?}"), expected));
        }
        let mut selection = Selection { exclude: Ignore::default(), parents: files.parents };
        for word in &files.exclude {
            let pattern = self.expanded(instruction, word)?;
            let added = selection.exclude.add(&pattern);
            added.map_err(|wrong| problem(word, format!("{pattern:?}: {wrong}"), "a pattern"))?;
        }
        let owner = files.owner.as_ref().map(|word| self.filled(instruction, word)).transpose()?;
        let permissions = match &files.permissions {
            None => None,
            Some(word) => {
                let text = self.filled(instruction, word)?;
                let expected = "permissions, as 0755, u=rwX,go=rX or g=u";
                Some(
                    Permissions::parse(&text)
                        .ok_or_else(|| problem(word, format!("{text:?}"), expected))?,
                )
            }
        };
        let from = files.from.as_ref().map(|word| word.text.as_str());
        let origin = match files.sources.is_empty() {
            true => None,
            false => Some(self.origin(from)?),
        };
        let mut groups = Vec::new();
        for word in &files.sources {
            let source = self.expanded(instruction, word)?;
            if REMOTE.iter().any(|remote| source.starts_with(remote)) {
                let expected = "a file of the context: nothing is fetched from a network here";
                return Err(problem(word, format!("{source:?}"), expected));
            }
            if let Some(origin) = &origin {
                groups.extend(select(origin, &source, &selection)?);
            }
        }
        if groups.len() > 1
            && !destination.ends_with('/')
            && !files.parents
            && !self.is_directory_for(&groups, &destination, files.link)?
        {
            // A pattern that meant several: one file would take the place of the other.
            let expected =
                "a directory that is there, or a slash at its end, for more than one file";
            return Err(problem(&files.destination, format!("{destination:?}"), expected));
        }
        let looked = match &origin {
            Some(origin) => digest(origin, &groups)?,
            None => Looked::default(),
        };
        let unpacks = files.unpack.unwrap_or(is_add && from.is_none());
        let mut archives = Vec::with_capacity(groups.len());
        for group in &groups {
            let is_one =
                unpacks && origin.as_ref().is_some_and(|origin| looks_packed(origin, group));
            archives.push(is_one);
        }
        let documents = self.documents(instruction, files)?;
        let name = if is_add { "ADD" } else { "COPY" };
        let mut options = Vec::new();
        options.extend(owner.iter().map(|owner| format!("--chown={owner}")));
        options.extend(files.permissions.iter().map(|word| format!("--chmod={}", word.text)));
        options.extend(files.parents.then(|| "--parents".to_owned()));
        options.extend(files.link.then(|| "--link".to_owned()));
        let options: String = options.iter().map(|option| format!(" {option}")).collect();
        inputs.add("instruction", format!("{name}{options} {destination}"));
        if let Some(permissions) = &permissions {
            inputs.add("permissions", format!("{permissions:?}"));
        }
        for (group, is_archive) in groups.iter().zip(&archives) {
            let kind = if *is_archive { "archive" } else { "source" };
            inputs.add(kind, shown_name(&group.name));
            let kind = group.items.first().map(|top| top.file.member.kind.as_str());
            inputs.add("kind", kind.unwrap_or_default());
            if let Some(parents) = &group.parents {
                let names = parents.iter().map(|item| shown_name(&item.name));
                inputs.add("parents", names.collect::<Vec<_>>().join("/"));
            }
        }
        for (path, digest) in &looked.files {
            inputs.add_file(path, digest);
        }
        for Document { name, content } in &documents {
            inputs.add_file(name.as_bytes(), blake3::hash(content).as_bytes());
        }
        let parents = files.parents;
        Ok(Copying {
            origin,
            groups,
            looked,
            archives,
            documents,
            destination,
            owner,
            permissions,
            parents,
        })
    }

    /// Whether a destination without a slash at its end is a directory, or is made one by what comes first.
    fn is_directory_for(
        &self,
        groups: &[Group],
        destination: &str,
        link: bool,
    ) -> Result<bool, Stop> {
        let first = groups.first().and_then(|group| group.items.first());
        if first.is_some_and(|top| top.file.is_directory()) {
            return Ok(true);
        }
        // What is linked stands on nothing.
        let view = if link { None } else { self.view()? };
        let kind = view.map(|view| kind_at(&view, destination)).transpose()?.flatten();
        Ok(kind == Some(FileKind::Directory))
    }

    fn documents(
        &self,
        instruction: &Instruction,
        files: &CopyFiles,
    ) -> Result<Vec<Document>, Stop> {
        let variables = |name: &str| self.state.variables.get(name).map(str::to_owned);
        let mut documents = Vec::new();
        for heredoc in files.documents.iter().filter_map(|&place| instruction.heredocs.get(place)) {
            let mut content = heredoc.stripped_content();
            if heredoc.expands {
                let expanded = expand(&content, '\\', Mode::Verbatim, &variables);
                // Its lines are those behind the instruction.
                content = expanded
                    .map_err(|problem| Problem { at: 0, ..problem }.in_text(&instruction.text))?;
            }
            documents.push(Document { name: heredoc.name.clone(), content: content.into_bytes() });
        }
        Ok(documents)
    }

    /// Where files come from.
    pub(super) fn origin(&self, from: Option<&str>) -> Result<Origin, Stop> {
        let (build, options) = (self.build, self.build.options);
        match from_name(&build.plan, self.number, options, from) {
            FromName::Context => Ok(build.context()?),
            FromName::Named(name) => Ok(build.named_context(&name)?),
            FromName::Stage(number) => {
                let top = build.done(number).state.top.clone();
                match top {
                    Some(top) => {
                        let view = Arc::new(FilesView::open(top)?);
                        Ok(Origin::Tree(TreeOrigin { view }))
                    }
                    None => {
                        let found = format!("stage {}, which is empty", from.unwrap_or_default());
                        let error = Error::new(ErrorKind::NotFound, "copy files");
                        Err(error.about("from", found, "a stage with files").into())
                    }
                }
            }
            FromName::Image(reference) => {
                let late = || too_late(&build.plan, self.number, &reference);
                let image = crate::base::Image::open(build.store, &reference);
                let image = image.map_err(|error| match (error.kind(), late()) {
                    (ErrorKind::NotFound, Some(late)) => {
                        let expected = "an earlier stage, a context, or an image of the store";
                        let error = Error::new(ErrorKind::NotFound, "find files");
                        error.about("from", format!("{reference}, {late}"), expected)
                    }
                    _ => error,
                })?;
                let top = image.top.ok_or_else(|| {
                    let error = Error::new(ErrorKind::NotFound, "copy files");
                    error.about(
                        "from",
                        format!("{reference}, which is empty"),
                        "an image with files",
                    )
                })?;
                Ok(Origin::Tree(TreeOrigin { view: Arc::new(FilesView::open(top)?) }))
            }
        }
    }

    /// The step as the history tells it.
    fn copied_by(
        &self,
        instruction: &Instruction,
        files: &CopyFiles,
        copying: &Copying,
    ) -> Result<String, Stop> {
        let mut words = vec![instruction.kind.name().to_owned()];
        words.extend(copying.owner.iter().map(|owner| format!("--chown={owner}")));
        if let Some(word) = &files.permissions {
            words.push(format!("--chmod={}", self.expanded(instruction, word)?));
        }
        words.extend(files.from.iter().map(|word| format!("--from={}", word.text)));
        for word in &files.sources {
            words.push(self.expanded(instruction, word)?);
        }
        words.extend(copying.documents.iter().map(|document| document.name.clone()));
        words.push(self.expanded(instruction, &files.destination)?);
        Ok(words.join(" "))
    }
}

impl Copying {
    /// Puts all into a tree.
    pub(super) fn put(&self, files: &Files, owner: Option<Owner>) -> Result<(), Stop> {
        let placing = Placing {
            destination: self.destination.clone().into_bytes(),
            owner,
            permissions: self.permissions.clone(),
        };
        let mut target = Target::new(files, &placing);
        if self.parents {
            target.make_destination()?;
        }
        if let Some(origin) = &self.origin {
            for (place, group) in self.groups.iter().enumerate() {
                let top = group.items.first().filter(|_| self.archives[place]);
                if let Some(archive) = top.map(|top| &top.file) {
                    let into = target.make_destination()?;
                    let expected = self.looked.contents_of(place).first().copied().flatten();
                    unpack(files, into, origin, archive, expected, owner)?;
                } else {
                    target.put(origin, group, self.looked.contents_of(place))?;
                }
            }
        }
        for document in &self.documents {
            target.put_document(document)?;
        }
        target.finish()?;
        Ok(())
    }
}

/// Whether a source is a file that holds an archive.
fn looks_packed(origin: &Origin, group: &Group) -> bool {
    let Some(top) = group.items.first().filter(|top| top.file.member.kind == MemberKind::File)
    else {
        return false;
    };
    let mut begin = Vec::new();
    // The rest is not read: an error ends it.
    let enough = || Error::new(ErrorKind::Io, "enough of an archive was read");
    let _ = origin.read(&top.file, &mut |_| Ok(()), &mut |bytes| {
        begin.extend_from_slice(bytes);
        if begin.len() < LOOK_BYTES { Ok(()) } else { Err(enough()) }
    });
    is_archive(&mut &begin[..])
}

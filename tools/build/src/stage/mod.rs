//! A stage, step by step.

mod copying;
mod linked;
mod mounts;
mod running;
mod settings;
mod times;

use std::sync::mpsc::Sender;
use std::time::Instant;

use sapwood::files::{FileKind, FilesView, Paths, ReadFiles};
use sapwood::{Annotations, Error as EngineError, ErrorKind, LayerId, Snapshot};
use sapwood_oci::{CACHE_KEY_LABEL, made_now};

use crate::base::Image;
use crate::build::{Build, Done};
use crate::cache::{Cache, Inputs};
use crate::configuration::{Configuration, DEFAULT_PATH};
use crate::containerfile::{Instruction, Kind, Word};
use crate::copy::Owner;
use crate::error::{Error, Stop};
use crate::event::{Event, Outcome, Step, StepReport};
use crate::options::CacheUse;
use crate::plan::{Base, PlannedStage, expanded};
use crate::time::{now_nanoseconds, rfc3339};
use crate::variables::Variables;
use crate::workshop::Workshop;

/// What a stage is after the steps so far.
#[derive(Clone, Debug)]
pub struct State {
    /// The topmost layer; none where there is none yet.
    pub top: Option<Snapshot>,
    /// The configuration of the image that it would be.
    pub configuration: Configuration,
    /// What `ENV` and `ARG` say.
    pub variables: Variables,
    /// The arguments that were declared, with their values.
    pub arguments: Vec<(String, Option<String>)>,
    /// When the topmost layer was made, as RFC 3339 writes it: also the time of later steps that make
    /// none, so that what is built again from the same layers is the same image. None before there is
    /// one: steps until then have the time of the first.
    pub created: Option<String>,
    /// How many steps of the history are the base's.
    steps_below: usize,
    /// Whether `CMD` was said here, and not in the base.
    has_command: bool,
}

impl State {
    /// Goes on with a layer on top, made at this time.
    fn put(&mut self, layer: Snapshot, created_nanoseconds: i64, created_by: String) {
        let created = rfc3339(created_nanoseconds);
        if self.created.is_none() {
            self.configuration.date_steps(self.steps_below, &created);
        }
        self.configuration.note_layer(&created, created_by);
        (self.top, self.created) = (Some(layer), Some(created));
    }
}

/// A layer of the image that was made.
#[derive(Debug)]
pub struct MadeLayer {
    /// The number of its stage.
    pub stage: usize,
    /// The step that made it.
    pub step: Step,
    /// The layer.
    pub layer: LayerId,
}

/// A stage that is being built.
pub struct StageBuild<'a> {
    build: &'a Build<'a>,
    number: usize,
    stage: &'a PlannedStage,
    made: Sender<MadeLayer>,
    state: State,
    workshop: Option<Workshop>,
    step: Step,
    reason: Option<String>,
}

/// Builds a stage; layers that will be the image's are told as they are made.
///
/// Errors: the step that fails; none where another stage has said why.
pub fn build_stage(
    build: &Build<'_>,
    number: usize,
    made: Sender<MadeLayer>,
) -> Result<Done, Option<Error>> {
    let stage = &build.plan.stages[number];
    let state = beginning(build, stage);
    let step = Step {
        stage: stage.name.clone(),
        number: 1,
        steps: stage.instructions.len() + 1,
        instruction: stage.text.as_str().trim().to_owned(),
    };
    let mut run =
        StageBuild { build, number, stage, made, state, workshop: None, step, reason: None };
    let mut reports = Vec::new();
    let ran = run.all(&mut reports);
    // What was made stays for the next build, whatever came later.
    let finished = run.workshop.take().map_or(Ok(()), Workshop::finish);
    ran.map_err(|stop| stop_error(build, stage, &run.step, stop))?;
    finished.map_err(|error| Some(Error::from(error)))?;
    Ok(Done { state: run.state, reports })
}

/// What a stage is before its first step.
fn beginning(build: &Build<'_>, stage: &PlannedStage) -> State {
    let image = match &stage.base {
        Base::Stage(number) => {
            let done = build.done(*number);
            let mut state = done.state.clone();
            state.configuration.config.on_build.clear();
            state.has_command = false;
            return state;
        }
        Base::Image { image, .. } => image.as_deref().cloned(),
        Base::Scratch => None,
    };
    let Image { top, mut configuration } =
        image.unwrap_or(Image { top: None, configuration: Configuration::default() });
    configuration.architecture.clone_from(&stage.platform.architecture);
    if stage.platform.variant.is_some() {
        configuration.variant.clone_from(&stage.platform.variant);
    }
    configuration.os = "linux".to_owned();
    configuration.config.on_build.clear();
    let variables = |configuration: &Configuration| -> Variables {
        configuration
            .config
            .env
            .iter()
            .map(|text| text.split_once('=').unwrap_or((text, "")))
            .collect()
    };
    if variables(&configuration).get("PATH").is_none() {
        configuration.set_variable("PATH", DEFAULT_PATH);
    }
    let variables = variables(&configuration);
    let epoch = build.options.epoch_nanoseconds();
    let created = epoch.map(rfc3339).or_else(|| configuration.created.clone());
    let steps_below = configuration.history.len();
    let arguments = Vec::new();
    State { top, configuration, variables, arguments, created, steps_below, has_command: false }
}

/// What stopped a step, with its place.
pub fn stop_error(
    build: &Build<'_>,
    stage: &PlannedStage,
    step: &Step,
    stop: Stop,
) -> Option<Error> {
    let options = build.options;
    // The first step is `FROM`.
    let instruction = step.number.saturating_sub(2);
    match stop {
        Stop::Abandoned => None,
        Stop::Parse(error) if instruction >= stage.triggers => {
            Some(Error::in_file(error, &options.file, &options.containerfile))
        }
        Stop::Parse(error) => {
            let found = format!("{:?}: {error}", step.instruction);
            let error = sapwood::Error::invalid("build", "ONBUILD", found, "an instruction");
            Some(error.into())
        }
        Stop::Cause(cause) => Some(Error::Step {
            file: options.file.clone(),
            position: stage.position(instruction),
            instruction: step.instruction.clone(),
            cause: Box::new(cause),
        }),
    }
}

impl StageBuild<'_> {
    fn all(&mut self, reports: &mut Vec<(Step, StepReport)>) -> Result<(), Stop> {
        self.report(reports, |_| Ok(Outcome::Configured))?;
        for (place, instruction) in self.stage.instructions.iter().enumerate() {
            self.step.number = place + 2;
            self.step.instruction = shown(instruction);
            self.report(reports, |stage| stage.one(instruction))?;
        }
        Ok(())
    }

    /// Does a step, and tells of it.
    fn report(
        &mut self,
        reports: &mut Vec<(Step, StepReport)>,
        run: impl FnOnce(&mut Self) -> Result<Outcome, Stop>,
    ) -> Result<(), Stop> {
        if self.build.is_abandoned() {
            return Err(Stop::Abandoned);
        }
        (self.build.listener)(Event::Began(&self.step));
        let began = Instant::now();
        self.reason = None;
        let outcome = run(self)?;
        let report = StepReport {
            outcome,
            elapsed: began.elapsed(),
            layer: self.state.top.as_ref().map(Snapshot::layer_id),
            reason: self.reason.take(),
        };
        (self.build.listener)(Event::Ended(&self.step, &report));
        reports.push((self.step.clone(), report));
        Ok(())
    }

    fn one(&mut self, instruction: &Instruction) -> Result<Outcome, Stop> {
        match &instruction.kind {
            Kind::Add(files) | Kind::Copy(files) => self.copy(instruction, files),
            Kind::Run(run) => self.run(instruction, run),
            Kind::Workdir(path) => self.workdir(instruction, path),
            _ => {
                self.set(instruction)?;
                Ok(Outcome::Configured)
            }
        }
    }

    /// A word of an instruction with its variables replaced.
    fn expanded(&self, instruction: &Instruction, word: &Word) -> Result<String, Stop> {
        let escape = self.build.plan.escape;
        Ok(expanded(word, escape, &self.state.variables, &instruction.text)?)
    }

    /// `WORKDIR`: makes the directory where it is missing.
    fn workdir(&mut self, instruction: &Instruction, word: &Word) -> Result<Outcome, Stop> {
        let path = self.expanded(instruction, word)?;
        let directory = absolute(&self.state.configuration.config.working_dir, &path);
        let directory = match directory.trim_end_matches('/') {
            "" => "/".to_owned(),
            directory => directory.to_owned(),
        };
        self.state.configuration.config.working_dir.clone_from(&directory);
        let created_by = format!("WORKDIR {directory}");
        let found = match self.view()? {
            Some(view) => kind_at(&view, &directory)?,
            None => (directory == "/").then_some(FileKind::Directory),
        };
        if found.is_some_and(|kind| kind != FileKind::Directory) {
            let error = EngineError::new(ErrorKind::NotADirectory, "make the working directory");
            return Err(error.about("path", directory, "a directory").into());
        }
        if found.is_some() {
            self.state.configuration.note(self.state.created.as_deref(), created_by);
            return Ok(Outcome::Configured);
        }
        let user = self.state.configuration.config.user.clone();
        let mut inputs = Inputs::default();
        inputs.add("instruction", &created_by);
        inputs.add("user", &user);
        self.layer(inputs, created_by, |stage| {
            let view = stage.view()?;
            let owner = match user.as_str() {
                "" => Owner::ROOT,
                user => Owner::find(view.as_ref().map(|view| view as _), user)?,
            };
            let files = stage.workshop()?.files()?;
            crate::copy::make_directories(files, directory.as_bytes(), owner)?;
            Ok(())
        })
    }

    /// A step that makes a layer, unless it was made before.
    fn layer(
        &mut self,
        mut inputs: Inputs,
        created_by: String,
        make: impl FnOnce(&mut Self) -> Result<(), Stop>,
    ) -> Result<Outcome, Stop> {
        if let Some(epoch) = self.build.options.source_date_epoch {
            inputs.add("source date epoch", epoch.to_string());
        }
        let parent = self.state.top.as_ref().map(Snapshot::layer_id);
        let key = inputs.key();
        let layers = self.state.configuration.layers();
        self.state.configuration.note_cache_key(layers, key.as_str());
        if let Some(found) = self.find(parent, &key, &inputs)? {
            let created = found.annotations()?.created;
            self.state.put(found, created.unwrap_or_else(now_nanoseconds), created_by);
            return Ok(Outcome::Cached);
        }
        make(self)?;
        self.limit_times()?;
        let annotations = self.annotations(&created_by, key.as_str());
        let workshop = self.workshop()?;
        inputs.attach_to(workshop.files()?)?;
        let layer = workshop.layer(&annotations)?;
        if self.stage.is_in_image {
            let (stage, step) = (self.number, self.step.clone());
            // Where nobody listens any more, the build has failed.
            let _ = self.made.send(MadeLayer { stage, step, layer: layer.layer_id() });
        }
        self.state.put(layer, annotations.created.unwrap_or_else(now_nanoseconds), created_by);
        Ok(Outcome::Made)
    }

    /// The layer that was made before; where there is none, why, if that was asked for.
    fn find(
        &mut self,
        parent: Option<LayerId>,
        key: &crate::cache::Key,
        inputs: &Inputs,
    ) -> Result<Option<Snapshot>, Stop> {
        let is_fresh = self.workshop.is_some();
        if self.build.options.cache == CacheUse::Ignore {
            self.explain(|_| Ok("the cache is not to be used".to_owned()))?;
            return Ok(None);
        }
        if let Some(layer) = self.build.cache.find(parent, key) {
            return Ok(Some(self.build.store.snapshot_of(&layer.to_string())?));
        }
        self.explain(|build| match is_fresh {
            true => Ok("a step below was made anew".to_owned()),
            false => Cache::explain(build.store, parent, inputs),
        })?;
        Ok(None)
    }

    fn explain(
        &mut self,
        why: impl FnOnce(&Build<'_>) -> sapwood::Result<String>,
    ) -> Result<(), Stop> {
        if self.build.options.explain {
            self.reason = Some(why(self.build)?);
        }
        Ok(())
    }

    fn annotations(&self, created_by: &str, key: &str) -> Annotations {
        let epoch = self.build.options.epoch_nanoseconds();
        // Who asks how old it is means when it was made.
        let made = epoch.map(|_| made_now());
        Annotations {
            created: Some(epoch.unwrap_or_else(now_nanoseconds)),
            // A layer says so much of itself; the whole text is in the image's history.
            created_by: Some(created_by.chars().take(CREATED_BY_CHARACTERS_MAX).collect()),
            comment: None,
            labels: [(CACHE_KEY_LABEL.to_owned(), key.to_owned())]
                .into_iter()
                .chain(made)
                .collect(),
        }
    }

    /// The volume in which layers are made.
    fn workshop(&mut self) -> Result<&mut Workshop, Stop> {
        match &mut self.workshop {
            Some(workshop) => Ok(workshop),
            none => Ok(none.insert(Workshop::on(self.build.store, self.state.top.as_ref())?)),
        }
    }

    /// The tree as it is on top; none where there is none yet.
    fn view(&self) -> Result<Option<FilesView>, Stop> {
        Ok(self.state.top.clone().map(FilesView::open).transpose()?)
    }
}

/// What a path leads to, symlinks followed; none where nothing is there.
fn kind_at(view: &FilesView, path: &str) -> sapwood::Result<Option<FileKind>> {
    match Paths::new(view).resolve(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        inode => Ok(Some(view.attributes(inode?)?.kind)),
    }
}

/// How much of an instruction a layer says: its annotations have 64 KiB in all.
const CREATED_BY_CHARACTERS_MAX: usize = 4096;

/// An instruction as people see it: in one line.
fn shown(instruction: &Instruction) -> String {
    instruction.text.as_str().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A path from the root on, as seen from a directory; a slash at its end stays.
fn absolute(directory: &str, path: &str) -> String {
    let whole = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{directory}/{path}"),
    };
    let mut names: Vec<&str> = Vec::new();
    for name in whole.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    let is_directory = matches!(path, "" | "." | "..")
        || path.ends_with('/')
        || path.ends_with("/.")
        || path.ends_with("/..");
    match (names.is_empty(), is_directory) {
        (true, _) => "/".to_owned(),
        (false, true) => format!("/{}/", names.join("/")),
        (false, false) => format!("/{}", names.join("/")),
    }
}

#[cfg(test)]
mod tests {
    use super::absolute;

    #[test]
    fn paths_begin_at_the_root() {
        let cases = [
            ("", "a", "/a"),
            ("/w", "a/", "/w/a/"),
            ("/w", ".", "/w/"),
            ("/w", "../../x", "/x"),
            ("/w", "/x/./y/..", "/x/"),
            ("/w", "..", "/"),
            ("/w", "/", "/"),
        ];
        for (directory, path, expected) in cases {
            assert_eq!(absolute(directory, path), expected, "{directory} {path}");
        }
    }
}

//! A build, from the Containerfile to the image.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;

use rustix::process::Signal;
use sapwood::store::ResolvedKind;
use sapwood::{Error as EngineError, ErrorKind, LayerId, Replace, Snapshot, Store};
use sapwood_container::{Runtime, Signaller};
use sapwood_oci::{Sha256, complete, note_diff_ids, publish};

use crate::cache::Cache;
use crate::configuration::Configuration;
use crate::containerfile::parse;
use crate::error::{Error, Result};
use crate::event::{Event, Listener, Step, StepReport};
use crate::options::{CacheUse, Options};
use crate::origin::{HostOrigin, Origin};
use crate::patterns::Ignore;
use crate::plan::{Plan, plan, unused_arguments};
use crate::stage::{MadeLayer, State, build_stage, stop_error};
use crate::workshop::remove_abandoned;

/// What a build made.
#[derive(Clone, Debug)]
pub struct Report {
    /// The steps of all stages that were built, stage by stage.
    pub steps: Vec<(Step, StepReport)>,
    /// The topmost layer; none for an image without any.
    pub layer: Option<LayerId>,
    /// The configuration of the image.
    pub configuration: Configuration,
    /// The digest of that: the image's id.
    pub image: Sha256,
    /// The names of arguments that no `ARG` takes.
    pub unused_arguments: Vec<String>,
}

/// Builds an image. Listeners are told what happens, from several threads.
///
/// Layers that were made stay for the next build when a later step fails. Whatever was removed of
/// the store is made anew.
///
/// Errors: the first step that fails.
pub fn build(store: &Store, options: &Options, listener: &Listener<'_>) -> Result<Report> {
    let file = parse(&options.containerfile)
        .map_err(|error| Error::in_file(error, &options.file, &options.containerfile))?;
    check_tags(store, &options.tags)?;
    remove_abandoned(store)?;
    let plan = plan(store, &file, options)?;
    let mut cache = match options.cache {
        CacheUse::Use => Cache::scan(store)?,
        CacheUse::Ignore => Cache::default(),
    };
    for image in &options.cache_from {
        cache.add_image(store, image)?;
    }
    let build = Build {
        store,
        options,
        listener,
        plan,
        cache,
        done: Mutex::default(),
        changed: Condvar::new(),
        running: Mutex::default(),
        abandoned: AtomicBool::new(false),
        context: OnceLock::new(),
        runtime: OnceLock::new(),
    };
    build.all()
}

/// That the image can have these tags, before anything runs in vain.
fn check_tags(store: &Store, tags: &[String]) -> Result<()> {
    for tag in tags {
        match store.expect_free(tag) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // The name of a tag, which moves, or of a volume.
                if store.resolve(tag)?.kind == ResolvedKind::Volume {
                    return Err(error
                        .about("name", "a volume", "a tag, or a name that is free")
                        .into());
                }
            }
            free => free?,
        }
    }
    Ok(())
}

/// A stage that was built.
#[derive(Debug)]
pub struct Done {
    /// What it is.
    pub state: State,
    /// What became of its steps.
    pub reports: Vec<(Step, StepReport)>,
}

/// What all stages share.
pub struct Build<'a> {
    pub store: &'a Store,
    pub options: &'a Options,
    pub listener: &'a Listener<'a>,
    pub plan: Plan,
    pub cache: Cache,
    done: Mutex<HashMap<usize, Arc<Done>>>,
    changed: Condvar,
    /// The programs that run now, by their stages.
    running: Mutex<HashMap<usize, Signaller>>,
    abandoned: AtomicBool,
    context: OnceLock<Origin>,
    runtime: OnceLock<Runtime>,
}

impl Build<'_> {
    fn all(&self) -> Result<Report> {
        let needed = self.plan.stages.iter().enumerate().filter(|(_, stage)| stage.is_needed);
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let fail = |error: Option<Error>| {
            // The first one counts: what comes later may follow from it.
            let mut first = lock(&failed);
            if first.is_none() {
                *first = error;
            }
            self.abandon();
        };
        let (made, to_digest) = channel();
        thread::scope(|scope| {
            let fail = &fail;
            scope.spawn(move || self.digest(&to_digest).unwrap_or_else(fail));
            for (number, stage) in needed {
                let made = made.clone();
                scope.spawn(move || {
                    if !self.wait_for(&stage.needs) {
                        return;
                    }
                    match build_stage(self, number, made) {
                        Ok(done) => {
                            let mut all = lock(&self.done);
                            all.insert(number, Arc::new(done));
                        }
                        Err(error) => fail(error),
                    }
                    let _all = lock(&self.done);
                    self.changed.notify_all();
                });
            }
            drop(made);
        });
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        self.report()
    }

    /// Computes the diffIDs of layers while later ones are made; what a tar cannot say is an error of the
    /// step that made it.
    fn digest(&self, made: &Receiver<MadeLayer>) -> Result<(), Option<Error>> {
        for MadeLayer { stage, step, layer } in made {
            if self.is_abandoned() {
                break;
            }
            note_diff_ids(self.store, layer)
                .map_err(|error| stop_error(self, &self.plan.stages[stage], &step, error.into()))?;
        }
        Ok(())
    }

    /// Waits until stages are built; false where one of them never will be.
    fn wait_for(&self, needs: &std::collections::BTreeSet<usize>) -> bool {
        let mut all = lock(&self.done);
        loop {
            if self.is_abandoned() {
                return false;
            }
            if needs.iter().all(|need| all.contains_key(need)) {
                return true;
            }
            all = self.changed.wait(all).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn report(&self) -> Result<Report> {
        let target = self.done(self.plan.target);
        let State { top, configuration, created, .. } = &target.state;
        let mut configuration = configuration.clone();
        configuration.created.clone_from(created);
        let labels = self.options.labels.iter().cloned();
        configuration.config.labels.extend(labels);
        let mut steps = Vec::new();
        for number in 0..self.plan.stages.len() {
            if self.plan.stages[number].is_needed {
                steps.extend(self.done(number).reports.iter().cloned());
            }
        }
        let layer = top.as_ref().map(Snapshot::layer_id);
        let written = serde_json::to_value(&configuration).map_err(std::io::Error::from);
        let written = written.map_err(|error| EngineError::io("write a configuration", error))?;
        let written = sapwood_oci::Configuration::from_value(&written)?;
        let written = complete(self.store, layer, &written)?;
        configuration.rootfs.diff_ids =
            written.diff_ids().iter().map(ToString::to_string).collect();
        let reference = layer.map(|layer| layer.to_string());
        for tag in &self.options.tags {
            publish(self.store, reference.as_deref(), &written, tag, Replace::Move)?;
        }
        let unused_arguments = unused_arguments(&self.plan, self.options);
        Ok(Report { steps, layer, configuration, image: written.digest(), unused_arguments })
    }

    /// A stage that was built before the one that asks.
    pub fn done(&self, number: usize) -> Arc<Done> {
        Arc::clone(lock(&self.done).get(&number).expect("a stage is built after those it needs"))
    }

    /// The rest is in vain: no step begins any more, and no program runs on.
    fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        let running: Vec<Signaller> = lock(&self.running).values().cloned().collect();
        for program in running {
            // One that could not be told ends by itself.
            let _ = program.send(Signal::KILL);
        }
    }

    /// Waits for the program of a stage, which ends early where another stage fails.
    pub fn while_running<T>(
        &self,
        stage: usize,
        program: Signaller,
        wait: impl FnOnce() -> T,
    ) -> T {
        lock(&self.running).insert(stage, program.clone());
        // Whoever failed before did not see it.
        if self.is_abandoned() {
            let _ = program.send(Signal::KILL);
        }
        let waited = wait();
        lock(&self.running).remove(&stage);
        waited
    }

    /// Whether a stage failed, so that the rest is in vain.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// The files of the context.
    pub fn context(&self) -> sapwood::Result<Origin> {
        if let Some(context) = self.context.get() {
            return Ok(context.clone());
        }
        let Some(path) = &self.options.context else {
            let expected = "a directory that files are copied from";
            return Err(EngineError::invalid("build", "context", "none", expected));
        };
        let context = Origin::Host(HostOrigin::open(path, self.options.ignore.clone())?);
        Ok(self.context.get_or_init(|| context).clone())
    }

    /// The files of a further context.
    pub fn named_context(&self, name: &str) -> sapwood::Result<Origin> {
        let found = self.options.contexts.iter().rfind(|(there, _)| there == name);
        let path: &PathBuf = found.map(|(_, path)| path).ok_or_else(|| {
            EngineError::new(ErrorKind::NotFound, format!("find the context {name}"))
        })?;
        Ok(Origin::Host(HostOrigin::open(path, Ignore::default())?))
    }

    /// The program that runs others.
    pub fn runtime(&self) -> sapwood::Result<Runtime> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime.clone());
        }
        let runtime = Runtime::find(self.options.runtime.as_deref())?;
        Ok(self.runtime.get_or_init(|| runtime).clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells nobody.
pub fn silent(_: Event<'_>) {}

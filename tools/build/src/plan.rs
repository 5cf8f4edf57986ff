//! Which stages are built, and what each needs of the others.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use sapwood::Store;
use sapwood_oci::Platform;

use crate::base::Image;
use crate::containerfile::{
    Containerfile, Instruction, Kind, Mode, Mount, ParseError, Position, Problem, Text, Word,
    expand, parse_one,
};
use crate::error::{Error, Result};
use crate::options::{Options, SOURCE_DATE_EPOCH};
use crate::platform;
use crate::variables::{Variables, is_proxy};

/// What is to be built.
#[derive(Debug)]
pub struct Plan {
    /// All stages of the Containerfile, built or not.
    pub stages: Vec<PlannedStage>,
    /// The one that becomes the image.
    pub target: usize,
    /// What `ARG` before the first stage, and the platform, say.
    pub globals: Variables,
    /// What stands before the first stage.
    pub arguments: Vec<Instruction>,
    /// What escapes characters.
    pub escape: char,
}

/// A stage as it is built.
#[derive(Debug)]
pub struct PlannedStage {
    /// Its name, or its number.
    pub name: String,
    /// What it stands on.
    pub base: Base,
    /// What it is to run on.
    pub platform: Platform,
    /// `FROM`, as it is written.
    pub text: Text,
    /// What is done on it: what the base leaves to those who build on it first.
    pub instructions: Vec<Instruction>,
    /// How many of them the base left.
    pub triggers: usize,
    /// The stages that it needs.
    pub needs: BTreeSet<usize>,
    /// Whether it is built.
    pub is_needed: bool,
    /// Whether its layers are in the image.
    pub is_in_image: bool,
}

/// What a stage stands on.
#[derive(Debug)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// An image of the store; opened where the stage is built.
    Image {
        /// How it is called.
        reference: String,
        /// What it is.
        image: Option<Box<Image>>,
    },
}

/// Where files come from that an instruction names with `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromName {
    /// The context.
    Context,
    /// A further context.
    Named(String),
    /// An earlier stage.
    Stage(usize),
    /// An image of the store.
    Image(String),
}

/// Plans the build of a Containerfile, and opens the images that it stands on.
pub fn plan(store: &Store, file: &Containerfile, options: &Options) -> Result<Plan> {
    let in_file = |error| Error::in_file(error, &options.file, &options.containerfile);
    let escape = file.directives.escape;
    let globals = globals(file, options, escape).map_err(in_file)?;
    let mut stages: Vec<PlannedStage> = Vec::with_capacity(file.stages.len());
    for (number, stage) in file.stages.iter().enumerate() {
        let word = |word: &Word| expanded(word, escape, &globals, &stage.text).map_err(in_file);
        let image = word(&stage.from.image)?;
        let at = stage.from.image.at;
        let wrong = |at: usize, found: String, expected: &str| {
            in_file(Problem::new(at, "FROM", found, expected).in_text(&stage.text))
        };
        let platform = match &stage.from.platform {
            None => options.platform.clone(),
            Some(platform) => {
                let text = word(platform)?;
                let expected = "[linux/]ARCHITECTURE[/VARIANT], as linux/amd64 or arm64";
                platform::parse(&text)
                    .map_err(|_| wrong(platform.at, format!("{text:?}"), expected))?
            }
        };
        let earlier = stages.iter().rposition(|stage| stage.name == image.to_ascii_lowercase());
        let base = match (image.as_str(), earlier) {
            ("", _) => return Err(wrong(at, "an empty name".into(), "an image")),
            ("scratch", _) => Base::Scratch,
            (_, Some(stage)) => Base::Stage(stage),
            _ => Base::Image { reference: image, image: None },
        };
        let name = stage.from.name.clone().unwrap_or_else(|| number.to_string());
        stages.push(PlannedStage {
            name,
            base,
            platform,
            text: stage.text.clone(),
            instructions: stage.instructions.clone(),
            triggers: 0,
            needs: BTreeSet::new(),
            is_needed: false,
            is_in_image: false,
        });
    }
    let target = match &options.target {
        None => stages.len() - 1,
        Some(target) => find_stage(&stages, stages.len(), target).ok_or_else(|| {
            let names: Vec<_> = stages.iter().map(|stage| stage.name.as_str()).collect();
            let expected = format!("one of {}", names.join(", "));
            sapwood::Error::invalid("build", "target stage", format!("{target:?}"), expected)
        })?,
    };
    let mut plan = Plan { stages, target, globals, arguments: file.arguments.clone(), escape };
    need(store, &mut plan, options, target)?;
    Ok(plan)
}

/// The stage that a name or a number means, among those before `end`.
fn find_stage(stages: &[PlannedStage], end: usize, name: &str) -> Option<usize> {
    let lower = name.to_ascii_lowercase();
    let named = stages[..end].iter().rposition(|stage| stage.name == lower);
    named.or_else(|| name.parse().ok().filter(|number| *number < end))
}

/// What a stage that is not built before this one is to it, where `from` names one.
pub fn too_late(plan: &Plan, stage: usize, name: &str) -> Option<&'static str> {
    let named = find_stage(&plan.stages, plan.stages.len(), name)?;
    match named.cmp(&stage) {
        Ordering::Less => None,
        Ordering::Equal => Some("the stage itself"),
        Ordering::Greater => Some("a stage that comes later"),
    }
}

/// What `from` means in a stage.
pub fn from_name(plan: &Plan, stage: usize, options: &Options, name: Option<&str>) -> FromName {
    let Some(name) = name else { return FromName::Context };
    if let Some(stage) = find_stage(&plan.stages, stage, name) {
        return FromName::Stage(stage);
    }
    match options.contexts.iter().any(|(context, _)| context == name) {
        true => FromName::Named(name.to_owned()),
        false => FromName::Image(name.to_owned()),
    }
}

/// Marks a stage and all that it needs, and those whose layers it has.
fn need(store: &Store, plan: &mut Plan, options: &Options, target: usize) -> Result<()> {
    let mut left = vec![target];
    while let Some(number) = left.pop() {
        if plan.stages[number].is_needed {
            continue;
        }
        plan.stages[number].is_needed = true;
        open_base(store, &mut plan.stages[number], options)?;
        put_triggers_first(plan, number, options)?;
        let stage = &plan.stages[number];
        let mut needs = BTreeSet::new();
        if let Base::Stage(base) = stage.base {
            needs.insert(base);
        }
        for instruction in &stage.instructions {
            for from in froms(instruction) {
                if let FromName::Stage(stage) = from_name(plan, number, options, Some(from)) {
                    needs.insert(stage);
                }
            }
        }
        left.extend(&needs);
        plan.stages[number].needs = needs;
    }
    let mut below = Some(target);
    while let Some(number) = below {
        let stage = &mut plan.stages[number];
        stage.is_in_image = true;
        below = match stage.base {
            Base::Stage(base) => Some(base),
            Base::Scratch | Base::Image { .. } => None,
        };
    }
    Ok(())
}

/// The names after `from` in an instruction.
fn froms(instruction: &Instruction) -> Vec<&str> {
    match &instruction.kind {
        Kind::Copy(files) => files.from.iter().map(|word| word.text.as_str()).collect(),
        Kind::Run(run) => run.mounts.iter().filter_map(Mount::from).collect(),
        _ => Vec::new(),
    }
}

/// Opens the image that a stage stands on.
fn open_base(store: &Store, stage: &mut PlannedStage, options: &Options) -> Result<()> {
    let error = |error| error_of_base(stage, options, error);
    let Base::Image { reference, image: None } = &stage.base else { return Ok(()) };
    let opened = Image::open(store, reference).map_err(error)?;
    let architecture = &opened.configuration.architecture;
    if !architecture.is_empty() && *architecture != stage.platform.architecture {
        let found = format!("{reference}, which is for linux/{architecture}");
        let expected = format!("an image for {}", stage.platform);
        return Err(error(sapwood::Error::invalid("build", "platform", found, expected)));
    }
    let reference = reference.clone();
    stage.base = Base::Image { reference, image: Some(Box::new(opened)) };
    Ok(())
}

/// Puts what the base of a stage leaves to those who build on it before the stage's own instructions.
fn put_triggers_first(plan: &mut Plan, number: usize, options: &Options) -> Result<()> {
    let stage = &plan.stages[number];
    // Those of this file are read as it is, those of images as everybody reads them.
    let (texts, name, escape): (Vec<&str>, _, _) = match &stage.base {
        Base::Image { image: Some(image), reference } => {
            let texts = image.configuration.config.on_build.iter().map(String::as_str);
            (texts.collect(), reference, '\\')
        }
        Base::Stage(base) => {
            let base = &plan.stages[*base];
            let texts =
                base.instructions.iter().filter_map(|instruction| match &instruction.kind {
                    Kind::OnBuild(trigger) => Some(trigger.as_str()),
                    _ => None,
                });
            (texts.collect(), &base.name, plan.escape)
        }
        Base::Image { image: None, .. } | Base::Scratch => return Ok(()),
    };
    let mut triggers = Vec::with_capacity(texts.len());
    for text in texts {
        let wrong = |wrong: String| {
            let found = format!("{text:?} of {name}: {wrong}");
            let error = sapwood::Error::invalid("build", "ONBUILD", found, "an instruction");
            error_of_base(stage, options, error)
        };
        let trigger = parse_one(text, escape).map_err(|error| wrong(error.to_string()))?;
        if matches!(trigger.kind, Kind::From(_) | Kind::OnBuild(_)) {
            return Err(wrong(format!("{} is none for others", trigger.kind.name())));
        }
        triggers.push(trigger);
    }
    let stage = &mut plan.stages[number];
    stage.triggers = triggers.len();
    stage.instructions.splice(..0, triggers);
    Ok(())
}

/// What is wrong with the base of a stage, told of its `FROM`.
fn error_of_base(stage: &PlannedStage, options: &Options, error: sapwood::Error) -> Error {
    Error::Step {
        file: options.file.clone(),
        position: stage.text.position(0),
        instruction: stage.text.as_str().to_owned(),
        cause: Box::new(crate::error::Cause::Engine(error)),
    }
}

/// The variables that count outside of stages.
fn globals(file: &Containerfile, options: &Options, escape: char) -> Result<Variables, ParseError> {
    let mut globals = platform::variables(&options.platform);
    globals.set("TARGETSTAGE", options.target.as_deref().unwrap_or("default"));
    for instruction in &file.arguments {
        let Kind::Arg(arguments) = &instruction.kind else { continue };
        for argument in arguments {
            let given = options.arguments.iter().rfind(|(name, _)| *name == argument.name);
            let value = match (given, &argument.default) {
                (Some((_, value)), _) => Some(value.clone()),
                (None, Some(word)) => Some(expanded(word, escape, &globals, &instruction.text)?),
                (None, None) => None,
            };
            if let Some(value) = value {
                globals.set(&argument.name, &value);
            }
        }
    }
    Ok(globals)
}

/// The names of given arguments that no `ARG` takes, and that count for nothing else.
pub fn unused_arguments(plan: &Plan, options: &Options) -> Vec<String> {
    let in_stages = plan.stages.iter().flat_map(|stage| &stage.instructions);
    let taken: BTreeSet<&str> = plan
        .arguments
        .iter()
        .chain(in_stages)
        .filter_map(|instruction| match &instruction.kind {
            Kind::Arg(arguments) => Some(arguments.iter().map(|argument| argument.name.as_str())),
            _ => None,
        })
        .flatten()
        .collect();
    let given = options.arguments.iter().map(|(name, _)| name.as_str());
    let is_unused =
        |name: &&str| !taken.contains(name) && *name != SOURCE_DATE_EPOCH && !is_proxy(name);
    let unused: BTreeSet<&str> = given.filter(is_unused).collect();
    unused.into_iter().map(str::to_owned).collect()
}

/// A word with its variables replaced.
pub fn expanded(
    word: &Word,
    escape: char,
    variables: &Variables,
    text: &Text,
) -> Result<String, ParseError> {
    let value = |name: &str| variables.get(name).map(str::to_owned);
    expand(&word.text, escape, Mode::Unquote, &value).map_err(|problem| {
        let at = word.at + problem.at;
        Problem { at, ..problem }.in_text(text)
    })
}

impl PlannedStage {
    /// Where an instruction begins; one that the base left, where that is named.
    pub fn position(&self, instruction: usize) -> Position {
        match self.instructions.get(instruction) {
            Some(there) if instruction >= self.triggers => there.position(),
            _ => self.text.position(0),
        }
    }
}

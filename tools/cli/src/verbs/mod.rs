//! The verbs, one file each: they ask the engine and print what it says.

mod annotate;
mod blame;
mod build;
mod cat;
mod check;
mod commit;
mod completions;
mod cp;
mod create;
mod df;
mod diff;
mod du;
mod dump;
mod exec;
mod export;
mod flatten;
mod flush;
mod fork;
mod gc;
mod history;
mod images;
mod import;
mod in_use;
mod init;
mod inspect;
mod ln;
mod load;
mod log;
mod logs;
mod ls;
mod man;
mod map;
mod mkdir;
mod mount;
mod prune;
mod ps;
mod pull;
mod push;
mod ranges;
mod read;
mod rebase;
mod report;
mod reset;
mod resize;
mod rm;
mod run;
mod save;
mod seal;
mod show;
mod snapshot;
mod squash;
mod start;
mod stat;
mod stop;
mod tag;
mod tour;
mod umount;
mod write;

use crate::args::{Command, Verb};
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::Output;

/// Runs a command, whose verb was typed so.
pub fn run(command: &Command, verb: &str, output: &Output) -> Result<Verdict> {
    let context = &Context::new(&command.global, verb, output);
    run_verb(&command.verb, context).map_err(|error| in_use::explain(error, context))
}

fn run_verb(verb: &Verb, context: &Context<'_>) -> Result<Verdict> {
    match verb {
        Verb::Init(args) => init::run(args, context),
        Verb::Create(args) => create::run(args, context),
        Verb::Import(args) => import::run(args, context),
        Verb::Export(args) => export::run(args, context),
        Verb::Load(args) => load::run(args, context),
        Verb::Build(args) => build::run(args, context),
        Verb::Save(args) => save::run(args, context),
        Verb::Pull(args) => pull::run(args, context),
        Verb::Push(args) => push::run(args, context),
        Verb::Fork(args) => fork::run(args, context),
        Verb::Snapshot(args) => snapshot::run(args, context),
        Verb::Seal(args) => seal::run(args, context),
        Verb::Ls(args) => ls::run(args, context),
        Verb::Cat(args) => cat::run(args, context),
        Verb::Cp(args) => cp::run(args, context),
        Verb::Stat(args) => stat::run(args, context),
        Verb::Mkdir(args) => mkdir::run(args, context),
        Verb::Ln(args) => ln::run(args, context),
        Verb::Show(args) => show::run(args, context),
        Verb::Log(args) => log::run(args, context),
        Verb::Tag(args) => tag::run(args, context),
        Verb::Rm(args) => rm::run(args, context),
        Verb::Reset(args) => reset::run(args, context),
        Verb::Resize(args) => resize::run(args, context),
        Verb::Mount(args) => mount::run(args, context),
        Verb::Umount(args) => umount::run(args, context),
        Verb::Flush(args) => flush::run(args, context),
        Verb::Read(args) => read::run(args, context),
        Verb::Write(args) => write::run(args, context),
        Verb::Map(args) => map::run(args, context),
        Verb::Diff(args) => diff::run(args, context),
        Verb::Blame(args) => blame::run(args, context),
        Verb::Du(args) => du::run(args, context),
        Verb::Df(args) => df::run(args, context),
        Verb::Images(args) => images::run(args, context),
        Verb::History(args) => history::run(args, context),
        Verb::Inspect(args) => inspect::run(args, context),
        Verb::Rebase(args) => rebase::run(args, context),
        Verb::Squash(args) => squash::run(args, context),
        Verb::Report(args) => report::run(args, context),
        Verb::Prune(args) => prune::run(args, context),
        Verb::Gc(args) => gc::run(args, context),
        Verb::Flatten(args) => flatten::run(args, context),
        Verb::Run(args) => run::run(args, context),
        Verb::Start(args) => start::run(args, context),
        Verb::Exec(args) => exec::run(args, context),
        Verb::Commit(args) => commit::run(args, context),
        Verb::Ps(args) => ps::run(args, context),
        Verb::Logs(args) => logs::run(args, context),
        Verb::Stop(args) => stop::run(args, context),
        Verb::Check(args) => check::run(args, context),
        Verb::Dump(args) => dump::run(args, context),
        Verb::Tour(args) => tour::run(args, context),
        Verb::Completions(args) => completions::run(args, context),
        Verb::Man(args) => man::run(args, context),
    }
}

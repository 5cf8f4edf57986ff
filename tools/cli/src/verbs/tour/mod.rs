//! `tour`: shows the main job on real input, in a temporary store.
//!
//! Every command is run by a shell exactly as it is printed, so whatever the tour shows can be
//! typed again.

mod files;
mod input;
mod shell;
mod trees;

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Serialize;

use self::input::Input;
use self::shell::{Shell, Step};
use crate::args::TourArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::time::duration;
use crate::output::{Report, Text};
use crate::unfinished::Unfinished;

/// What each round of writing puts into a fork, at the same place: the second round hides the
/// first, so that removing the snapshot between them gives its space back.
const ROUND_BYTES: u64 = 8 << 20;

#[derive(Serialize)]
struct Toured<'a> {
    input: String,
    steps: &'a [Step],
}

impl Report for Toured<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let total = self.steps.iter().map(|step| step.elapsed).sum();
        writeln!(text, "\n{} commands, {}", self.steps.len(), duration(total))
    }
}

pub fn run(args: &TourArgs, context: &Context<'_>) -> Result<Verdict> {
    let make = || {
        tempfile::Builder::new()
            .prefix("sapwood-tour-")
            // What it is given may be for nobody else.
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(CliError::file("make a folder in", std::env::temp_dir()))
    };
    let (folder, unfinished) = Unfinished::make(make, tempfile::TempDir::path)?;
    let mut shell = Shell::new(folder.path(), context)?;
    let input = Input::choose(args.path.as_deref(), folder.path())?;

    shell.say("A store is a folder; this one goes when the tour ends.")?;
    shell.run("sapwood init")?;
    shell.say(&input.story())?;
    let size_bytes = input.import(&mut shell)?;
    shell.run("sapwood seal base:1")?;
    forks(args.forks, &mut shell)?;
    // Numbers as `seq -w` pads them.
    let fork = format!("vm-{:0width$}", 1, width = args.forks.to_string().len());
    writes(&fork, size_bytes, &mut shell)?;
    looks(&fork, &mut shell)?;
    removes(&fork, &mut shell)?;
    proves(input.image(), &mut shell)?;
    trees::show(&input.tree(folder.path())?, &mut shell)?;

    let closed = folder.path().to_owned();
    context.print(&Toured { input: input.name(), steps: shell.steps() })?;
    drop(shell);
    drop(unfinished);
    folder.close().map_err(CliError::file("remove the folder", closed))?;
    Ok(Verdict::Done)
}

fn forks(count: u32, shell: &mut Shell<'_>) -> Result<()> {
    shell.say(&format!("{count} writable copies. Each is one small file; none copies a block."))?;
    shell.run(&format!(
        "for n in $(seq -w 1 {count}); do sapwood -q fork base:1 vm-$n || exit; done"
    ))?;
    shell.run("sapwood df")
}

fn writes(fork: &str, size_bytes: u64, shell: &mut Shell<'_>) -> Result<()> {
    // Room of its own behind the image, on a whole block of any size: the files in it stay whole.
    let offset = size_bytes.next_multiple_of(1 << 20);
    let size = offset + 4 * ROUND_BYTES;
    shell
        .say("A fork grows, is written to, and keeps what it held: a snapshot after each write.")?;
    shell.run(&format!("sapwood resize {fork} {size}"))?;
    for comment in ["first", "second", "third"] {
        shell.run(&format!(
            "head -c {ROUND_BYTES} /dev/urandom | sapwood write {fork} --offset {offset}"
        ))?;
        shell.run(&format!("sapwood snapshot {fork} --comment '{comment} round'"))?;
    }
    let offset = offset + ROUND_BYTES;
    shell.run(&format!("echo only here | sapwood write {fork} --offset {offset}"))?;
    shell.run(&format!("sapwood read {fork} --offset {offset} --length 10"))
}

fn looks(fork: &str, shell: &mut Shell<'_>) -> Result<()> {
    shell.say("Which layer owns what, how layers stand on each other, what changed.")?;
    shell.run(&format!("sapwood map {fork}"))?;
    shell.run(&format!("sapwood log {fork} --graph"))?;
    shell.run_expecting(&format!("sapwood diff {fork}@2 {fork}"), 1)?;
    shell.run(&format!("sapwood du {fork}"))
}

fn removes(fork: &str, shell: &mut Shell<'_>) -> Result<()> {
    shell.say("The middle snapshot goes. What stands on it stays, and its space comes back.")?;
    shell.run(&format!("sapwood rm {fork}@2"))?;
    shell.run("sapwood gc --dry-run")?;
    shell.run("sapwood gc")?;
    shell.run("sapwood df")
}

fn proves(image: Option<&Path>, shell: &mut Shell<'_>) -> Result<()> {
    shell.say("Every structure and every block verifies, and what went in comes out.")?;
    shell.run("sapwood check --data")?;
    shell.run("sapwood export base:1 out.img")?;
    match image {
        Some(image) => shell.run(&format!("cmp {} out.img", shell::quoted(image))),
        None => Ok(()),
    }
}

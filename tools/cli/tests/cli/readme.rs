//! The examples of the README, as somebody types them who reads it from top to bottom: each block of
//! commands in one shell, in one store, and what the page shows is what they say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::containers;
use super::registries::Daemon;
use super::support::{Place, skip};

/// What stands between the output of a command and that of the next, with its exit code.
const ENDED: &str = "== ended with";
/// The home directory that the page speaks of, and where its registry listens.
const HOME: &str = "/home/you";
const REGISTRY: &str = "localhost:5000";

/// A command, and what the page shows of its output; nothing of a block that only makes ready.
struct Example {
    section: String,
    command: String,
    shown: Option<Vec<String>>,
}

#[test]
fn the_examples_of_the_readme_follow_on_each_other() {
    let test = "the_examples_of_the_readme_follow_on_each_other";
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let mut examples = examples(&fs::read_to_string(page).unwrap());
    let sections = ["The command", "A mount", "A container", "A build", "Images for others"];
    let mut found: Vec<&str> = examples.iter().map(|example| example.section.as_str()).collect();
    found.dedup();
    assert_eq!(found, sections);

    // Each section goes on with what those before it made: the first that cannot run here ends it.
    if containers::busybox().is_none() {
        return skip(test, "no busybox");
    }
    let missing = containers::missing();
    let registry = if missing.is_none() { Daemon::open(test) } else { None };
    let can_run = match (missing, &registry) {
        (Some(why), _) => {
            skip(test, &format!("all after the first section: {why}"));
            1
        }
        (None, None) => sections.len() - 1,
        (None, Some(_)) => sections.len(),
    };
    examples.retain(|example| sections[..can_run].contains(&example.section.as_str()));

    let place = Place::empty();
    let _mounts = ["sapwood-try/mnt", "sapwood-try/try"].map(|path| Mounted(place.path(path)));
    let host = registry.as_ref().map_or(REGISTRY, |registry| &registry.host);
    let said = type_in(&place, &examples, host);
    assert_eq!(said.len(), examples.len(), "a command ended the shell: {said:?}");
    let mut different = String::new();
    for (example, (code, lines)) in examples.iter().zip(&said) {
        let Example { section, command, shown } = example;
        // The only verb here whose answer is no.
        let is_right = *code == 0 || *code == 1 && command.starts_with("sapwood diff");
        assert!(is_right, "{section}: {command}\nended with {code}: {lines:#?}");
        let Some(shown) = shown else { continue };
        let alike = shown.len() == lines.len()
            && shown.iter().zip(lines).all(|(shown, said)| are_alike(shown, said));
        if !alike {
            different += &format!("{section}: {command}\n{}\n\n", lines.join("\n"));
        }
    }
    assert!(different.is_empty(), "the page shows something else than\n{different}");
}

/// The blocks of commands between "The command" and the end of the examples.
fn examples(page: &str) -> Vec<Example> {
    let (_, rest) = page.split_once("\n## The command\n").unwrap();
    let (rest, _) = rest.split_once("\n## How no data is lost\n").unwrap();
    let mut section = "The command".to_owned();
    let mut examples: Vec<Example> = Vec::new();
    let mut block = None;
    for line in rest.lines() {
        let example = |command: &str, shown| {
            let section = section.clone();
            Example { section, command: command.to_owned(), shown }
        };
        match (block, line.strip_prefix("```")) {
            (None, Some(kind)) => {
                assert!(["sh", "console"].contains(&kind), "a block of {kind:?}");
                block = Some(kind);
                if kind == "sh" {
                    examples.push(example("", None));
                }
            }
            (Some(_), Some(_)) => block = None,
            (Some("console"), None) => match line.strip_prefix("$ ") {
                Some(command) => examples.push(example(command, Some(Vec::new()))),
                None => {
                    let shown = examples.last_mut().and_then(|example| example.shown.as_mut());
                    shown.expect("a command above it").push(line.to_owned());
                }
            },
            (Some(_), None) => {
                let last = examples.last_mut().expect("the block's own");
                last.command += &format!("{line}\n");
            }
            (None, None) => {
                if let Some(heading) = line.strip_prefix("## ") {
                    section = heading.to_owned();
                }
            }
        }
    }
    assert_eq!(block, None, "a block that does not end");
    examples
}

/// The exit codes and the lines that each example says, typed into one shell after the other.
fn type_in(place: &Place, examples: &[Example], host: &str) -> Vec<(i32, Vec<String>)> {
    let mut script = "exec 2>&1\n".to_owned();
    for Example { command, .. } in examples {
        let command = command.replace(REGISTRY, host);
        script += &format!("{}\necho \"{ENDED} $?\"\n", command.trim_end());
    }
    let sapwood = assert_cmd::cargo::cargo_bin("sapwood");
    let mut path = vec![sapwood.parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let session = place.path("session");
    fs::write(&session, script).unwrap();
    let shell = Command::new("sh")
        .arg(session)
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("HOME", place.path(""))
        .env_remove("SAPWOOD_STORE")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(shell.stdout).unwrap();
    let home = place.path("").display().to_string();
    let said = said.replace(home.trim_end_matches('/'), HOME).replace(host, REGISTRY);
    let mut ended = Vec::new();
    let mut lines = Vec::new();
    for line in said.lines() {
        match line.strip_prefix(ENDED) {
            Some(code) => ended.push((code.trim().parse().unwrap(), std::mem::take(&mut lines))),
            None => lines.push(line.to_owned()),
        }
    }
    ended
}

/// Whether a line of the page and one of a run say the same: word for word, besides ids, times, and how
/// large what depends on the machine's busybox is.
fn are_alike(shown: &str, said: &str) -> bool {
    let (shown, said): (Vec<&str>, Vec<&str>) =
        (shown.split_whitespace().collect(), said.split_whitespace().collect());
    shown.len() == said.len()
        && (0..shown.len()).all(|at| {
            let (a, b) = (shown[at], said[at]);
            let has_unit = |words: &[&str]| {
                words
                    .get(at + 1)
                    .is_some_and(|unit| unit.starts_with("KiB") || unit.starts_with("MiB"))
            };
            match (a.parse::<f64>(), b.parse::<f64>()) {
                (Ok(a), Ok(b)) if has_unit(&shown) && has_unit(&said) => {
                    a <= 2.0 * b && b <= 2.0 * a
                }
                _ => a == b || kind_of(a).is_some_and(|kind| kind_of(b) == Some(kind)),
            }
        })
}

/// What a word is that is another one in each run.
fn kind_of(word: &str) -> Option<String> {
    let bare = word.trim_matches(['(', ')', ',', ':']);
    let is_hex = |text: &str| {
        text.len() >= 12 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if is_hex(bare.trim_start_matches("sha256:")) {
        let length = bare.len();
        return Some(format!("an id of {length}"));
    }
    let is_time = bare.contains(['-', ':', '.'])
        && bare.ends_with(|last: char| last.is_ascii_digit() || "Zs".contains(last))
        && bare
            .trim_end_matches(['Z', 's'])
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"-:.".contains(&byte));
    // Whatever its numbers are.
    is_time.then(|| bare.chars().filter(|c| !c.is_ascii_digit()).collect())
}

/// Unmounts what a failed test left.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

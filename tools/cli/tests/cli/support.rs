//! A store of its own for each test, and output in a form that is the same every time.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

use super::json_page::Page;

/// What takes all room of a small host.
const FILLER: &str = "filler";

/// A folder with room for a store and for images.
pub struct Place {
    /// Goes first.
    _small: Option<SmallHost>,
    folder: TempDir,
}

/// A filesystem that is soon full.
struct SmallHost(PathBuf);

impl Drop for SmallHost {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

/// What a command said.
pub struct Said {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Place {
    /// A folder without a store.
    pub fn empty() -> Place {
        Place { _small: None, folder: tempfile::tempdir().unwrap() }
    }

    /// A folder with a fresh store on a host that has 24 MiB. For those who may mount.
    pub fn with_small_store() -> Place {
        let place = Place::empty();
        std::fs::create_dir(place.store()).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", place.store(), "tmpfs", flags, c"size=24m").unwrap();
        let small = Some(SmallHost(place.store()));
        let place = Place { _small: small, ..place };
        place.ok(&["init"]);
        place
    }

    /// Leaves the host of a small store no room.
    pub fn fill(&self) {
        let mut filler = std::fs::File::create(self.store().join(FILLER)).unwrap();
        for length in [1 << 20, 4096] {
            while filler.write_all(&vec![1; length]).is_ok() {}
        }
    }

    /// Gives the room back.
    pub fn make_room(&self) {
        std::fs::remove_file(self.store().join(FILLER)).unwrap();
    }

    /// The layer that a reference means.
    pub fn layer(&self, reference: &str) -> String {
        self.json(&["show", reference], 0)["layer"].as_str().unwrap().to_owned()
    }

    /// The file of a layer.
    pub fn layer_file(&self, layer: &str) -> PathBuf {
        self.store().join(format!("layers/{layer}.layer"))
    }

    /// A folder with a fresh store.
    pub fn with_store() -> Place {
        let place = Place::empty();
        place.ok(&["init"]);
        place
    }

    /// A store with a base of 1 MiB, a fork of it, and a snapshot of that.
    pub fn with_fork() -> Place {
        let place = Place::with_store();
        std::fs::write(place.path("base.img"), pattern(1, 1 << 20)).unwrap();
        place.ok(&["import", "base.img", "base:1"]);
        place.ok(&["fork", "base:1", "vm"]);
        place.feed(&["write", "vm", "--offset", "64K"], &pattern(2, 128 << 10));
        place.ok(&["snapshot", "vm", "--tag", "vm:monday", "--comment", "quiet", "--label", "k=v"]);
        place.feed(&["write", "vm", "--offset", "512K"], &pattern(3, 4096));
        place
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// The command, with its environment but without words.
    pub fn command(&self) -> Command {
        let mut command = Command::cargo_bin("sapwood").unwrap();
        command.current_dir(self.folder.path()).env_clear().env("SAPWOOD_STORE", self.store());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // Which of several runtimes the tests of containers are about.
        command.envs(std::env::var_os("SAPWOOD_RUNTIME").map(|name| ("SAPWOOD_RUNTIME", name)));
        command
    }

    /// Runs a command.
    pub fn run(&self, words: &[&str]) -> Said {
        Said::of(self.command().args(words).output().unwrap())
    }

    /// Runs a command with standard input.
    pub fn feed(&self, words: &[&str], input: &[u8]) -> Said {
        Said::of(self.command().args(words).write_stdin(input).output().unwrap())
    }

    /// Runs a command that must end well, and gives its standard output.
    pub fn ok(&self, words: &[&str]) -> Vec<u8> {
        let said = self.run(words);
        assert_eq!(said.code, 0, "{words:?}: {}", said.stderr);
        said.stdout
    }

    /// Runs a command with `--json` that must end with `code`, and gives its document, which is as the page of
    /// documents says.
    pub fn json(&self, words: &[&str], code: i32) -> serde_json::Value {
        let said = self.run(&[words, &["--json"]].concat());
        assert_eq!(said.code, code, "{words:?}: {}", said.stderr);
        let document = serde_json::from_slice(&said.stdout).unwrap();
        Page::get().expect(&document);
        document
    }

    /// What a person sees: each command, what it said, and its exit code where not 0.
    pub fn transcript(&self, commands: &[&[&str]]) -> String {
        let mut transcript = String::new();
        for words in commands {
            let said = self.run(words);
            writeln!(transcript, "$ sapwood {}", words.join(" ")).unwrap();
            transcript.push_str(&String::from_utf8_lossy(&said.stdout));
            transcript.push_str(&said.stderr);
            if said.code != 0 {
                writeln!(transcript, "[exit code {}]", said.code).unwrap();
            }
            transcript.push('\n');
        }
        self.normal(&transcript)
    }

    /// `text` with what differs from run to run replaced: ids, digests, times, the folder, and
    /// what the host's filesystem decides about allocation.
    pub fn normal(&self, text: &str) -> String {
        let text = text.replace(self.folder.path().to_str().unwrap(), "<folder>");
        let mut known: Vec<String> = Vec::new();
        let mut normal = String::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let word_end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let (word, after) = rest.split_at(word_end);
            if word.len() >= 12 && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                let short = &word[..12];
                let number = known.iter().position(|id| id == short).unwrap_or_else(|| {
                    known.push(short.to_owned());
                    known.len() - 1
                });
                write!(normal, "{:x<1$}", format!("<id{number}>"), word.len()).unwrap();
            } else {
                normal.push_str(word);
            }
            let other = after.chars().next().map_or(0, char::len_utf8);
            normal.push_str(&after[..other]);
            rest = &after[other..];
        }
        replace_allocated(&replace_times(&normal))
    }
}

impl Said {
    /// Of a process that ended by itself.
    pub fn of(output: Output) -> Said {
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What it said on standard output.
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }
}

/// Says loudly that a test does nothing, and why: past the capture of the test runner.
pub fn skip(test: &str, why: &str) {
    let line = format!("SKIPPED {test}: {why}\n");
    match &mut std::fs::OpenOptions::new().append(true).open("/dev/stderr") {
        Ok(stderr) => drop(stderr.write_all(line.as_bytes())),
        Err(_) => eprint!("{line}"),
    }
}

/// Bytes that differ from place to place and from `seed` to `seed`.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(length).collect()
}

/// The only file of a folder whose name ends so.
pub fn files_in(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    files.sort();
    files
}

/// Blanks the column of what the host's filesystem allocated.
fn replace_allocated(text: &str) -> String {
    const HEADING: &str = "ALLOCATED";
    let mut column = None;
    let mut replaced = String::new();
    for line in text.lines() {
        let heading = line.find(HEADING);
        column = if line.is_empty() { None } else { heading.or(column) };
        match column.filter(|_| heading.is_none()) {
            Some(start) => {
                let (end, hash) = (start + HEADING.len(), "#");
                let (before, after) = (&line[..start], line.get(end..).unwrap_or_default());
                writeln!(replaced, "{before}{hash:>0$}{after}", HEADING.len()).unwrap();
            }
            None => writeln!(replaced, "{line}").unwrap(),
        }
    }
    replaced
}

fn replace_times(text: &str) -> String {
    let is_time = |candidate: &str| {
        let form = "dddd-dd-dd dd:dd:ddZ";
        candidate.len() == form.len()
            && candidate.chars().zip(form.chars()).all(|(c, f)| match f {
                'd' => c.is_ascii_digit(),
                _ => c == f,
            })
    };
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match rest.get(..20).filter(|candidate| is_time(candidate)) {
            Some(_) => {
                replaced.push_str("<time>              ");
                rest = &rest[20..];
            }
            None => {
                replaced.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    replaced.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

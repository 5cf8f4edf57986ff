//! `buildah bud` beside our own build.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use sapwood::files::{FileKind, FilesView, Inode, ReadFiles};
use sapwood_build::{Configuration, Ignore, build, silent};
use serde_json::{Value, json};

use crate::context;
use crate::set::{CASES, Case};
use crate::support::{Bench, can_run};

const ONBUILD: &str = "FROM base:1\nENV o=1\nONBUILD COPY a.txt /onbuild/\n\
                       ONBUILD RUN echo $o > /triggered\nONBUILD ENV p=$o";

/// A file as far as builds have to agree: times of directories are when they were made.
type Line = String;

#[test]
fn the_set_is_equal_to_what_buildah_makes() {
    if !can_run("the_set_is_equal_to_what_buildah_makes", &["buildah", "busybox", "runc"]) {
        return;
    }
    let bench = Bench::new();
    context::make(&bench.context());
    let base = bench.folder.path().join("base");
    fs::create_dir(&base).unwrap();
    context::make_base(&base);
    let peer = Buildah::new(bench.folder.path());
    for (tag, text, context) in [
        ("base:1", "FROM scratch\nADD base.tar /", &base),
        ("onbuild:1", ONBUILD, &bench.context()),
    ] {
        peer.build(tag, text, context, &[]).unwrap();
        let mut options = bench.options(text);
        options.context = Some(context.clone());
        options.tags = vec![tag.to_owned()];
        build(&bench.store, &options, &silent).unwrap_or_else(|error| panic!("{tag}: {error}"));
    }
    let only = std::env::var("SAPWOOD_BUILD_CASE").ok();
    let cases = CASES.iter().filter(|case| only.as_ref().is_none_or(|only| case.name == only));
    let mut wrong = Vec::new();
    for case in cases {
        if let Err(difference) = compare(&bench, &peer, case) {
            wrong.push(format!("== {}\n{}\n{difference}", case.name, case.containerfile));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

fn compare(bench: &Bench, peer: &Buildah, case: &Case) -> Result<(), String> {
    let ignore = bench.context().join(".dockerignore");
    fs::write(&ignore, case.ignore).expect("an ignore file");
    let mut options = bench.options(case.containerfile);
    options.ignore = Ignore::parse(case.ignore).expect("patterns");
    options.target = case.target.map(str::to_owned);
    let pairs = case.arguments.iter();
    options.arguments =
        pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let ours = build(&bench.store, &options, &silent).map_err(|error| format!("ours: {error}"))?;
    let mut flags = Vec::new();
    for (name, value) in case.arguments {
        flags.push(format!("--build-arg={name}={value}"));
    }
    flags.extend(case.target.map(|target| format!("--target={target}")));
    peer.build("theirs", case.containerfile, &bench.context(), &flags)?;
    let our_tree = match ours.layer {
        Some(_) => tree(&bench.view(&ours)),
        None => Vec::new(),
    };
    let (their_tree, their_configuration) = peer.image("theirs")?;
    let mut differences = difference(&our_tree, &their_tree);
    let ours = pretty(&of_ours(&ours.configuration));
    let theirs = pretty(&of_theirs(&their_configuration));
    differences.extend(difference(&ours, &theirs));
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

/// The lines that only one has.
fn difference(ours: &[Line], theirs: &[Line]) -> Vec<String> {
    let only = |some: &[Line], others: &[Line], sign: &str| -> Vec<String> {
        let only = some.iter().filter(|line| !others.contains(line));
        only.map(|line| format!("{sign} {line}")).collect()
    };
    [only(ours, theirs, "ours  "), only(theirs, ours, "theirs")].concat()
}

fn pretty(value: &Value) -> Vec<Line> {
    let text = serde_json::to_string_pretty(value).expect("JSON");
    text.lines().map(str::to_owned).collect()
}

/// What both say, in one form.
fn of_ours(configuration: &Configuration) -> Value {
    let mut value = serde_json::to_value(&configuration.config).expect("JSON");
    value["Author"] = json!(configuration.author.clone().unwrap_or_default());
    normal(&value)
}

fn of_theirs(inspected: &Value) -> Value {
    let mut value = inspected["Docker"]["config"].clone();
    value["Author"] = inspected["Docker"]["author"].clone();
    normal(&value)
}

fn normal(value: &Value) -> Value {
    let mut normal = BTreeMap::new();
    for field in [
        "Author",
        "User",
        "ExposedPorts",
        "Env",
        "Entrypoint",
        "Cmd",
        "Healthcheck",
        "Volumes",
        "WorkingDir",
        "OnBuild",
        "Labels",
        "StopSignal",
        "Shell",
    ] {
        let mut value = value[field].clone();
        if let Some(labels) = value.as_object_mut() {
            labels.remove("io.buildah.version");
        }
        let is_nothing = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty() || field == "WorkingDir" && text == "/",
            Value::Array(array) => array.is_empty(),
            Value::Object(object) => object.is_empty(),
            _ => false,
        };
        if !is_nothing {
            normal.insert(field, value);
        }
    }
    json!(normal)
}

/// All files of a tree, each in a line.
fn tree(view: &FilesView) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut left = vec![(String::new(), Inode::ROOT)];
    while let Some((path, inode)) = left.pop() {
        let file = view.attributes(inode).expect("attributes");
        let what = match file.kind {
            FileKind::Directory => {
                view.entries(inode, 0, &mut |entry| {
                    let name = String::from_utf8_lossy(entry.name);
                    left.push((format!("{path}/{name}"), entry.inode));
                    std::ops::ControlFlow::Continue(())
                })
                .expect("names");
                "/".to_owned()
            }
            FileKind::Symlink => {
                format!(
                    " -> {}",
                    String::from_utf8_lossy(&view.read_link(inode).expect("a target"))
                )
            }
            FileKind::Regular => {
                let mut content = vec![0; file.size as usize];
                view.read(inode, 0, &mut content).expect("content");
                format!(" {} links {}", blake3::hash(&content), file.links)
            }
            other => format!(" {other:?}"),
        };
        if !path.is_empty() {
            let (permissions, owner, group) = (file.permissions, file.owner, file.group);
            lines.push(format!("{path}{what} {permissions:04o} {owner}:{group}"));
        }
    }
    lines.sort();
    lines
}

/// The same of a directory of the host.
fn host_tree(root: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut left = vec![PathBuf::new()];
    while let Some(path) = left.pop() {
        let at = root.join(&path);
        let file = fs::symlink_metadata(&at).expect("metadata");
        let what = if file.is_dir() {
            for entry in fs::read_dir(&at).expect("names") {
                left.push(path.join(entry.expect("a name").file_name()));
            }
            "/".to_owned()
        } else if file.is_symlink() {
            format!(" -> {}", fs::read_link(&at).expect("a target").display())
        } else if file.is_file() {
            let content = fs::read(&at).expect("content");
            format!(" {} links {}", blake3::hash(&content), file.nlink())
        } else {
            format!(" {}", if file.file_type().is_fifo() { "Fifo" } else { "other" })
        };
        if path != Path::new("") {
            let (mode, owner, group) = (file.mode() & 0o7777, file.uid(), file.gid());
            lines.push(format!("/{}{what} {mode:04o} {owner}:{group}", path.display()));
        }
    }
    lines.sort();
    lines
}

struct Buildah {
    root: PathBuf,
}

impl Buildah {
    fn new(folder: &Path) -> Buildah {
        Buildah { root: folder.join("buildah") }
    }

    fn command(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(self.root.join("root"));
        command.arg("--runroot").arg(self.root.join("run"));
        command.args(["--storage-driver", "vfs"]).args(words);
        let ended = command.output().expect("buildah");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match ended.status.success() {
            true => Ok(text(&ended.stdout)),
            false => Err(format!("buildah {words:?}: {}", text(&ended.stderr))),
        }
    }

    fn build(
        &self,
        tag: &str,
        containerfile: &str,
        context: &Path,
        flags: &[String],
    ) -> Result<(), String> {
        let file = self.root.with_extension("containerfile");
        fs::write(&file, format!("{containerfile}\n")).expect("a Containerfile");
        let (file, context) = (file.display().to_string(), context.display().to_string());
        let mut words = vec!["bud", "--isolation", "chroot", "--format", "docker", "--pull=false"];
        words.extend(["--layers=false", "--tag", tag, "--file", &file]);
        words.extend(flags.iter().map(String::as_str));
        words.push(&context);
        self.command(&words).map(|_| ())
    }

    /// The tree and the configuration of an image, which goes.
    fn image(&self, tag: &str) -> Result<(Vec<Line>, Value), String> {
        let container = self.command(&["from", "--pull=false", tag])?;
        let mount = self.command(&["mount", &container])?;
        let tree = host_tree(Path::new(&mount));
        let inspected = self.command(&["inspect", "--type", "image", tag])?;
        self.command(&["rm", &container])?;
        self.command(&["rmi", tag])?;
        let value = serde_json::from_str(&inspected).map_err(|error| error.to_string())?;
        Ok((tree, value))
    }
}

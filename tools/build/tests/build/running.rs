//! `RUN`: what a program sees, and what stays of it.

use std::fs;
use std::sync::Mutex;

use sapwood_build::{Event, Options, Outcome, Secret, build, silent};

use crate::context;
use crate::support::{Bench, can_run, outcomes};

/// A store with the image `base:1`.
fn bench(test: &str) -> Option<Bench> {
    if !can_run(test, &["busybox", "runc"]) {
        return None;
    }
    let bench = Bench::new();
    let base = bench.folder.path().join("base");
    fs::create_dir(&base).unwrap();
    context::make_base(&base);
    let options = Options {
        context: Some(base),
        tags: vec!["base:1".to_owned()],
        ..bench.options("FROM scratch\nADD base.tar /")
    };
    build(&bench.store, &options, &silent).unwrap();
    Some(bench)
}

/// The lines of a tree below a directory.
fn below(bench: &Bench, report: &sapwood_build::Report, path: &str) -> Vec<String> {
    let lines = bench.tree(report).into_iter();
    lines
        .filter(|line| line.split(' ').nth(2).is_some_and(|at| format!("{at}/").starts_with(path)))
        .collect()
}

#[test]
fn only_what_a_program_wrote_is_in_its_layer() {
    let Some(bench) = bench("only_what_a_program_wrote_is_in_its_layer") else { return };
    let report =
        bench.build("FROM base:1\nRUN echo a > /out; cat /etc/passwd /etc/hosts >/dev/null");
    let before = bench.build("FROM base:1");
    let (before, after) = (bench.tree(&before), bench.tree(&report));
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert_eq!(new, ["0644 0:0 /out \"a\\n\""]);
    assert_eq!(after.len(), before.len() + 1);
}

#[test]
fn documents_are_scripts() {
    let Some(bench) = bench("documents_are_scripts") else { return };
    let report = bench.build(
        "FROM base:1\nRUN <<E\necho one > /o/a || mkdir /o\necho two > /o/b\nE\n\
         RUN <<E\n#!/bin/cat\nE\nRUN cat <<A - <<B > /o/c\nfirst\nA\nsecond $HOME\nB",
    );
    assert_eq!(
        below(&bench, &report, "/o/"),
        ["0755 0:0 /o/", "0644 0:0 /o/b \"two\\n\"", "0644 0:0 /o/c \"second /root\\n\""]
    );
}

#[test]
fn mounts_are_seen_and_leave_nothing() {
    let Some(bench) = bench("mounts_are_seen_and_leave_nothing") else { return };
    bench.write("in/file", "context");
    let text = "FROM base:1 AS other\nRUN echo stage > /made\nFROM base:1\n\
        RUN --mount=target=/m,source=in --mount=from=other,source=/made,target=/f \
            --mount=type=tmpfs,target=/t --mount=type=secret,id=s --mount=type=secret,id=v,env=V \
            --mount=type=cache,target=/c,id=n \
            cat /m/file /f /run/secrets/s > /out && echo $V >> /out && echo x > /t/x \
            && echo x >> /c/x && cat /c/x >> /out; echo no > /m/file || echo read only >> /out";
    let secrets = vec![
        ("s".to_owned(), Secret::Value(b"hidden".to_vec())),
        ("v".to_owned(), Secret::Value(b"variable".to_vec())),
    ];
    let options = Options { secrets, ..bench.options(text) };
    let report = build(&bench.store, &options, &silent).unwrap_or_else(|error| panic!("{error}"));
    let out = "contextstage\nhiddenvariable\nx\nread only\n";
    let tree = bench.tree(&report);
    assert!(tree.contains(&format!("0644 0:0 /out {out:?}")), "{tree:?}");
    for path in ["/m/", "/f/", "/t/", "/c/", "/run/secrets/"] {
        assert_eq!(below(&bench, &report, path), Vec::<String>::new(), "{path}");
    }
    // A secret is no input, what is bound is.
    let again = build(&bench.store, &bench.options(text), &silent).unwrap();
    assert!(outcomes(&again).iter().all(|(_, outcome)| *outcome == Outcome::Cached));
    bench.write("in/file", "changed");
    let report = build(&bench.store, &options, &silent).unwrap();
    let out = "changedstage\nhiddenvariable\nx\nx\nread only\n";
    assert!(bench.tree(&report).contains(&format!("0644 0:0 /out {out:?}")));
}

#[test]
fn a_program_that_fails_ends_the_build() {
    let Some(bench) = bench("a_program_that_fails_ends_the_build") else { return };
    let text = "FROM base:1\nRUN echo > /a\nRUN echo told; echo loud >&2; exit 3\nRUN true";
    let told = Mutex::new(Vec::new());
    let listener = |event: Event<'_>| {
        if let Event::Wrote(_, stream, bytes) = event {
            let text = String::from_utf8_lossy(bytes).into_owned();
            told.lock().unwrap().push(format!("{stream:?} {text}"));
        }
    };
    let error = build(&bench.store, &bench.options(text), &listener).unwrap_err().to_string();
    assert!(error.starts_with("Containerfile:3:1: RUN echo told"), "{error}");
    assert!(error.ends_with("exit code 3"), "{error}");
    let mut told = told.into_inner().unwrap();
    told.sort();
    assert_eq!(told, ["Error loud\n", "Output told\n"]);
    let names = bench.store.names().unwrap();
    assert!(names.iter().all(|name| !name.name.starts_with("building:")), "{names:?}");
    let left = fs::read_dir(bench.store.path().join("building")).unwrap().count();
    assert_eq!(left, 0);
    let report = bench.build("FROM base:1\nRUN echo > /a");
    assert_eq!(outcomes(&report)[0].1, Outcome::Cached);
}

#[test]
fn a_network_can_be_refused() {
    let Some(bench) = bench("a_network_can_be_refused") else { return };
    let report = bench.build("FROM base:1\nRUN --network=none ls /sys/class/net > /out");
    let tree = bench.tree(&report);
    assert!(tree.contains(&"0644 0:0 /out \"lo\\n\"".to_owned()), "{tree:?}");
}

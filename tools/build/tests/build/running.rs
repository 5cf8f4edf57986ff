//! `RUN`: what a program sees, and what stays of it.

use std::fs;
use std::sync::Mutex;

use sapwood::GcOptions;
use sapwood_build::{Event, Options, Outcome, Secret, build, silent};
use sapwood_container::RunFolder;

use crate::context;
use crate::support::{Bench, can_run, outcomes, reasons};

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
         RUN <<E\n#!/bin/cat\nE\nRUN cat <<A - <<B > /o/c\nfirst\nA\nsecond $HOME\nB\n\
         RUN <<\"E F\"\necho three >> /o/b\nE F",
    );
    assert_eq!(
        below(&bench, &report, "/o/"),
        ["0755 0:0 /o/", "0644 0:0 /o/b \"two\\nthree\\n\"", "0644 0:0 /o/c \"second /root\\n\""]
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
    let text = "FROM base:1\nRUN echo > /a\n\
        RUN head -c 5000000 /dev/urandom > /b; echo told; echo loud >&2; exit 3\nRUN true";
    let told = Mutex::new(Vec::new());
    let listener = |event: Event<'_>| {
        if let Event::Wrote(_, stream, bytes) = event {
            let text = String::from_utf8_lossy(bytes).into_owned();
            told.lock().unwrap().push(format!("{stream:?} {text}"));
        }
    };
    let error = build(&bench.store, &bench.options(text), &listener).unwrap_err().to_string();
    assert!(error.starts_with("Containerfile:3:1: RUN head"), "{error}");
    assert!(error.ends_with("exit code 3"), "{error}");
    let mut told = told.into_inner().unwrap();
    told.sort();
    assert_eq!(told, ["Error loud\n", "Output told\n"]);
    let names = bench.store.names().unwrap();
    assert!(names.iter().all(|name| !name.name.starts_with("building:")), "{names:?}");
    let run = RunFolder::find(&bench.store).unwrap().expect("something ran");
    assert!(!run.path().exists());
    let report = bench.build("FROM base:1\nRUN echo > /a");
    assert_eq!(outcomes(&report)[0].1, Outcome::Cached);
    bench.build("FROM base:1\nRUN echo > /c\nCOPY . /d");
    let garbage = bench.store.collect(&GcOptions { dry_run: true }).unwrap();
    assert_eq!(garbage.freed_bytes(), 0, "{garbage:?}");
}

/// It was told when that of another stage had ended.
#[test]
fn a_program_that_fails_ends_those_of_other_stages() {
    let Some(bench) = bench("a_program_that_fails_ends_those_of_other_stages") else { return };
    let text = "FROM base:1 AS long\nRUN echo begun; busybox sleep 600; echo ended\n\
        FROM base:1 AS other\nRUN exit 3\n\
        FROM base:1\nCOPY --from=long /out /\nCOPY --from=other /out /\n";
    let told = Mutex::new(String::new());
    let listener = |event: Event<'_>| {
        if let Event::Wrote(_, _, bytes) = event {
            told.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        }
    };
    let error = build(&bench.store, &bench.options(text), &listener).unwrap_err().to_string();
    assert!(error.starts_with("Containerfile:4:1: RUN exit 3"), "{error}");
    assert!(!told.into_inner().unwrap().contains("ended"));
    let names = bench.store.names().unwrap();
    assert!(names.iter().all(|name| !name.name.starts_with("building:")), "{names:?}");
}

/// It went with what builds left that were killed.
#[test]
fn a_volume_that_somebody_named_as_builds_do_stays() {
    let Some(bench) = bench("a_volume_that_somebody_named_as_builds_do_stays") else { return };
    bench.store.create_tree("building:test").unwrap().close().unwrap();
    bench.build("FROM base:1\nRUN echo > /a");
    assert!(bench.store.resolve("building:test").is_ok());
}

#[test]
fn a_network_can_be_refused() {
    let Some(bench) = bench("a_network_can_be_refused") else { return };
    let report = bench.build("FROM base:1\nRUN --network=none ls /sys/class/net > /out");
    let tree = bench.tree(&report);
    assert!(tree.contains(&"0644 0:0 /out \"lo\\n\"".to_owned()), "{tree:?}");
    // Both are told in the words of the file.
    let told = |text: &str| reasons(&bench.build(&format!("FROM base:1\nRUN {text}")));
    let line = "ls /sys/class/net > /out";
    let mount = "--network=none --mount=type=cache,target=/c";
    assert_eq!(told(&format!("{mount} {line}")), ["mount is new: \"cache /c\""]);
    let other = ["network was \"none\", is \"host\""];
    assert_eq!(told(&format!("--network=host {line}")), other);
}

/// What a secret says is in no file that the build leaves, and in no configuration.
#[test]
fn secrets_are_kept_nowhere() {
    let Some(bench) = bench("secrets_are_kept_nowhere") else { return };
    let (file, variable) = ("the-secret-of-a-file", "the-secret-of-a-variable");
    let secrets = vec![
        ("f".to_owned(), Secret::Value(file.as_bytes().to_vec())),
        ("v".to_owned(), Secret::Value(variable.as_bytes().to_vec())),
    ];
    let text = "FROM base:1\n\
        RUN --mount=type=secret,id=f,target=/etc/token,mode=0440,uid=1000 \
            --mount=type=secret,id=v,env=TOKEN --mount=type=secret,id=none \
            while read a; do echo ${#a}; done < /etc/token > /out; echo ${#TOKEN} >> /out";
    let options = Options { secrets, tags: vec!["made:1".to_owned()], ..bench.options(text) };
    let report = build(&bench.store, &options, &silent).unwrap_or_else(|error| panic!("{error}"));
    let out = format!("0644 0:0 /out \"{}\\n\"", variable.len());
    let tree = bench.tree(&report);
    // `read` takes whole lines only, and the file has none.
    assert!(tree.contains(&out), "{tree:?}");
    assert!(!tree.iter().any(|line| line.contains("/etc/token")), "{tree:?}");
    let told = format!("{:?} {:?}", report.configuration, report.steps);
    for secret in [file, variable] {
        assert!(!told.contains(secret), "{told}");
        let found = files_with(bench.store.path(), secret.as_bytes());
        assert_eq!(found, [] as [std::path::PathBuf; 0], "{secret}");
    }
    // The search finds what is there.
    assert!(!files_with(bench.store.path(), b"root:x:0:0").is_empty());
    let text = "FROM base:1\nRUN --mount=type=secret,id=none,required=true true";
    let error = bench.try_build(text).unwrap_err().to_string();
    assert!(error.contains("secret \"none\"") && error.contains("Containerfile:2"), "{error}");
}

/// The files below a folder that have these bytes in them.
fn files_with(folder: &std::path::Path, bytes: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if fs::read(&path).unwrap().windows(bytes.len()).any(|there| there == bytes) {
            found.push(path);
        }
    }
    found
}

#[test]
fn kept_directories_stay_from_build_to_build_and_are_told_apart() {
    let Some(bench) = bench("kept_directories_stay_from_build_to_build_and_are_told_apart") else {
        return;
    };
    let run = |round: &str, options: &str, line: &str| {
        let text = format!("FROM base:1\nRUN --mount=type=cache,{options} : {round}; {line}");
        let report = bench.try_build(&text).unwrap_or_else(|error| panic!("{error}"));
        let tree = bench.tree(&report);
        let out = tree.iter().find_map(|line| line.split(" /out ").nth(1).map(str::to_owned));
        out.unwrap_or_else(|| panic!("{tree:?}"))
    };
    let count = "echo x >> /c/x; while read a; do echo $a; done < /c/x > /out";
    assert_eq!(run("1", "target=/c", count), "\"x\\n\"");
    assert_eq!(run("2", "target=/c", count), "\"x\\nx\\n\"");
    assert_eq!(run("3", "target=/c,id=other", count), "\"x\\n\"");
    assert_eq!(run("4", "target=/c,sharing=locked", count), "\"x\\nx\\nx\\n\"");
    assert_eq!(run("5", "target=/c,sharing=private", count), "\"x\\nx\\nx\\nx\\n\"");
    let look = "ls -ldn /n > /out; echo no > /n/x || echo read only >> /out";
    let seen = run("6", "target=/n,mode=0750,uid=7,gid=8,readonly", look);
    assert!(seen.starts_with("\"drwxr-x---") && seen.contains(" 7 ") && seen.contains(" 8 "));
    // Its content is no input: what was made before is not made again for it.
    let text = format!("FROM base:1\nRUN --mount=type=cache,target=/c : 1; {count}");
    assert_eq!(outcomes(&bench.build(&text))[0].1, Outcome::Cached);
}

/// It began empty, whatever `from` said, and a `from` that is nowhere was no error.
#[test]
fn a_kept_directory_begins_with_the_files_that_it_is_said_to() {
    let test = "a_kept_directory_begins_with_the_files_that_it_is_said_to";
    let Some(bench) = bench(test) else { return };
    let run = |round: &str, seed: &str, options: &str, line: &str| {
        let text = format!(
            "FROM base:1 AS s\nRUN mkdir -p /seed/sub && echo {seed} > /seed/sub/f && \
             ln -s sub/f /seed/l && chmod 0711 /seed && busybox chown 5:6 /seed/sub\n\
             FROM base:1\nRUN --mount=type=cache,target=/c,{options} : {round}; {line}"
        );
        let report = bench.try_build(&text).unwrap_or_else(|error| panic!("{error}"));
        let tree = bench.tree(&report);
        let out = tree.iter().find_map(|line| line.split(" /out ").nth(1).map(str::to_owned));
        (out.unwrap_or_else(|| panic!("{tree:?}")), report)
    };
    let add = "cat /c/l > /out; echo more >> /c/l";
    let from = "from=s,source=/seed";
    assert_eq!(run("1", "one", from, add).0, "\"one\\n\"");
    // What programs made of it stays; other files to begin with are another directory.
    assert_eq!(run("2", "one", from, add).0, "\"one\\nmore\\n\"");
    assert_eq!(run("2", "two", from, add).0, "\"two\\n\"");
    assert_eq!(run("3", "one", &format!("{from},id=x"), add).0, "\"one\\n\"");
    let look = "ls -ldn /c /c/sub | while read a b c d e; do echo $a $c $d; done > /out";
    assert_eq!(run("4", "one", from, look).0, "\"drwx--x--x 0 0\\ndrwxr-xr-x 5 6\\n\"");
    let mine = format!("{from},id=y,mode=0750,uid=7");
    assert_eq!(run("5", "one", &mine, look).0, "\"drwxr-x--- 7 0\\ndrwxr-xr-x 5 6\\n\"");
    let passwd = run("6", "one", "id=p,from=base:1,source=/etc", "cat /c/group > /out").0;
    assert!(passwd.contains("staff:x:50"), "{passwd}");
    // A further context.
    let lib = bench.folder.path().join("lib");
    fs::create_dir_all(lib.join("d")).unwrap();
    fs::write(lib.join("d/x"), "lib").unwrap();
    let text = "FROM base:1\nRUN --mount=type=cache,target=/c,from=lib,source=d cat /c/x > /out";
    let contexts = vec![("lib".to_owned(), lib)];
    let options = Options { contexts, ..bench.options(text) };
    let report = build(&bench.store, &options, &silent).unwrap_or_else(|error| panic!("{error}"));
    assert!(bench.tree(&report).contains(&"0644 0:0 /out \"lib\"".to_owned()));
    for (options, told) in [
        ("from=nosuch", "nosuch"),
        ("source=/x", "a from beside it"),
        ("from=base:1,source=/none", "none"),
        ("from=base:1,source=/etc/passwd", "a directory"),
    ] {
        let text = format!("FROM base:1\nRUN --mount=type=cache,target=/c,{options} ls /c");
        let error = bench.try_build(&text).expect_err(options).to_string();
        assert!(error.contains(told), "{options}: {error}");
    }
}

#[test]
fn memory_and_what_is_bound_are_as_large_and_as_writable_as_is_said() {
    let test = "memory_and_what_is_bound_are_as_large_and_as_writable_as_is_said";
    let Some(bench) = bench(test) else { return };
    bench.write("d/file", "context");
    let text = "FROM base:1 AS other\nRUN mkdir /s && echo stage > /s/f\nFROM base:1\n\
        RUN --mount=type=tmpfs,target=/t,size=64k \
            --mount=type=bind,source=d,target=/rw,rw --mount=from=other,source=/s,target=/s \
            busybox df -k /t > /df; echo over > /rw/file && cat /rw/file /s/f > /out; \
            echo no > /s/f || echo read only >> /out; ls /t >> /out";
    let report = bench.build(text);
    let tree = bench.tree(&report);
    assert!(tree.contains(&"0644 0:0 /out \"over\\nstage\\nread only\\n\"".to_owned()), "{tree:?}");
    let size = tree.iter().find(|line| line.contains(" /df "));
    assert!(size.is_some_and(|line| line.contains("64")), "{size:?}");
    // What was written to what is bound is lost.
    assert_eq!(fs::read_to_string(bench.context().join("d/file")).unwrap(), "context");
    assert_eq!(below(&bench, &report, "/rw/"), [] as [&str; 0]);
}

#[test]
fn a_mount_is_of_the_kind_and_as_writable_as_variables_say() {
    let test = "a_mount_is_of_the_kind_and_as_writable_as_variables_say";
    let Some(bench) = bench(test) else { return };
    bench.write("d/file", "context");
    let look = |options: &str| {
        let text = format!(
            "FROM base:1 AS s\nRUN mkdir /s\nFROM base:1\nARG t=cache no=false bind=bind\n\
             RUN --mount=target=/x,{options} echo > /x/new && echo yes > /out || echo no > /out"
        );
        let report = bench.try_build(&text).unwrap_or_else(|error| panic!("{options}: {error}"));
        let tree = bench.tree(&report);
        let out = tree.iter().find_map(|line| line.split(" /out ").nth(1).map(str::to_owned));
        out.unwrap_or_else(|| panic!("{tree:?}")) == "\"yes\\n\""
    };
    for writable in [
        "type=$t",
        "type=${t},ro=$no",
        "source=d,rw",
        "source=d,readonly=false",
        "type=$bind,from=s,source=/s,rw",
        "source=d,ro,rw",
    ] {
        assert!(look(writable), "{writable}");
    }
    for read_only in
        ["type=$t,ro", "source=d", "source=d,rw=$no", "source=d,rw,ro", "type=$bind,source=d"]
    {
        assert!(!look(read_only), "{read_only}");
    }
    for (options, told) in
        [("type=$none", "bind, cache"), ("type=$t,size=1", "size"), ("type=$v", "a target")]
    {
        let text = format!("FROM base:1\nARG v=tmpfs t=bind\nRUN --mount={options} true");
        let error = bench.try_build(&text).expect_err(options).to_string();
        assert!(
            error.contains(told) && error.starts_with("Containerfile:3:"),
            "{options}: {error}"
        );
    }
}

/// The last one that gave a variable a value counts, whether `ENV` or `ARG`: as BuildKit has it.
#[test]
fn an_argument_behind_a_variable_counts_for_programs_and_not_for_the_image() {
    let test = "an_argument_behind_a_variable_counts_for_programs_and_not_for_the_image";
    let Some(bench) = bench(test) else { return };
    let text = "FROM base:1\nENV a=env b=env\nARG a=arg\nARG b\nRUN echo $a $b > /out";
    let report = bench.build(text);
    let tree = bench.tree(&report);
    assert!(tree.contains(&"0644 0:0 /out \"arg env\\n\"".to_owned()), "{tree:?}");
    let environment = &report.configuration.config.env;
    assert!(environment.contains(&"a=env".to_owned()), "{environment:?}");
    let given = vec![("b".to_owned(), "given".to_owned())];
    let options = Options { arguments: given, ..bench.options(text) };
    let report = build(&bench.store, &options, &silent).unwrap();
    let tree = bench.tree(&report);
    assert!(tree.contains(&"0644 0:0 /out \"arg given\\n\"".to_owned()), "{tree:?}");
}

#[test]
fn who_may_read_a_secret_is_an_input() {
    let Some(bench) = bench("who_may_read_a_secret_is_an_input") else { return };
    let secrets = vec![("s".to_owned(), Secret::Value(b"hidden".to_vec()))];
    let read = |option: &str| {
        let text = format!(
            "FROM base:1\nUSER 1000\n\
             RUN --mount=type=secret,id=s{option} cat /run/secrets/s > /tmp/out || echo no > /tmp/out\n"
        );
        let options = Options { secrets: secrets.clone(), ..bench.options(&text) };
        let report = build(&bench.store, &options, &silent).unwrap();
        bench.tree(&report).into_iter().find(|line| line.contains(" /tmp/out ")).unwrap()
    };
    assert!(read(",mode=0400").ends_with("\"no\\n\""));
    assert!(read(",mode=0444").ends_with("\"hidden\""));
    assert!(read(",mode=0400,uid=1000").ends_with("\"hidden\""));
}

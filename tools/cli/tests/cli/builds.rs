//! `build`: what it prints, and how it ends.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::Place;

#[test]
fn a_build_tells_its_steps_and_ends_with_an_image() {
    let place = Place::empty();
    let context = place.path("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("a"), "a").unwrap();
    fs::write(context.join("Containerfile"), "FROM scratch\nCOPY a /a\nCMD [\"/a\"]\n").unwrap();
    let context = context.to_str().unwrap();
    let built = place.run(&["build", "-t", "made:1", context]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(built.stderr.contains("[0 2/3] COPY a /a  0."), "{}", built.stderr);
    assert!(built.stdout.starts_with(b"built made:1: sha256:"));

    let again = place.run(&["build", "-t", "made:1", context]);
    assert!(again.stderr.contains("[0 2/3] COPY a /a  CACHED"), "{}", again.stderr);
    let quiet = place.run(&["build", "-q", context]);
    assert_eq!((quiet.stdout.len(), quiet.stderr.len()), ("sha256:".len() + 64 + 1, 0));

    fs::write(place.path("context").join("Containerfile"), "FROM scratch\nCOPY a\n").unwrap();
    let wrong = place.run(&["build", context]);
    assert_eq!(wrong.code, 2);
    let told = wrong.stderr;
    assert!(told.contains("Containerfile:2:6: COPY: found \"a\""), "{told}");
    assert!(told.ends_with("\n    COPY a\n         ^\n"), "{told}");
}

#[test]
fn what_is_said_on_the_command_line_reaches_the_build() {
    let place = Place::empty();
    let (context, lib) = (place.path("context"), place.path("lib"));
    for (folder, name) in [(&context, "a"), (&lib, "b")] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join(name), name).unwrap();
    }
    let text = "FROM scratch AS first\nARG v=default\nCOPY a /a-$v\n\
        FROM first\nCOPY --from=lib b /b\n";
    fs::write(place.path("file"), text).unwrap();
    let build = |words: &[&str]| {
        let fixed = ["build", "-f", "file", "--build-context", "lib=lib", "context"];
        place.run(&[&fixed[..], words].concat())
    };
    let words = ["-t", "one:1", "-t", "two:1", "--build-arg", "v=x", "--label", "k=v"];
    let built = build(&words);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(built.stdout.starts_with(b"built one:1, two:1: sha256:"));
    let (one, two) = (place.json(&["inspect", "one:1"], 0), place.json(&["inspect", "two:1"], 0));
    assert_eq!(one["id"], two["id"]);
    assert_eq!(one["configuration"]["config"]["Labels"]["k"], "v");
    assert_eq!(place.ok(&["cat", "two:1:/a-x"]), b"a");
    assert_eq!(place.ok(&["cat", "two:1:/b"]), b"b");

    let first = build(&["-t", "first:1", "--target", "first", "--build-arg", "v=x"]);
    assert!(first.stderr.contains("COPY a /a-$v  CACHED"), "{}", first.stderr);
    assert_eq!(place.run(&["cat", "first:1:/b"]).code, 8);
    fs::write(lib.join("b"), "changed").unwrap();
    let again = build(&["--explain", "--build-arg", "v=x", "--cache-from", "one:1"]);
    let told = "COPY --from=lib b /b  0.";
    assert!(again.stderr.contains(told), "{}", again.stderr);
    assert!(again.stderr.contains("    not made before: file b changed\n"), "{}", again.stderr);
    let anew = build(&["--no-cache", "--build-arg", "v=x"]);
    assert!(!anew.stderr.contains("CACHED"), "{}", anew.stderr);
    for (words, text) in [
        (&["--cache-from", "none:1"][..], "none:1"),
        (&["--target", "third"], "\"third\""),
        (&["--secret", "src=x"], "src=x"),
        (&["--no-cache", "--cache-from", "one:1"], "--cache-from"),
        (&["--platform", "windows/amd64"], "windows/amd64"),
    ] {
        let refused = build(words);
        assert!(matches!(refused.code, 2 | 8), "{words:?}: {}", refused.code);
        assert!(refused.stderr.contains(text), "{words:?}: {}", refused.stderr);
    }
}

/// What a program wrote stood above the title of its step, and could be another's; tabs were `\\t`, and what
/// had no line end was lost when the program failed.
#[test]
fn what_a_program_writes_stands_below_its_step() {
    let Some(place) = super::containers::place("what_a_program_writes_stands_below_its_step")
    else {
        return;
    };
    let text = "FROM base:1 AS one\nUSER 0\nRUN printf 'a\\tb\\x1b[2J\\nc' && sleep 1; echo d\n\
        FROM base:1\nUSER 0\nRUN echo x; sleep 0.5; echo y\n\
        COPY --from=one /etc/passwd /p\nRUN printf left; exit 3\n";
    fs::create_dir(place.path("context")).unwrap();
    fs::write(place.path("context/Containerfile"), text).unwrap();
    let built = place.run(&["build", "--build-arg", "typo=1", "context"]);
    assert_eq!(built.code, 1, "{}", built.stderr);
    let mut title = "";
    let mut lines = Vec::new();
    for line in built.stderr.lines() {
        match line.strip_prefix("    ") {
            Some(written) => lines.push((title, written)),
            None => title = line.split(']').next().unwrap(),
        }
    }
    lines.sort();
    let (one, other, last) = ("[one 3/3", "[1 3/5", "[1 5/5");
    let expected =
        [(other, "x"), (other, "y"), (last, "left"), (one, "a\tb\\u{1b}[2J"), (one, "cd")];
    assert_eq!(lines, expected, "{}", built.stderr);
    for ended in ["[one 3/3] ", "[1 3/5] "] {
        let mut lines = built.stderr.lines().filter(|line| line.starts_with(ended));
        assert!(lines.any(|line| line.ends_with('s')), "{ended}: {}", built.stderr);
    }
    assert!(built.stderr.ends_with("the program ended with exit code 3\n"), "{}", built.stderr);
}

/// Where a build was quiet, nobody could tell why it had failed.
#[test]
fn a_quiet_build_that_fails_says_what_its_program_wrote_last() {
    let Some(place) =
        super::containers::place("a_quiet_build_that_fails_says_what_its_program_wrote_last")
    else {
        return;
    };
    let many = "i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done";
    let text = format!(
        "FROM base:1\nUSER 0\nRUN echo fine\nRUN {many}; echo why >&2; printf half; exit 3\n"
    );
    fs::create_dir(place.path("context")).unwrap();
    fs::write(place.path("context/Containerfile"), &text).unwrap();
    for quiet in ["-q", "--json"] {
        let built = place.run(&["build", quiet, "context"]);
        assert_eq!(built.code, 1, "{}", built.stderr);
        let lines: Vec<&str> = built.stderr.lines().collect();
        assert!(lines[0].starts_with("[0 4/4] RUN i=0"), "{}", lines[0]);
        for line in ["    line 3999", "    why", "    half"] {
            assert!(lines.contains(&line), "{quiet}: {line}: {}", built.stderr);
        }
        for line in ["    fine", "    line 0"] {
            assert!(!lines.contains(&line), "{quiet}: {line}");
        }
    }
    fs::write(place.path("context/Containerfile"), text.replace("exit 3", "exit 0")).unwrap();
    let built = place.run(&["build", "-q", "context"]);
    assert_eq!((built.code, built.stderr.as_str()), (0, ""));
}

/// An argument that was misspelt was passed over without a word.
#[test]
fn an_argument_that_nothing_takes_is_told() {
    let place = Place::empty();
    fs::create_dir(place.path("context")).unwrap();
    let text = "ARG top\nFROM scratch\nARG used\nENV a=$used\n";
    fs::write(place.path("context/Containerfile"), text).unwrap();
    let build = |words: &[&str]| place.run(&[&["build", "context"], words].concat());
    let words = ["top=1", "used=1", "http_proxy=x", "SOURCE_DATE_EPOCH=1", "usde=1", "b=1"];
    let words: Vec<_> = words.iter().flat_map(|word| ["--build-arg", word]).collect();
    let built = build(&words);
    assert!(built.stderr.contains("\nno ARG takes --build-arg b, usde\n"), "{}", built.stderr);
    let told: serde_json::Value =
        serde_json::from_slice(&build(&[&words[..], &["--json"]].concat()).stdout).unwrap();
    assert_eq!(told["unused_arguments"], serde_json::json!(["b", "usde"]));
    let built = build(&["--build-arg", "used=1"]);
    assert!(!built.stderr.contains("no ARG"), "{}", built.stderr);
}

/// A build that is killed while a program runs leaves no mount, no process and no name, and the next
/// one works.
#[test]
fn a_killed_build_leaves_nothing() {
    let Some(place) = super::containers::place("a_killed_build_leaves_nothing") else { return };
    let context = place.path("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("file"), "bound").unwrap();
    let text = "FROM base:1\nUSER 0\nRUN echo > /made\n\
        RUN --mount=target=/bound --mount=type=secret,id=s --mount=type=tmpfs,target=/t \
            cat /bound/file; while :; do sleep 0.05; done; echo ENDLESS\n";
    let endless = format!("endless-{}", std::process::id());
    fs::write(context.join("Containerfile"), text.replace("ENDLESS", &endless)).unwrap();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("sapwood"));
    command.args(["build", "--secret", "id=s,env=S"]).arg(&context).env("S", "secret");
    command.env("SAPWOOD_STORE", place.store()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_until("the program", &|| runs(&endless));
    let space_of = |class: &str| {
        let told = place.json(&["df", "-v"], 0);
        let found = told["classes"].as_array().unwrap().iter().find(|row| row["class"] == class);
        let number = |field| found.unwrap()[field].as_u64().unwrap();
        (number("count"), number("active"), number("reclaimable_bytes") > 0)
    };
    // It was among the trees that stay. What is bound is a volume of its own.
    assert_eq!(space_of("build cache"), (2, 2, false));
    assert_eq!(space_of("other trees and disks"), (0, 0, false));
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    wait_until("the end of the program", &|| !runs(&endless));
    wait_until("the end of the mounts", &|| {
        mounts_below(&super::containers::run_folder(&place)).is_empty()
    });
    assert_eq!(space_of("build cache"), (2, 0, true));

    let text = text.replace("while :; do sleep 0.05; done", "echo > /also");
    fs::write(context.join("Containerfile"), text).unwrap();
    let built = place.run(&["build", "-t", "built:1", context.to_str().unwrap()]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(built.stderr.contains("RUN echo > /made  CACHED"), "{}", built.stderr);
    assert_eq!(super::containers::left_of(&place), [] as [String; 0]);
    let listed = String::from_utf8(place.ok(&["ls"])).unwrap();
    assert!(!listed.contains("building:"), "{listed}");
    place.ok(&["gc"]);
    assert_eq!(place.json(&["gc", "--dry-run"], 0)["freed_bytes"], 0);
    place.ok(&["check", "--data"]);
}

#[test]
fn what_programs_of_builds_keep_is_counted_and_pruned() {
    let test = "what_programs_of_builds_keep_is_counted_and_pruned";
    let Some(place) = super::containers::place(test) else { return };
    let context = place.path("context");
    fs::create_dir(&context).unwrap();
    let build = |round: u32| {
        let text = format!(
            "FROM base:1\nUSER 0\nRUN --mount=type=cache,target=/kept : {round}; \
             echo {round} >> /kept/rounds; cat /kept/rounds > /out\n"
        );
        fs::write(context.join("Containerfile"), text).unwrap();
        place.ok(&["build", "-q", "-t", "built:1", "context"]);
        String::from_utf8(place.ok(&["cat", "built:1:/out"])).unwrap()
    };
    build(1);
    assert_eq!(build(2), "1\n2\n");
    let kept = |told: &serde_json::Value| {
        let classes = told["classes"].as_array().unwrap();
        let found = classes.iter().find(|class| class["class"] == "kept directories");
        (found.unwrap()["count"].clone(), found.unwrap()["reclaimable_bytes"].as_u64().unwrap())
    };
    let (count, bytes) = kept(&place.json(&["df", "-v"], 0));
    assert!(count == 1 && bytes > 0, "{count} {bytes}");

    // What has no volume any more is nobody's.
    fs::create_dir_all(place.store().join("containers/gone/rootfs")).unwrap();
    let told = place.json(&["prune", "--keep-cache"], 0);
    assert_eq!(
        (&told["stale_containers"], &told["kept_directories"]["removed"]),
        (&1.into(), &0.into())
    );
    assert!(!place.store().join("containers/gone").exists());
    assert_eq!(build(3), "1\n2\n3\n");

    // The newest layer of the build is not as old, and neither is what it used.
    let told = place.json(&["prune", "--filter", "until=10m"], 0);
    assert_eq!(
        (&told["kept_directories"]["removed"], &told["build_cache"]["removed"]),
        (&0.into(), &serde_json::json!([]))
    );
    let told = place.json(&["prune", "--dry-run", "--filter", "until=0s"], 0);
    let done = place.json(&["prune"], 0);
    assert_eq!(done["build_cache"], told["build_cache"]);
    assert_eq!(done["kept_directories"], told["kept_directories"]);
    assert_eq!(
        (&done["kept_directories"]["removed"], done["freed_bytes"] == told["freed_bytes"]),
        (&1.into(), true)
    );
    assert_eq!(kept(&place.json(&["df", "-v"], 0)).0, 0);
    assert_eq!(place.run(&["run", "--rm", "built:1", "cat", "/out"]).stdout, b"1\n2\n3\n");
    assert_eq!(build(4), "4\n");
}

/// Who built with a source date and pruned each night had no cache at all.
#[test]
fn what_a_build_with_a_source_date_made_is_as_old_as_it_is() {
    let test = "what_a_build_with_a_source_date_made_is_as_old_as_it_is";
    let Some(place) = super::containers::place(test) else { return };
    fs::create_dir(place.path("context")).unwrap();
    fs::write(place.path("context/a"), "a").unwrap();
    fs::write(place.path("context/Containerfile"), "FROM base:1\nCOPY a /a\n").unwrap();
    let build = ["build", "-q", "--source-date-epoch", "1700000000", "context"];
    let id = place.ok(&build);
    let goes = |filter: &str| {
        let told = place.json(&["prune", "--dry-run", "--filter", filter], 0);
        told["build_cache"]["removed"].as_array().unwrap().len()
    };
    assert_eq!((goes("until=10m"), goes("until=0s")), (0, 1));
    assert_eq!(place.ok(&build), id);
}

/// With a time for all that is made, what is built again is the same image.
#[test]
fn equal_steps_make_equal_images_where_a_time_is_given() {
    let place = super::containers::place("equal_steps_make_equal_images_where_a_time_is_given");
    let Some(place) = place else { return };
    fs::create_dir_all(place.path("context/d")).unwrap();
    fs::write(place.path("context/d/a"), "a").unwrap();
    let text = "FROM base:1\nUSER 0\nARG SOURCE_DATE_EPOCH\nCOPY --link d /d/\nWORKDIR /w\n\
        RUN echo $SOURCE_DATE_EPOCH > made; echo >> /etc/passwd; rm -r /etc/old\n\
        FROM scratch\nCOPY --from=0 /w /w\nCOPY d /d\nCMD [\"x\"]\n";
    fs::write(place.path("context/Containerfile"), text).unwrap();
    let build = |words: &[&str], time: Option<&str>| {
        let mut command = place.command();
        command.args(["build", "-q", "--no-cache", "context"]).args(words);
        let ended = command.envs(time.map(|time| ("SOURCE_DATE_EPOCH", time))).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    };
    let stages = [&["-t", "made:0", "--target", "0"][..], &["-t", "made:1"]];
    let first = stages.map(|words| build(words, Some("1000000000")));
    std::thread::sleep(Duration::from_millis(1100));
    let words = ["--source-date-epoch", "1000000000"];
    let argument = ["--build-arg", "SOURCE_DATE_EPOCH=1000000000"];
    let again = stages.map(|stage| build(&[stage, &words].concat(), None));
    assert_eq!(first, again);
    assert_eq!(first, stages.map(|stage| build(&[stage, &argument].concat(), Some("5"))));
    let others = stages.map(|words| build(words, Some("1000000001")));
    assert!(first[0] != others[0] && first[1] != others[1]);

    for tag in ["made:0", "made:1"] {
        build(if tag == "made:0" { stages[0] } else { stages[1] }, Some("1000000000"));
        for path in ["/d", "/d/a", "/w", "/w/made"] {
            let file = place.json(&["stat", &format!("{tag}:{path}")], 0);
            assert_eq!(file["modified"], 1_000_000_000_000_000_000_u64, "{tag}:{path} {file}");
        }
    }
    let old = place.json(&["stat", "base:1:/bin"], 0);
    assert_eq!(old["modified"], place.json(&["stat", "made:0:/bin"], 0)["modified"]);
    assert_eq!(place.ok(&["cat", "made:1:/w/made"]), b"1000000000\n");
    let history = place.json(&["history", "made:1"], 0);
    for step in history["history"].as_array().unwrap() {
        assert_eq!(step["created"], 1_000_000_000_000_000_000_u64, "{step}");
    }
    for wrong in ["", "x", "-1", "99999999999"] {
        let mut command = place.command();
        command.args(["build", "context", "--source-date-epoch", wrong]);
        assert_eq!(command.output().unwrap().status.code(), Some(2), "{wrong}");
    }
}

/// The first of a group who built was the only one who could, from then on.
#[test]
fn a_store_that_a_group_shares_is_built_in_by_each_of_it() {
    if !rustix::process::geteuid().is_root() {
        return super::support::skip(
            "a_store_that_a_group_shares_is_built_in_by_each_of_it",
            "not root",
        );
    }
    let place = Place::empty();
    let program = place.path("sapwood");
    fs::copy(assert_cmd::cargo::cargo_bin("sapwood"), &program).unwrap();
    fs::create_dir(place.path("context")).unwrap();
    fs::write(place.path("context/Containerfile"), "FROM scratch\nCOPY file /\n").unwrap();
    let everybody = fs::Permissions::from_mode(0o777);
    fs::set_permissions(place.path(""), everybody).unwrap();
    let run = |user: u32, line: &str| {
        let user = user.to_string();
        let line = format!("umask 002; {line}");
        let words = ["--reuid", &user, "--regid", &user, "--groups", "60010", "sh", "-c", &line];
        let mut command = Command::new("setpriv");
        command.args(words).current_dir(place.path("")).env("SAPWOOD_STORE", place.store());
        let said = super::support::Said::of(command.output().unwrap());
        assert_eq!(said.code, 0, "{user}: {line}: {}", said.stderr);
    };
    let (alice, bob) = (60001, 60002);
    // As docs/MEDIA.md has it.
    let shared = "chgrp -R 60010 store; chmod -R g+rwX store; chmod g+s store store/*/";
    run(alice, &format!("./sapwood init; {shared}"));
    for (round, user) in [bob, alice, bob].into_iter().enumerate() {
        fs::write(place.path("context/file"), round.to_string()).unwrap();
        let tag = format!("made:{round}");
        run(user, &format!("./sapwood build -q -t {tag} context && ./sapwood squash {tag}"));
        run(user, &format!("./sapwood save {tag} {round}.tar && ./sapwood load {round}.tar"));
        run(user, "./sapwood gc && ./sapwood check");
    }
    // Containers of one are no other's business, and keep nobody from what is shared.
    run(alice, "mkdir -m 700 store/containers && ./sapwood create disk 1M");
    run(bob, "./sapwood rm disk && ./sapwood rm -f disk");
}

/// What a file of a context says is told where it is wrong, and a link had that be the environment of who built.
#[test]
fn what_says_how_to_build_is_in_the_context_or_was_named() {
    let place = Place::with_store();
    let context = place.path("context");
    let file = |name: &str| context.join(name);
    fs::create_dir_all(file("deep")).unwrap();
    fs::write(place.path("outside"), "SECRET of somebody\n").unwrap();
    let build = |more: &[&str]| place.run(&[&["build", "context"], more].concat());
    let refused = |said: super::support::Said, told: &str| {
        assert_eq!(said.code, 2, "{}", said.stderr);
        assert!(said.stderr.contains(told) && !said.stderr.contains("SECRET"), "{}", said.stderr);
    };
    let outside = place.path("outside");
    for target in [&outside, Path::new("../outside"), Path::new("/proc/self/environ")] {
        for name in ["Containerfile", "deep/File"] {
            symlink(target, file(name)).unwrap();
            let named = place.path("context").join(name);
            let more =
                if name == "Containerfile" { &[][..] } else { &["-f", named.to_str().unwrap()] };
            refused(build(more), "a link that leads to nothing in the context");
            fs::remove_file(file(name)).unwrap();
        }
    }
    // What was named may be anywhere, and a link may lead on inside.
    let said = build(&["-f", "outside"]);
    assert!(said.code == 2 && said.stderr.contains("SECRET of somebody"), "{}", said.stderr);
    fs::write(file("deep/File"), "FROM scratch\nCOPY a* /\n").unwrap();
    symlink("/deep/File", file("Containerfile")).unwrap();
    fs::write(file("a"), "").unwrap();
    fs::write(file("also"), "").unwrap();
    let listed = |more: &[&str]| {
        place.ok(&[&["build", "-q", "-t", "made:1", "context"], more].concat());
        String::from_utf8(place.ok(&["ls", "made:1:/"])).unwrap().replace('\n', " ")
    };
    assert_eq!(listed(&[]), "a also ");

    for name in [".dockerignore", ".containerignore", "deep/File.dockerignore"] {
        let more = if name.starts_with("deep") { &["-f", "context/deep/File"][..] } else { &[] };
        symlink(&outside, file(name)).unwrap();
        refused(build(more), "a link that leads to nothing in the context");
        fs::remove_file(file(name)).unwrap();
        mkfifoat(CWD, file(name), Mode::RWXU).unwrap();
        refused(build(more), "not a regular file");
        fs::remove_file(file(name)).unwrap();
        fs::File::create(file(name)).unwrap().set_len(600 << 20).unwrap();
        refused(build(more), "629145600 bytes, expected at most 1048576");
        fs::write(file(name), "also").unwrap();
        assert_eq!(listed(more), "a ");
        fs::remove_file(file(name)).unwrap();
    }
    fs::remove_file(file("Containerfile")).unwrap();
    mkfifoat(CWD, file("Containerfile"), Mode::RWXU).unwrap();
    refused(build(&[]), "Containerfile: not a regular file");
    fs::remove_file(file("Containerfile")).unwrap();
    fs::File::create(file("Containerfile")).unwrap().set_len(2 << 20).unwrap();
    refused(build(&[]), "Containerfile: 2097152 bytes, expected at most 1048576");

    // Nothing of it steers a terminal.
    for text in ["FROM scratch\n\tDRAW \x1b[2J \x07\n", "FROM scratch\nCOPY none\x1b[2J /\n"] {
        fs::write(file("Containerfile"), text).unwrap();
        let said = build(&[]);
        assert!(said.stderr.contains("\\u{1b}[2J"), "{}", said.stderr);
        assert!(!said.stderr.contains('\x1b'), "{}", said.stderr);
    }
}

/// Whether some process has this in its command line.
fn runs(marker: &str) -> bool {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(marker))
}

fn mounts_below(folder: &Path) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let folder = folder.to_str().unwrap();
    mounts.lines().filter(|line| line.contains(folder)).map(str::to_owned).collect()
}

fn wait_until(what: &str, is_so: &dyn Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what} did not come in 30 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

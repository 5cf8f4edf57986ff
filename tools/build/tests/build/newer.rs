//! What Debian's `buildah` does not know yet: documents, `--exclude`, `--parents`, patterns in
//! variables. The trees are written out here.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::Bench;

/// Builds on nothing, and compares the tree without the line of the root.
fn expect(bench: &Bench, text: &str, expected: &[&str]) {
    let report = bench.build(&format!("FROM scratch\n{text}"));
    assert_eq!(bench.tree(&report)[1..], *expected, "{text}");
}

#[test]
fn documents_become_files() {
    let bench = Bench::new();
    bench.write("x", "x");
    expect(
        &bench,
        "ENV v=value\nCOPY <<a <<\"b\" <<-c x /d/\n$v \"q\" \\$v\na\n$v\nb\n\t\ttab\n\tc",
        &[
            "0755 0:0 /d/",
            "0644 0:0 /d/a \"value \\\"q\\\" $v\\n\"",
            "0644 0:0 /d/b \"$v\\n\"",
            "0644 0:0 /d/c \"tab\\n\"",
            "0644 0:0 /d/x \"x\"",
        ],
    );
    expect(&bench, "COPY --chown=1:2 --chmod=u=x <<E /f\nE", &["0144 1:2 /f \"\""]);
    expect(&bench, "COPY --chmod=g=u,o-r <<E /f\nE", &["0660 0:0 /f \"\""]);
}

#[test]
fn what_is_excluded_is_not_copied() {
    let bench = Bench::new();
    for path in ["s/a.txt", "s/b.md", "s/d/c.txt", "s/d/e/f.txt", "s/d/e/g"] {
        bench.write(path, "");
    }
    expect(
        &bench,
        "COPY --exclude=**/*.txt --exclude=!d/e/f.txt s /n",
        &[
            "0755 0:0 /n/",
            "0644 0:0 /n/b.md \"\"",
            "0755 0:0 /n/d/",
            "0755 0:0 /n/d/e/",
            "0644 0:0 /n/d/e/f.txt \"\"",
            "0644 0:0 /n/d/e/g \"\"",
        ],
    );
    expect(
        &bench,
        "COPY --exclude=*.md s/* /n/",
        &[
            "0755 0:0 /n/",
            "0644 0:0 /n/a.txt \"\"",
            "0644 0:0 /n/c.txt \"\"",
            "0755 0:0 /n/e/",
            "0644 0:0 /n/e/f.txt \"\"",
            "0644 0:0 /n/e/g \"\"",
        ],
    );
}

#[test]
fn parents_come_along() {
    let bench = Bench::new();
    for path in ["x/a", "y/b", "y/z/c"] {
        bench.write(path, "");
    }
    expect(
        &bench,
        "COPY --parents x/a y/z /n/",
        &[
            "0755 0:0 /n/",
            "0755 0:0 /n/x/",
            "0644 0:0 /n/x/a \"\"",
            "0755 0:0 /n/y/",
            "0755 0:0 /n/y/z/",
            "0644 0:0 /n/y/z/c \"\"",
        ],
    );
    expect(
        &bench,
        "COPY --parents y/./z/c /n/",
        &["0755 0:0 /n/", "0755 0:0 /n/z/", "0644 0:0 /n/z/c \"\""],
    );
}

/// A directory without one above it lost its own name, and `**` was one directory.
#[test]
fn directories_keep_their_names_with_parents_and_two_stars_are_any_number_of_them() {
    let bench = Bench::new();
    for path in ["a.txt", "x/2.txt", "x/y/1.txt", "x/y/n.md", "z/n.md"] {
        bench.write(path, "");
    }
    symlink("y/1.txt", bench.context().join("x/link.txt")).unwrap();
    let of = |source: &str, expected: &[&str]| {
        let line = |path: &&str| match path.ends_with('/') {
            true => format!("0755 0:0 /n/{path}"),
            false if path.contains("link") => format!("0777 0:0 /n/{path} -> y/1.txt"),
            false => format!("0644 0:0 /n/{path} \"\""),
        };
        let lines: Vec<_> =
            ["0755 0:0 /n/".to_owned()].into_iter().chain(expected.iter().map(line)).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        expect(&bench, &format!("COPY --parents {source} /n/"), &lines);
    };
    let y = ["y/", "y/1.txt", "y/n.md"];
    let x = ["x/", "x/2.txt", "x/link.txt", "x/y/", "x/y/1.txt", "x/y/n.md"];
    let all = [&["a.txt"][..], &x, &["z/", "z/n.md"]].concat();
    of("z", &["z/", "z/n.md"]);
    of("./z/.", &["z/", "z/n.md"]);
    of("x/./y", &y);
    of("x/./y/../y", &y);
    of("x/./.", &["2.txt", "link.txt", "y/", "y/1.txt", "y/n.md"]);
    of(".", &all);
    of("**", &all);
    of("*/./y", &y);
    of("x/./*", &["2.txt", "link.txt", "y/", "y/1.txt", "y/n.md"]);
    let texts = ["x/", "x/2.txt", "x/link.txt", "x/y/", "x/y/1.txt"];
    of("./**/*.txt", &[&["a.txt"], &texts[..]].concat());
    of("x/**/*.txt", &texts);
    of("x/./**/1.txt", &["y/", "y/1.txt"]);
    of("**/y", &[&["x/"], &x[3..]].concat());
    of("x/link.txt", &["x/", "x/link.txt"]);
    of("**/none", &[]);
    // What is left out is told by paths from the first directory that comes along on.
    of("--exclude=x/y/*.md ./**/*.md", &["z/", "z/n.md"]);
    of("--exclude=x --exclude=!x/y/1.txt x z", &["x/", "x/y/", "x/y/1.txt", "z/", "z/n.md"]);
    of("--exclude=x/y x/./y", &y);
    // Two that differ in what comes along are two steps.
    assert_eq!(
        bench.tree(&bench.build("FROM scratch\nCOPY --parents x/./y/1.txt /n"))[2..],
        ["0755 0:0 /n/y/", "0644 0:0 /n/y/1.txt \"\""]
    );
    bench.try_build("FROM scratch\nCOPY --parents x/none /n").unwrap_err();
}

/// Of a directory that is ignored comes what is taken in again, and no more.
#[test]
fn what_is_ignored_does_not_come_along() {
    let bench = Bench::new();
    for path in ["x/a", "x/b", "y/a"] {
        bench.write(path, "");
    }
    let ignore = sapwood_build::Ignore::parse("*\n!x/a\n").unwrap();
    for source in ["*", "**", "**/a", "x"] {
        let text = format!("FROM scratch\nCOPY --parents {source} /n/");
        let options = sapwood_build::Options { ignore: ignore.clone(), ..bench.options(&text) };
        let report = sapwood_build::build(&bench.store, &options, &sapwood_build::silent).unwrap();
        let expected = ["0755 0:0 /n/", "0755 0:0 /n/x/", "0644 0:0 /n/x/a \"\""];
        assert_eq!(bench.tree(&report)[1..], expected, "{source}");
    }
}

/// Where Debian's `buildah` does otherwise than Docker, Docker counts.
#[test]
fn set_id_bits_and_brackets_are_taken_as_they_are() {
    let bench = Bench::new();
    bench.write("glob[1].txt", "");
    bench.write("run", "");
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
    fs::set_permissions(bench.context().join("run"), permissions).unwrap();
    expect(
        &bench,
        "COPY glob[[]1].txt run /n/\nCOPY nothing* run /m/",
        &[
            "0755 0:0 /m/",
            "4755 0:0 /m/run \"\"",
            "0755 0:0 /n/",
            "0644 0:0 /n/glob[1].txt \"\"",
            "4755 0:0 /n/run \"\"",
        ],
    );
}

#[test]
fn patterns_in_variables() {
    let bench = Bench::new();
    bench.write("x", "");
    let text = "ENV f=lib/a.tar.gz\nCOPY x /${f##*/}\nCOPY x /${f%%.*}\nCOPY x /${f/lib/b}";
    expect(
        &bench,
        text,
        &[
            "0644 0:0 /a.tar.gz \"\"",
            "0755 0:0 /b/",
            "0644 0:0 /b/a.tar.gz \"\"",
            "0755 0:0 /lib/",
            "0644 0:0 /lib/a \"\"",
        ],
    );
}

#[test]
fn linked_files_follow_no_symlink_of_theirs_and_keep_what_is_below() {
    let bench = Bench::new();
    bench.write("x", "x");
    bench.write("d/y", "y");
    expect(
        &bench,
        "COPY --chmod=0700 d /opt/\nCOPY --link --chown=3:4 x /opt/sub/",
        &[
            "0755 0:0 /opt/",
            "0755 3:4 /opt/sub/",
            "0644 3:4 /opt/sub/x \"x\"",
            "0700 0:0 /opt/y \"y\"",
        ],
    );
}

/// A file more in the context broke what was fine. With a directory that is linked nothing is there.
#[test]
fn a_pattern_of_several_needs_a_slash_only_where_one_would_replace_the_other() {
    let bench = Bench::new();
    bench.write("a", "a");
    bench.write("b", "b");
    bench.write("z/c", "c");
    let all = ["0755 0:0 /n/", "0644 0:0 /n/a \"a\"", "0644 0:0 /n/b \"b\""];
    expect(&bench, "COPY a /n/\nCOPY [ab] /n", &all);
    let c = [&all[..], &["0644 0:0 /n/c \"c\""]].concat();
    expect(&bench, "WORKDIR /n\nCOPY * .", &c);
    expect(&bench, "WORKDIR /n\nCOPY * /n", &c);
    expect(&bench, "COPY --link [z] /n\nADD [ab] /n", &c);
    for text in ["COPY [ab] /n", "COPY a /n\nCOPY * /n", "COPY a /n/\nCOPY --link [ab] /n"] {
        let error = bench.try_build(&format!("FROM scratch\n{text}")).expect_err(text).to_string();
        assert!(error.contains("slash"), "{text}: {error}");
    }
}

/// It was an error from inside.
#[test]
fn a_linked_file_takes_the_place_of_what_is_below() {
    let bench = Bench::new();
    bench.write("x", "x");
    bench.write("d/x/y", "y");
    bench.write("d/z/y", "y");
    let below = "COPY --chmod=0700 d /opt/\n";
    let z = ["0755 0:0 /opt/", "0700 0:0 /opt/z/", "0700 0:0 /opt/z/y \"y\""];
    let x = |line: &'static str| [&z[..1], &[line], &z[1..]].concat();
    for link in ["COPY --link x /opt/x", "COPY --link --from=one /x /opt/x"] {
        let text = format!("COPY x /\nFROM scratch AS one\nCOPY x /\nFROM scratch\n{below}{link}");
        expect(&bench, &text, &x("0644 0:0 /opt/x \"x\""));
    }
    expect(&bench, &format!("{below}COPY --link x /opt"), &["0644 0:0 /opt \"x\""]);
    let directory = ["0700 0:0 /opt/x/", "0644 0:0 /opt/x/x \"x\"", "0700 0:0 /opt/x/y \"y\""];
    let expected = [&z[..1], &directory, &z[1..]].concat();
    expect(&bench, &format!("{below}COPY --link x /opt/x/"), &expected);
    let expected = [&z[..1], &directory[..1], &directory[2..], &z[1..]].concat();
    expect(&bench, &format!("{below}COPY --link none* /opt/x/none/"), &expected);
}

/// `INV-11`: a context has no outside.
#[test]
fn nothing_outside_of_the_context_is_reached() {
    let bench = Bench::new();
    let outside = bench.folder.path().join("outside");
    fs::write(&outside, "secret").unwrap();
    bench.write("outside", "inside");
    symlink("../outside", bench.context().join("up")).unwrap();
    symlink(&outside, bench.context().join("absolute")).unwrap();
    symlink("..", bench.context().join("above")).unwrap();
    expect(
        &bench,
        "COPY up /a\nCOPY ../outside /b\nCOPY above/outside /c\nCOPY above/../../outside /d",
        &[
            "0644 0:0 /a \"inside\"",
            "0644 0:0 /b \"inside\"",
            "0644 0:0 /c \"inside\"",
            "0644 0:0 /d \"inside\"",
        ],
    );
    assert!(bench.try_build("FROM scratch\nCOPY absolute /a").is_err());
    // In the tree too: what a symlink says is said of the tree.
    bench.write("l/x", "");
    fs::remove_file(bench.context().join("l/x")).unwrap();
    symlink("/../../../etc", bench.context().join("l/x")).unwrap();
    expect(
        &bench,
        "COPY l /\nCOPY outside /x/passwd",
        &["0755 0:0 /etc/", "0644 0:0 /etc/passwd \"inside\"", "0777 0:0 /x -> /../../../etc"],
    );
}

//! Every verb as a person sees it.

use super::support::{Place, pattern};

#[test]
fn help_names_every_verb_and_exit_code() {
    let place = Place::empty();
    insta::assert_snapshot!("help", place.transcript(&[&["--help"]]));
}

/// What several verbs have in common described itself in the place of the verb.
#[test]
fn the_help_of_a_verb_begins_as_the_list_of_verbs_tells_it() {
    let place = Place::empty();
    let text = |words: &[&str]| String::from_utf8(place.ok(words)).unwrap();
    let list = text(&["--help"]);
    let (_, list) = list.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    // What does not fit into a line goes on in the next one, under it.
    let list = list.replace("\n               ", " ");
    let words =
        |text: &str| text.replace('\\', "").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut verbs = 0;
    for line in list.lines().filter(|line| !line.starts_with("  help ")) {
        let (verb, told) = line.trim().split_once(' ').unwrap();
        let told = words(told);
        verbs += 1;
        for help in [text(&[verb, "--help"]), text(&[verb, "-h"])] {
            assert!(words(&help).starts_with(&told), "{verb}: {told}\n{help}");
        }
        assert!(words(&text(&["man", verb])).contains(&told), "{verb}: {told}");
    }
    assert!(verbs > 50, "{verbs} verbs");
}

/// What README, `help`, `help tag` and `help create` say of names.
#[test]
fn names_are_as_help_says() {
    let place = Place::with_fork();
    let tag = |name: &str| place.run(&["tag", "base:1", "--", name]);
    let long = "x".repeat(200);
    for name in ["team/app:1", "größe", "123456789012", "abcdef01234", "only:latest", &long] {
        assert_eq!(tag(name).code, 0, "{name}");
    }
    assert_eq!(place.layer("only"), place.layer("base:1"));
    let hexadecimal = "abcdef012345";
    for name in ["", "a b", "a@1", "a:/b", "-a", ".a", hexadecimal, "sha256:a", &format!("{long}x")]
    {
        assert_eq!(tag(name).code, 2, "{name}");
    }
    assert_eq!(tag("vm").code, 9, "that of a volume");
}

#[test]
fn quiet_leaves_the_id_of_what_was_made() {
    let place = Place::with_fork();
    let id = String::from_utf8(place.ok(&["-q", "snapshot", "vm", "-t", "vm:tuesday"])).unwrap();
    assert_eq!(id, place.layer("vm:tuesday") + "\n");
    assert_eq!(place.ok(&["-q", "tag", "vm:tuesday", "again"]), b"");
}

#[test]
fn making_and_listing() {
    let place = Place::empty();
    std::fs::write(place.path("base.img"), pattern(1, 1 << 20)).unwrap();
    insta::assert_snapshot!(
        "making_and_listing",
        place.transcript(&[
            &["init"],
            &["create", "scratch", "1G"],
            &["import", "base.img", "base"],
            &["fork", "base", "vm"],
            &["snapshot", "vm", "-t", "vm:monday", "--comment", "quiet"],
            &["tag", "vm@1", "vm:latest"],
            &["tag", "base", "vm:latest", "--force"],
            &["resize", "vm", "2M"],
            &["resize", "vm", "1M"],
            &["resize", "vm", "1M", "--shrink"],
            &["reset", "vm"],
            &["ls"],
            &["ls", "--bytes"],
            &["-q", "fork", "base", "quiet"],
            &["snapshot", "scratch"],
            &["rm", "vm", "scratch"],
            &["rm", "vm:monday"],
            &["fork", "nothing", "x"],
        ])
    );
}

#[test]
fn looking() {
    let place = Place::with_fork();
    insta::assert_snapshot!(
        "looking",
        place.transcript(&[
            &["map", "vm", "--width", "32"],
            &["map", "vm", "--since", "vm:monday", "--width", "32", "--bytes"],
            &["diff", "base:1", "vm"],
            &["diff", "vm:monday", "vm:monday"],
            &["log", "vm", "--graph"],
        ])
    );
    place.ok(&["create", "empty", "0"]);
    assert_eq!(place.ok(&["map", "empty"]), b"nothing there: the disk has 0 bytes\n");
    assert_eq!(place.json(&["map", "empty"], 0)["extents"], serde_json::json!([]));
    let shown = String::from_utf8(place.ok(&["show", "vm:monday"])).unwrap();
    for line in ["names:       vm:monday", "comment:     quiet", "label:       k=v"] {
        assert!(shown.contains(line), "{shown}");
    }
    let log = String::from_utf8(place.ok(&["log", "vm"])).unwrap();
    assert_eq!(log.lines().count(), 4, "{log}");
}

#[test]
fn the_graph_joins_what_is_alike() {
    let place = Place::with_fork();
    for number in 1..=9 {
        place.ok(&["fork", "base:1", &format!("fork-{number}")]);
    }
    place.feed(&["write", "fork-3"], &pattern(4, 200_000));
    insta::assert_snapshot!("graph", place.transcript(&[&["log", "base:1", "--graph"]]));
}

#[test]
fn space_comes_back_from_the_middle() {
    let place = Place::with_store();
    place.ok(&["create", "vm", "16M"]);
    for round in 0..3 {
        place.feed(&["write", "vm"], &pattern(round, 4 << 20));
        place.ok(&["snapshot", "vm"]);
    }
    let allocated = || place.json(&["df"], 0)["allocated_bytes"].as_u64().unwrap();
    let before = allocated();
    place.ok(&["rm", "vm@2"]);
    let said = place.json(&["gc", "--dry-run"], 0);
    assert!(said["freed_bytes"].as_u64().unwrap() >= 4 << 20, "{said}");
    assert_eq!(allocated(), before, "a dry run frees nothing");
    let done = place.json(&["gc"], 0);
    assert_eq!(done["freed_bytes"], said["freed_bytes"]);
    assert!(before - allocated() >= 4 << 20);
    assert!(place.ok(&["read", "vm@2", "--length", "4M"]) == pattern(0, 4 << 20));
    assert!(place.ok(&["read", "vm@1", "--length", "4M"]) == pattern(2, 4 << 20));
    assert_eq!(place.run(&["check", "--data"]).code, 0);
}

#[test]
fn equal_content_seals_to_equal_digests() {
    let place = Place::with_store();
    for (name, order) in [("a", [0, 1]), ("b", [1, 0])] {
        place.ok(&["create", name, "1M"]);
        for part in order {
            let offset = format!("{}", part * 8192);
            place.feed(&["write", name, "--offset", &offset], &pattern(part, 8192));
        }
        place.ok(&["snapshot", name, "-t", &format!("{name}:1")]);
    }
    let digest = |name| String::from_utf8(place.ok(&["seal", name])).unwrap();
    let (a, b) = (digest("a:1"), digest("b:1"));
    assert_eq!((a.len(), &a), (65, &b));
    place.ok(&["show", a.trim()]);
    place.ok(&["show", &a[..10]]);
}

#[test]
fn flattened_reads_the_same_and_stands_alone() {
    let place = Place::with_fork();
    place.ok(&["flatten", "vm:monday", "flat"]);
    assert!(place.ok(&["read", "flat"]) == place.ok(&["read", "vm:monday"]));
    let shown = place.json(&["show", "flat"], 0);
    assert_eq!(shown["parent"], serde_json::Value::Null);
}

#[test]
fn a_dump_names_offsets_and_works_on_damage() {
    let place = Place::with_fork();
    let layer = place.json(&["show", "vm:monday"], 0)["layer"].as_str().unwrap().to_owned();
    let whole = String::from_utf8(place.ok(&["dump", "vm:monday"])).unwrap();
    assert!(whole.contains("header"), "{whole}");
    let file = place.store().join("layers").join(format!("{layer}.layer"));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[4096 + 100] ^= 1;
    bytes.truncate(bytes.len() - 4096);
    std::fs::write(place.path("damaged.layer"), bytes).unwrap();
    let damaged = String::from_utf8(place.ok(&["dump", "./damaged.layer"])).unwrap();
    assert!(damaged.contains("header"), "{damaged}");
    assert_ne!(damaged, whole);
}

#[test]
fn looking_changes_nothing() {
    let place = Place::with_fork();
    let listing = || {
        let mut entries = Vec::new();
        for folder in ["", "layers", "names"] {
            for path in super::support::files_in(&place.store().join(folder), "") {
                let facts = std::fs::metadata(&path).unwrap();
                let modified = facts.is_file().then(|| facts.modified().unwrap());
                let bytes = facts.is_file().then(|| std::fs::read(&path).unwrap());
                entries.push((path, modified, bytes));
            }
        }
        entries
    };
    let before = listing();
    let looks: &[&[&str]] = &[
        &["ls"],
        &["show", "vm"],
        &["log", "vm"],
        &["log", "vm", "--graph"],
        &["map", "vm"],
        &["diff", "vm:monday", "base:1"],
        &["du"],
        &["df"],
        &["check", "--data"],
        &["dump", "vm"],
        &["gc", "--dry-run"],
        &["read", "vm"],
        &["export", "vm", "-"],
    ];
    for words in looks {
        let said = place.run(words);
        assert!(said.code <= 1, "{words:?}: {}", said.stderr);
        assert!(listing() == before, "{words:?} changed the store");
    }
}

#[test]
fn the_manual_and_completions() {
    let place = Place::empty();
    let page = String::from_utf8(place.ok(&["man", "fork"])).unwrap();
    assert!(page.contains("sapwood\\-fork"), "{page}");
    let examples =
        ".SH EXAMPLES\n.nf\n  sapwood fork golden:1 vm\n  sapwood fork vm@1 vm\\-again\n.fi\n";
    assert!(page.ends_with(examples), "{page}");
    let own = String::from_utf8(place.ok(&["man"])).unwrap();
    assert!(own.contains(".SH NOTES\n.nf\nReferences (REF):\n") && !own.contains("EXTRA"), "{own}");
    let usage = ".SH SYNOPSIS\n\\fBsapwood fork\\fR [OPTIONS] <REF> <NAME>\n";
    assert!(page.contains(usage), "{page}");
    assert!(!own.contains("sapwood\\-help"), "a page that nobody writes: {own}");
    assert_eq!(place.run(&["man", "frobnicate"]).code, 2);
    place.ok(&["man", "--directory", "pages"]);
    assert_eq!(super::support::files_in(&place.path("pages"), ".1").len(), 56);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = String::from_utf8(place.ok(&["completions", shell])).unwrap();
        assert!(script.contains("snapshot"), "{shell}");
    }
}

/// One that no power cut took is as good as any.
#[test]
fn a_fork_that_was_not_waited_for_is_there() {
    let place = Place::with_store();
    place.ok(&["create", "disk", "1M"]);
    place.ok(&["snapshot", "disk", "-t", "base:1"]);
    place.ok(&["fork", "--no-sync", "base:1", "light"]);
    assert_eq!(place.run(&["fork", "--no-sync", "base:1", "light"]).code, 9);
    place.ok(&["gc"]);
    assert_eq!(place.feed(&["write", "light"], b"sap").code, 0);
    place.ok(&["snapshot", "light", "-t", "light:1"]);
    assert_eq!(place.ok(&["read", "light:1", "--length", "3"]), b"sap");
    place.ok(&["check", "--data"]);
}

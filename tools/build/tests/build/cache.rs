//! What was made before is not made again.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use sapwood::files::{Files, FilesOptions, Paths};
use sapwood::{Annotations, ErrorKind, Replace, Store, StoreOptions};
use sapwood_build::{CacheUse, Options, Outcome, Report, build, silent};
use sapwood_oci::{Configuration, Image, RebaseOptions, publish, rebase, squash};

use crate::support::{Bench, outcomes, reasons};

#[test]
fn what_did_not_change_is_not_made_again() {
    let bench = Bench::new();
    bench.write("a", "1");
    bench.write("d/b", "2");
    let text = "FROM scratch\nWORKDIR /w\nCOPY a .\nENV x=y\nCOPY d /d/\n";
    let first = bench.build(text);
    let made = outcomes(&first);
    assert_eq!(made.len(), 3, "{made:?}");
    assert!(made.iter().all(|(_, outcome)| *outcome == Outcome::Made));
    let tree = bench.tree(&first);
    assert_eq!(
        tree,
        [
            "0755 0:0 //",
            "0755 0:0 /d/",
            "0644 0:0 /d/b \"2\"",
            "0755 0:0 /w/",
            "0644 0:0 /w/a \"1\""
        ]
    );

    // Times do not count.
    bench.write("a", "1");
    let again = bench.build(text);
    assert!(outcomes(&again).iter().all(|(_, outcome)| *outcome == Outcome::Cached));
    assert_eq!((again.layer, reasons(&again)), (first.layer, Vec::new()));
    assert_eq!(again.image, first.image);

    bench.write("d/b", "3");
    bench.write("d/c", "");
    let changed = bench.build(text);
    let ended: Vec<_> = outcomes(&changed).into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(ended, [Outcome::Cached, Outcome::Cached, Outcome::Made]);
    assert_eq!(reasons(&changed), ["file d/b changed; file d/c is new"]);
    assert_ne!(changed.layer, first.layer);
}

/// Steps before the first layer, and those on a tree without a configuration, had the time of each build.
#[test]
fn what_is_built_again_of_the_same_layers_is_the_same_image() {
    let bench = Bench::new();
    bench.write("a", "1");
    let files = Files::open(bench.store.create_tree("make").unwrap(), FilesOptions::default());
    let files = files.unwrap();
    Paths::new(&files).write("/base", b"1").unwrap();
    let created = Some(1_000_000_000_000_000_000);
    files.snapshot(&Annotations { created, ..Annotations::default() }).unwrap();
    files.close().unwrap();
    bench.store.tag("make@1", "tree:1", Replace::Refuse).unwrap();
    for text in [
        "FROM scratch\nENV x=y\nCOPY a /a\nCMD [\"/a\"]\n",
        "FROM scratch\nCMD [\"/a\"]\n",
        "FROM tree:1\nENV x=y\nCOPY a /a\n",
        "FROM tree:1\nCMD [\"/a\"]\n",
    ] {
        let first = bench.build(text);
        assert_eq!(bench.build(text).image, first.image, "{text}");
    }
    let first = bench.build("FROM scratch\nENV x=y\nCOPY a /a\n").configuration;
    let [env, copy] = &first.history[..] else { panic!("{:?}", first.history) };
    assert!(copy.created.is_some() && env.created == copy.created && first.created == copy.created);
    let on_tree = bench.build("FROM tree:1\nCMD [\"/a\"]\n").configuration;
    assert_eq!(on_tree.created.as_deref(), Some("2001-09-09T01:46:40.000000000Z"));
    let nothing = bench.build("FROM scratch\nCMD [\"/a\"]\n").configuration;
    assert_eq!((nothing.created, &nothing.history[0].created), (None, &None));
}

/// The whole build ran before its tag was looked at.
#[test]
fn a_tag_that_cannot_be_is_refused_before_the_first_step() {
    let bench = Bench::new();
    bench.write("a", "1");
    bench.store.create_tree("volume").unwrap().close().unwrap();
    let layers = bench.store.layer_ids().unwrap().len();
    for (tag, kind) in [("a b", ErrorKind::InvalidInput), ("volume", ErrorKind::AlreadyExists)] {
        let tags = vec!["fine:1".to_owned(), tag.to_owned()];
        let options = Options { tags, ..bench.options("FROM scratch\nCOPY a /a\n") };
        let error = build(&bench.store, &options, &silent).unwrap_err();
        assert_eq!(error.engine().unwrap().kind(), kind, "{error}");
        assert_eq!(bench.store.layer_ids().unwrap().len(), layers);
    }
    let tags = vec!["fine:1".to_owned()];
    let options = Options { tags, ..bench.options("FROM scratch\nCOPY a /a\n") };
    build(&bench.store, &options, &silent).unwrap();
    build(&bench.store, &options, &silent).unwrap();
}

#[test]
fn linked_layers_are_put_on_a_changed_base_by_sharing() {
    let bench = Bench::new();
    bench.write("base", "1");
    bench.write("large", &"x".repeat(1 << 20));
    let text = "FROM scratch\nCOPY base /base\nCOPY --link large /opt/\n";
    bench.build(text);
    bench.write("base", "2");
    let again = bench.build(text);
    let tree = bench.tree(&again);
    assert!(tree.iter().any(|line| line.starts_with("0644 0:0 /opt/large")), "{tree:?}");
    assert!(tree.contains(&"0644 0:0 /base \"2\"".to_owned()));
    assert_eq!(
        reasons(&again),
        ["file base changed", "a step below was made anew; its files were not copied again"]
    );
    // A few blocks of metadata, and not the file.
    let layer = bench.store.layer(again.layer.unwrap()).unwrap();
    assert!(layer.allocated_bytes < 256 << 10, "{} bytes", layer.allocated_bytes);
}

/// The layer on nothing was made anew, and told as not made before, for a step that was there.
#[test]
fn a_linked_layer_is_not_made_for_a_step_that_was() {
    let bench = Bench::new();
    bench.write("base", "1");
    bench.write("linked", "1");
    let text = "FROM scratch\nCOPY base /base\nCOPY --link linked /opt/\n";
    let options = Options { tags: vec!["made:1".to_owned()], ..bench.options(text) };
    let made = build(&bench.store, &options, &silent).unwrap();
    for name in bench.store.names().unwrap() {
        if name.name.starts_with("build-cache:") {
            bench.store.remove(&name.name).unwrap();
        }
    }
    bench.store.collect(&sapwood::GcOptions::default()).unwrap();
    let layers = bench.store.layer_ids().unwrap().len();
    let again = bench.build(text);
    assert_eq!((ended(&again), reasons(&again)), (vec![Outcome::Cached; 2], Vec::new()));
    assert_eq!((again.layer, bench.store.layer_ids().unwrap().len()), (made.layer, layers));
}

/// The id of an image says what is in it: where nobody can read that, there is none.
#[test]
fn layers_that_are_reused_are_read_for_the_id_of_their_image() {
    let bench = Bench::new();
    bench.write("base", "1");
    bench.write("large", &"x".repeat(1 << 20));
    let text = "FROM scratch\nCOPY base /base\nCOPY --link large /opt/\n";
    bench.build(text);
    let mut damaged = 0;
    for layer in fs::read_dir(bench.store.path().join("layers")).unwrap() {
        let file = File::options().read(true).write(true).open(layer.unwrap().path()).unwrap();
        let mut block = [0; 4096];
        for at in (0..file.metadata().unwrap().len()).step_by(block.len()) {
            file.read_exact_at(&mut block, at).unwrap();
            if block == [b'x'; 4096] {
                file.write_all_at(b"y", at).unwrap();
                damaged += 1;
            }
        }
    }
    assert_eq!(damaged, 256, "blocks, each there once");
    // As another process finds it. What was made of it before is known by its digest.
    let store = Store::open(bench.store.path(), &StoreOptions::default()).unwrap();
    build(&store, &bench.options(text), &silent).unwrap();
    bench.write("base", "2");
    let error = build(&store, &bench.options(text), &silent).unwrap_err();
    assert_eq!(error.engine().unwrap().kind(), ErrorKind::Corrupt);
    assert!(error.to_string().starts_with("Containerfile:3:1: COPY --link"), "{error}");
}

/// How the steps that make layers ended.
fn ended(report: &Report) -> Vec<Outcome> {
    outcomes(report).into_iter().map(|(_, outcome)| outcome).collect()
}

#[test]
fn what_was_made_anew_counts_from_then_on() {
    let bench = Bench::new();
    bench.write("a", "1");
    let text = "FROM scratch\nCOPY a /a\n";
    let first = bench.build(text);
    let options = Options { cache: CacheUse::Ignore, ..bench.options(text) };
    let anew = build(&bench.store, &options, &silent).unwrap();
    assert_eq!(
        (ended(&anew), reasons(&anew)),
        (vec![Outcome::Made], vec!["the cache is not to be used".to_owned()])
    );
    assert_ne!(anew.layer, first.layer);
    assert_eq!(bench.build(text).layer, anew.layer);
}

#[test]
fn it_is_told_what_differed() {
    let bench = Bench::new();
    bench.write("a", "1");
    bench.write("b", "1");
    let told = |text: &str| reasons(&bench.build(&format!("FROM scratch\n{text}")));
    assert_eq!(told("COPY a /x/"), ["nothing was made here before by such an instruction"]);
    assert_eq!(told("WORKDIR /x"), ["nothing was made here before by such an instruction"]);
    assert_eq!(told("COPY a /x/"), [] as [&str; 0]);
    assert_eq!(
        told("COPY --chown=1 a /x/"),
        ["instruction was \"COPY /x/\", is \"COPY --chown=1 /x/\""]
    );
    assert_eq!(told("COPY b /x/"), ["source was \"a\", is \"b\"; file b is new; file a is gone"]);
    assert_eq!(told("COPY a b /x/").len(), 1);
    bench.write("c", "1");
    bench.write("d", "1");
    bench.write("e", "1");
    let many = told("COPY a b c d e /x/");
    assert!(many[0].ends_with(" more") && many[0].contains("; and "), "{many:?}");

    // Of several of one name those are told that differ, each once.
    bench.write("f", "1");
    bench.write("l", "1");
    assert_eq!(told("COPY f l /y/").len(), 1);
    let runs = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(bench.context().join("f"), runs).unwrap();
    assert_eq!(told("COPY f l /y/"), ["file f changed"]);
    let chown = ["instruction was \"COPY /y/\", is \"COPY --chown=7 /y/\""];
    assert_eq!(told("COPY --chown=7 f l /y/"), chown);
    let gone = ["source \"l\" is gone; kind \"file\" is gone; file l is gone"];
    assert_eq!(told("COPY f /y/"), gone);
    // It is held against the step that it was, and not against the last one of its kind.
    told("COPY a b /s1/");
    told("COPY d e /t1/");
    assert_eq!(told("COPY a b /s2/"), ["instruction was \"COPY /s1/\", is \"COPY /s2/\""]);

    let base = Options { tags: vec!["base:1".into()], ..bench.options("FROM scratch\nCOPY e /e") };
    build(&bench.store, &base, &silent).unwrap();
    let on_it = |text: &str| reasons(&bench.build(&format!("FROM base:1\n{text}")));
    assert_eq!(on_it("COPY a /x/"), ["it was made before, on another base"]);
    let nothing = ["nothing was made here before by such an instruction"];
    assert_eq!(on_it("WORKDIR /y"), nothing);

    // Of what was not asked for nothing is told.
    let text = "FROM scratch\nCOPY e /other/";
    let options = Options { explain: false, ..bench.options(text) };
    assert_eq!(reasons(&build(&bench.store, &options, &silent).unwrap()), [] as [&str; 0]);
}

/// The keys of the steps go where the configuration goes; the layers themselves say nothing.
#[test]
fn layers_of_an_image_that_was_built_elsewhere_count_as_made_before() {
    let elsewhere = Bench::new();
    elsewhere.write("a", "1");
    elsewhere.write("b", "2");
    let text = "FROM scratch\nCOPY a /a\nENV x=y\nCOPY b /b\n";
    let made = elsewhere.build(text);

    let here = Bench::new();
    here.write("a", "1");
    here.write("b", "2");
    let volume = here.store.create_tree("layers").unwrap();
    let files = Files::open(volume, FilesOptions::default()).unwrap();
    let mut layers = Vec::new();
    for name in ["a", "b"] {
        Paths::new(&files).write(name, name.as_bytes()).unwrap();
        layers.push(files.snapshot(&Annotations::default()).unwrap().layer_id());
    }
    files.close().unwrap();
    let mut written = serde_json::to_value(&made.configuration).unwrap();
    written["rootfs"]["diff_ids"] = serde_json::json!([]);
    let configuration = Configuration::from_value(&written).unwrap();
    let top = layers[1].to_string();
    publish(&here.store, Some(&top), &configuration, "came:1", Replace::Refuse).unwrap();

    let options = Options { cache_from: vec!["came:1".to_owned()], ..here.options(text) };
    let report = build(&here.store, &options, &silent).unwrap();
    assert_eq!(ended(&report), [Outcome::Cached; 2]);
    assert_eq!(report.layer, Some(layers[1]));
    // What differs from some step on is made from there on.
    here.write("b", "changed");
    let report = build(&here.store, &options, &silent).unwrap();
    assert_eq!(ended(&report), [Outcome::Cached, Outcome::Made]);
    // Nobody said so: then it is not known.
    assert_eq!(ended(&here.build(text)), [Outcome::Made; 2]);
    let none = Options { cache_from: vec!["none:1".to_owned()], ..here.options(text) };
    assert!(build(&here.store, &none, &silent).is_err());

    // An image of this store is fine too.
    let tagged = Options { tags: vec!["mine:1".to_owned()], ..elsewhere.options(text) };
    build(&elsewhere.store, &tagged, &silent).unwrap();
    let options = Options { cache_from: vec!["mine:1".to_owned()], ..elsewhere.options(text) };
    let again = build(&elsewhere.store, &options, &silent).unwrap();
    assert_eq!((ended(&again), again.layer), (vec![Outcome::Cached; 2], made.layer));
}

/// A key stayed in its place when the layer there became another one, and a build took that layer for what
/// its step makes: without files that it makes, and with others.
#[test]
fn layers_that_are_others_than_a_step_made_are_not_taken_for_its_own() {
    let bench = Bench::new();
    for name in ["a", "b", "x", "y"] {
        bench.write(name, name);
    }
    let make = |tag: &str, text: &str| {
        let options = Options { tags: vec![tag.to_owned()], ..bench.options(text) };
        build(&bench.store, &options, &silent).unwrap();
        Image::open(&bench.store, tag).unwrap()
    };
    let image = make("image:1", "FROM scratch\nCOPY a /a\nCOPY b /b\nCOPY x /x\n");
    let bases =
        (make("base:1", "FROM scratch\nCOPY a /a\n"), make("base:2", "FROM scratch\nCOPY y /y\n"));
    let keys = |image: &Image| image.configuration().to_value()["sapwood.cache-keys"].clone();
    let known = keys(&image);
    assert_eq!(known.as_array().unwrap().len(), 3);
    let lowest = image.layers(&bench.store).unwrap()[0].id;

    let all = squash(&bench.store, &image, None, "one:1", Replace::Refuse).unwrap();
    let upper = squash(&bench.store, &image, Some(lowest), "two:1", Replace::Refuse).unwrap();
    let how = RebaseOptions { from: Some("base:1"), force: false, replace: Replace::Refuse };
    let moved = rebase(&bench.store, &image, &bases.1, "moved:1", &how).unwrap().image.unwrap();
    assert_eq!(keys(&all), serde_json::Value::Null);
    assert_eq!(keys(&upper), serde_json::json!([known[0]]));
    assert_eq!(keys(&moved.image), keys(&bases.1));

    bench.store.flatten("image:1", "flat:1", &mut |_| {}).unwrap();
    // What became of an image behind its back counts as well.
    let cut = make("cut:1", "FROM scratch\nCOPY y /y\nCOPY a /a\nCOPY b /b\n");
    for name in bench.store.names().unwrap() {
        if name.name.starts_with("build-cache:") {
            bench.store.remove(&name.name).unwrap();
        }
    }
    bench.store.remove(&cut.layers(&bench.store).unwrap()[0].id.to_string()).unwrap();

    for cache in ["one:1", "two:1", "moved:1", "flat:1", "cut:1"] {
        let text = "FROM scratch\nCOPY a /a\nCOPY b /b\n";
        let options = Options { cache_from: vec![cache.to_owned()], ..bench.options(text) };
        let report = build(&bench.store, &options, &silent).unwrap();
        let expected = ["0755 0:0 //", "0644 0:0 /a \"a\"", "0644 0:0 /b \"b\""];
        assert_eq!(bench.tree(&report), expected, "{cache}");
    }
}

/// The keys of steps on an image without a history were counted from its lowest layer.
#[test]
fn a_base_without_a_history_has_layers_all_the_same() {
    let bench = Bench::new();
    bench.write("a", "1");
    bench.write("b", "2");
    let base = bench.build("FROM scratch\nCOPY a /a\n");
    let mut silent_one = serde_json::to_value(&base.configuration).unwrap();
    let fields = silent_one.as_object_mut().unwrap();
    fields.remove("history");
    fields.remove("sapwood.cache-keys");
    let configuration = Configuration::from_value(&silent_one).unwrap();
    let top = base.layer.unwrap().to_string();
    publish(&bench.store, Some(&top), &configuration, "base:1", Replace::Refuse).unwrap();
    let on_it = bench.build("FROM base:1\nCOPY b /b\n").configuration;
    let steps: Vec<_> = on_it.history.iter().map(|step| step.created_by.as_deref()).collect();
    assert_eq!(steps, [Some("COPY a /a"), Some("COPY b /b")]);
    let keys = on_it.cache_keys();
    assert_eq!((keys.len(), &keys[0]), (2, &None));
}

/// They were dropped, without a word.
#[test]
fn what_a_stage_leaves_to_those_on_it_is_done_there_and_may_need_other_stages() {
    let bench = Bench::new();
    bench.write("a", "1");
    let text = "# escape=`\nFROM scratch AS other\nCOPY a /other\n\
        FROM scratch AS base\nONBUILD COPY --from=other `\n  /other /from\nONBUILD ENV x=y\n\
        FROM base AS done\nFROM done\nENV z=$x\n";
    let report = bench.build(text);
    assert_eq!(bench.tree(&report), ["0755 0:0 //", "0644 0:0 /from \"1\""]);
    let config = &report.configuration.config;
    assert_eq!(
        (&config.env[1..], &config.on_build[..]),
        (&["x=y", "z=y"].map(String::from)[..], &[][..])
    );
    let steps: Vec<_> = report.steps.iter().map(|(step, _)| step.instruction.as_str()).collect();
    let done = ["FROM base AS done", "COPY --from=other /other /from", "ENV x=y"];
    assert_eq!(steps[steps.len() - 5..][..3], done);
    // Who asks for that stage gets them with it, and what they need is not built.
    let options = Options { target: Some("base".into()), ..bench.options(text) };
    let report = build(&bench.store, &options, &silent).unwrap();
    let left = ["COPY --from=other   /other /from", "ENV x=y"];
    assert_eq!(
        (report.steps.len(), &report.configuration.config.on_build[..]),
        (3, &left.map(String::from)[..])
    );
}

/// Each build gave the base's steps its own time, and told of its own step as of one of the base's.
#[test]
fn the_history_of_a_base_stays_as_it_is() {
    let bench = Bench::new();
    bench.write("a", "1");
    bench.write("b", "2");
    let base = bench.build("FROM scratch\nCOPY a /a\n");
    let mut written = serde_json::to_value(&base.configuration).unwrap();
    written.as_object_mut().unwrap().remove("created");
    written["history"] = serde_json::json!([{ "created_by": "one" }, { "created_by": "two" }]);
    let configuration = Configuration::from_value(&written).unwrap();
    let top = base.layer.unwrap().to_string();
    publish(&bench.store, Some(&top), &configuration, "base:1", Replace::Refuse).unwrap();
    let history = bench.build("FROM base:1\nENV x=y\nCOPY b /b\n").configuration.history;
    let steps: Vec<_> = history
        .iter()
        .map(|step| (step.created_by.as_deref().unwrap(), step.created.is_some(), step.empty_layer))
        .collect();
    let expected = [
        ("one", false, false),
        ("two", false, true),
        ("ENV x=y", true, true),
        ("COPY b /b", true, false),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn further_contexts_are_directories_of_their_own() {
    let bench = Bench::new();
    let lib = bench.folder.path().join("lib");
    fs::create_dir(&lib).unwrap();
    fs::write(lib.join("x.txt"), "lib").unwrap();
    bench.write("x.txt", "context");
    let text = "FROM scratch\nCOPY x* /a/\nCOPY --from=lib x.txt /b/\n";
    let ignore = sapwood_build::Ignore::parse("*.txt\n").unwrap();
    let contexts = vec![("lib".to_owned(), lib.clone())];
    let options = Options { contexts, ignore, ..bench.options(text) };
    let report = build(&bench.store, &options, &silent).unwrap_or_else(|error| panic!("{error}"));
    // What the main context leaves out is another matter.
    let tree = bench.tree(&report);
    assert_eq!(tree.last().unwrap(), "0644 0:0 /b/x.txt \"lib\"", "{tree:?}");
    assert!(!tree.iter().any(|line| line.contains("/a/x")), "{tree:?}");
    fs::write(lib.join("x.txt"), "new").unwrap();
    let report = build(&bench.store, &options, &silent).unwrap();
    assert_eq!(reasons(&report), ["file x.txt changed"]);
    let missing = bench.try_build("FROM scratch\nCOPY --from=lib x.txt /\n").unwrap_err();
    assert!(missing.to_string().starts_with("Containerfile:2:1: COPY --from=lib"), "{missing}");
}

#[test]
fn an_image_has_as_many_tags_as_are_asked_for() {
    let bench = Bench::new();
    bench.write("a", "1");
    let tags = ["one:1", "two", "group/three:latest"];
    let tags: Vec<String> = tags.map(str::to_owned).to_vec();
    let text = "FROM scratch\nCOPY a /a\n";
    let options = Options { tags: tags.clone(), ..bench.options(text) };
    let report = build(&bench.store, &options, &silent).unwrap();
    for tag in &tags {
        let image = Image::open(&bench.store, tag).unwrap();
        assert_eq!(image.configuration().digest(), report.image, "{tag}");
        assert_eq!(image.top_layer(&bench.store).unwrap(), report.layer, "{tag}");
    }
    // Tags move with what is built, and nothing else does.
    bench.write("a", "2");
    let options = Options { tags: vec![tags[0].clone()], ..options };
    let newer = build(&bench.store, &options, &silent).unwrap();
    let digest = |tag: &str| Image::open(&bench.store, tag).unwrap().configuration().digest();
    assert_eq!((digest("one:1"), digest("two")), (newer.image, report.image));
}

/// Two names that are no UTF-8 were taken for one.
#[test]
fn a_file_of_another_name_is_copied_whatever_its_name_is() {
    let bench = Bench::new();
    let name = |byte: u8| bench.context().join(OsStr::from_bytes(&[b'n', byte]));
    fs::create_dir_all(name(0xff)).unwrap();
    fs::write(name(0xff).join("file"), "1").unwrap();
    for text in ["FROM scratch\nCOPY n* /e/\n", "FROM scratch\nCOPY --parents n*/file /d/\n"] {
        fs::rename(name(0xff), name(0xfd)).unwrap();
        let first = bench.build(text);
        fs::rename(name(0xfd), name(0xff)).unwrap();
        let renamed = bench.build(text);
        assert_ne!(renamed.layer, first.layer, "{text}");
        assert_eq!(bench.build(text).layer, renamed.layer, "{text}");
    }
    fs::remove_dir_all(name(0xff)).unwrap();
    for byte in [0xfe, 0xff] {
        fs::write(name(byte), "1").unwrap();
        let built = bench.build("FROM scratch\nCOPY n* /f/\n");
        assert_eq!(outcomes(&built)[0].1, Outcome::Made, "{byte:x}");
        fs::remove_file(name(byte)).unwrap();
    }
}

/// What was made anew had the same time as what it was made anew for, and the next build took either.
#[test]
fn what_was_made_anew_counts_where_the_time_is_given_and_before_what_others_made() {
    let bench = Bench::new();
    bench.write("a", "1");
    let text = "FROM scratch\nCOPY a /\n";
    let given = |cache| Options {
        cache,
        source_date_epoch: Some(1_700_000_000),
        tags: vec!["made:1".to_owned()],
        ..bench.options(text)
    };
    let build = |options: &Options| build(&bench.store, options, &silent).unwrap().layer;
    let first = build(&Options { tags: vec!["first:1".to_owned()], ..given(CacheUse::Use) });
    for _ in 0..6 {
        let anew = build(&given(CacheUse::Ignore));
        assert_ne!(anew, first);
        assert_eq!(build(&given(CacheUse::Use)), anew);
        let cache_from = vec!["first:1".to_owned()];
        assert_eq!(build(&Options { cache_from, ..given(CacheUse::Use) }), anew);
    }
}

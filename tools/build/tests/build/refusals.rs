//! What cannot be built is told with its place, and leaves nothing behind but what was made before.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use sapwood_build::{Options, build, silent};

use crate::support::{Bench, outcomes};

#[test]
fn errors_say_where_and_what() {
    let bench = Bench::new();
    bench.write("a", "");
    bench.write("b", "");
    bench.write("d/c", "");
    let _socket = UnixListener::bind(bench.context().join("socket")).unwrap();
    symlink("/etc/passwd", bench.context().join("d/out")).unwrap();
    let cases = [
        ("FROM nowhere:1", "Containerfile:1:1", "nowhere:1, which the store does not have"),
        ("FROM scratch\nCOPY missing /x", "Containerfile:2:1", "missing"),
        ("FROM scratch\nCOPY a b /x", "Containerfile:2:10", "slash"),
        ("FROM scratch\nCOPY * /x", "Containerfile:2:8", "slash"),
        ("FROM scratch\nCOPY [a /x/", "Containerfile:2:1", "bracket"),
        ("FROM scratch\nADD https://example.org/x /x", "Containerfile:2:5", "network"),
        ("FROM scratch\nCOPY --from=nobody a /x", "Containerfile:2:1", "nobody"),
        ("FROM scratch\nCOPY --chown=nobody a /x", "Containerfile:2:1", "nobody"),
        ("FROM scratch\nCOPY --link --chown=app a /x", "Containerfile:2:1", "numbers"),
        ("FROM scratch AS a\nCOPY --from=a a /x", "Containerfile:2:1", "the stage itself"),
        (
            "FROM scratch\nCOPY --from=B a /x\nFROM scratch AS b\nCOPY --from=0 a a",
            "Containerfile:2:1",
            "a stage that comes later",
        ),
        ("FROM scratch\nCOPY --chmod=u~x a /x", "Containerfile:2:14", "0755"),
        ("FROM scratch\nCOPY a /x/\nCOPY b /x/a/y", "Containerfile:3:1", "a directory"),
        ("FROM scratch\nCOPY d /x/\nCOPY a /x/c/", "Containerfile:3:1", "a directory"),
        ("FROM scratch\nCOPY d /d/c/\nCOPY d/c /d", "Containerfile:3:1", "a file"),
        ("FROM scratch\nCOPY socket /x", "Containerfile:2:1", "a socket"),
        ("FROM scratch\nCOPY d/out /x", "Containerfile:2:1", "a symlink that leads nowhere"),
        ("FROM scratch\nCOPY d/* /x/", "Containerfile:2:1", "d/out: a symlink that leads nowhere"),
        ("FROM scratch\nCOPY a /x\nWORKDIR /x", "Containerfile:3:1", "a directory"),
        ("FROM scratch\nCOPY a /x\nWORKDIR /x/y", "Containerfile:3:1", "a directory"),
        ("FROM scratch\nENV a=${b:?set-b}", "Containerfile:2:7", "set-b"),
        ("FROM scratch\nUSER $none", "Containerfile:2:6", "a value"),
        ("FROM scratch\nEXPOSE 80/x", "Containerfile:2:8", "/udp"),
        ("FROM scratch\nSTOPSIGNAL HELLO", "Containerfile:2:12", "signal"),
        ("FROM ${x}", "Containerfile:1:6", "an image"),
        ("FROM --platform=plan9/amd64 scratch", "Containerfile:1:17", "linux/"),
        ("FROM scratch AS a\nFROM a\nCOPY --from=a a /x", "Containerfile:3:1", "empty"),
        ("FROM scratch AS a\nONBUILD COPY none /x\nFROM a", "Containerfile:3:1: COPY none", "none"),
    ];
    for (text, place, told) in cases {
        let error = bench.try_build(text).expect_err(text).to_string();
        assert!(error.starts_with(place), "{text}: {error}");
        assert!(error.contains(told), "{text}: {error}");
    }
    let options = Options { target: Some("other".into()), ..bench.options("FROM scratch AS one") };
    let error = build(&bench.store, &options, &silent).unwrap_err().to_string();
    assert!(error.contains("one of one"), "{error}");
    // Nothing of it has a name but what keeps layers.
    for name in bench.store.names().unwrap() {
        assert!(name.name.starts_with("build-cache:"), "{}", name.name);
    }
}

/// A step whose layer no tar can say would be found out only where the image goes out.
#[test]
fn a_layer_that_cannot_go_out_is_an_error_of_its_step() {
    let bench = Bench::new();
    bench.write("a", "");
    bench.write(".wh.b", "");
    let text = "FROM scratch AS other\nCOPY .wh.b /d/\nFROM scratch\nCOPY a /a\n\
        COPY .wh.b /d/\nCOPY a /b\n";
    let error = bench.try_build(text).unwrap_err();
    assert_eq!(error.engine().unwrap().kind(), sapwood::ErrorKind::Unsupported);
    let error = error.to_string();
    assert!(error.starts_with("Containerfile:5:1: COPY .wh.b /d/: "), "{error}");
    // It is found where all layers were made before, and where another stage has it there is no harm.
    let error = bench.try_build(text).unwrap_err();
    assert_eq!(error.engine().unwrap().kind(), sapwood::ErrorKind::Unsupported);
    bench.build(
        "FROM scratch AS other\nCOPY .wh.b /d/\nFROM scratch\nCOPY --from=other /d/.wh.b /b\n",
    );
}

#[test]
fn what_was_made_before_an_error_stays() {
    let bench = Bench::new();
    bench.write("a", "");
    bench.try_build("FROM scratch\nCOPY a /a\nCOPY missing /b").unwrap_err();
    bench.write("missing", "");
    let report = bench.build("FROM scratch\nCOPY a /a\nCOPY missing /b");
    let ended: Vec<_> = outcomes(&report).into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(ended, [sapwood_build::Outcome::Cached, sapwood_build::Outcome::Made]);
}

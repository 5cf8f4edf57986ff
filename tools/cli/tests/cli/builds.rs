//! `build`: what it prints, and how it ends.

use std::fs;

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

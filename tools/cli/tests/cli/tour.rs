//! The tour, from end to end.

use super::support::Place;

#[test]
fn the_tour_ends_well_on_a_directory_and_leaves_nothing() {
    let place = Place::empty();
    let files = place.path("files");
    std::fs::create_dir_all(files.join("a/b")).unwrap();
    std::fs::write(files.join("a/b/it's"), "text").unwrap();
    std::fs::write(files.join("large"), super::support::pattern(1, 3 << 20)).unwrap();
    let temporary = place.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let output = place
        .command()
        .env("TMPDIR", &temporary)
        .args(["tour", "files", "--forks", "5", "--json"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = document["steps"].as_array().unwrap();
    let commands: Vec<_> = steps.iter().map(|step| step["command"].as_str().unwrap()).collect();
    for verb in [
        "import", "seal", "fork", "write", "snapshot", "map", "log", "diff", "du", "rm", "gc",
        "check", "cp", "blame", "ls",
    ] {
        let ran = commands.iter().any(|command| command.contains(&format!("sapwood {verb}")))
            || commands.iter().any(|command| command.contains(&format!("sapwood -q {verb}")));
        assert!(ran, "no {verb} in {commands:?}");
    }
    // The space of the middle snapshot comes back: all that the round after it overwrote.
    let freed = steps.iter().filter(|step| step["command"] == "sapwood gc");
    let freed: u64 = freed.map(|step| step["documents"][0]["freed_bytes"].as_u64().unwrap()).sum();
    assert!(freed >= 8 << 20, "{freed} bytes came back");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    assert!(!place.store().exists(), "the tour keeps to its own store");
}

#[test]
fn the_tour_takes_an_image() {
    let place = Place::empty();
    std::fs::write(place.path("disk.img"), super::support::pattern(5, (2 << 20) + 99)).unwrap();
    let said = place.run(&["tour", "disk.img", "--forks", "3"]);
    let text = String::from_utf8_lossy(&said.stdout);
    assert_eq!(said.code, 0, "{text}{}", said.stderr);
    assert!(text.contains("$ sapwood check --data"), "{text}");
    assert!(text.contains("only here"), "{text}");
    assert_eq!(place.run(&["tour", "missing"]).code, 8);
}

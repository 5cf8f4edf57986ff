//! What was made before is not made again.

use sapwood_build::Outcome;

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

//! Built images that went to another store.

use std::io::Cursor;

use sapwood::files::{Paths, compare};
use sapwood_build::{Options, Outcome, build, silent};
use sapwood_oci::{
    Compression, Image, Input, LoadOptions, Save, load, open_archive, save_oci_archive,
};

use crate::support::*;

const TEXT: &str = "FROM scratch\nCOPY a /\nENV X=1\nCOPY b /d/\nCMD [\"x\"]\n";

#[test]
fn an_image_that_came_from_elsewhere_is_the_same_and_serves_as_a_cache() {
    let (elsewhere, here) = (Bench::new(), Bench::new());
    for bench in [&elsewhere, &here] {
        bench.write("a", "one");
        bench.write("b", "two");
    }
    let tagged = Options { tags: vec!["made:1".to_owned()], ..elsewhere.options(TEXT) };
    build(&elsewhere.store, &tagged, &silent).unwrap();
    let image = Image::open(&elsewhere.store, "made:1").unwrap();
    let saves = [Save { image: &image, name: Some("made:1") }];
    let (mut archive, scratch) = (Vec::new(), elsewhere.folder.path());
    let (store, gzip) = (&elsewhere.store, Compression::Gzip);
    let saved = save_oci_archive(store, &saves, &mut archive, scratch, gzip, &|_| {}).unwrap();

    let (input, options) = (Input::Stream(Box::new(Cursor::new(archive))), LoadOptions::default());
    let opened = open_archive(&here.store, input, None, &options).unwrap();
    let loaded = load(&here.store, &*opened, None, None, &options, &|_| {}).unwrap();
    let [(tags, came)] = &loaded[..] else { panic!("{} images", loaded.len()) };
    assert_eq!(tags[..], ["made:1"]);
    assert_eq!(came.configuration().json(), saved[0].configuration.json());
    assert_eq!(compare(image.view(), came.view()).unwrap(), []);

    let from = Options { cache_from: vec!["made:1".to_owned()], ..here.options(TEXT) };
    let report = build(&here.store, &from, &silent).unwrap();
    assert!(outcomes(&report).iter().all(|(_, outcome)| *outcome == Outcome::Cached));
    assert_eq!(report.layer, came.top_layer(&here.store).unwrap());
    here.write("b", "changed");
    let report = build(&here.store, &from, &silent).unwrap();
    let ended: Vec<_> = outcomes(&report).into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(ended, [Outcome::Cached, Outcome::Made]);
    let tree = here.view(&report);
    assert_eq!(Paths::new(&tree).read("d/b").unwrap(), b"changed");
}

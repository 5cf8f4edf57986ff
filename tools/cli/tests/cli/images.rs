//! Raw images in and out.

use std::os::unix::fs::{FileExt, MetadataExt};

use super::support::{Place, files_in, pattern};

#[test]
fn what_goes_in_comes_out_holes_stay_holes() {
    let place = Place::with_store();
    let path = place.path("in.img");
    let file = std::fs::File::create(&path).unwrap();
    let size = (96 << 20) + 1234;
    file.set_len(size).unwrap();
    file.write_all_at(&pattern(1, 300_000), 4097).unwrap();
    file.write_all_at(&vec![0; 4 << 20], 32 << 20).unwrap();
    file.write_all_at(&pattern(2, 3 << 20), (64 << 20) - 77).unwrap();
    file.write_all_at(&pattern(3, 17), size - 17).unwrap();
    let report = place.json(&["import", "in.img", "base"], 0);
    assert_eq!(report["size_bytes"], size);
    let data = report["data_bytes"].as_u64().unwrap();
    assert!((3 << 20..5 << 20).contains(&data), "zeros were stored: {data}");

    place.ok(&["export", "base", "out.img"]);
    let (before, after) = (std::fs::read(&path).unwrap(), std::fs::read(place.path("out.img")));
    assert!(before == after.unwrap(), "the bytes differ");
    let blocks = std::fs::metadata(place.path("out.img")).unwrap().blocks();
    assert!(blocks * 512 < 8 << 20, "holes were written: {blocks} sectors");

    let streamed = place.ok(&["export", "base", "-"]);
    assert!(streamed == before, "the stream differs");
    place.feed(&["import", "-", "streamed"], &streamed);
    let again = place.ok(&["read", "streamed"]);
    assert!(again == before, "the stream came back different");
}

#[test]
fn reads_and_writes_at_any_byte() {
    let place = Place::with_fork();
    place.feed(&["write", "vm", "--offset", "4095"], b"across");
    let mut expected = pattern(1, 1 << 20);
    expected[64 << 10..192 << 10].copy_from_slice(&pattern(2, 128 << 10));
    expected[512 << 10..][..4096].copy_from_slice(&pattern(3, 4096));
    expected[4095..4101].copy_from_slice(b"across");
    assert!(place.ok(&["read", "vm"]) == expected);
    assert_eq!(place.ok(&["read", "vm", "--offset", "4095", "--length", "6"]), b"across");
    assert_eq!(place.ok(&["read", "vm", "--offset", "1M"]), b"");
    // Nothing of a write that reaches past the end stays.
    assert_eq!(place.feed(&["write", "vm", "--offset", "1M"], b"x").code, 2);
    let past = place.feed(&["write", "vm"], &pattern(9, (1 << 20) + 1));
    assert_eq!(past.code, 2, "{}", past.stderr);
    assert!(place.ok(&["read", "vm"]) == expected);
}

#[test]
fn an_image_is_raw_whatever_it_looks_like() {
    let place = Place::with_store();
    let mut image = b"QFI\xfb\0\0\0\x03".to_vec();
    image.resize(70_000, 7);
    std::fs::write(place.path("fake.img"), &image).unwrap();
    place.ok(&["import", "fake.img", "fake", "--format", "raw"]);
    assert_eq!(place.ok(&["read", "fake"]), image);
    assert_eq!(place.run(&["import", "fake.img", "x", "--format", "qcow2"]).code, 2);
}

#[test]
fn force_replaces_and_the_mode_follows_the_umask() {
    let place = Place::with_fork();
    std::fs::write(place.path("out.img"), "old").unwrap();
    assert_eq!(place.run(&["export", "base:1", "out.img"]).code, 9);
    place.ok(&["export", "base:1", "out.img", "--force"]);
    assert!(std::fs::read(place.path("out.img")).unwrap() == pattern(1, 1 << 20));
    std::fs::write(place.path("usual"), "").unwrap();
    let mode = |name| std::fs::metadata(place.path(name)).unwrap().mode();
    assert_eq!(mode("out.img"), mode("usual"));
    assert_eq!(files_in(&place.path(""), "").len(), 4, "nothing is left beside the image");
}

#[test]
fn an_import_makes_the_store_and_no_other_verb_does() {
    let place = Place::empty();
    std::fs::write(place.path("a.img"), "a").unwrap();
    assert_eq!(place.run(&["import", "missing.img", "a"]).code, 8);
    assert!(!place.store().exists(), "a failed import makes no store");
    place.ok(&["import", "a.img", "a"]);
    assert_eq!(place.ok(&["read", "a"]), b"a");
    let names = place.json(&["ls"], 0);
    assert_eq!(names["names"].as_array().unwrap().len(), 1, "{names}");
}

//! Whiteouts and opaque directories: on lower layers only, wherever they stand.

use sapwood::ErrorKind;
use sapwood::files::{Inode, ReadFiles, Time};
use sapwood_archive::tar::{Member, MemberKind};

use crate::support::*;

type Members = Vec<(Member, Vec<u8>)>;

/// What the layers below hold.
fn below() -> Members {
    vec![
        directory("d/"),
        file("d/one", "1"),
        file("d/two", "2"),
        directory("d/sub/"),
        file("d/sub/three", "3"),
        directory("d/sub/deep/"),
        file("d/sub/deep/four", "4"),
        file("e", "5"),
        symlink("way", "d/sub"),
    ]
}

fn applied(layer: &Members) -> Vec<String> {
    let files = tree();
    import_layer(&files, &stream(&below())).unwrap();
    import_layer(&files, &stream(layer)).unwrap();
    paths(&files)
}

#[test]
fn a_whiteout_hides_a_file_or_a_whole_tree() {
    let layer = vec![file("d/.wh.sub", ""), file(".wh.e", ""), file("d/.wh.missing", "")];
    assert_eq!(applied(&layer), ["d", "d/one", "d/two", "way"]);
}

#[test]
fn an_opaque_directory_keeps_what_the_layer_brings_wherever_the_mark_stands() {
    let brought = [
        directory("d/"),
        file("d/new", "new"),
        file("d/sub/other", "other"),
        file("d/two", "again"),
    ];
    for place in 0..=brought.len() {
        let mut layer = brought.to_vec();
        layer.insert(place, file("d/.wh..wh..opq", ""));
        let expected = ["d", "d/new", "d/sub", "d/sub/other", "d/two", "e", "way"];
        assert_eq!(applied(&layer), expected, "the mark at {place}");
    }
}

#[test]
fn a_whiteout_beside_a_file_of_its_name_hides_the_lower_one_alone() {
    for place in 0..=2 {
        let mut layer = vec![directory("d/sub/"), file("d/sub/new", "new")];
        layer.insert(place, file("d/.wh.sub", ""));
        let expected = ["d", "d/one", "d/sub", "d/sub/new", "d/two", "e", "way"];
        assert_eq!(applied(&layer), expected, "the whiteout at {place}");
    }
}

#[test]
fn the_result_is_the_same_in_any_order_of_whiteouts_attributes_included() {
    let mut described = Vec::new();
    for place in 0..=3 {
        let mut named = directory("d/sub/deep/");
        named.0.permissions = 0o700;
        named.0.attributes = vec![(b"user.a".to_vec(), b"b".to_vec())];
        let mut layer = vec![named, file("d/sub/deep/new", "new"), file("d/sub/deep/more", "")];
        layer.insert(place, file("d/.wh.sub", ""));
        let files = tree();
        let mut lower = below();
        lower[3].0.owner = 17;
        lower[3].0.attributes = vec![(b"user.lower".to_vec(), b"there".to_vec())];
        import_layer(&files, &stream(&lower)).unwrap();
        import_layer(&files, &stream(&layer)).unwrap();
        described.push(describe(&files, Inode::ROOT));
    }
    for other in &described[1..] {
        assert_same(other, &described[0]);
    }
    let sub = &described[0]["d/sub"];
    assert_eq!((sub.owner, sub.permissions, sub.attributes.len()), (0, 0o755, 0));
    assert_eq!(described[0]["d/sub/deep"].attributes.len(), 1);
}

#[test]
fn an_opaque_root_hides_all_that_is_below() {
    assert_eq!(applied(&vec![file("f", ""), file(".wh..wh..opq", "")]), ["f"]);
}

#[test]
fn a_whiteout_through_a_symlink_stays_in_the_tree() {
    let layer = vec![file("way/.wh.deep", "")];
    assert_eq!(applied(&layer), ["d", "d/one", "d/sub", "d/sub/three", "d/two", "e", "way"]);
    let out = vec![symlink("out", "/../../.."), file("out/.wh.e", "")];
    assert!(!applied(&out).contains(&"e".to_owned()));
    let nowhere = vec![symlink("out", "/no/such"), file("out/.wh.e", "")];
    assert!(applied(&nowhere).contains(&"e".to_owned()));
}

#[test]
fn what_cannot_be_a_whiteout_is_refused_by_name() {
    let refused = [
        file("d/.wh.", ""),
        file("d/.wh..", ""),
        file("d/.wh...", ""),
        file(".wh..wh.other", ""),
        file(".wh.d/file", ""),
        directory("d/.wh.sub/"),
        symlink(".wh.e", "d"),
        hard_link("f", "d/.wh.one"),
        hard_link(".wh.e", "d/one"),
    ];
    for one in refused {
        let files = tree();
        let name = String::from_utf8(one.0.name.clone()).unwrap();
        import_layer(&files, &stream(&below())).unwrap();
        let error = import_layer(&files, &stream(&[one])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
        assert!(error.to_string().contains(name.trim_end_matches('/')), "{error}");
    }
}

#[test]
fn a_plain_tar_has_no_whiteouts() {
    let files = tree();
    import_tar(&files, &stream(&below())).unwrap();
    import_tar(&files, &stream(&[file("d/.wh.one", "x"), file("d/.wh..wh..opq", "y")])).unwrap();
    assert!(paths(&files).contains(&"d/one".to_owned()));
    assert_eq!(read(&files, "d/.wh.one"), b"x");
    assert_eq!(read(&files, "d/.wh..wh..opq"), b"y");
}

#[test]
fn a_directory_replaces_attributes_and_anything_else_is_made_anew() {
    let files = tree();
    import_layer(&files, &stream(&below())).unwrap();
    let mut sub = directory("d/sub/");
    sub.0.permissions = 0o711;
    sub.0.modified = Time { seconds: 77, nanoseconds: 7 };
    let layer = [sub, file("d/two", "over"), directory("e/"), file("e/in", "in"), file("way", "f")];
    import_layer(&files, &stream(&layer)).unwrap();
    let described = describe(&files, Inode::ROOT);
    assert_eq!(described["d/sub"].permissions, 0o711);
    assert_eq!(described["d/sub"].modified, Time { seconds: 77, nanoseconds: 7 });
    assert_eq!(described["d/sub/three"].content, b"3");
    assert_eq!(described["d/two"].content, b"over");
    assert_eq!(described["e/in"].content, b"in");
    assert_eq!(described["way"].content, b"f");
    import_layer(&files, &stream(&[file("d", "no directory any more")])).unwrap();
    assert_eq!(paths(&files), ["d", "e", "e/in", "way"]);
}

#[test]
fn a_directory_that_the_layer_does_not_speak_of_keeps_its_times() {
    let files = tree();
    let mut lower = below();
    lower[0].0.modified = Time { seconds: 1_000, nanoseconds: 1 };
    import_layer(&files, &stream(&lower)).unwrap();
    import_layer(&files, &stream(&[file("d/.wh.one", ""), file("d/new", "")])).unwrap();
    let d = files.lookup(Inode::ROOT, b"d").unwrap();
    let modified = files.attributes(d).unwrap().modified;
    assert_eq!(modified, Time { seconds: 1_000, nanoseconds: 1 });
}

#[test]
fn a_file_written_over_a_hard_link_leaves_the_other_name_alone() {
    let files = tree();
    import_layer(&files, &stream(&below())).unwrap();
    let layer = [hard_link("link", "d/one"), file("link", "other")];
    import_layer(&files, &stream(&layer)).unwrap();
    assert_eq!((read(&files, "d/one"), read(&files, "link")), (b"1".to_vec(), b"other".to_vec()));
    import_layer(&files, &stream(&[hard_link("kept", "d/two"), file("d/.wh.two", "")])).unwrap();
    assert_eq!(read(&files, "kept"), b"2");
}

#[test]
fn the_root_s_own_attributes_are_taken_over() {
    let files = tree();
    let mut root = directory("./");
    root.0.permissions = 0o555;
    root.0.owner = 7;
    root.0.modified = Time { seconds: 5, nanoseconds: 6 };
    import_layer(&files, &stream(&[root, file("a", "")])).unwrap();
    let root = files.attributes(Inode::ROOT).unwrap();
    assert_eq!((root.permissions, root.owner, root.modified.nanoseconds), (0o555, 7, 6));
    let over = import_layer(&files, &stream(&[member("/", MemberKind::Fifo)])).unwrap_err();
    assert_eq!(over.field(), Some("kind of the root"));
}

/// Opening a directory again for each of many marks made containerd quadratic.
#[test]
fn many_opaque_marks_and_whiteouts_cost_what_they_say() {
    let files = tree();
    let lower: Members = (0..2_000).map(|at| file(&format!("d/{at}"), "")).collect();
    import_layer(&files, &stream(&lower)).unwrap();
    let mut layer: Members = (0..2_000).map(|at| file(&format!("d/new{at}"), "")).collect();
    layer.extend((0..20_000).map(|_| file("d/.wh..wh..opq", "")));
    layer.extend((0..20_000).map(|_| file("d/.wh.7", "")));
    import_layer(&files, &stream(&layer)).unwrap();
    assert_eq!(paths(&files).len(), 1 + 2_000);
}

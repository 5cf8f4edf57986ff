//! Archives that want to get out, or mean two things: nothing of the host changes, and the error
//! names the member.

use std::fs;
use std::path::{Path, PathBuf};
use std::slice;

use sapwood::ErrorKind;
use sapwood::files::{FileKind, Inode, ReadFiles};
use sapwood_archive::tar::{Member, MemberKind};
use sapwood_archive::{ExportOptions, ImportOptions, Ownership, SpecialFiles, export_directory};

use crate::support::*;

/// A folder of the host with a file that must not change, and an empty place beside it.
struct Canary {
    folder: tempfile::TempDir,
}

impl Canary {
    fn new() -> Canary {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("outside")).expect("a folder");
        fs::write(folder.path().join("outside/canary"), "sings").expect("a file");
        Canary { folder }
    }

    fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    fn assert_unchanged(&self) {
        let names: Vec<_> = fs::read_dir(self.outside())
            .expect("the folder is there")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(names, ["canary"]);
        assert_eq!(fs::read_to_string(self.outside().join("canary")).expect("it sings"), "sings");
    }

    fn export(&self, files: &dyn ReadFiles) -> sapwood::Result<()> {
        let options = ExportOptions {
            ownership: Ownership::Default,
            special_files: SpecialFiles::Skip,
            ..ExportOptions::default()
        };
        let done = export_directory(files, Inode::ROOT, &self.target(), &options, &mut |_| {});
        self.assert_unchanged();
        done.map(drop)
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of letters").to_owned()
}

#[test]
fn a_symlink_of_one_layer_is_no_way_out_for_the_next() {
    let canary = Canary::new();
    let outside = text(&canary.outside());
    for target in [outside.clone(), format!("../../../../../../../../{outside}"), "/".to_owned()] {
        let files = tree();
        import_layer(&files, &stream(&[symlink("x", &target)])).unwrap();
        let mut file = file("x/canary", "silent");
        file.0.permissions = 0o777;
        // The target is looked for in the tree, where it is not, unless it is the root.
        match target.as_str() {
            "/" => {
                import_layer(&files, &stream(&[file])).unwrap();
                assert_eq!(read(&files, "canary"), b"silent");
            }
            _ => {
                let error = import_layer(&files, &stream(&[file])).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                assert!(error.to_string().contains("x/canary"), "{error}");
            }
        }
        let canary = Canary::new();
        canary.export(&files).unwrap();
        assert!(canary.target().join("x").is_symlink());
    }
}

#[test]
fn a_symlink_and_a_file_through_it_in_one_archive_stay_inside() {
    let files = tree();
    let escape = [
        directory("usr/lib/"),
        symlink("lib", "usr/lib"),
        file("lib/inside", "in"),
        symlink("up", "../../.."),
        file("up/at the root", "root"),
        symlink("usr/back", "../../usr/./lib/"),
        file("usr/back/more", "more"),
    ];
    import_tar(&files, &stream(&escape)).unwrap();
    assert_eq!(read(&files, "usr/lib/inside"), b"in");
    assert_eq!(read(&files, "at the root"), b"root");
    assert_eq!(read(&files, "usr/lib/more"), b"more");
    Canary::new().export(&files).unwrap();
}

#[test]
fn a_symlink_in_place_of_the_root_is_refused() {
    for name in ["/.", ".", "./", "/"] {
        let files = tree();
        let error = import_tar(&files, &stream(&[symlink(name, "/etc")])).unwrap_err();
        assert_eq!(error.field(), Some("kind of the root"), "{name}: {error}");
    }
}

#[test]
fn attributes_go_to_a_symlink_and_not_through_it() {
    let canary = Canary::new();
    let before = fs::metadata(canary.outside().join("canary")).unwrap();
    let files = tree();
    let mut link = symlink("link", &text(&canary.outside().join("canary")));
    link.0.permissions = 0o777;
    link.0.modified.seconds = 1;
    // The same name again, as a directory: some readers changed what the link leads to.
    import_tar(&files, &stream(&[link.clone()])).unwrap();
    canary.export(&files).unwrap();
    let after = fs::metadata(canary.outside().join("canary")).unwrap();
    assert_eq!(before.permissions(), after.permissions());
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    import_tar(&files, &stream(&[link, directory("link")])).unwrap();
    let inode = files.lookup(Inode::ROOT, b"link").unwrap();
    assert_eq!(files.attributes(inode).unwrap().kind, FileKind::Directory);
}

#[test]
fn names_that_lead_up_are_refused_and_absolute_ones_are_the_tree_s() {
    for name in ["../a", "a/../../b", "..", "/../etc/passwd", "a/.."] {
        let files = tree();
        for member in [file(name, "x"), directory(name), symlink(name, "y"), hard_link("z", name)] {
            let error = import_tar(&files, &stream(&[member])).unwrap_err();
            assert_eq!(error.field(), Some("name"), "{name}: {error}");
        }
        assert!(paths(&files).is_empty());
    }
    let files = tree();
    import_tar(&files, &stream(&[file("/etc/passwd", "x"), file("//a/./b", "y")])).unwrap();
    assert_eq!(paths(&files), ["a", "a/b", "etc", "etc/passwd"]);
}

#[test]
fn hard_links_lead_to_files_of_the_tree_that_are_there() {
    let canary = Canary::new();
    let outside = text(&canary.outside().join("canary"));
    let refused = [
        vec![hard_link("a", &outside)],
        vec![hard_link("a", "/etc/passwd")],
        vec![hard_link("a", "later"), file("later", "")],
        vec![hard_link("a", "a")],
        vec![directory("d"), hard_link("a", "d")],
        vec![directory("d"), file("d/f", ""), hard_link("d", "d/f")],
        vec![file("f", ""), hard_link("a", "f/f")],
        vec![symlink("out", &text(&canary.outside())), hard_link("a", "out/canary")],
        vec![hard_link("a", "./")],
    ];
    for members in refused {
        let files = tree();
        let error = import_tar(&files, &stream(&members)).unwrap_err();
        let kinds = [ErrorKind::NotFound, ErrorKind::NotPermitted, ErrorKind::InvalidInput];
        assert!(kinds.contains(&error.kind()), "{members:?}: {error}");
        assert!(error.path().is_some(), "{error}");
    }
    canary.assert_unchanged();
}

#[test]
fn a_hard_link_to_a_symlink_is_the_symlink() {
    let files = tree();
    let members = [file("f", "x"), symlink("s", "/f"), hard_link("h", "s"), hard_link("s", "h")];
    import_tar(&files, &stream(&members)).unwrap();
    let described = describe(&files, Inode::ROOT);
    assert_eq!(described["h"].kind, FileKind::Symlink);
    assert_eq!(described["s"].same_as, "h");
    Canary::new().export(&files).unwrap();
}

#[test]
fn long_chains_of_hard_links_are_one_file() {
    const LINKS: usize = 20_000;
    let mut members = vec![file("0", "x")];
    members.extend((1..LINKS).map(|at| hard_link(&at.to_string(), &(at - 1).to_string())));
    let files = tree();
    import_tar(&files, &stream(&members)).unwrap();
    let last = files.lookup(Inode::ROOT, (LINKS - 1).to_string().as_bytes()).unwrap();
    assert_eq!(files.attributes(last).unwrap().links, LINKS as u32);
}

#[test]
fn devices_are_left_out_or_refused_where_the_caller_says_so() {
    let device = || member("dev/sda", MemberKind::BlockDevice(8, 0));
    let with = |special_files| ImportOptions { special_files, ..ImportOptions::default() };
    let files = tree();
    let error = import_tar_with(&files, &stream(&[device()]), &with(SpecialFiles::Refuse));
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted);
    assert!(error.to_string().contains("dev/sda"), "{error}");
    let report = import_tar_with(&files, &stream(&[device()]), &with(SpecialFiles::Skip)).unwrap();
    assert_eq!((report.skipped, report.entries), (1, 0));
    // The kernel's OverlayFS takes this one for a whiteout. Here it is a device.
    let white = member("null", MemberKind::CharDevice(0, 0));
    import_layer(&files, &stream(&[device(), white])).unwrap();
    assert_eq!(paths(&files), ["dev", "dev/sda", "null"]);
    let error = import_tar(&files, &stream(&[member("big", MemberKind::CharDevice(1 << 20, 0))]));
    assert_eq!(error.unwrap_err().field(), Some("number"));
}

#[test]
fn loops_of_symlinks_end() {
    let files = tree();
    let members = [symlink("a", "b"), symlink("b", "a"), file("a/x", "")];
    let error = import_tar(&files, &stream(&members)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SymlinkLoop, "{error}");
    // Each one leads twice through the next: without a bound this would never end.
    let mut bomb: Vec<_> =
        (0..60).map(|at| symlink(&format!("s{at}"), &format!("s{0}/../s{0}", at + 1))).collect();
    bomb.push(file("s0/x", ""));
    let error = import_tar(&files, &stream(&bomb)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SymlinkLoop, "{error}");
}

#[test]
fn very_deep_and_very_long_names_are_a_matter_of_the_input_alone() {
    let files = tree();
    let deep = "d/".repeat(20_000);
    import_tar(&files, &stream(&[file(&format!("{deep}f"), "x"), file("d", "gone")])).unwrap();
    assert_eq!(paths(&files), ["d"]);
    let error = import_tar(&files, &stream(&[file(&"n".repeat(256), "")])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NameTooLong, "{error}");
    let error = import_tar(&files, &stream(&[symlink("s", &"t".repeat(4096))])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NameTooLong, "{error}");
}

#[test]
fn a_file_on_the_way_is_not_gone_through() {
    let files = tree();
    let error = import_tar(&files, &stream(&[file("f", ""), file("f/g", "")])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory, "{error}");
    assert!(error.to_string().contains("f/g"), "{error}");
}

#[test]
fn of_two_members_with_one_name_the_later_counts() {
    let files = tree();
    let members = [
        file("a", "first"),
        file("a", "second"),
        directory("b"),
        file("b/c", ""),
        symlink("b", "a"),
        file("./a", "third"),
        directory("e"),
        file("e/kept", ""),
        directory("e/"),
    ];
    import_tar(&files, &stream(&members)).unwrap();
    assert_eq!(paths(&files), ["a", "b", "e", "e/kept"]);
    assert_eq!(read(&files, "a"), b"third");
}

#[test]
fn children_may_come_before_their_directories() {
    let files = tree();
    let mut late = directory("a/b/");
    late.0.permissions = 0o700;
    late.0.modified.seconds = 9;
    import_tar(&files, &stream(&[file("a/b/c", "x"), late])).unwrap();
    let described = describe(&files, Inode::ROOT);
    assert_eq!((described["a"].permissions, described["a"].modified.seconds), (0o755, 0));
    assert_eq!((described["a/b"].permissions, described["a/b"].modified.seconds), (0o700, 9));
}

/// Readers that take the one size find another next header than those that take the other: a
/// whole archive hides in the content.
#[test]
fn two_sizes_for_one_file_are_refused() {
    let hidden = ended(&[raw_member(b"hidden", b'0', b"", |_| {})]);
    let lie = raw_member(b"file", b'0', &hidden, |header| {
        header[124..136].copy_from_slice(b"00000000000\0");
    });
    let length = hidden.len().to_string();
    let archive = ended(&[raw_pax(&[("size", length.as_bytes())]), lie]);
    let error = import_tar(&tree(), &archive).unwrap_err();
    assert_eq!((error.field(), error.path()), (Some("size"), Some(Path::new("file"))), "{error}");
    // And the other way round.
    let truth = raw_member(b"file", b'0', &hidden, |_| {});
    let error = import_tar(&tree(), &ended(&[raw_pax(&[("size", b"0")]), truth])).unwrap_err();
    assert_eq!(error.field(), Some("size"), "{error}");
}

/// Found by bending streams: of each of these GNU tar, bsdtar or Python reads other members or names
/// than the others do.
#[test]
fn headers_that_readers_take_in_two_ways_are_refused() {
    let gnu = |header: &mut [u8]| header[257..265].copy_from_slice(b"ustar  \0");
    let old = |header: &mut [u8]| header[257..265].fill(0);
    let file = |change: &dyn Fn(&mut [u8])| raw_member(b"file", b'0', &[7; 1000], change);
    let long = |kind: u8, text: &[u8], length: usize| {
        let mut piece = raw_member(b"././@LongLink", kind, &text[..length], gnu);
        piece[512..512 + text.len()].copy_from_slice(text);
        piece
    };
    let list = [
        ("GNU.sparse.size", &b"9000"[..]),
        ("GNU.sparse.numblocks", b"1"),
        ("GNU.sparse.map", b"8000,1000"),
    ];
    let sparse = |place: usize, text: &'static [u8]| {
        move |header: &mut [u8]| {
            gnu(header);
            header[place..place + text.len()].copy_from_slice(text);
        }
    };
    let cases = [
        ("extension", vec![long(b'L', b"a long name", 7), file(&gnu)]),
        ("extension", vec![long(b'x', b"10 path=a\n11 path=bc\n", 10), file(&|_| {})]),
        ("magic", vec![long(b'L', b"a long name\0", 12), file(&old)]),
        ("magic", vec![raw_pax(&[("path", b"a")]), file(&old)]),
        ("magic", vec![raw_pax(&list), file(&|header| header[257..262].copy_from_slice(b"USTAR"))]),
        ("sparse file", vec![raw_pax(&list), file(&gnu)]),
        ("sparse map", vec![file(&sparse(386, b"00000001000"))]),
        ("sparse map", vec![file(&sparse(482, b"\x01"))]),
        ("sparse map", vec![file(&sparse(483, b"77777777777"))]),
    ];
    for (field, case) in cases {
        let error = import_tar(&tree(), &ended(&case)).unwrap_err();
        assert_eq!(error.field(), Some(field), "{error}");
    }
    import_tar(&tree(), &ended(&[raw_pax(&list), file(&|_| {})])).unwrap();
    import_tar(&tree(), &ended(&[long(b'L', b"a long name\0", 12), file(&gnu)])).unwrap();
}

#[test]
fn extensions_that_are_broken_or_doubled_are_refused() {
    let plain = || raw_member(b"file", b'0', b"", |_| {});
    let broken = |text: &[u8]| raw_member(b"x", b'x', text, |_| {});
    let cases = [
        vec![broken(b"8 path=a\n"), plain()],
        vec![broken(b"no record"), plain()],
        vec![broken(b"9 path=a\n8 pa"), plain()],
        vec![raw_pax(&[("path", b"a"), ("path", b"b")]), plain()],
        vec![raw_pax(&[("path", b"a")]), raw_pax(&[("mtime", b"1")]), plain()],
        vec![raw_pax(&[("path", b"a\0b")]), plain()],
        vec![raw_pax(&[("path", b"")]), plain()],
        vec![raw_pax(&[("mtime", b"never")]), plain()],
        vec![raw_pax(&[("uid", b"-1")]), plain()],
        vec![raw_pax(&[("hdrcharset", b"EBCDIC")]), plain()],
        vec![raw_pax(&[("path", b"a")]), raw_member(b"L", b'L', b"b\0", |_| {}), plain()],
        vec![raw_member(b"L", b'L', b"a\0", |_| {}), raw_member(b"L", b'L', b"a\0", |_| {})],
        vec![raw_member(b"L", b'L', b"a\0b\0", |_| {}), plain()],
        vec![raw_member(b"g", b'g', b"9 size=1\n", |_| {}), plain()],
        vec![raw_pax(&[("GNU.sparse.name", b"a")]), plain()],
        vec![raw_pax(&[("SCHILY.realsize", b"1")]), plain()],
        vec![raw_pax(&[("path", b"alone at the end")])],
    ];
    for case in cases {
        let shown = case.concat().escape_ascii().to_string();
        let error = import_tar(&tree(), &ended(&case)).unwrap_err();
        let kinds = [ErrorKind::InvalidInput, ErrorKind::Unsupported];
        assert!(kinds.contains(&error.kind()), "{error}: {shown}");
    }
}

#[test]
fn what_stands_behind_the_end_is_refused() {
    let member = raw_member(b"file", b'0', b"", |_| {});
    let hidden = [ended(slice::from_ref(&member)), ended(slice::from_ref(&member))].concat();
    let error = import_tar(&tree(), &hidden).unwrap_err();
    assert_eq!(error.field(), Some("end of the archive"), "{error}");
    let lone = [&member[..], &[0; 512], &member, &[0; 1024]].concat();
    assert_eq!(import_tar(&tree(), &lone).unwrap_err().field(), Some("end of the archive"));
    import_tar(&tree(), &[ended(&[member]), vec![0; 9000]].concat()).unwrap();
}

#[test]
fn content_where_there_can_be_none_is_refused() {
    for kind in b"12345678DMVNgA" {
        let member = raw_member(b"name", *kind, &[0; 512], |header| header[157] = b't');
        match (kind, import_tar(&tree(), &ended(&[member]))) {
            (b'7', done) => drop(done.unwrap()),
            (_, done) => drop(done.unwrap_err()),
        }
    }
    let slash = raw_member(b"name/", b'0', b"x", |_| {});
    assert_eq!(import_tar(&tree(), &ended(&[slash])).unwrap_err().field(), Some("name"));
}

#[test]
fn an_extension_of_a_size_that_nobody_needs_is_not_read() {
    let claims = raw_member(b"x", b'x', b"", |header| {
        header[124..136].copy_from_slice(b"77777777777\0");
    });
    let error = import_tar(&tree(), &ended(&[claims])).unwrap_err();
    assert_eq!(error.field(), Some("size of an extension"), "{error}");
    let within = raw_member(b"L", b'L', b"", |header| {
        header[124..136].copy_from_slice(b"00040000000\0");
    });
    let error = import_tar(&tree(), &ended(&[within])).unwrap_err();
    assert_eq!(error.field(), Some("stream"), "{error}");
}

#[test]
fn an_export_takes_no_way_that_somebody_laid() {
    let canary = Canary::new();
    fs::create_dir(canary.target()).unwrap();
    std::os::unix::fs::symlink(canary.outside(), canary.target().join("d")).unwrap();
    let files = tree();
    import_tar(&files, &stream(&[directory("d"), file("d/canary", "silent")])).unwrap();
    let error = canary.export(&files).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotEmpty, "{error}");
}

/// A container's tree is being copied out while it swaps directories for symlinks.
#[test]
fn an_export_beside_somebody_who_swaps_directories_for_symlinks_stays_inside() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let canary = Canary::new();
    let files = tree();
    let mut members = Vec::new();
    for at in 0..300 {
        members.push(directory(&format!("d{at}")));
        members.push(file(&format!("d{at}/canary"), "silent"));
        members.push(hard_link(&format!("d{at}/again"), &format!("d{at}/canary")));
    }
    import_tar(&files, &stream(&members)).unwrap();
    let done = AtomicBool::new(false);
    let swapped = std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swapped = 0_u32;
            let evil = canary.folder.path().join("evil");
            std::os::unix::fs::symlink(canary.outside(), &evil).unwrap();
            while !done.load(Ordering::Relaxed) {
                for at in 0..300 {
                    let name = canary.target().join(format!("d{at}"));
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    let (from, to) = (rustix::fs::CWD, rustix::fs::CWD);
                    if rustix::fs::renameat_with(from, &evil, to, &name, flags).is_ok() {
                        swapped += 1;
                    }
                }
            }
            swapped
        });
        for _ in 0..20 {
            // Whether it fails is a matter of luck; where it writes is not.
            let _ = canary.export(&files);
            let _ = fs::remove_dir_all(canary.target());
        }
        done.store(true, Ordering::Relaxed);
        swapper.join().unwrap()
    });
    canary.assert_unchanged();
    assert!(swapped > 0, "nobody was in the way");
}

#[test]
fn names_of_whiteouts_are_stored_and_exported_as_they_are() {
    let files = tree();
    let odd = Member::new(".wh.foo", MemberKind::File, 0o600);
    import_tar(&files, &stream(&[(odd, Vec::new())])).unwrap();
    let canary = Canary::new();
    canary.export(&files).unwrap();
    assert!(canary.target().join(".wh.foo").is_file());
    let other = tree();
    import_tar(&other, &export_tar(&files, &ExportOptions::default())).unwrap();
    assert_same(&describe(&other, Inode::ROOT), &describe(&files, Inode::ROOT));
}

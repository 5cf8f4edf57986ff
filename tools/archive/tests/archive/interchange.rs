//! Streams of other programs read here, and ours read by them.

use std::fs;
use std::path::Path;
use std::process::Command;

use sapwood::files::{Inode, ReadFiles, Seek};
use sapwood_archive::{ExportOptions, Holes};

use crate::support::*;

/// Whether a program can be called; says so where it cannot.
fn has(program: &str) -> bool {
    let there =
        Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success());
    if !there {
        eprintln!("skipped: there is no {program}");
    }
    there
}

#[track_caller]
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output.stdout
}

/// A directory with names and sizes that need extensions.
fn fill(folder: &Path) {
    let long = folder.join("l".repeat(120)).join("m".repeat(150));
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("file"), "deep").unwrap();
    fs::write(folder.join("plain"), vec![3; 100_000]).unwrap();
    fs::hard_link(folder.join("plain"), folder.join("zz linked")).unwrap();
    std::os::unix::fs::symlink("s".repeat(200), folder.join("symlink")).unwrap();
    let sparse = fs::File::create(folder.join("sparse")).unwrap();
    sparse.set_len(8 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 4 << 20).unwrap();
    let name = "user.sapwood";
    let set =
        rustix::fs::setxattr(folder.join("plain"), name, b"a\nb", rustix::fs::XattrFlags::empty());
    if set.is_err() {
        eprintln!("skipped: the host keeps no attributes");
    }
}

fn imported(folder: &Path) -> Described {
    let files = tree();
    let options = sapwood_archive::ImportOptions::default();
    sapwood_archive::import_directory(&files, Inode::ROOT, folder, &options, &mut |_| {}).unwrap();
    describe(&files, Inode::ROOT)
}

/// What of a description every format keeps: times to the second, no attributes.
fn coarse(mut described: Described) -> Described {
    for file in described.values_mut() {
        file.modified.nanoseconds = 0;
        file.attributes.clear();
    }
    described
}

#[test]
fn gnu_tar_is_read_in_all_its_formats() {
    if !has("tar") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let expected = coarse(imported(folder.path()));
    let sparse = [
        &["--sparse"][..],
        &["--sparse", "--sparse-version=0.0"],
        &["--sparse", "--sparse-version=0.1"],
        &[],
    ];
    for (format, options) in [
        ("gnu", &sparse[..1]),
        ("gnu", &sparse[3..]),
        ("oldgnu", &sparse[..1]),
        ("pax", &sparse[..]),
    ] {
        for options in options {
            let bytes = run(Command::new("tar")
                .args(["--create", "--numeric-owner", &format!("--format={format}")])
                .args(*options)
                .arg("--directory")
                .arg(folder.path())
                .arg("."));
            let files = tree();
            import_tar(&files, &bytes).unwrap_or_else(|e| panic!("{format} {options:?}: {e}"));
            assert_same(&coarse(describe(&files, Inode::ROOT)), &expected);
            if !options.is_empty() {
                let inode = files.lookup(Inode::ROOT, b"sparse").unwrap();
                assert!(files.seek(inode, 0, Seek::Data).unwrap().unwrap() > 1 << 20);
            }
        }
    }
    let exact = run(Command::new("tar")
        .args(["--create", "--numeric-owner", "--format=pax", "--xattrs", "--directory"])
        .arg(folder.path())
        .arg("."));
    let files = tree();
    import_tar(&files, &exact).unwrap();
    assert_same(&describe(&files, Inode::ROOT), &imported(folder.path()));
}

#[test]
fn bsdtar_and_python_are_read() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let expected = coarse(imported(folder.path()));
    let check = |bytes: &[u8], who: &str| {
        let files = tree();
        import_tar(&files, bytes).unwrap_or_else(|error| panic!("{who}: {error}"));
        assert_same(&coarse(describe(&files, Inode::ROOT)), &expected);
    };
    if has("bsdtar") {
        for format in ["pax", "gnutar"] {
            let bytes = run(Command::new("bsdtar")
                .args(["--create", "--numeric-owner", "--format", format, "--directory"])
                .arg(folder.path())
                .arg("."));
            check(&bytes, &format!("bsdtar {format}"));
        }
    }
    if has("python3") {
        for format in ["PAX_FORMAT", "GNU_FORMAT"] {
            let script = format!(
                "import sys, tarfile\n\
                 t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=tarfile.{format})\n\
                 t.add(sys.argv[1], arcname='.')\n\
                 t.close()"
            );
            let bytes = run(Command::new("python3").arg("-c").arg(script).arg(folder.path()));
            check(&bytes, format);
        }
    }
}

#[test]
fn ours_is_read_by_gnu_tar_bsdtar_and_python() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    fs::create_dir(&from).unwrap();
    fill(&from);
    let files = tree();
    let options = sapwood_archive::ImportOptions::default();
    sapwood_archive::import_directory(&files, Inode::ROOT, &from, &options, &mut |_| {}).unwrap();
    let expected = coarse(describe(&files, Inode::ROOT));
    for holes in [Holes::Expand, Holes::Keep] {
        let archive = folder.path().join("archive.tar");
        fs::write(
            &archive,
            export_tar(&files, &ExportOptions { holes, ..ExportOptions::default() }),
        )
        .unwrap();
        let extract = "import sys, tarfile\n\
                       tarfile.open(sys.argv[1]).extractall(sys.argv[2], numeric_owner=True)";
        let programs: [(&str, &[&str]); 3] = [
            ("tar", &["--extract", "--preserve-permissions", "--numeric-owner", "--xattrs"]),
            ("bsdtar", &["--extract", "-p", "--numeric-owner"]),
            ("python3", &["-c", extract]),
        ];
        for (number, (program, arguments)) in programs.into_iter().enumerate() {
            if !has(program) {
                continue;
            }
            let to = folder.path().join(format!("{holes:?}-{number}"));
            fs::create_dir(&to).unwrap();
            let mut command = Command::new(program);
            command.args(arguments);
            match program {
                "python3" => command.arg(&archive).arg(&to),
                _ => command.arg("--file").arg(&archive).arg("--directory").arg(&to),
            };
            run(&mut command);
            let (mut found, mut expected) = (coarse(imported(&to)), expected.clone());
            // Python sets no times of symlinks, bsdtar none of the directory that it began in.
            let unset = match program {
                "python3" => "symlink",
                "bsdtar" => ".",
                _ => "",
            };
            for described in [&mut found, &mut expected] {
                described.retain(|path, _| path != unset);
            }
            eprintln!("{program}, holes: {holes:?}");
            assert_same(&found, &expected);
        }
    }
}

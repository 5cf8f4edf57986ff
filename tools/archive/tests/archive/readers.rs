//! Thousands of bent streams: what we read of one, GNU tar, bsdtar and Python read as we do, or refuse. Where
//! readers see different members, checks are walked around.

use std::fs;
use std::path::Path;
use std::process::Command;

use sapwood_archive::tar::{Member, MemberKind, TarReader};

use crate::interchange::has;
use crate::mutants::mutant;

/// What a reader says of a stream; none where it refuses it.
type Listing = Option<Vec<String>>;

/// Readers show slashes and dots that lead nowhere, or leave them out.
fn way(text: &str) -> String {
    let parts: Vec<&str> =
        text.trim_start().split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    parts.join("/")
}

/// Kind, mode, owner, size or number of a device, name, and where a link leads to.
fn line(member: &Member) -> String {
    let (kind, target) = match &member.kind {
        MemberKind::File => ("-", None),
        MemberKind::HardLink(target) => ("h", Some(target)),
        MemberKind::Symlink(target) => ("l", Some(target)),
        MemberKind::CharDevice(..) => ("c", None),
        MemberKind::BlockDevice(..) => ("b", None),
        MemberKind::Directory => ("d", None),
        MemberKind::Fifo => ("p", None),
        MemberKind::Socket => unreachable!("no stream has sockets"),
    };
    let size = match member.kind {
        MemberKind::CharDevice(major, minor) | MemberKind::BlockDevice(major, minor) => {
            format!("{major},{minor}")
        }
        _ => member.size.to_string(),
    };
    let shown = |bytes: &[u8]| way(&bytes.escape_ascii().to_string());
    let target = target.map(|target| format!(" > {}", shown(target))).unwrap_or_default();
    let mode = format!("{:o}", member.permissions);
    format!(
        "{kind} {mode} {}:{} {size} {}{target}",
        member.owner,
        member.group,
        shown(&member.name)
    )
}

fn ours(bytes: &[u8]) -> Listing {
    let mut reader = TarReader::new(bytes);
    let mut lines = Vec::new();
    while let Some(member) = reader.next_member().ok()? {
        // What leads up is read as it stands, and is refused where it is imported.
        let target = match &member.kind {
            MemberKind::HardLink(target) => target,
            _ => &member.name,
        };
        let mut parts = [&member.name[..], b"/", target].concat();
        if parts.split_mut(|&byte| byte == b'/').any(|part| part == b"..") {
            return None;
        }
        lines.push(line(&member));
    }
    Some(lines)
}

const PYTHON: &str = r#"
import sys, tarfile
kinds = {b"1": "h", b"2": "l", b"3": "c", b"4": "b", b"5": "d", b"6": "p"}
def way(name):
    return "/".join(part for part in name.lstrip().split("/") if part not in ("", "."))
class Info(tarfile.TarInfo):
    # A header that is none is where Python ends without a word.
    @classmethod
    def fromtarfile(cls, archive):
        try:
            return super().fromtarfile(archive)
        except (tarfile.EOFHeaderError, tarfile.EmptyHeaderError):
            raise
        except tarfile.HeaderError as error:
            raise ValueError(error)
for number in range(int(sys.argv[2])):
    try:
        lines = []
        with tarfile.open(f"{sys.argv[1]}/{number}", mode="r:", tarinfo=Info, errorlevel=2) as archive:
            for m in archive:
                kind = kinds.get(m.type, "-")
                size = f"{m.devmajor},{m.devminor}" if kind in "cb" else m.size if kind == "-" else 0
                name = m.name.encode("utf-8", "surrogateescape").decode("latin-1")
                target = m.linkname.encode("utf-8", "surrogateescape").decode("latin-1")
                target = " > " + way(target) if kind in "hl" else ""
                lines.append(f"{kind} {m.mode & 0o7777:o} {m.uid}:{m.gid} {size} {way(name)}{target}")
        print("read", number, len(lines))
        for line in lines: print(repr(line))
    except Exception as error:
        print("refused", number, 0)
"#;

/// What Python says of all files of a folder.
fn python(folder: &Path, count: usize) -> Vec<Listing> {
    let output = Command::new("python3")
        .args(["-c", PYTHON])
        .arg(folder)
        .arg(count.to_string())
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("letters");
    let mut lines = text.lines();
    let mut listings = Vec::new();
    while let Some(head) = lines.next() {
        let length = head.split(' ').next_back().expect("a length").parse().expect("a number");
        let read = (0..length).map(|_| lines.next().expect("a line"));
        let read = read.map(|line| line[1..line.len() - 1].to_owned()).collect();
        listings.push(head.starts_with("read").then_some(read));
    }
    listings
}

/// The bits of a mode from how `ls` writes them.
fn bits(mode: &str) -> u32 {
    mode.bytes().skip(1).take(9).enumerate().fold(0, |bits, (place, byte)| {
        let bit = 0o400 >> place;
        let special = 0o4000 >> (place / 3);
        bits | match byte {
            b'-' => 0,
            b's' | b't' => bit | special,
            b'S' | b'T' => special,
            _ => bit,
        }
    })
}

/// A line of `tar --list --verbose`: `fields` stand before the name, and they hold mode, owner and size.
fn listed(line: &str, fields: usize, owner: &dyn Fn(&[&str]) -> (String, String)) -> String {
    let mut rest = line;
    let mut words = Vec::new();
    for _ in 0..fields {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        words.push(word);
        // The name may begin with a blank: only one goes before it.
        rest = if words.len() < fields { after.trim_start() } else { after };
    }
    let (owner, size) = owner(&words);
    let (name, target) = match &words[0][..1] {
        "l" => rest.split_once(" -> ").map_or((rest, None), |(name, target)| (name, Some(target))),
        _ => match rest.split_once(" link to ") {
            Some((name, target)) => (name, Some(target)),
            None => (rest, None),
        },
    };
    // GNU tar calls files that are to lie in one piece by another letter.
    let kind = match &words[0][..1] {
        _ if rest.contains(" link to ") => "h",
        "C" => "-",
        kind => kind,
    };
    let size = if matches!(kind, "-" | "c" | "b") { &size } else { "0" };
    let target = target.map(|target| format!(" > {}", way(target)));
    let (mode, name) = (bits(words[0]), way(name));
    format!("{kind} {mode:o} {owner} {size} {name}{}", target.unwrap_or_default())
}

fn gnu_tar(archive: &Path) -> Listing {
    let output = Command::new("tar")
        .args(["--list", "--verbose", "--numeric-owner", "--quoting-style=escape", "--full-time"])
        .arg("--file")
        .arg(archive)
        .env("LC_ALL", "C")
        .output()
        .expect("the program starts");
    let fields = |words: &[&str]| (words[1].replace('/', ":"), words[2].to_owned());
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(|line| listed(line, 5, &fields)).collect();
    output.status.success().then_some(lines)
}

fn bsdtar(archive: &Path) -> Listing {
    let output = Command::new("bsdtar")
        .args(["--list", "--verbose", "--numeric-owner", "--file"])
        .arg(archive)
        .env("LC_ALL", "C")
        .output()
        .expect("the program starts");
    let fields = |words: &[&str]| (format!("{}:{}", words[2], words[3]), words[4].to_owned());
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(|line| listed(line, 8, &fields)).collect();
    output.status.success().then_some(lines)
}

/// Signs that each reader shows in its own way are one.
fn plain(listing: &[String]) -> Vec<String> {
    let line = |line: &String| {
        let mut shown = String::new();
        let mut bytes = line.bytes().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => {
                    match bytes.next() {
                        Some(b'x') => drop((bytes.next(), bytes.next())),
                        Some(b'0'..=b'7') => drop((bytes.next(), bytes.next())),
                        _ => {}
                    }
                    shown.push('?');
                }
                b'\'' | b'"' | 0..0x20 | 0x7f.. => shown.push('?'),
                _ => shown.push(char::from(byte)),
            }
        }
        shown
    };
    listing.iter().map(line).collect()
}

fn has_lost_a_target(listing: &[String]) -> bool {
    listing.iter().any(|line| line.starts_with('l') && !line.contains(" > "))
}

fn has_front_of_another_format(bytes: &[u8]) -> bool {
    bytes.chunks_exact(512).any(|header| &header[257..263] != b"ustar\0" && header[345] != 0)
}

#[test]
fn what_we_read_of_thousands_of_bent_streams_others_read_as_we_do() {
    let factor = std::env::var("SAPWOOD_TEST_FACTOR").map_or(1, |text| text.parse().unwrap());
    let mutants = 3_000 * factor;
    if !["tar", "bsdtar", "python3"].map(has).iter().all(|has| *has) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let streams: Vec<(u64, Vec<u8>)> = (0..mutants).map(|seed| (seed, mutant(seed))).collect();
    let read: Vec<(u64, Vec<u8>, Vec<String>)> = streams
        .into_iter()
        .filter_map(|(seed, bytes)| ours(&bytes).map(|listing| (seed, bytes, listing)))
        .collect();
    for (number, (_, bytes, _)) in read.iter().enumerate() {
        fs::write(folder.path().join(number.to_string()), bytes).unwrap();
    }
    let python = python(folder.path(), read.len());
    let (mut same, mut unlike) = (0_u64, Vec::new());
    for (number, (seed, bytes, listing)) in read.iter().enumerate() {
        let archive = folder.path().join(number.to_string());
        let readers = [
            ("Python", python[number].clone()),
            ("GNU tar", gnu_tar(&archive)),
            ("bsdtar", bsdtar(&archive)),
        ];
        let ours = plain(listing);
        for (who, theirs) in readers {
            match theirs.map(|theirs| plain(&theirs)) {
                None => {}
                Some(theirs) if theirs == ours => same += 1,
                // It knows no target where that of the header is empty, as Go leaves it beside one
                // of a PAX header.
                Some(theirs) if who == "bsdtar" && has_lost_a_target(&theirs) => {}
                // It takes what stands where only POSIX has the front of a name for one in all
                // formats; GNU tar has times there.
                Some(_) if who == "Python" && has_front_of_another_format(bytes) => {}
                Some(theirs) => unlike.push(format!("{seed}: {who}: {theirs:?}, and we {ours:?}")),
            }
        }
    }
    println!("{} of {} streams are read, {same} times others say the same", read.len(), mutants);
    assert!(same > mutants, "too few of them are read anywhere");
    assert!(
        unlike.is_empty(),
        "{} differ:\n{}",
        unlike.len(),
        unlike[..unlike.len().min(40)].join("\n")
    );
}

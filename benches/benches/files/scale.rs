//! Few small files and many: what grows with their number, and how much memory that takes.
//!
//! Each size runs in a process of its own, whose peak of memory is told twice: `RssAnon`, what it
//! took for itself, looked at each 10 ms; and `VmHWM`, all that was ever resident at once, with
//! the pages of layers that it has mapped, which the host takes back when it wants them.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sapwood::files::{self, FilesView, Inode, Paths};
use sapwood::format::Annotations;
use sapwood_archive::tar::{Member, MemberKind, TarWriter};
use sapwood_archive::{ImportOptions, import_tar};
use sapwood_benches::{Random, median};

use crate::{Place, table};

/// The environment variable that makes this process a child: how many files, and where.
const CHILD: &str = "SAPWOOD_BENCH_FILES";
/// How many files a directory has.
const FILES_EACH: usize = 100;
/// How many bytes a file has.
const BYTES: usize = 200;
/// How many names are looked up.
const LOOKUPS: usize = 20_000;
/// How many files are changed between two snapshots.
const CHANGED: usize = 10;

/// What a child says: times in nanoseconds, memory in KiB.
const FIGURES: [&str; 6] = ["import", "walk", "look up", "changes", "VmHWM", "RssAnon"];

pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

pub fn few_and_many(folder: &Path, counts: [usize; 2]) {
    let [few, many] = counts.map(|count| measure(folder, count));
    for (place, per) in [(0, 1), (1, 1), (2, 0)] {
        let items = |count: usize| if per == 1 { count } else { LOOKUPS };
        let (few_time, many_time) = (few[place], many[place]);
        let each = |time: u64, count| table::each(Duration::from_nanos(time), items(count));
        let growth = (many_time as f64 / items(counts[1]) as f64)
            / (few_time as f64 / items(counts[0]) as f64);
        let what = format!("{}, each, of {} files beside {}", FIGURES[place], counts[1], counts[0]);
        let (ours, base) = (each(many_time, counts[1]), each(few_time, counts[0]));
        // The logarithms of the two sizes.
        let bar = (counts[1] as f64).ln() / (counts[0] as f64).ln();
        let bar = format!("costs {bar:.1} x: n log n");
        table::line(&what, &ours, &base, &format!("{:.2} x", 1.0 / growth), &bar);
    }
    let time = table::each(Duration::from_nanos(many[3]), 1);
    table::figure(&format!("changes of {CHANGED} files of {}", counts[1]), &time, "10 ms");
    let memory = |place: usize| format!("{} MiB", many[place] >> 10);
    let what = format!("peak memory over all that ({} files)", counts[1]);
    table::line(&what, &memory(5), &format!("{} MiB", few[5] >> 10), "", "256 MiB");
    let what = "  with the pages of mapped layers";
    table::line(what, &memory(4), &format!("{} MiB", few[4] >> 10), "", "");
}

/// Runs a child, and takes what it says.
fn measure(folder: &Path, count: usize) -> [u64; 6] {
    let place = folder.join(format!("scale-{count}"));
    std::fs::create_dir(&place).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.env(CHILD, count.to_string()).current_dir(&place).output().unwrap();
    std::io::stderr().write_all(&output.stderr).unwrap();
    assert!(output.status.success(), "the child failed");
    std::fs::remove_dir_all(&place).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut figures = text.split_whitespace().map(|figure| figure.parse().unwrap());
    std::array::from_fn(|_| figures.next().expect("as many figures as were asked for"))
}

pub fn run_child() {
    let peak = Arc::new(AtomicU64::new(0));
    let watched = Arc::clone(&peak);
    // It ends with the process.
    std::thread::spawn(move || {
        loop {
            watched.fetch_max(memory("RssAnon"), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    measure_all();
    println!("{} {}", memory("VmHWM"), peak.load(Ordering::Relaxed));
}

/// Prints the times.
fn measure_all() {
    let count: usize = std::env::var(CHILD).unwrap().parse().unwrap();
    let place = Place::new(&std::env::current_dir().unwrap());
    let files = place.tree("many");
    let start = Instant::now();
    let (mut reader, writer) = std::io::pipe().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || write_tar(writer, count));
        let options = ImportOptions::default();
        import_tar(&files, Inode::ROOT, &mut reader, &options, &mut |_| {}).unwrap();
    });
    files.flush().unwrap();
    let import = start.elapsed();
    let before = files.snapshot(&Annotations::default()).unwrap();

    let mut seen = 0;
    let start = Instant::now();
    let each = |_: &[u8], _: &_| {
        seen += 1;
        Ok(ControlFlow::Continue(()))
    };
    Paths::new(&files).walk("/", each).unwrap();
    let walk = start.elapsed();
    assert_eq!(seen, 1 + count.div_ceil(FILES_EACH) + count);

    let mut random = Random::new(18);
    let start = Instant::now();
    for _ in 0..LOOKUPS {
        Paths::new(&files).resolve(path(random.below(count as u64) as usize)).unwrap();
    }
    let lookup = start.elapsed();

    for number in 0..CHANGED {
        let inode = Paths::new(&files).resolve(path(number * (count / CHANGED))).unwrap();
        files.write(inode, 0, b"changed").unwrap();
    }
    let after = files.snapshot(&Annotations::default()).unwrap();
    let times = (0..7).map(|_| {
        let before = FilesView::open(before.clone()).unwrap();
        let after = FilesView::open(after.clone()).unwrap();
        let start = Instant::now();
        assert_eq!(files::changes(&before, &after).unwrap().len(), CHANGED);
        start.elapsed()
    });
    let changes = median(times.collect());
    for time in [import, walk, lookup, changes] {
        println!("{}", time.as_nanos());
    }
}

fn path(number: usize) -> String {
    format!("directory-{}/file-{number}", number / FILES_EACH)
}

fn write_tar(to: std::io::PipeWriter, count: usize) {
    let mut writer = TarWriter::new(BufWriter::with_capacity(1 << 16, to));
    let mut random = Random::new(19);
    let mut content = [7; BYTES];
    for number in 0..count {
        if number % FILES_EACH == 0 {
            let name = format!("directory-{}", number / FILES_EACH);
            writer.begin(&Member::new(name, MemberKind::Directory, 0o755)).unwrap();
        }
        let mut member = Member::new(path(number), MemberKind::File, 0o644);
        member.size = BYTES as u64;
        writer.begin(&member).unwrap();
        random.fill(&mut content);
        writer.write(&content).unwrap();
    }
    writer.finish().unwrap().flush().unwrap();
}

/// A line of what the kernel says of this process, in KiB.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find(|found| found.starts_with(line)).expect("a line of its own");
    found.split_whitespace().nth(1).unwrap().parse().unwrap()
}

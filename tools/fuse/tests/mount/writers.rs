//! A running mount is asked while others write into it as fast as they can, without an end.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sapwood::Annotations;
use sapwood::files::{FilesView, Inode, ReadFiles};

use crate::harness::{Place, can_mount};

const PAGE: usize = 4096;
/// How large the files are that are written over and over.
const PAGES: u64 = 16 << 10;
const WRITERS: u64 = 4;
/// Files that are written once, before each question.
const QUIET_FILES: u64 = 100;
const QUESTIONS: u64 = 5;

/// One file, each page of which says which write was the last in it.
struct Written {
    file: File,
    /// The last write of each page that has returned.
    last: Vec<AtomicU64>,
}

impl Written {
    /// Writes page after page, in steps of `step`.
    fn go_on(&self, step: u64, is_done: &AtomicBool) {
        for number in 1.. {
            if is_done.load(Ordering::Relaxed) {
                return;
            }
            let page = number * step % PAGES;
            let content = [number.to_le_bytes(); PAGE / size_of::<u64>()].concat();
            self.file.write_all_at(&content, page * PAGE as u64).unwrap();
            self.last[page as usize].store(number, Ordering::Release);
        }
    }

    fn now(&self) -> Vec<u64> {
        self.last.iter().map(|number| number.load(Ordering::Acquire)).collect()
    }
}

/// Ends the writers, also where the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn read(view: &FilesView, name: &str) -> Vec<u8> {
    let inode = view.lookup(Inode::ROOT, name.as_bytes()).unwrap();
    let mut bytes = vec![0; view.attributes(inode).unwrap().size as usize];
    assert_eq!(view.read(inode, 0, &mut bytes).unwrap(), bytes.len());
    bytes
}

#[test]
fn a_snapshot_beside_endless_writers_has_what_was_written_before_and_comes_soon() {
    let test = "a_snapshot_beside_endless_writers_has_what_was_written_before_and_comes_soon";
    if !can_mount(test) {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let files: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let file = File::create(served.path(&format!("endless-{writer}"))).unwrap();
            Written { file, last: (0..PAGES).map(|_| AtomicU64::new(0)).collect() }
        })
        .collect();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (writer, written) in files.iter().enumerate() {
            // In order, as files grow, and out of it.
            let step = if writer % 2 == 0 { 1 } else { 7919 };
            let is_done = &is_done;
            scope.spawn(move || written.go_on(step, is_done));
        }
        let _end = End(&is_done);
        let store = place.store();
        for question in 1..=QUESTIONS {
            for number in 0..QUIET_FILES {
                let path = served.path(&format!("quiet-{number}"));
                fs::write(path, vec![question as u8; 10 * PAGE]).unwrap();
            }
            let before: Vec<_> = files.iter().map(Written::now).collect();
            let mut mount = place.ask("web");
            let layer = mount.snapshot(&Annotations::default()).unwrap();
            // Before marks it was 64 calls, and 13 s, whatever was done.
            let calls = mount.calls();

            assert!(calls <= 40, "question {question}: {calls} calls");
            let view = FilesView::open(store.snapshot_of(&layer.to_string()).unwrap()).unwrap();
            for number in 0..QUIET_FILES {
                let content = read(&view, &format!("quiet-{number}"));
                assert!(
                    content == vec![question as u8; 10 * PAGE],
                    "question {question}, {number}"
                );
            }
            for (writer, before) in before.iter().enumerate() {
                let content = read(&view, &format!("endless-{writer}"));
                for (page, &before) in before.iter().enumerate() {
                    let at = page * PAGE;
                    let found = content.get(at..at + 8).unwrap_or(&[0; 8]);
                    let found = u64::from_le_bytes(found.try_into().unwrap());
                    assert!(
                        found >= before,
                        "question {question}, writer {writer}, page {page}: {found} < {before}"
                    );
                }
            }
        }
    });
    drop(files);
    served.unmount();
    place.check();
}

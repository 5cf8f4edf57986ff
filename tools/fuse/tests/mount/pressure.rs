//! Little memory for a mount's server and for who writes into it: the kernel must write dirty pages back
//! to get memory for the very process that takes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Place, can_mount, has_program, skip};

/// Where the kernel counts memory by groups.
const GROUPS: &str = "/sys/fs/cgroup/memory";
/// A quarter of what is written.
const LIMIT_BYTES: u64 = 48 << 20;
const FILE_BYTES: u64 = 192 << 20;
/// Whoever waits for himself waits longer.
const WATCHDOG_SECONDS: &str = "90";
const DESCRIPTORS_MAX: usize = 64;

/// Maps a file, dirties all of it out of order, has it written back, and does so again.
const WRITER: &str = r#"
import mmap, os, sys
path, length = sys.argv[1], int(sys.argv[2])
with open(path, "w+b") as file:
    file.truncate(length)
    pages = mmap.mmap(file.fileno(), length)
    for turn in range(2):
        for page in range(0, length // 4096):
            at = page * 7919 % (length // 4096) * 4096
            pages[at:at + 8] = (at + turn).to_bytes(8, "little")
    pages.flush()
    os.fsync(file.fileno())
"#;

/// A group of processes that may have so much memory, and goes with this.
struct Group(PathBuf);

impl Group {
    fn new(bytes: u64) -> Option<Group> {
        let group = Path::new(GROUPS).join(format!("sapwood-test-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let group = Group(group);
        fs::write(group.0.join("memory.limit_in_bytes"), bytes.to_string()).ok()?;
        Some(group)
    }

    fn tasks(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Those who were in it may have to be waited for.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn dirty_maps_are_written_back_by_a_server_that_has_no_memory_to_spare() {
    let test = "dirty_maps_are_written_back_by_a_server_that_has_no_memory_to_spare";
    if !can_mount(test) || !has_program(test, "python3") {
        return;
    }
    let Some(group) = Group::new(LIMIT_BYTES) else {
        return skip(test, "no groups of processes that count memory");
    };
    let place = Place::new();
    let served = place.serve(&["threads=2"]);
    fs::write(group.tasks(), served.process().as_raw_nonzero().to_string()).unwrap();
    let file = served.path("file");
    let line = "echo $$ > \"$0\" && exec timeout -s KILL \"$1\" python3 -c \"$2\" \"$3\" \"$4\"";
    let status = Command::new("sh")
        .args(["-c", line])
        .arg(group.tasks())
        .args([WATCHDOG_SECONDS, WRITER])
        .arg(&file)
        .arg(FILE_BYTES.to_string())
        .status()
        .unwrap();
    assert!(status.success(), "{status}: it waits for itself, or was killed for its memory");
    let descriptors = format!("/proc/{}/fd", served.process().as_raw_nonzero());
    let descriptors = fs::read_dir(descriptors).unwrap().count();
    assert!(descriptors <= DESCRIPTORS_MAX, "{descriptors} descriptors");
    served.unmount();
    drop(group);

    let served = place.serve(&[]);
    let found = fs::read(served.path("file")).unwrap();
    assert_eq!(found.len() as u64, FILE_BYTES);
    for (number, page) in found.chunks(4096).enumerate() {
        let expected = number as u64 * 4096 + 1;
        assert_eq!(page[..8], expected.to_le_bytes(), "page {number}");
        assert!(page[8..].iter().all(|byte| *byte == 0), "page {number}");
    }
    served.unmount();
    place.check();
}

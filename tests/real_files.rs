//! The medium of real files, with the kernel made to interrupt its calls.

use std::io::IoSlice;
use std::path::Path;
use std::process::Command;

use sapwood::medium::{FileHost, Host, LockMode, LockWait, Network, OpenMode};

const FOLDER: &str = "SAPWOOD_TEST_INTERRUPTED_FOLDER";
const SYNC_IS_INTERRUPTED: i32 = 42;

/// Every call that can be interrupted, in a process whose calls are.
fn use_a_file(folder: &Path) {
    let host = FileHost::open_root(folder, Network::Allow).unwrap();
    let file = host.open(Path::new("file"), OpenMode::OpenOrCreate).unwrap();
    assert_eq!(host.facts(Path::new("file")).unwrap(), file.facts().unwrap());
    assert!(file.lock(LockMode::Exclusive, LockWait::Block).unwrap());
    file.set_length(1 << 16).unwrap();
    file.allocate(0, 1 << 17).unwrap();
    file.write_at(0, &[1; 5000]).unwrap();
    file.write_vectored_at(5000, &[IoSlice::new(&[2; 100]), IoSlice::new(&[3; 100])]).unwrap();
    file.start_writeback(0, 1 << 17).unwrap();
    if file.sync().is_err() {
        std::process::exit(SYNC_IS_INTERRUPTED);
    }
    let mut bytes = [0; 5200];
    for _ in 0..2 {
        file.read_at(0, &mut bytes).unwrap();
        assert!(bytes == [[1; 5000].as_slice(), &[2; 100], &[3; 100]].concat()[..]);
        file.read_uncached_at(0, &mut bytes).unwrap();
    }
    file.punch(0, 4096).unwrap();
    file.unlock().unwrap();
}

#[test]
fn interrupted_calls_are_made_again_but_a_sync_is_not() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return use_a_file(Path::new(&folder));
    }
    let traces = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traces.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: strace is not installed, or may not trace here");
        return;
    }
    let run = |calls: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, []).unwrap();
        let trace = folder.path().join("trace");
        let status = Command::new("strace")
            .args(["-f", "-o"])
            .arg(&trace)
            .args(["-P".as_ref(), file.as_os_str()])
            .args(["-e", &format!("inject={calls}:error=EINTR:when=1+2")])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "real_files::interrupted_calls_are_made_again_but_a_sync_is_not"])
            .env(FOLDER, folder.path())
            .output()
            .unwrap()
            .status;
        (status.code(), std::fs::read_to_string(trace).unwrap())
    };
    let retried =
        ["pwrite64", "pwritev", "pread64", "fallocate", "ftruncate", "flock", "sync_file_range"];
    let (code, trace) = run(&retried.join(","));
    assert_eq!(code, Some(0), "{trace}");
    for call in retried {
        let interrupted = |line: &str| line.contains(call) && line.contains("(INJECTED)");
        assert!(trace.lines().any(interrupted), "{call} was not interrupted:\n{trace}");
    }
    let (code, trace) = run("fdatasync");
    assert_eq!(code, Some(SYNC_IS_INTERRUPTED), "{trace}");
    assert_eq!(trace.matches("fdatasync(").count(), 1, "asked once:\n{trace}");
}

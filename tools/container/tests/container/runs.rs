//! One process over one tree.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use rustix::process::Signal;
use sapwood::ErrorKind;
use sapwood::files::{Inode, Paths};
use sapwood_container::{Access, Content, Error, Job, Mount, Network, Process, Sandbox, Streams};

use crate::support::{Stand, can_run, find_runtime, root_of, shell};

#[test]
fn what_a_process_wrote_and_nothing_else_is_in_the_layer() {
    if !can_run("what_a_process_wrote_and_nothing_else_is_in_the_layer") {
        return;
    }
    let stand = Stand::new();
    let ran = stand.shell("quiet", "ls -a / /etc; test -d /proc/self && test -c /dev/null");
    assert_eq!(ran.code, 0, "{}", ran.output);
    for shown in ["proc", "dev", "sys", "resolv.conf", "hosts", "hostname"] {
        assert!(ran.output.contains(shown), "{shown}: {}", ran.output);
    }
    assert_eq!(ran.changes(), [] as [&str; 0]);
    assert_eq!(root_of(&ran.before), root_of(&ran.after), "nor are its times");

    let ran =
        stand.shell("loud", "echo new > /file; echo x > /etc/hosts; rm /etc/group; mkdir /dir");
    assert_eq!(ran.code, 0, "{}", ran.output);
    let expected = ["M ", "A dir", "M etc", "D etc/group", "A file"];
    let mut changes = ran.changes();
    changes.sort_by(|a, b| a[2..].cmp(&b[2..]));
    assert_eq!(changes, expected);
    assert_eq!(ran.read("/file"), "new\n");
}

#[test]
fn exit_codes_and_signals_are_passed_on() {
    if !can_run("exit_codes_and_signals_are_passed_on") {
        return;
    }
    let stand = Stand::new();
    assert_eq!(stand.shell("a", "exit 7").code, 7);
    assert_eq!(stand.shell("b", "kill -9 $$").code, 0, "the first process is not killed");
    assert_eq!(stand.shell("c", "sh -c 'kill -9 $$'; exit $?").code, 137);
    let refused = |name: &str, command: &str| {
        let process = Process { arguments: vec![command.to_owned()], ..Process::default() };
        let job = Job { process, ..Job::default() };
        match stand.run(name, &job) {
            Err(error) => (error.exit_code(), error.to_string()),
            Ok(ran) => panic!("{command}: {} {}", ran.code, ran.output),
        }
    };
    for (name, command, code) in [
        ("d", "nothing", 127),
        ("e", "/bin/nothing", 127),
        ("f", "/etc/passwd", 126),
        ("g", "/etc", 126),
    ] {
        let (found, text) = refused(name, command);
        assert_eq!(found, code, "{command}: {text}");
    }

    let process = shell("trap 'exit 5' TERM; echo ready > /ready; while :; do sleep 0.01; done");
    let job = Job { process, ..Job::default() };
    let runtime = find_runtime().unwrap();
    let place = stand.place();
    let mut sandbox =
        Sandbox::start(&runtime, stand.fork("h"), &place, &job, Streams::inherited()).unwrap();
    let (signaller, later) = (sandbox.signaller(), sandbox.signaller());
    let sender = std::thread::spawn(move || {
        while !place.rootfs().join("ready").exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        signaller.send(Signal::TERM).unwrap();
    });
    assert_eq!(sandbox.wait().unwrap(), 5);
    sender.join().unwrap();
    sandbox.end(sapwood_fuse::LastCommit::Leave).unwrap().close().unwrap();
    // It has ended long ago.
    later.send(Signal::TERM).unwrap();
}

#[test]
fn nothing_of_the_hosts_environment_comes_in() {
    if !can_run("nothing_of_the_hosts_environment_comes_in") {
        return;
    }
    let stand = Stand::new();
    let mut process = shell("env; pwd; hostname; cat /etc/hostname; ps; ls /proc/self/fd");
    process.environment = vec!["A=b c".to_owned(), "PATH=/bin".to_owned()];
    process.directory = "/new/place/../dir".to_owned();
    let job = Job { process, hostname: "tree".to_owned(), ..Job::default() };
    let ran = stand.run("a", &job).unwrap();
    let mut lines: Vec<&str> =
        ran.output.lines().take_while(|line| !line.contains("PID")).collect();
    // What shells set themselves.
    lines.retain(|line| !line.starts_with("SHLVL=") && !line.starts_with("_="));
    lines.sort_unstable();
    let expected = [
        "/new/dir",
        "A=b c",
        "HOME=/root",
        "HOSTNAME=tree",
        "PATH=/bin",
        "PWD=/new/dir",
        "tree",
        "tree",
    ];
    assert_eq!(lines, expected);
    let processes = ran.output.lines().filter(|line| line.contains(" root ")).count();
    assert_eq!(processes, 2, "no process of the host is seen: {}", ran.output);
    let open: Vec<&str> =
        ran.output.lines().rev().take_while(|line| line.parse::<u32>().is_ok()).collect();
    assert!(open.len() <= 4, "0, 1, 2 and that of the listing: {open:?}");
    assert_eq!(ran.changes(), ["M ", "A new", "A new/dir"]);
}

#[test]
fn users_are_those_of_the_tree() {
    if !can_run("users_are_those_of_the_tree") {
        return;
    }
    let stand = Stand::new();
    let run = |name: &str, user: &str| {
        let mut process = shell(
            "id -u; id -g; id -G; echo $HOME; cat /proc/self/status | while read key value; do
            case $key in CapEff:|CapBnd:|NoNewPrivs:) echo $key $value;; esac; done",
        );
        process.user = user.to_owned();
        let ran = stand.run(name, &Job { process, ..Job::default() });
        ran.map(|ran| ran.output.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let root = [
        "0",
        "0",
        "0",
        "/root",
        "CapEff: 00000000a80425fb",
        "CapBnd: 00000000a80425fb",
        "NoNewPrivs: 0",
    ];
    assert_eq!(run("a", "").unwrap(), root);
    let www = [
        "33",
        "34",
        "34 50",
        "/var/www",
        "CapEff: 0000000000000000",
        "CapBnd: 00000000a80425fb",
        "NoNewPrivs: 0",
    ];
    assert_eq!(run("b", "www").unwrap(), www);
    assert_eq!(run("c", "33:50").unwrap()[..3], ["33", "50", "50"]);
    assert_eq!(run("d", "4711:4712").unwrap()[..4], ["4711", "4712", "4712", "/"]);
    let error = run("e", "nobody").unwrap_err();
    assert_eq!(error.exit_code(), 125);
    assert!(error.to_string().contains("\"nobody\""), "{error}");
}

#[test]
fn mounts_are_there_while_it_runs_only() {
    if !can_run("mounts_are_there_while_it_runs_only") {
        return;
    }
    let stand = Stand::with(|files| {
        let paths = Paths::new(files);
        paths.create_dir_all("/real/place").unwrap();
        paths.write("/etc/token", b"its own").unwrap();
    });
    let host = stand.path("host");
    fs::create_dir_all(host.join("tree/sub")).unwrap();
    fs::write(host.join("tree/sub/file"), "of the host\n").unwrap();
    symlink("/etc/passwd", host.join("tree/out")).unwrap();
    let mount = |target: &str, content, access| Mount { target: target.into(), content, access };
    let at = |path: &str| Content::Host(host.join(path));
    let of_tree = |path: &str| Content::Tree { root: host.join("tree"), path: path.into() };
    let secret =
        Content::Secret { bytes: b"word\n".to_vec(), owner: 33, group: 0, permissions: 0o400 };
    let mounts = vec![
        mount("/new/place/deep", at("tree"), Access::ReadWrite),
        mount("/real/place", at("tree"), Access::ReadOnly),
        mount("/run/file", of_tree("/../sub/file"), Access::ReadOnly),
        mount("/etc/token", secret, Access::ReadOnly),
        mount(
            "/scratch",
            Content::Memory { size_bytes: Some(65536), permissions: 0o1777 },
            Access::ReadWrite,
        ),
    ];
    let line = "set -e; cat /new/place/deep/sub/file /run/file /etc/token; echo out > /new/place/deep/written
        ! touch /real/place/x 2>/dev/null; ! touch /run/file 2>/dev/null; stat -c '%a %u' /etc/token
        echo x > /scratch/x; df -k /scratch | { read a; read a size b; echo $size; }";
    let job = Job { process: shell(line), mounts, ..Job::default() };
    let ran = stand.run("a", &job).unwrap();
    assert_eq!(
        (ran.code, ran.output.as_str()),
        (0, "of the host\nof the host\nword\n400 33\n64\n")
    );
    assert_eq!(ran.changes(), [] as [&str; 0]);
    assert_eq!(ran.read("/etc/token"), "its own");
    assert_eq!(fs::read_to_string(host.join("tree/written")).unwrap(), "out\n");

    let refused = [
        (mount("/x", of_tree("/out"), Access::ReadOnly), "/out"),
        (mount("/x", at("missing"), Access::ReadOnly), "missing"),
        (mount("/", at("tree"), Access::ReadOnly), "\"/\""),
        (mount("/bin/busybox", at("tree"), Access::ReadOnly), "/bin/busybox"),
    ];
    for (number, (mount, text)) in refused.into_iter().enumerate() {
        let job = Job { process: shell("cat /x"), mounts: vec![mount], ..Job::default() };
        let error = stand.run(&format!("b{number}"), &job).err().expect("a refusal");
        assert_eq!(error.exit_code(), 125, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn without_a_network_there_is_only_the_loopback() {
    if !can_run("without_a_network_there_is_only_the_loopback") {
        return;
    }
    let stand = Stand::new();
    let run = |name: &str, network| {
        let process = shell("ls /sys/class/net; cat /etc/resolv.conf");
        stand.run(name, &Job { process, network, ..Job::default() }).unwrap().output
    };
    assert_eq!(run("a", Network::None), "lo\n");
    let hosts_own: Vec<String> = {
        let entries = fs::read_dir("/sys/class/net").unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let seen = run("b", Network::Host);
    assert!(hosts_own.iter().all(|name| seen.contains(name.as_str())), "{seen}");
}

/// What is refused here a process of these rights could do without the filter.
#[test]
fn calls_that_lead_out_are_refused() {
    if !can_run("calls_that_lead_out_are_refused") {
        return;
    }
    let stand = Stand::new();
    let line =
        "while read key value; do [ $key != Seccomp: ] || echo $value; done < /proc/self/status
        /bin/busybox unshare -U true 2>&1; echo through a pipe | cat
        echo > /proc/sys/vm/overcommit_memory; cat /proc/interrupts | /bin/busybox wc -c";
    let ran = stand.shell("a", line);
    // In which order shell and programs are heard is not what this asks.
    let lines: BTreeSet<&str> = ran.output.lines().collect();
    let expected = [
        "2",
        "unshare: unshare(0x10000000): Operation not permitted",
        "through a pipe",
        "sh: can't create /proc/sys/vm/overcommit_memory: Read-only file system",
        "0",
    ];
    assert_eq!(lines, expected.into());
    assert_eq!(ran.changes(), [] as [&str; 0]);
}

/// INV-11: whatever an image says of itself, nothing outside of the tree is touched or shown.
#[test]
fn a_hostile_process_reaches_nothing_outside() {
    if !can_run("a_hostile_process_reaches_nothing_outside") {
        return;
    }
    let stand = Stand::with(|files| {
        for number in 3..16 {
            let target = format!("/proc/self/fd/{number}");
            let link = format!("fd{number}");
            files.symlink(Inode::ROOT, link.as_bytes(), target.as_bytes(), 0, 0).unwrap();
        }
        Paths::new(files).remove_file("/etc/group").unwrap();
        files.symlink(Inode::ROOT, b"loop", b"loop", 0, 0).unwrap();
    });
    let canary = stand.path("canary");
    fs::write(&canary, "untouched").unwrap();
    let look = format!("cat ../../../../../..{0} || cat {0}", canary.display());
    let directories =
        (3..16).flat_map(|number| [format!("/proc/self/fd/{number}"), format!("/fd{number}")]);
    for (number, directory) in directories.enumerate() {
        let mut process = shell(&look);
        process.directory = directory.clone();
        // Either it is refused, or nothing of the host is there.
        if let Ok(ran) = stand.run(&format!("a{number}"), &Job { process, ..Job::default() }) {
            assert!(!ran.output.contains("untouched"), "{directory}: {}", ran.output);
            assert_ne!(ran.code, 0, "{directory}");
        }
    }
    let bad = |change: fn(&mut Process)| {
        let mut process = shell("true");
        change(&mut process);
        Job { process, ..Job::default() }
    };
    let bad = [
        bad(|process| process.user = "root\nroot".to_owned()),
        bad(|process| process.user = "../../etc".to_owned()),
        bad(|process| process.environment = vec!["NOVALUE".to_owned()]),
        bad(|process| process.environment = vec![format!("A={}", "x".repeat(3 << 20))]),
        bad(|process| process.directory = "/loop".to_owned()),
        bad(|process| process.arguments = Vec::new()),
    ];
    for (number, job) in bad.into_iter().enumerate() {
        let error = stand.run(&format!("b{number}"), &job).err().expect("a refusal");
        assert_eq!(error.exit_code(), 125, "{error}");
        if let Error::Engine(error) = error {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::SymlinkLoop
                ),
                "{error}"
            );
        }
    }
    assert_eq!(fs::read_to_string(&canary).unwrap(), "untouched");
}

/// What an image says others write to was missing where its layers had nothing there.
#[test]
fn directories_that_are_asked_for_are_there() {
    if !can_run("directories_that_are_asked_for_are_there") {
        return;
    }
    let stand = Stand::new();
    let memory = Content::Memory { size_bytes: None, permissions: 0o755 };
    let mount = Mount { target: "/t".into(), content: memory, access: Access::ReadWrite };
    let job = Job {
        process: shell("echo > /v/x && stat -c '%a %u' /data/b /t/c; test -d /t/c || echo none"),
        directories: ["/v", "data/./b/", "/etc", "/t/c"].map(str::to_owned).to_vec(),
        mounts: vec![mount],
        ..Job::default()
    };
    let ran = stand.run("volumes", &job).unwrap();
    assert!(ran.output.contains("755 0\n") && ran.output.ends_with("none\n"), "{}", ran.output);
    let mut changes = ran.changes();
    changes.sort_by(|a, b| a[2..].cmp(&b[2..]));
    assert_eq!(changes, ["M ", "A data", "A data/b", "A v", "A v/x"]);
}

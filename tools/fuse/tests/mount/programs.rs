//! Programs that people live on, on the mount; some while the server is killed under them.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{PLAIN_CARGO, Place, can_mount, has_program, shell, wait_for};

#[test]
fn git_keeps_a_repository() {
    let test = "git_keeps_a_repository";
    if !can_mount(test) || !has_program(test, "git") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let git = "git -c user.name=x -c user.email=x@y -c safe.directory=*";
    shell(
        &served.directory,
        &format!(
            "git init -q repository; cd repository
             for i in 1 2 3 4 5 6 7 8 9; do mkdir -p d$i; seq $((i*1000)) > d$i/numbers; done
             {git} add .; {git} commit -qm one
             for i in 1 2 3; do echo $i >> d$i/numbers; {git} commit -qam $i; done
             {git} gc -q; {git} fsck --strict; [ $({git} log --oneline | wc -l) = 4 ]"
        ),
    );
    served.unmount();
    let served = place.serve(&[]);
    shell(
        &served.directory,
        &format!("cd repository; {git} fsck --strict; [ -z \"$({git} status --short)\" ]"),
    );
    served.unmount();
    place.check();
}

/// SQLite syncs what it must; after the server is killed the database recovers to a whole
/// transaction, and none that was acknowledged is lost (EXTRA also syncs the directory when the
/// journal is unlinked, which is what commits in DELETE mode). With a log beside it (WAL) the readers
/// and writers also share a writable memory map.
#[test]
fn sqlite_recovers_after_the_server_was_killed() {
    let test = "sqlite_recovers_after_the_server_was_killed";
    if !can_mount(test) || !has_program(test, "sqlite3") {
        return;
    }
    for mode in ["DELETE", "WAL"] {
        let place = Place::new();
        let mut served = place.serve(&[]);
        shell(
            &served.directory,
            &format!(
                "sqlite3 base 'PRAGMA journal_mode={mode}; CREATE TABLE t(n INTEGER, filler TEXT)'"
            ),
        );
        let told = place.path("told");
        let script = "n=0; while :; do n=$((n+1))
            echo \"PRAGMA synchronous=EXTRA; BEGIN; INSERT INTO t VALUES($n, hex(randomblob(2000)));
                   INSERT INTO t VALUES($n, 'twin'); COMMIT; SELECT $n;\"; done | sqlite3 -bail base";
        let mut writer = Command::new("sh")
            .arg("-c")
            .arg(script)
            .current_dir(&served.directory)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&told).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let last_told = || {
            let told = fs::read_to_string(&told).unwrap();
            told.lines().filter_map(|line| line.parse::<u64>().ok()).max().unwrap_or(0)
        };
        wait_for("the first transactions", || last_told() >= 40);
        let told_before = last_told();
        served.kill();
        drop(served);
        writer.wait().unwrap();
        // After the unlink SQLite takes a directory that it cannot open for one that needs no sync:
        // where the server is gone by then, it tells of a commit that nobody has made durable.
        let acknowledged = if mode == "DELETE" { told_before } else { last_told() };
        let served = place.serve(&[]);
        let found = shell(
            &served.directory,
            "sqlite3 base 'PRAGMA integrity_check; SELECT max(n), count(*) - 2 * count(DISTINCT n) FROM t'",
        );
        let (sound, rest) = found.trim().split_once('\n').unwrap();
        let (last, odd) = rest.split_once('|').unwrap();
        assert_eq!((sound, odd), ("ok", "0"), "{mode}: {found}");
        let last: u64 = last.parse().unwrap();
        assert!(last >= acknowledged, "{mode}: {last} found, {acknowledged} acknowledged");
        served.unmount();
        place.check();
    }
}

#[test]
fn cargo_builds_on_the_mount() {
    let test = "cargo_builds_on_the_mount";
    if !can_mount(test) || !has_program(test, "cargo") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&[]);
    let build = "cargo new -q --vcs none hello; cd hello; cargo build -q --offline
         [ \"$(target/debug/hello)\" = 'Hello, world!' ]
         touch src/main.rs; cargo build -q --offline; cargo clean -q";
    shell(&served.directory, &format!("{PLAIN_CARGO}; {build}"));
    served.unmount();
    place.check();
}

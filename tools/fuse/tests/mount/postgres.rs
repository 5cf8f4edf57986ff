//! PostgreSQL with its data directory on the mount, under load, while the server of the mount is
//! killed and snapshots are taken.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sapwood::Annotations;

use crate::harness::{Place, can_mount, run, skip, wait_for};

/// PostgreSQL does not run as root.
const USER: u32 = 65534;
/// Clients at a time.
const CLIENTS: &str = "4";
/// What pgbench says of transactions of which it heard the end.
const PROCESSED: &str = "number of transactions actually processed: ";

/// Where Debian keeps the programs of a version.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    folders.filter(|folder| folder.join("pgbench").exists()).max()
}

/// A database server on a data directory; its socket and log are beside the mounts.
struct Database {
    programs: PathBuf,
    /// Where the socket is, and what it says.
    folder: PathBuf,
    postmaster: Option<Child>,
}

impl Database {
    fn new(place: &Place, programs: &Path) -> Database {
        let folder = place.path("socket");
        fs::create_dir(&folder).unwrap();
        chown(&folder, Some(USER), Some(USER)).unwrap();
        // The user has to reach the mounts as well.
        fs::set_permissions(place.path(""), Permissions::from_mode(0o755)).unwrap();
        Database { programs: programs.to_owned(), folder, postmaster: None }
    }

    /// A program of PostgreSQL, as its user.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.uid(USER).gid(USER).current_dir(&self.folder);
        command.env("PGHOST", &self.folder).env("PGUSER", "postgres");
        command.env("PGDATABASE", "postgres").env("HOME", &self.folder);
        command
    }

    fn create(&self, data: &Path) {
        fs::create_dir(data).unwrap();
        chown(data, Some(USER), Some(USER)).unwrap();
        fs::set_permissions(data, Permissions::from_mode(0o700)).unwrap();
        run(self.program("initdb").args(["-A", "trust", "-U", "postgres", "-D"]).arg(data));
    }

    /// Starts it and waits until it answers, after recovery where there is something to recover.
    fn start(&mut self, data: &Path) {
        let log = File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = self.program("postgres");
        command.arg("-D").arg(data).arg("-k").arg(&self.folder);
        command.args(["-c", "listen_addresses=", "-c", "checkpoint_timeout=30s"]);
        let errors = log.try_clone().unwrap();
        let spawned = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        self.postmaster = Some(spawned.unwrap());
        wait_for("the database", || {
            let asked = self.program("pg_isready").stdout(Stdio::null()).status();
            asked.unwrap().success()
        });
    }

    /// Ends it: in order, or at once where its files have gone.
    fn stop(&mut self, signal: Signal) {
        let Some(mut postmaster) = self.postmaster.take() else { return };
        kill_process(Pid::from_child(&postmaster), signal).unwrap();
        postmaster.wait().unwrap();
    }

    fn ask(&self, question: &str) -> String {
        run(self.program("psql").args(["-X", "-A", "-t", "-c", question])).trim().to_owned()
    }

    /// Every transaction moved one amount in four tables: their sums agree, or one of them was
    /// torn. How many transactions there were.
    fn expect_whole_transactions(&self) -> u64 {
        let sums = self.ask(
            "SELECT (SELECT sum(abalance) FROM pgbench_accounts),
                    (SELECT sum(tbalance) FROM pgbench_tellers),
                    (SELECT sum(bbalance) FROM pgbench_branches),
                    (SELECT coalesce(sum(delta), 0) FROM pgbench_history)",
        );
        let sums: Vec<_> = sums.split('|').collect();
        assert!(sums.windows(2).all(|pair| pair[0] == pair[1]), "sums differ: {sums:?}");
        let accounts = self.ask("SELECT count(DISTINCT aid) FROM pgbench_accounts");
        assert_eq!(accounts, "100000");
        self.ask("SELECT count(*) FROM pgbench_history").parse().unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().rev().take(20).collect();
            eprintln!("the database said last: {lines:#?}");
        }
        self.stop(Signal::QUIT);
    }
}

#[test]
fn postgres_recovers_after_the_server_was_killed_and_from_a_snapshot() {
    let test = "postgres_recovers_after_the_server_was_killed_and_from_a_snapshot";
    if !can_mount(test) {
        return;
    }
    let Some(programs) = programs() else { return skip(test, "no PostgreSQL") };
    let place = Place::new();
    let mut served = place.serve(&["everybody"]);
    let mut database = Database::new(&place, &programs);
    let data = served.path("data");
    database.create(&data);
    database.start(&data);
    run(database.program("pgbench").args(["-i", "-q"]));

    let told = place.path("told");
    let load = database
        .program("pgbench")
        .args(["-n", "-c", CLIENTS, "-T", "600"])
        .stdout(File::create(&told).unwrap())
        .stderr(Stdio::null())
        .spawn();
    let mut load = load.unwrap();
    let count = |database: &Database| -> u64 {
        database.ask("SELECT count(*) FROM pgbench_history").parse().unwrap()
    };
    wait_for("the first transactions", || count(&database) > 300);
    let before = count(&database);
    let snapshot = place.ask("web").snapshot(&Annotations::default()).unwrap();
    let after = count(&database);
    std::thread::sleep(Duration::from_secs(1));
    served.kill();
    // Without its files it ends itself, or is ended here.
    load.wait().unwrap();
    database.stop(Signal::QUIT);
    drop(served);

    let told = fs::read_to_string(&told).unwrap();
    let acknowledged = told.lines().find_map(|line| line.strip_prefix(PROCESSED));
    let acknowledged: u64 = acknowledged.expect("a count").parse().unwrap();
    let served = place.serve(&["everybody"]);
    database.start(&data);
    let found = database.expect_whole_transactions();
    assert!(found >= acknowledged, "{found} transactions found, {acknowledged} acknowledged");
    run(database.program("pgbench").args(["-n", "-t", "50"]));
    assert_eq!(database.expect_whole_transactions(), found + 50);
    database.stop(Signal::INT);
    served.unmount();

    place.store().fork(&snapshot.to_string(), "copy").unwrap().close().unwrap();
    let copy = place.serve_as("copy", "copy", &["everybody"]);
    database.start(&copy.path("data"));
    let found = database.expect_whole_transactions();
    assert!((before..=after).contains(&found), "{found} of {before} to {after}");
    run(database.program("pgbench").args(["-n", "-t", "50"]));
    assert_eq!(database.expect_whole_transactions(), found + 50);
    database.stop(Signal::INT);
    copy.unmount();
    place.check();
}

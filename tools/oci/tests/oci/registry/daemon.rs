//! A real registry: Debian's `docker-registry`, on loopback, on a port of its choice.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// `sapwood` with the password `tree ring`, as `htpasswd -B` writes it.
pub const HTPASSWD: &str = "sapwood:$2y$05$CeSXOL9w1iXXM4U4vUjDw.pug1sBmX/c50NAyTQe9VsdJcADFMEJa\n";

pub struct Daemon {
    child: Child,
    folder: TempDir,
    /// `127.0.0.1:PORT`.
    pub host: String,
}

impl Daemon {
    /// Starts one with more settings of its configuration; `None`, loudly, where there is none.
    pub fn start(test: &str, settings: impl FnOnce(&Path) -> String) -> Option<Daemon> {
        if Command::new("docker-registry").arg("--version").output().is_err() {
            eprintln!("SKIPPED {test}: no docker-registry here");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let configuration = format!(
            "version: 0.1\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n\
             {}\n",
            path("data").display(),
            settings(folder.path()),
        );
        fs::write(path("config.yml"), configuration).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(path("config.yml"))
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(File::create(path("requests")).unwrap())
            .stderr(File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        let mut daemon = Daemon { child, folder, host: String::new() };
        let began = Instant::now();
        while daemon.host.is_empty() {
            let log = fs::read_to_string(daemon.folder.path().join("log")).unwrap();
            if let Some((_, rest)) = log.split_once("listening on ") {
                let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
                daemon.host = end.map_or("", |end| &rest[..end]).to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "docker-registry does not start: {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(daemon)
    }

    /// One that everybody may use.
    pub fn open(test: &str) -> Option<Daemon> {
        Daemon::start(test, |_| "http: {addr: '127.0.0.1:0'}".to_owned())
    }

    /// The requests that it has answered, as `METHOD PATH STATUS`.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("requests")).unwrap();
        let line = |line: &str| {
            let (_, rest) = line.split_once('"')?;
            let (request, rest) = rest.split_once('"')?;
            let mut words = request.split(' ');
            let path = words.clone().nth(1)?.split('?').next()?;
            Some(format!("{} {path} {}", words.next()?, rest.trim().split(' ').next()?))
        };
        log.lines().filter_map(line).collect()
    }

    /// Those of them that moved a blob or wrote something.
    pub fn moves(&self) -> Vec<String> {
        let moves = |request: &String| {
            let is_blob = request.starts_with("GET") && request.contains("/blobs/");
            is_blob || !request.starts_with("GET") && !request.starts_with("HEAD")
        };
        self.requests().into_iter().filter(moves).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

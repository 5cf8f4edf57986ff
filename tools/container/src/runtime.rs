//! The programs that know how to make a container: one of them has to be installed.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sapwood::ErrorKind;
use serde::Deserialize;

use crate::place::Place;

/// Those that are known, in the order in which they are looked for.
const KNOWN: [&str; 3] = ["runc", "crun", "youki"];
/// Where they may be besides `PATH`: a plain user's does not have these.
const FURTHER_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// So much of what a runtime noted is looked at.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// An OCI runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    name: &'static str,
    path: PathBuf,
}

impl Runtime {
    /// The runtime of this name (`runc`, `crun`, `youki`), or the first of these that is installed.
    ///
    /// Errors: [`ErrorKind::NotFound`], naming the package, where none is; [`ErrorKind::InvalidInput`]
    /// for a name that is none of these.
    pub fn find(name: Option<&str>) -> sapwood::Result<Runtime> {
        Runtime::find_in(name, &env::var_os("PATH").unwrap_or_default())
    }

    pub(crate) fn find_in(name: Option<&str>, path: &OsStr) -> sapwood::Result<Runtime> {
        let wanted = match name {
            None => KNOWN.as_slice(),
            Some(name) => match KNOWN.iter().position(|known| *known == name) {
                Some(at) => &KNOWN[at..=at],
                None => {
                    let operation = "find an OCI runtime";
                    let known = KNOWN.join(", ");
                    return Err(sapwood::Error::invalid(operation, "runtime", name, known));
                }
            },
        };
        let further = FURTHER_FOLDERS.iter().map(PathBuf::from);
        let folders: Vec<PathBuf> = env::split_paths(path).chain(further).collect();
        for &name in wanted {
            let paths = folders.iter().map(|folder| folder.join(name));
            if let Some(path) = paths.into_iter().find(|path| is_program(path)) {
                return Ok(Runtime { name, path });
            }
        }
        let package = wanted[0];
        Err(sapwood::Error::new(ErrorKind::NotFound, "find an OCI runtime").about(
            "program",
            format!("no {} in PATH or {}", wanted.join(", "), FURTHER_FOLDERS.join(", ")),
            format!("one of them, as Debian's package `{package}` has it"),
        ))
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether what goes wrong is on standard error too when a log is asked for.
    pub(crate) fn tells_errors_itself(&self) -> bool {
        self.name == "runc"
    }

    /// Whether a working directory is made that is missing.
    pub(crate) fn makes_working_directories(&self) -> bool {
        self.name != "youki"
    }

    /// A call, up to the verb, that tells on standard error what goes wrong.
    pub(crate) fn command(&self, place: &Place) -> Command {
        let mut command = Command::new(&self.path);
        // Of the host's environment nothing can reach the container.
        command.arg("--root").arg(place.state().join(self.name)).env_clear();
        command
    }

    /// A call that notes in a file what goes wrong; one of its own, as [`refusal`] takes each error there
    /// for the end of that call.
    pub(crate) fn command_logging(&self, place: &Place, log: &Path) -> Command {
        let mut command = self.command(place);
        command.arg("--log").arg(log).args(["--log-format", "json"]);
        command
    }

    /// Whether it may know a container still. One that it ran to its end it has forgotten.
    pub(crate) fn may_know(&self, place: &Place, id: &str) -> bool {
        place.state().join(self.name).join(id).try_exists().unwrap_or(true)
    }

    /// The call that ends a container, whatever it does.
    pub(crate) fn delete(&self, place: &Place, id: impl AsRef<OsStr>) -> Command {
        let mut command = self.command(place);
        command.args(["delete", "--force"]).arg(id).stdin(Stdio::null());
        command
    }
}

/// That this process may run others in containers.
///
/// Errors: [`ErrorKind::NotPermitted`] for any user but root.
pub fn expect_root() -> sapwood::Result<()> {
    match rustix::process::geteuid() {
        user if user.is_root() => Ok(()),
        user => Err(sapwood::Error::new(ErrorKind::NotPermitted, "run a process in a container")
            .about(
                "user",
                format!("number {}", user.as_raw()),
                "root, which mounts and namespaces are left to",
            )),
    }
}

/// What a runtime noted last as an error; nothing where it noted none.
pub(crate) fn refusal(log: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        level: String,
        // As youki calls it.
        #[serde(alias = "message")]
        msg: String,
    }
    let mut text = String::new();
    File::open(log).ok()?.take(LOG_BYTES_MAX).read_to_string(&mut text).ok()?;
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines.rfind(|line| line.level.eq_ignore_ascii_case("error")).map(|line| line.msg)
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_found_by_name_or_order_and_its_package_named() {
        let folder = tempfile::tempdir().unwrap();
        let add = |name: &str, mode: u32| {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        add("youki", 0o755);
        let path = folder.path().as_os_str();
        assert_eq!(Runtime::find_in(Some("youki"), path).unwrap().name(), "youki");
        add("runc", 0o755);
        let found = Runtime::find_in(None, path).unwrap();
        assert_eq!((found.name(), found.path), ("runc", folder.path().join("runc")));
        let error = Runtime::find_in(Some("docker"), path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn what_went_wrong_is_what_was_noted_last_as_an_error_in_the_words_of_each() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let noted = |lines: &str| {
            std::fs::write(&log, lines).unwrap();
            refusal(&log)
        };
        let runc = r#"{"level":"error","msg":"no such file","time":"t"}"#;
        assert_eq!(noted(&format!("{runc}\nno JSON\n")).as_deref(), Some("no such file"));
        let youki = r#"{"timestamp":"t","level":"ERROR","message":"no seccomp","target":"youki"}"#;
        assert_eq!(noted(&format!("{runc}\n{youki}\n")).as_deref(), Some("no seccomp"));
        assert_eq!(noted(r#"{"level":"warning","msg":"slow"}"#), None);
    }
}

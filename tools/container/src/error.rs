//! What keeps a process from running in a container, and the exit code that says so.

use std::fmt;

use crate::runtime::Runtime;

/// What every fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Exit codes as shells and other tools for containers have them.
pub mod exit_code {
    /// What was asked for failed before the process came to run.
    pub const FAILED: u8 = 125;
    /// The command is there and cannot be executed.
    pub const NOT_EXECUTABLE: u8 = 126;
    /// There is no such command.
    pub const NO_COMMAND: u8 = 127;
}

/// Why a process did not come to run.
#[derive(Debug)]
pub enum Error {
    /// The engine's, and all that is wrong with what was asked for.
    Engine(sapwood::Error),
    /// The runtime refused or failed.
    Runtime {
        /// Its name.
        name: &'static str,
        /// What it said.
        said: String,
        /// Whether it said so on the standard error that the process was given, too.
        is_told: bool,
    },
}

impl Error {
    pub(crate) fn refused(runtime: &Runtime, said: String) -> Error {
        let is_told = runtime.tells_errors_itself();
        Error::Runtime { name: runtime.name(), said, is_told }
    }

    /// The exit code for it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Engine(_) => exit_code::FAILED,
            Error::Runtime { said, .. } => exit_code_of(said),
        }
    }
}

/// Words for a file that is there and cannot be executed; `crun` has the last but one for directories,
/// `youki` the last.
const NOT_EXECUTABLE: &[&str] = &[
    "permission denied",
    "format error",
    "is a directory",
    "operation not permitted",
    "correct permissions",
];

/// Runtimes tell why a command was not executed in words only.
fn exit_code_of(said: &str) -> u8 {
    let said = said.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    match () {
        () if !says(&["exec"]) || says(&["mount"]) => exit_code::FAILED,
        () if says(&["not found", "no such file"]) => exit_code::NO_COMMAND,
        () if says(NOT_EXECUTABLE) => exit_code::NOT_EXECUTABLE,
        () => exit_code::FAILED,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Engine(error) => error.fmt(f),
            Error::Runtime { name, said, .. } => write!(f, "{name}: {said}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<sapwood::Error> for Error {
    fn from(error: sapwood::Error) -> Error {
        Error::Engine(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runtimes_say_becomes_the_codes_that_shells_have() {
        let said = [
            (
                r#"unable to start container process: exec: "x": executable file not found in $PATH"#,
                127,
            ),
            (
                r#"unable to start container process: exec: "/x": stat /x: no such file or directory"#,
                127,
            ),
            ("exec /x: no such file or directory", 127),
            ("executable file `x` not found in $PATH: No such file or directory", 127),
            (r#"unable to start container process: exec: "/etc/passwd": permission denied"#, 126),
            ("exec /x: exec format error", 126),
            ("open executable: Permission denied", 126),
            ("open executable: Operation not permitted", 126),
            (
                "executable '/etc/passwd' at path '/etc/passwd' does not have correct permissions",
                126,
            ),
            (
                r#"error mounting "/exec" to rootfs at "/x": stat /exec: no such file or directory"#,
                125,
            ),
            ("cgroup: permission denied", 125),
        ];
        for (said, code) in said {
            assert_eq!(exit_code_of(said), code, "{said}");
        }
    }
}

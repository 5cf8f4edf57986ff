//! What runs in a container, and as whom.

use std::io;

use oci_spec::runtime as oci;
use rustix::termios::tcgetwinsize;
use sapwood::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::accounts::Account;
use crate::defaults;

/// The longest command line with its environment, in bytes: what the kernel takes.
const TEXT_BYTES_MAX: usize = 2 << 20;

/// A process to be run in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The command and its arguments.
    pub arguments: Vec<String>,
    /// `KEY=VALUE`; of several with one key the last counts. `PATH`, `HOME` and `HOSTNAME` are
    /// given where they are missing, and nothing else is.
    pub environment: Vec<String>,
    /// The working directory, absolute; it is made where it is missing.
    pub directory: String,
    /// `USER[:GROUP]`, each a name of the tree or a number; nothing means root.
    pub user: String,
    /// Whether it gets a terminal of its own, which the standard streams then have to be.
    pub terminal: bool,
}

impl Process {
    /// The process as the runtime wants it, run as `account` in a container that is called
    /// `hostname`.
    ///
    /// Errors: [`sapwood::ErrorKind::InvalidInput`] for what no process can have.
    pub(crate) fn to_oci(&self, account: &Account, hostname: &str) -> Result<oci::Process> {
        self.check()?;
        let mut user = oci::User::default();
        user.set_uid(account.user)
            .set_gid(account.group)
            .set_additional_gids(Some(account.all_groups()));
        let mut process = oci::Process::default();
        process
            .set_terminal(Some(self.terminal))
            .set_console_size(self.terminal.then(terminal_size).flatten())
            .set_user(user)
            .set_args(Some(self.arguments.clone()))
            .set_env(Some(self.full_environment(account, hostname)))
            .set_cwd(working_directory(&self.directory)?.into())
            .set_capabilities(Some(defaults::capabilities(account.user)))
            .set_rlimits(None)
            // Which means no; where that is said, youki loads the list of system calls when it may
            // not any more.
            .set_no_new_privileges(None);
        Ok(process)
    }

    /// Whether there can be such a process at all.
    pub(crate) fn check(&self) -> Result<()> {
        let bad = |field, found: String, expected| {
            Err(Error::invalid("run a process", field, found, expected))
        };
        match self.arguments.first() {
            None => return bad("command", "none".to_owned(), "one, of the image or given"),
            Some(command) if command.is_empty() => {
                return bad("command", "\"\"".to_owned(), "a path or a name");
            }
            _ => {}
        }
        let texts = self.arguments.iter().chain(&self.environment);
        let bytes: usize = texts.clone().map(|text| text.len() + 1).sum();
        if bytes > TEXT_BYTES_MAX {
            let found = format!("{bytes} bytes");
            return bad("command and environment", found, "at most 2 MiB in all");
        }
        if let Some(text) = texts.chain([&self.directory]).find(|text| text.contains('\0')) {
            return bad("text", format!("{text:?}"), "no NUL in it");
        }
        let is_pair = |text: &&String| !matches!(text.find('='), None | Some(0));
        if let Some(text) = self.environment.iter().find(|text| !is_pair(text)) {
            return bad("environment", format!("{text:?}"), "KEY=VALUE");
        }
        Ok(())
    }

    fn full_environment(&self, account: &Account, hostname: &str) -> Vec<String> {
        let key = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
        let given = [
            format!("PATH={}", defaults::PATH),
            format!("HOSTNAME={hostname}"),
            format!("HOME={}", account.home),
        ];
        let mut environment: Vec<String> = Vec::new();
        for text in given.iter().chain(&self.environment) {
            match environment.iter_mut().find(|known| key(known) == key(text)) {
                Some(known) => known.clone_from(text),
                None => environment.push(text.clone()),
            }
        }
        environment
    }
}

/// The size of this process's terminal, where it has one: not all runtimes look for themselves.
fn terminal_size() -> Option<oci::Box> {
    let found = tcgetwinsize(io::stdin()).ok()?;
    let size = oci::BoxBuilder::default();
    size.height(u64::from(found.ws_row)).width(u64::from(found.ws_col)).build().ok()
}

/// The directory in which a process begins as an absolute path without `.` and `..`, as others clean it.
pub(crate) fn working_directory(directory: &str) -> Result<String> {
    if directory.is_empty() {
        return Ok("/".to_owned());
    }
    if !directory.starts_with('/') {
        let found = format!("{directory:?}");
        return Err(Error::invalid(
            "run a process",
            "working directory",
            found,
            "an absolute path",
        ));
    }
    let mut names: Vec<&str> = Vec::new();
    for name in directory.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    Ok(format!("/{}", names.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(arguments: &[&str], environment: &[&str]) -> Process {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Process {
            arguments: texts(arguments),
            environment: texts(environment),
            ..Process::default()
        }
    }

    fn account() -> Account {
        Account { user: 0, group: 0, groups: Vec::new(), home: "/root".to_owned() }
    }

    #[test]
    fn the_last_of_a_key_counts_and_what_is_missing_is_given() {
        let process = process(&["x"], &["A=1", "HOME=/h", "A=2", "B=a=b"]);
        let found = process.to_oci(&account(), "web").unwrap();
        let path = format!("PATH={}", defaults::PATH);
        let expected = [path.as_str(), "HOSTNAME=web", "HOME=/h", "A=2", "B=a=b"];
        assert_eq!(found.env().as_deref().unwrap(), expected);
    }

    #[test]
    fn what_no_process_can_have_is_refused() {
        let long = "a".repeat(TEXT_BYTES_MAX);
        let bad = [
            process(&[], &[]),
            process(&[""], &[]),
            process(&["a\0b"], &[]),
            process(&["a"], &["novalue"]),
            process(&["a"], &["=x"]),
            process(&["a"], &["K=\0"]),
            process(&["a", &long], &[]),
            Process { directory: "relative".to_owned(), ..process(&["a"], &[]) },
            Process { directory: "/a\0".to_owned(), ..process(&["a"], &[]) },
        ];
        for process in bad {
            let error = process.to_oci(&account(), "web").unwrap_err();
            assert_eq!(error.kind(), sapwood::ErrorKind::InvalidInput, "{error}");
        }
    }

    #[test]
    fn a_working_directory_does_not_lead_above_the_root() {
        let clean = |text: &str| working_directory(text).unwrap();
        assert_eq!(clean(""), "/");
        assert_eq!(clean("/a/../../b//./c/"), "/b/c");
        assert_eq!(clean("/../../../etc"), "/etc");
    }
}

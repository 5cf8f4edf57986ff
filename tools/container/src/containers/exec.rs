//! A further process in a container that runs.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Child;

use sapwood::{LayerId, Store};

use super::list::{container, running};
use crate::accounts::Accounts;
use crate::error::{Error, Result};
use crate::job::{Streams, hostname_of};
use crate::process::Process;
use crate::runtime::{Runtime, refusal};
use crate::sandbox::code_of;
use crate::signaller::Signaller;

/// A process that was added to a container.
#[derive(Debug)]
pub struct Exec {
    child: Child,
    signaller: Signaller,
    runtime: Runtime,
    /// What it is, for the runtime, what that says, and where it notes the number of the process.
    files: [PathBuf; 3],
}

/// What a further process may be told; the rest is that of the container's own.
#[derive(Clone, Debug, Default)]
pub struct ExecSettings {
    /// The command and its arguments.
    pub arguments: Vec<String>,
    /// `KEY=VALUE`, over the container's.
    pub environment: Vec<String>,
    /// In place of the container's working directory.
    pub directory: Option<String>,
    /// In place of the container's user.
    pub user: Option<String>,
    /// Whether it gets a terminal of its own.
    pub terminal: bool,
}

/// Starts a further process in a container.
///
/// Errors: [`sapwood::ErrorKind::NotFound`]; [`sapwood::ErrorKind::InvalidInput`] where the container does not run.
pub fn exec(store: &Store, name: &str, settings: &ExecSettings, streams: Streams) -> Result<Exec> {
    let found = container(store, name)?;
    let (runtime, id, place) = running(store, &found)?;
    let of_container = found.record.process;
    let process = Process {
        arguments: settings.arguments.clone(),
        environment: [of_container.environment, settings.environment.clone()].concat(),
        directory: settings.directory.clone().unwrap_or(of_container.directory),
        user: settings.user.clone().unwrap_or(of_container.user),
        terminal: settings.terminal,
    };
    let account = Accounts::below(&place.rootfs())?.find(&process.user)?;
    let hostname = found.record.settings.hostname.unwrap_or_else(|| hostname_of(name));
    let process = process.to_oci(&account, &hostname)?;

    let random = &LayerId::random()?.to_string()[..16];
    let file = |kind: &str| place.bundle().join(format!("exec-{random}.{kind}"));
    let files = [file("json"), file("log"), file("pid")];
    let failed = |error: io::Error| sapwood::Error::io("exec", error).in_file(&files[0]);
    let bytes = serde_json::to_vec(&process).map_err(|error| failed(error.into()))?;
    fs::write(&files[0], bytes).map_err(failed)?;
    let mut command = runtime.command_logging(&place, &files[1]);
    command.arg("exec").arg("--process").arg(&files[0]);
    command.arg("--pid-file").arg(&files[2]).arg(id);
    command.stdin(streams.stdin).stdout(streams.stdout).stderr(streams.stderr);
    if !settings.terminal {
        command.process_group(0);
    }
    let child = command.spawn().map_err(failed)?;
    let signaller = Signaller::to(&child, files[2].clone())?;
    Ok(Exec { child, signaller, runtime, files })
}

impl Exec {
    /// Sends signals to the process.
    pub fn signaller(&self) -> Signaller {
        self.signaller.clone()
    }

    /// Waits until the process has ended; its exit code, or 128 and the signal that ended it.
    ///
    /// Errors: [`Error::Runtime`] where it did not come to run.
    pub fn wait(mut self) -> Result<u8> {
        let status = self.child.wait();
        let said = refusal(&self.files[1]);
        for file in &self.files {
            match fs::remove_file(file) {
                // The container has ended, and the folder went with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => {
                    removed.map_err(|error| sapwood::Error::io("exec", error).in_file(file))?;
                }
            }
        }
        let code = code_of(status.map_err(|error| sapwood::Error::io("exec", error))?);
        match said {
            Some(said) if code != 0 => Err(Error::refused(&self.runtime, said)),
            _ => Ok(code),
        }
    }
}

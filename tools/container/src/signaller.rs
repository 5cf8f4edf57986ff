//! Signals for the process in a container.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sapwood::Error;

use crate::sandbox::LOOK_AGAIN;

/// Sends signals to the process in a container, from any thread: to that one, whoever has its number
/// when it has ended.
///
/// A runtime would hand on what it gets, and notes as an error of its own what comes with the end of the
/// process.
#[derive(Clone, Debug)]
pub struct Signaller(Arc<Target>);

#[derive(Debug)]
struct Target {
    runtime: OwnedFd,
    /// What the runtime writes when the process is about to run.
    pid_file: PathBuf,
    process: OnceLock<OwnedFd>,
}

impl Signaller {
    /// To the process of a runtime that nobody has waited for.
    pub(crate) fn to(runtime: &Child, pid_file: PathBuf) -> sapwood::Result<Signaller> {
        let runtime = pidfd_open(Pid::from_child(runtime), PidfdFlags::empty());
        let runtime = runtime.map_err(|error| Error::io("hold a process", error.into()))?;
        Ok(Signaller(Arc::new(Target { runtime, pid_file, process: OnceLock::new() })))
    }

    /// Sends a signal, once the process runs; that it has ended already is fine.
    pub fn send(&self, signal: Signal) -> sapwood::Result<()> {
        let sent = self.0.process().and_then(|process| match process {
            Some(process) => pidfd_send_signal(process, signal),
            None => Ok(()),
        });
        match sent {
            Err(Errno::SRCH) => Ok(()),
            sent => sent.map_err(|error| Error::io("send a signal", error.into())),
        }
    }
}

impl Target {
    /// The process, once it runs; none where it has ended before somebody asked.
    fn process(&self) -> rustix::io::Result<Option<&OwnedFd>> {
        loop {
            if let Some(process) = self.process.get() {
                return Ok(Some(process));
            }
            let opened = self.running().map(|process| pidfd_open(process, PidfdFlags::empty()));
            // The number is that process's as long as the runtime has not seen its end.
            if self.has_ended_after(if opened.is_some() { Duration::ZERO } else { LOOK_AGAIN })? {
                return Ok(None);
            }
            if let Some(process) = opened {
                let _ = self.process.set(process?);
            }
        }
    }

    /// The process, where it is not the runtime any more that makes its place ready.
    fn running(&self) -> Option<Pid> {
        let number = fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()?;
        let name = fs::read_to_string(format!("/proc/{number}/comm")).unwrap_or_default();
        // As runc and youki call themselves there; crun listens to no signal then.
        if name.trim_end().ends_with(":INIT]") { None } else { Pid::from_raw(number) }
    }

    fn has_ended_after(&self, wait: Duration) -> rustix::io::Result<bool> {
        let wait = Timespec::try_from(wait).map_err(|_| Errno::INVAL)?;
        // A process can be read from when it has ended.
        let mut ended = [PollFd::new(&self.runtime, PollFlags::IN)];
        match poll(&mut ended, Some(&wait)) {
            Err(Errno::INTR) => Ok(false),
            ready => ready.map(|ready| ready > 0),
        }
    }
}

//! What the verbs share that are about containers: their names, and signals that are handed on.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::process::Stdio;
use std::thread;

use rustix::process::Signal;
use sapwood::Store;
use sapwood_container::{Signaller, Streams, list};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::error::{CliError, Result};

/// What people send to a program in the foreground.
const SIGNALS: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// The names of all containers of a store that there is a record of.
pub fn container_names(store: &Store) -> Result<BTreeSet<String>> {
    Ok(list(store)?.into_iter().map(|container| container.name).collect())
}

/// That this process has a terminal to give on, where one is asked for.
pub fn expect_terminal(is_wanted: bool) -> Result<()> {
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    if is_wanted && !input.is_terminal() && !output.is_terminal() && !error.is_terminal() {
        return Err(CliError::usage("--terminal: none of the standard streams is a terminal"));
    }
    Ok(())
}

/// The standard streams of a process in a container: it reads something only where that was asked for,
/// as people know it. What else is on standard input is for who reads next.
pub fn streams(interactive: bool, terminal: bool) -> Result<Streams> {
    let stdin = match interactive {
        _ if terminal => Stdio::inherit(),
        false => Stdio::null(),
        true if io::stdin().is_terminal() => typed()?,
        true => Stdio::inherit(),
    };
    Ok(Streams { stdin, ..Streams::inherited() })
}

/// What is typed, read by this process: the runtime is in a process group of its own, and who reads from a
/// terminal that another group has is stopped.
fn typed() -> Result<Stdio> {
    let failed = || CliError::file("pass on", "standard input");
    let (reader, mut writer) = io::pipe().map_err(failed())?;
    let pass_on = move || {
        // The process may end before all is typed.
        let _ = io::copy(&mut io::stdin(), &mut writer);
    };
    let thread = thread::Builder::new().name("sapwood-typed".to_owned());
    thread.spawn(pass_on).map_err(failed())?;
    Ok(reader.into())
}

/// The signals that this process gets. They end it no more: it goes on, to clear up after the one in the
/// container.
pub struct CaughtSignals(Signals);

impl CaughtSignals {
    /// From now on.
    pub fn catch() -> Result<CaughtSignals> {
        Signals::new(SIGNALS).map(CaughtSignals).map_err(listen_failed())
    }

    /// Hands them, those of before too, to the process in the container; that ends by them, or not, as it
    /// likes. A signal that `is_for_us` is not handed on.
    pub fn hand_to(
        mut self,
        signaller: Signaller,
        is_for_us: impl Fn() -> bool + Send + 'static,
    ) -> Result<()> {
        let listen = move || {
            for number in self.0.forever() {
                if is_for_us() {
                    continue;
                }
                let signal = Signal::from_named_raw(number).expect("one of those above");
                if let Err(error) = signaller.send(signal) {
                    eprintln!("sapwood: {error}");
                }
            }
        };
        let thread = thread::Builder::new().name("sapwood-signals".to_owned());
        thread.spawn(listen).map(drop).map_err(listen_failed())
    }
}

fn listen_failed() -> impl FnOnce(io::Error) -> CliError {
    CliError::file("listen to signals", "sapwood")
}

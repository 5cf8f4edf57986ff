//! What the verbs share that run processes: signals that are handed on.

use std::thread;

use rustix::process::Signal;
use sapwood_container::Signaller;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::error::{CliError, Result};

/// What people send to a program in the foreground.
const SIGNALS: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// Hands the signals that this process gets to the one in the container; that ends by them, or not, as
/// it likes.
pub fn hand_signals_on(signaller: Signaller) -> Result<()> {
    let failed = || CliError::file("listen to signals", "sapwood");
    let mut signals = Signals::new(SIGNALS).map_err(failed())?;
    let listen = move || {
        for number in signals.forever() {
            let signal = Signal::from_named_raw(number).expect("one of those above");
            if let Err(error) = signaller.send(signal) {
                eprintln!("sapwood: {error}");
            }
        }
    };
    thread::Builder::new().name("sapwood-signals".to_owned()).spawn(listen).map_err(failed())?;
    Ok(())
}

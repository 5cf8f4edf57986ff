//! Signals that end a mount.

use std::thread;

use sapwood_fuse::{Ended, Unmounter};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{CliError, Result};

/// What a process ends with that a second signal stopped, as shells have it.
const STOPPED: i32 = 130;

/// Unmounts at the first signal; the mount's end then ends the process, commit included. While
/// somebody keeps a file of it open, a second signal ends the process without waiting for them.
pub fn unmount_on_signal(unmounter: Unmounter) -> Result<()> {
    let failed = || CliError::file("listen to signals", "sapwood mount");
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(failed())?;
    let listen = move || {
        for (count, _) in signals.forever().enumerate() {
            if count > 0 {
                std::process::exit(STOPPED);
            }
            match unmounter.unmount() {
                Ok(Ended::Now) => {}
                Ok(Ended::WhenClosed) => {
                    eprintln!("sapwood mount: in use; what was written so far is committed");
                }
                Ok(Ended::WhenThereIsRoom) => {
                    eprintln!(
                        "sapwood mount: the last commit waits for room; a second signal gives it up"
                    );
                }
                Err(error) => eprintln!("sapwood mount: {error}"),
            }
        }
    };
    thread::Builder::new().name("sapwood-signals".to_owned()).spawn(listen).map_err(failed())?;
    Ok(())
}

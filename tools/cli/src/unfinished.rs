//! What a command is in the middle of making: it goes when a signal ends the command, or it is told that it
//! is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{CliError, Result};

/// How often a folder is tried to be removed into which another thread still writes.
const REMOVALS_MAX: usize = 100;
/// How long such a thread is given to find its folder gone.
const SETTLE: Duration = Duration::from_millis(10);

static LEFT_IN_STORE: AtomicBool = AtomicBool::new(false);
static PATHS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file or folder that goes with a signal for as long as this lives.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Makes something with a path, and notes it before any signal can come between.
    pub fn make<T>(
        create: impl FnOnce() -> Result<T>,
        path_of: impl FnOnce(&T) -> &Path,
    ) -> Result<(T, Unfinished)> {
        // Whoever takes a signal waits for this lock.
        let mut paths = paths();
        listen_once()?;
        let made = create()?;
        let path = path_of(&made);
        // Whoever removes it later may stand in another folder.
        let path = std::path::absolute(path).map_err(CliError::file("look for", path))?;
        paths.push(path.clone());
        Ok((made, Unfinished { path }))
    }
}

impl Unfinished {
    /// Removes it: it will not be finished.
    pub fn discard(self) {
        remove(&self.path);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let mut paths = paths();
        if let Some(at) = paths.iter().position(|path| *path == self.path) {
            paths.swap_remove(at);
        }
    }
}

/// A layer in a store that is being made: this process has it open, and cannot take it away. While this
/// lives, a signal has it told what does.
#[derive(Debug)]
pub struct LeftInStore {
    is_told: bool,
}

impl LeftInStore {
    /// Has it told, where `is_told`.
    pub fn tell(is_told: bool) -> Result<LeftInStore> {
        let _paths = paths();
        if is_told {
            listen_once()?;
            LEFT_IN_STORE.store(true, Ordering::SeqCst);
        }
        Ok(LeftInStore { is_told })
    }
}

impl Drop for LeftInStore {
    fn drop(&mut self) {
        // Whoever was told so sees it end.
        let _paths = paths();
        if self.is_told {
            LEFT_IN_STORE.store(false, Ordering::SeqCst);
        }
    }
}

fn paths() -> MutexGuard<'static, Vec<PathBuf>> {
    PATHS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen_once() -> Result<()> {
    static LISTEN: Once = Once::new();
    let mut started = Ok(());
    LISTEN.call_once(|| started = listen());
    started.map_err(CliError::file("listen to signals", "sapwood"))
}

fn listen() -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let work = move || {
        if let Some(signal) = signals.forever().next() {
            // Held to the end: what was finished meanwhile stays, and nothing new is begun.
            let paths = paths();
            paths.iter().for_each(|path| remove(path));
            if LEFT_IN_STORE.load(Ordering::SeqCst) {
                eprintln!("sapwood: interrupted: `gc` gives back the space of what was begun");
            }
            // As shells tell of a process that a signal ended.
            std::process::exit(128 + signal);
        }
    };
    thread::Builder::new().name("sapwood-signals".to_owned()).spawn(work)?;
    Ok(())
}

/// Removes what was begun. The command goes on meanwhile: it finds its files gone, fails, and
/// waits where it would note that it is done.
fn remove(path: &Path) {
    for _ in 0..REMOVALS_MAX {
        // What is wrong shows in what is left.
        let _ = match path.is_dir() {
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        };
        thread::sleep(SETTLE);
        if !path.exists() {
            return;
        }
    }
    eprintln!("sapwood: left behind: {}", path.display());
}

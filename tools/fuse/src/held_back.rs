//! What the kernel knows of a file and the server does not yet: pages that were written and are held back.
//!
//! Two questions are answered wrong without it. Where data and holes are, the kernel asks of the server
//! while it holds pages back, so a program that copies what is no hole would leave out what was just
//! written. So the server first has the kernel hand over the file's pages. It opens the file in its own mount for
//! that, by a name that leads to that file once. Such a name gets past the permissions of all directories, and
//! whoever watches the root is told of it when the file is opened: it leads nowhere by then.
//!
//! And how much room a file takes the kernel remembers from when it asked last, whatever was handed
//! over since. So it is told to forget that.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;

use fuser::{INodeNo, Notifier};
use parking_lot::{Condvar, Mutex};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::rand::{GetRandomFlags, getrandom};

/// The name begins so, and is longer than any that a tree can hold.
const NAME: &str = "sapwood-file-";
const NAME_BYTES: usize = 300;
/// In place of an offset: attributes alone, no pages.
const ATTRIBUTES_ALONE: i64 = -1;

/// The way to what the kernel of one mount holds back.
#[derive(Debug)]
pub struct HeldBack {
    directory: PathBuf,
    /// Where the names lead that nobody has looked up yet. Nobody can guess one.
    names: Mutex<HashMap<u128, INodeNo>>,
    notifier: OnceLock<Notifier>,
    outdated: Arc<Outdated>,
}

/// Files of which the kernel has to forget how much room they take.
#[derive(Debug, Default)]
struct Outdated {
    state: Mutex<State>,
    has_more: Condvar,
}

#[derive(Debug, Default)]
struct State {
    files: HashSet<u64>,
    /// Whether the kernel is being told of others.
    is_telling: bool,
    is_over: bool,
}

impl HeldBack {
    /// Of the mount that will be on `directory`.
    pub fn new(directory: &Path) -> HeldBack {
        HeldBack {
            directory: directory.to_owned(),
            names: Mutex::default(),
            notifier: OnceLock::new(),
            outdated: Arc::default(),
        }
    }

    /// Lets the kernel be told from now on. A thread of its own does that: where it lets go of a file
    /// for the last time, the kernel may ask the server something first.
    ///
    /// Errors: where no thread can be started.
    pub fn begin(&self, notifier: Notifier) -> io::Result<()> {
        let (outdated, teller) = (Arc::clone(&self.outdated), notifier.clone());
        let tell = move || {
            while let Some(files) = outdated.next() {
                for number in files {
                    forget_room(&teller, INodeNo(number));
                }
            }
        };
        thread::Builder::new().name("sapwood-forget".into()).spawn(tell)?;
        self.notifier.set(notifier).expect("a mount begins once");
        Ok(())
    }

    /// The file that a name leads to, where it is one of these names and is looked up for the first time.
    pub fn lookup(&self, name: &[u8]) -> Option<INodeNo> {
        if name.len() != NAME_BYTES {
            return None;
        }
        let secret = std::str::from_utf8(name).ok()?.strip_prefix(NAME)?.trim_end_matches('-');
        self.names.lock().remove(&u128::from_str_radix(secret, 16).ok()?)
    }

    /// Opens a file of the mount, for [`sync_file_range`](crate::raw::sync_file_range). Not in a worker of
    /// the server, which may be the one that answers.
    ///
    /// Errors: where the server may not open it, or does not see the mount any more.
    pub fn open(&self, number: INodeNo) -> rustix::io::Result<OwnedFd> {
        let (secret, name) = new_name()?;
        self.names.lock().insert(secret, number);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = openat(CWD, self.directory.join(name), flags, Mode::empty());
        // Where it came to no look-up.
        self.names.lock().remove(&secret);
        opened
    }

    /// A file takes more room than the kernel was told, or less. It is to know soon: what it then asks
    /// for costs the next write as much as a write does.
    pub fn has_other_room(&self, number: INodeNo) {
        let mut state = self.outdated.state.lock();
        // Else who tells has yet to take what was there before.
        if state.files.is_empty() {
            self.outdated.has_more.notify_one();
        }
        state.files.insert(number.0);
    }

    /// All that was held back of a file has arrived, and somebody who has it open waits to be told.
    pub fn is_synced(&self, number: INodeNo) {
        let is_outdated = {
            let mut state = self.outdated.state.lock();
            state.files.remove(&number.0) || state.is_telling
        };
        if let (true, Some(notifier)) = (is_outdated, self.notifier.get()) {
            forget_room(notifier, number);
        }
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        self.outdated.state.lock().is_over = true;
        self.outdated.has_more.notify_one();
    }
}

impl Outdated {
    /// The next ones, once there are any; `None` at the end.
    fn next(&self) -> Option<HashSet<u64>> {
        let mut state = self.state.lock();
        state.is_telling = false;
        self.has_more.wait_while(&mut state, |state| state.files.is_empty() && !state.is_over);
        state.is_telling = true;
        (!state.is_over).then(|| std::mem::take(&mut state.files))
    }
}

/// A name that nobody can guess.
fn new_name() -> rustix::io::Result<(u128, String)> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    let secret = u128::from_ne_bytes(bytes);
    Ok((secret, format!("{NAME}{secret:-<width$x}", width = NAME_BYTES - NAME.len())))
}

/// Has the kernel ask how much room a file takes when somebody wants to know it next.
fn forget_room(notifier: &Notifier, number: INodeNo) {
    // One that it does not know any more, or a mount at its end.
    let _ = notifier.inval_inode(number, ATTRIBUTES_ALONE, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_its_file_once() {
        let held = HeldBack::new(Path::new("/nowhere"));
        let (secret, name) = new_name().unwrap();
        assert_eq!(held.lookup(name.as_bytes()), None, "nobody gave it a file");
        held.names.lock().insert(secret, INodeNo(17));
        for wrong in [&name[1..], &name[..NAME.len()], "", &new_name().unwrap().1] {
            assert_eq!(held.lookup(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(held.lookup(name.as_bytes()), Some(INodeNo(17)));
        assert_eq!(held.lookup(name.as_bytes()), None);
        held.open(INodeNo(17)).unwrap_err();
        assert!(held.names.lock().is_empty(), "one that was not looked up leads nowhere either");
    }
}

//! How a mount ends: with a commit that waits for room where the host has none, and with those who
//! want to know being told.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use sapwood::{Error, ErrorKind, Result};

/// How often the last commit is tried where the host has no room for it.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The end of a mount, for those who make it and those who wait for it.
#[derive(Clone, Debug, Default)]
pub struct Ending(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What the last commit failed with that is to be tried again.
    refused: Option<Told>,
    is_given_up: bool,
    ended: Option<Result<(), Told>>,
}

/// An error in words, to be told more than once.
#[derive(Clone, Debug)]
pub struct Told {
    pub kind: ErrorKind,
    pub text: String,
}

impl Ending {
    /// Makes the last commit. One that failed and `can_be_made_again` is tried until it is made, or
    /// somebody gives it up; `tell` is called once.
    pub fn commit(
        &self,
        commit: impl Fn() -> Result<()>,
        can_be_made_again: impl Fn() -> bool,
        tell: impl FnOnce(&Error),
    ) -> Result<()> {
        let mut tell = Some(tell);
        loop {
            let done = commit();
            let mut state = self.0.state.lock();
            match done {
                Err(error) if can_be_made_again() && !state.is_given_up => {
                    state.refused = Some(Told::of(&error));
                    self.0.changed.notify_all();
                    if let Some(tell) = tell.take() {
                        tell(&error);
                    }
                    self.0.changed.wait_for(&mut state, TRY_AGAIN);
                }
                done => {
                    state.refused = None;
                    return done;
                }
            }
        }
    }

    /// Why the last commit waits, where it does.
    pub fn refused(&self) -> Option<Told> {
        let state = self.0.state.lock();
        state.refused.clone().filter(|_| !state.is_given_up)
    }

    /// Has the last commit tried now, where it waits.
    pub fn try_now(&self) {
        self.0.changed.notify_all();
    }

    /// Has the last commit tried no more, where it waits: what it would have kept is lost. Whether it
    /// waited.
    pub fn give_up(&self) -> bool {
        let mut state = self.0.state.lock();
        if state.refused.is_none() {
            return false;
        }
        state.is_given_up = true;
        self.0.changed.notify_all();
        true
    }

    /// The mount has ended.
    pub fn end(&self, ended: &Result<()>) {
        self.0.state.lock().ended = Some(ended.as_ref().map_err(Told::of).copied());
        self.0.changed.notify_all();
    }

    /// Whether the mount has ended.
    pub fn has_ended(&self) -> bool {
        self.0.state.lock().ended.is_some()
    }

    /// Waits until the mount has ended, or its last commit waits for room, which is told as an error.
    pub fn wait(&self) -> Result<(), Told> {
        let mut state = self.0.state.lock();
        loop {
            match (&state.ended, &state.refused) {
                (Some(ended), _) => return ended.clone(),
                (None, Some(refused)) if !state.is_given_up => return Err(refused.clone()),
                _ => self.0.changed.wait(&mut state),
            }
        }
    }
}

impl Told {
    pub fn of(error: &Error) -> Told {
        Told { kind: error.kind(), text: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    fn full() -> Error {
        Error::new(ErrorKind::NoSpace, "commit")
    }

    #[test]
    fn a_commit_without_room_is_told_once_and_made_when_there_is_some() {
        let (ending, tried, told) = (Ending::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let commit = || match tried.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(full()),
            _ => Ok(()),
        };
        thread::scope(|scope| {
            let tell = |_: &Error| {
                told.fetch_add(1, Ordering::Relaxed);
            };
            let ending = &ending;
            let made = scope.spawn(move || ending.commit(commit, || true, tell));
            assert_eq!(ending.wait().unwrap_err().kind, ErrorKind::NoSpace);
            while tried.load(Ordering::Relaxed) < 3 {
                ending.try_now();
                thread::yield_now();
            }
            made.join().unwrap().unwrap();
        });
        assert!(ending.refused().is_none() && !ending.give_up());
        assert_eq!(told.into_inner(), 1);
        ending.end(&Ok(()));
        ending.wait().unwrap();
    }

    #[test]
    fn a_commit_that_is_given_up_or_can_never_be_made_is_an_error() {
        let ending = Ending::default();
        let error = ending.commit(|| Err(full()), || false, |_| panic!("nothing waits"));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NoSpace);
        assert!(!ending.give_up(), "nothing waits");
        thread::scope(|scope| {
            let waits = scope.spawn(|| ending.commit(|| Err(full()), || true, |_| ()));
            while !ending.give_up() {
                thread::yield_now();
            }
            assert_eq!(waits.join().unwrap().unwrap_err().kind(), ErrorKind::NoSpace);
        });
        ending.end(&Err(full()));
        assert_eq!(ending.wait().unwrap_err().kind, ErrorKind::NoSpace);
    }
}

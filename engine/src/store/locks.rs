//! The locks of a store, and the order in which they are taken.
//!
//! 1. The lock of a name: alone, by who writes to its volume or changes what it stands for. It is
//!    one byte of a file that all names share, so that taking a new name makes no file.
//! 2. The lock of the store: shared while a name or a layer is added, alone while names are
//!    taken away, header slots of frozen layers change, and garbage is told from the rest.
//! 3. The lock of a layer file: alone by its writer, shared by leases.
//!
//! Who holds one only *waits* for one further down; a lock further up is tried, never
//! waited for. A name's lock is only ever waited for by who holds nothing, or nothing but those of
//! names whose numbers are smaller. Locks belong to
//! the open file, so threads of one process keep each other out like processes do, and a
//! process that dies gives back what it held.

use std::sync::Arc;

use super::name::Name;
use super::paths;
use crate::error::{Error, ErrorKind, Result};
use crate::medium::{Host, LockMode, LockWait, Medium, OpenMode};

/// How many bytes tell the holder of a name's lock: the name's number in hexadecimal, a space, a
/// process id in decimal, padded with spaces, and the end of the line.
const HOLDER_BYTES: usize = 32;
/// How many holders are told: 64 KiB bound the file, whatever names there ever were.
const HOLDER_SLOTS: u64 = 2048;

/// The lock of the store, until dropped.
#[derive(Debug)]
pub struct StoreLock {
    _medium: Arc<dyn Medium>,
}

impl StoreLock {
    /// Waits until nobody takes anything away.
    pub fn shared(host: &dyn Host) -> Result<StoreLock> {
        StoreLock::take(host, LockMode::Shared)
    }

    /// Waits until nobody adds anything or takes it away.
    pub fn exclusive(host: &dyn Host) -> Result<StoreLock> {
        StoreLock::take(host, LockMode::Exclusive)
    }

    fn take(host: &dyn Host, mode: LockMode) -> Result<StoreLock> {
        let path = paths::LOCK.as_ref();
        let failed = |error| Error::io("lock the store", error).in_file(host.display_path(path));
        let medium = match host.open(path, OpenMode::Read) {
            // An empty file, which copies of a store may have left out.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                host.open(path, OpenMode::OpenOrCreate)
            }
            medium => medium,
        };
        let medium = medium.map_err(failed)?;
        medium.lock(mode, LockWait::Block).map_err(failed)?;
        Ok(StoreLock { _medium: medium })
    }
}

/// The lock of a name, until dropped.
#[derive(Debug)]
pub struct NameLock {
    name: Name,
    medium: Arc<dyn Medium>,
}

impl NameLock {
    /// Takes the lock at once; [`ErrorKind::Locked`] names the holder.
    pub fn try_take(host: &dyn Host, name: &Name) -> Result<NameLock> {
        NameLock::take(host, name, LockWait::Try)
    }

    /// Waits for the lock.
    pub fn wait(host: &dyn Host, name: &Name) -> Result<NameLock> {
        NameLock::take(host, name, LockWait::Block)
    }

    /// The name that is locked.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// That others meet this lock: the file that it is in was not taken away or replaced. For who is
    /// about to change what the name stands for; layer files have locks of their own.
    ///
    /// Errors: [`ErrorKind::Stale`].
    pub fn expect_held(&self, host: &dyn Host) -> Result<()> {
        let path = paths::NAME_LOCKS.as_ref();
        let operation = || format!("keep the lock of {}", self.name);
        let failed = |error| Error::io(operation(), error).in_file(host.display_path(path));
        let own = self.medium.facts().map_err(failed)?.identity;
        match host.facts(path) {
            Ok(facts) if facts.identity == own => Ok(()),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            found => Err(Error::new(ErrorKind::Stale, operation())
                .in_file(host.display_path(path))
                .about(
                    "lock file",
                    if found.is_ok() { "another one" } else { "none" },
                    "the one that was locked",
                )),
        }
    }

    fn take(host: &dyn Host, name: &Name, wait: LockWait) -> Result<NameLock> {
        let medium = open_name_locks(host)?;
        lock_name(host, &*medium, name, wait)?;
        Ok(NameLock { name: name.clone(), medium })
    }
}

/// The locks of several names, until dropped.
#[derive(Debug)]
pub struct NameLocks {
    medium: Arc<dyn Medium>,
    taken: Option<u64>,
}

impl NameLocks {
    /// No lock yet.
    pub fn none(host: &dyn Host) -> Result<NameLocks> {
        Ok(NameLocks { medium: open_name_locks(host)?, taken: None })
    }

    /// Takes one more, of a name whose number is greater than those of all that were taken.
    pub fn add(&mut self, host: &dyn Host, name: &Name, wait: LockWait) -> Result<()> {
        debug_assert!(self.taken < Some(name.number()), "those who wait for each other end never");
        lock_name(host, &*self.medium, name, wait)?;
        self.taken = Some(name.number());
        Ok(())
    }
}

fn open_name_locks(host: &dyn Host) -> Result<Arc<dyn Medium>> {
    let path = paths::NAME_LOCKS.as_ref();
    host.open(path, OpenMode::OpenOrCreate).map_err(|error| {
        Error::io("open the locks of names", error).in_file(host.display_path(path))
    })
}

fn lock_name(host: &dyn Host, medium: &dyn Medium, name: &Name, wait: LockWait) -> Result<()> {
    let path = paths::NAME_LOCKS.as_ref();
    let operation = || format!("lock {name}");
    let failed = |error| Error::io(operation(), error).in_file(host.display_path(path));
    let number = name.number();
    if !medium.lock_byte(number, wait).map_err(failed)? {
        let holder = match read_holder(medium, number) {
            Some(process) => format!("held by process {process}"),
            None => "held by another process".into(),
        };
        return Err(Error::new(ErrorKind::Locked, operation())
            .in_file(host.display_path(path))
            .about("lock", holder, "free"));
    }
    match write_holder(medium, number) {
        // Removing has to work with no byte free; who holds the lock is only a hint.
        Err(error) if !is_full(&error) => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Where the holder of a lock is told. Names share a slot now and then; the later taker is told.
fn holder_offset(number: u64) -> u64 {
    number % HOLDER_SLOTS * HOLDER_BYTES as u64
}

fn write_holder(medium: &dyn Medium, number: u64) -> std::io::Result<()> {
    let text = format!("{number:016x} {:<14}\n", std::process::id());
    debug_assert_eq!(text.len(), HOLDER_BYTES);
    medium.write_at(holder_offset(number), text.as_bytes())
}

fn read_holder(medium: &dyn Medium, number: u64) -> Option<u32> {
    let mut text = [0; HOLDER_BYTES];
    medium.read_at(holder_offset(number), &mut text).ok()?;
    let (of, process) = std::str::from_utf8(&text).ok()?.split_once(' ')?;
    (u64::from_str_radix(of, 16).ok()? == number).then_some(())?;
    process.trim().parse().ok()
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::{FileHost, MemoryHost, Network};

    fn hosts() -> (tempfile::TempDir, Vec<Arc<dyn Host>>) {
        let folder = tempfile::tempdir().unwrap();
        let files = FileHost::open_root(folder.path(), Network::Refuse).unwrap();
        let hosts: Vec<Arc<dyn Host>> = vec![Arc::new(files), Arc::new(MemoryHost::new())];
        for host in &hosts {
            host.open(paths::LOCK.as_ref(), OpenMode::CreateNew).unwrap();
        }
        (folder, hosts)
    }

    #[test]
    fn a_second_taker_in_the_same_process_is_told_the_holder() {
        let (_folder, hosts) = hosts();
        let name = Name::new("web").unwrap();
        for host in hosts {
            let first = NameLock::try_take(&*host, &name).unwrap();
            let error = NameLock::try_take(&*host, &name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Locked);
            let holder = format!("process {}", std::process::id());
            assert!(error.to_string().contains(&holder), "{error}");
            NameLock::try_take(&*host, &Name::new("other").unwrap()).unwrap();
            drop(first);
            NameLock::try_take(&*host, &name).unwrap();
        }
    }

    #[test]
    fn a_name_is_waited_for_and_a_holder_whose_slot_was_taken_is_not_told() {
        let (_folder, hosts) = hosts();
        let name = Name::new("web").unwrap();
        for host in hosts {
            let first = NameLock::try_take(&*host, &name).unwrap();
            let slots = host.open(paths::NAME_LOCKS.as_ref(), OpenMode::ReadWrite).unwrap();
            write_holder(&*slots, name.number() ^ (1 << 62)).unwrap();
            let error = NameLock::try_take(&*host, &name).unwrap_err();
            assert!(error.to_string().contains("another process"), "{error}");
            let waiter = std::thread::spawn({
                let (host, name) = (host.clone(), name.clone());
                move || NameLock::wait(&*host, &name).unwrap()
            });
            drop(first);
            let held = waiter.join().unwrap();
            assert_eq!(NameLock::try_take(&*host, &name).unwrap_err().kind(), ErrorKind::Locked);
            drop(held);
            NameLock::try_take(&*host, &name).unwrap();
        }
    }

    #[test]
    fn adding_goes_together_and_collecting_goes_alone() {
        let (_folder, hosts) = hosts();
        for host in hosts {
            let first = StoreLock::shared(&*host).unwrap();
            let second = StoreLock::shared(&*host).unwrap();
            let path = paths::LOCK.as_ref();
            let other = host.open(path, OpenMode::Read).unwrap();
            assert!(!other.lock(LockMode::Exclusive, LockWait::Try).unwrap());
            drop((first, second));
            let alone = StoreLock::exclusive(&*host).unwrap();
            assert!(!other.lock(LockMode::Shared, LockWait::Try).unwrap());
            drop(alone);
            assert!(other.lock(LockMode::Shared, LockWait::Try).unwrap());
        }
    }
}

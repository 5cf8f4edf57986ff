//! A host whose n-th call fails.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::CrashDisk;
use crate::medium::{FileFacts, Host, LockMode, LockWait, Map, Medium, OpenMode};

/// A call of [`Host`] or [`Medium`] that can fail. Locks do not: they touch no device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named after the call it stands for")]
pub enum Call {
    Open,
    Create,
    CreateFolder,
    Rename,
    Link,
    Remove,
    SyncFolder,
    List,
    Facts,
    Read,
    Write,
    StartWriteback,
    Sync,
    DropCache,
    Allocate,
    SetLength,
    Punch,
    NextData,
    Map,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// `EIO`, from any call. A sync that fails so has lost what it should have made durable.
    DeviceError,
    /// `ENOSPC`, from a call that needs room.
    NoSpace,
    /// `EMFILE`, from a call that opens a file or a folder.
    NoDescriptor,
    /// `EACCES`, from a call that makes a file.
    NotPermitted,
    /// `EINTR`, from any call, of which nothing was done: a medium that hands it on.
    Interrupted,
    /// A write that stops half-way, and then `ENOSPC`.
    ShortWrite,
    /// `EIO` from a sync of a file: what it should have made durable is lost, and the
    /// next sync says that all is well.
    FailedSync,
}

impl FaultKind {
    fn concerns(self, call: Call) -> bool {
        use Call::{
            Allocate, Create, CreateFolder, Link, Open, Rename, SetLength, Sync, SyncFolder, Write,
        };
        match self {
            FaultKind::DeviceError | FaultKind::Interrupted => true,
            FaultKind::NoSpace => {
                matches!(call, Create | CreateFolder | Rename | Link | Write | Allocate | SetLength)
            }
            FaultKind::NoDescriptor => matches!(call, Open | Create | SyncFolder),
            FaultKind::NotPermitted => call == Create,
            FaultKind::ShortWrite => call == Write,
            FaultKind::FailedSync => call == Sync,
        }
    }

    fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            FaultKind::DeviceError | FaultKind::FailedSync => libc::EIO,
            FaultKind::NoDescriptor => libc::EMFILE,
            FaultKind::NotPermitted => libc::EACCES,
            FaultKind::Interrupted => libc::EINTR,
            FaultKind::NoSpace | FaultKind::ShortWrite => libc::ENOSPC,
        })
    }
}

/// Whether a fault stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The call after it succeeds again.
    Once,
    /// Every call that it concerns fails from then on.
    Forever,
}

/// What fails, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How.
    pub kind: FaultKind,
    /// So many calls that it concerns succeed before the first one fails.
    pub after: u64,
    /// Whether it stays.
    pub repeat: Repeat,
}

/// A host in front of another one, whose calls fail as armed.
#[derive(Debug)]
pub struct FaultHost {
    inner: Arc<dyn Host>,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct Faults {
    disk: Option<Arc<CrashDisk>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: BTreeMap<Call, u64>,
    armed: Option<Fault>,
    concerned: u64,
    injected: u64,
}

impl FaultHost {
    /// In front of any host: failed calls are not passed on.
    pub fn new(inner: Arc<dyn Host>) -> Arc<FaultHost> {
        FaultHost::with(inner, None)
    }

    /// In front of a recording disk, on which a failed sync loses what was not durable.
    pub fn on_disk(disk: &Arc<CrashDisk>) -> Arc<FaultHost> {
        FaultHost::with(disk.host(), Some(disk.clone()))
    }

    fn with(inner: Arc<dyn Host>, disk: Option<Arc<CrashDisk>>) -> Arc<FaultHost> {
        let faults = Arc::new(Faults { disk, state: Mutex::default() });
        Arc::new(FaultHost { inner, faults })
    }

    /// Makes calls fail from here on, in place of what was armed before.
    pub fn arm(&self, fault: Fault) {
        let mut state = self.faults.state.lock();
        state.armed = Some(fault);
        state.concerned = 0;
        state.injected = 0;
    }

    /// Lets all calls succeed again.
    pub fn disarm(&self) {
        self.faults.state.lock().armed = None;
    }

    /// How many calls of a kind were made, failed ones included.
    pub fn calls(&self, call: Call) -> u64 {
        self.faults.state.lock().calls.get(&call).copied().unwrap_or(0)
    }

    /// How many calls were made that a fault of `kind` concerns: as many values of
    /// [`Fault::after`] are worth trying.
    pub fn concerned_by(&self, kind: FaultKind) -> u64 {
        let state = self.faults.state.lock();
        let concerned = state.calls.iter().filter(|(call, _)| kind.concerns(**call));
        concerned.map(|(_, count)| count).sum()
    }

    /// How many calls failed since the last [`FaultHost::arm`].
    pub fn injected(&self) -> u64 {
        self.faults.state.lock().injected
    }
}

impl Faults {
    /// Counts a call; gives the fault that it meets.
    fn meet(&self, call: Call) -> Option<FaultKind> {
        let mut state = self.state.lock();
        *state.calls.entry(call).or_default() += 1;
        let fault = state.armed.filter(|fault| fault.kind.concerns(call))?;
        state.concerned += 1;
        let past = state.concerned.checked_sub(fault.after + 1)?;
        if past > 0 && fault.repeat == Repeat::Once {
            return None;
        }
        state.injected += 1;
        Some(fault.kind)
    }

    fn pass(&self, call: Call) -> io::Result<()> {
        self.meet(call).map_or(Ok(()), |fault| Err(fault.error()))
    }
}

impl Host for FaultHost {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn Medium>> {
        let creates = match mode {
            OpenMode::Read | OpenMode::ReadWrite => false,
            OpenMode::CreateNew => true,
            OpenMode::OpenOrCreate => self.inner.facts(path).is_err(),
        };
        self.faults.pass(if creates { Call::Create } else { Call::Open })?;
        let inner = self.inner.open(path, mode)?;
        Ok(Arc::new(FaultMedium { inner, faults: self.faults.clone() }))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.faults.pass(Call::CreateFolder)?;
        self.inner.create_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.pass(Call::Rename)?;
        self.inner.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.pass(Call::Rename)?;
        self.inner.rename_new(from, to)
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        self.faults.pass(Call::Link)?;
        self.inner.link(file, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.faults.pass(Call::Remove)?;
        self.inner.remove(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.faults.pass(Call::SyncFolder)?;
        self.inner.sync_folder(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.faults.pass(Call::List)?;
        self.inner.list(path)
    }

    fn facts(&self, path: &Path) -> io::Result<FileFacts> {
        self.faults.pass(Call::Facts)?;
        self.inner.facts(path)
    }

    fn display_path(&self, path: &Path) -> PathBuf {
        self.inner.display_path(path)
    }
}

/// An open file of a [`FaultHost`].
#[derive(Debug)]
struct FaultMedium {
    inner: Arc<dyn Medium>,
    faults: Arc<Faults>,
}

impl FaultMedium {
    /// As much of a write as a fault lets through, and then its error.
    fn stop_short(&self, fault: FaultKind, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if fault == FaultKind::ShortWrite {
            self.inner.write_at(offset, &bytes[..bytes.len() / 2])?;
        }
        Err(fault.error())
    }
}

impl Medium for FaultMedium {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.faults.pass(Call::Read)?;
        self.inner.read_at(offset, buffer)
    }

    fn read_uncached_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.faults.pass(Call::Read)?;
        self.inner.read_uncached_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.faults.meet(Call::Write) {
            None => self.inner.write_at(offset, bytes),
            Some(fault) => self.stop_short(fault, offset, bytes),
        }
    }

    fn write_vectored_at(&self, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        match self.faults.meet(Call::Write) {
            None => self.inner.write_vectored_at(offset, slices),
            Some(fault) => {
                let bytes: Vec<u8> =
                    slices.iter().flat_map(|slice| slice.iter().copied()).collect();
                self.stop_short(fault, offset, &bytes)
            }
        }
    }

    fn start_writeback(&self, offset: u64, length: u64) -> io::Result<()> {
        self.faults.pass(Call::StartWriteback)?;
        self.inner.start_writeback(offset, length)
    }

    fn sync(&self) -> io::Result<()> {
        let Some(fault) = self.faults.meet(Call::Sync) else { return self.inner.sync() };
        if let Some(disk) = &self.faults.disk {
            disk.lose_unsynced(self.inner.facts()?.identity);
        }
        Err(fault.error())
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.faults.pass(Call::DropCache)?;
        self.inner.drop_cache()
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        self.faults.pass(Call::Allocate)?;
        self.inner.allocate(offset, length)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.faults.pass(Call::SetLength)?;
        self.inner.set_length(length)
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.faults.pass(Call::Punch)?;
        self.inner.punch(offset, length)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<(u64, u64)>> {
        self.faults.pass(Call::NextData)?;
        self.inner.next_data(offset)
    }

    fn map(&self, offset: u64, length: u64) -> io::Result<Option<Map>> {
        self.faults.pass(Call::Map)?;
        self.inner.map(offset, length)
    }

    fn lock(&self, mode: LockMode, wait: LockWait) -> io::Result<bool> {
        self.inner.lock(mode, wait)
    }

    fn lock_byte(&self, offset: u64, wait: LockWait) -> io::Result<bool> {
        self.inner.lock_byte(offset, wait)
    }

    fn unlock(&self) -> io::Result<()> {
        self.inner.unlock()
    }

    fn facts(&self) -> io::Result<FileFacts> {
        self.faults.pass(Call::Facts)?;
        self.inner.facts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::MemoryHost;

    #[test]
    fn an_unarmed_host_keeps_the_contract() {
        crate::medium::contract::check(&*FaultHost::new(Arc::new(MemoryHost::new())));
    }

    #[test]
    fn the_nth_call_fails_once_or_for_ever() {
        let host = FaultHost::new(Arc::new(MemoryHost::new()));
        let file = host.open(Path::new("file"), OpenMode::CreateNew).unwrap();
        for (repeat, expected) in [
            (Repeat::Once, [true, true, false, true, true]),
            (Repeat::Forever, [true, true, false, false, false]),
        ] {
            host.arm(Fault { kind: FaultKind::NoSpace, after: 2, repeat });
            let outcomes = [(); 5].map(|()| {
                file.sync().expect("a sync needs no room");
                file.write_at(0, &[1; 512]).is_ok()
            });
            assert_eq!(outcomes, expected);
            assert_eq!(host.injected(), outcomes.iter().filter(|done| !**done).count() as u64);
        }
        host.disarm();
        file.write_at(0, &[1; 512]).unwrap();
        assert_eq!((host.calls(Call::Write), host.calls(Call::Sync)), (11, 10));
        assert_eq!(host.concerned_by(FaultKind::NoSpace), 12, "with the creation");
    }

    #[test]
    fn a_short_write_leaves_its_first_half() {
        let host = FaultHost::new(Arc::new(MemoryHost::new()));
        let file = host.open(Path::new("file"), OpenMode::CreateNew).unwrap();
        host.arm(Fault { kind: FaultKind::ShortWrite, after: 0, repeat: Repeat::Once });
        let error = file.write_vectored_at(0, &[IoSlice::new(&[7; 600]); 2]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(file.facts().unwrap().length, 600);
    }

    #[test]
    fn a_failed_sync_loses_what_the_cache_goes_on_serving() {
        let disk = CrashDisk::new();
        let host = FaultHost::on_disk(&disk);
        let file = host.open(Path::new("file"), OpenMode::CreateNew).unwrap();
        host.sync_folder(Path::new("")).unwrap();
        file.write_at(0, &[1; 1024]).unwrap();
        file.sync().unwrap();
        file.write_at(0, &[2; 2048]).unwrap();
        host.arm(Fault { kind: FaultKind::FailedSync, after: 0, repeat: Repeat::Once });
        file.sync().unwrap_err();
        file.write_at(512, &[3; 512]).unwrap();
        file.sync().expect("the host has forgotten");

        let byte_of_each_sector = |uncached| {
            let mut bytes = [9; 2048];
            match uncached {
                true => file.read_uncached_at(0, &mut bytes).unwrap(),
                false => file.read_at(0, &mut bytes).unwrap(),
            }
            [bytes[0], bytes[512], bytes[1024]]
        };
        assert_eq!(byte_of_each_sector(false), [2, 3, 2]);
        assert_eq!(byte_of_each_sector(true), [1, 3, 0]);
        file.drop_cache().unwrap();
        assert_eq!(byte_of_each_sector(false), [1, 3, 0]);

        let states: Vec<_> = disk.states_at(disk.log_len(), &Default::default()).collect();
        assert_eq!(states.len(), 1, "nothing is open");
        let after = states[0].host().open(Path::new("file"), OpenMode::Read).unwrap();
        let mut bytes = [9; 1024];
        after.read_at(0, &mut bytes).unwrap();
        assert_eq!((after.facts().unwrap().length, bytes[0], bytes[512]), (1024, 1, 3));
    }
}

//! The signal guard: a fault in one of our maps becomes an error of that read.
//!
//! Touching a mapped page that the host cannot give raises SIGBUS. With the
//! guard installed, a handler looks the address up in a table of our maps, puts
//! a page of zeros over the one that faulted and marks the map; the read goes on
//! and its caller finds the mark. A SIGBUS anywhere else goes to whoever handled
//! it before, or kills the process as it would have.
//!
//! The table is read inside a signal handler, so it takes no lock and frees
//! nothing: chunks of slots are pushed onto a list and stay for ever.

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// The slots that are added at once; a view maps a few files at a time.
const SLOTS_PER_CHUNK: usize = 256;

/// One map as the handler sees it. Free while `end` is 0.
#[derive(Debug)]
pub(super) struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    faulted: AtomicBool,
}

impl Slot {
    const fn free() -> Slot {
        Slot {
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            faulted: AtomicBool::new(false),
        }
    }

    pub(super) fn faulted(&self) -> bool {
        self.faulted.load(Ordering::Acquire)
    }

    /// Both bounds are read twice: a slot that changes hands meanwhile is not the
    /// map that faulted, since that one is borrowed by the thread that faulted.
    fn holds(&self, address: usize) -> bool {
        let bounds = || (self.start.load(Ordering::Acquire), self.end.load(Ordering::Acquire));
        let (start, end) = bounds();
        (start..end).contains(&address) && bounds() == (start, end)
    }
}

struct Chunk {
    slots: [Slot; SLOTS_PER_CHUNK],
    next: *const Chunk,
}

/// The chunks there are, newest first.
static CHUNKS: AtomicPtr<Chunk> = AtomicPtr::new(ptr::null_mut());

/// The slots that no map holds. Never touched by the handler.
static FREE_SLOTS: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

/// Enters a map into the table, whether or not the guard is installed (yet).
pub(super) fn register(start: usize, length: usize) -> &'static Slot {
    let slot = take_slot();
    slot.faulted.store(false, Ordering::Relaxed);
    slot.start.store(start, Ordering::Release);
    slot.end.store(start + length, Ordering::Release);
    slot
}

/// Takes a map out of the table; its range may be unmapped afterwards.
pub(super) fn unregister(slot: &'static Slot) {
    slot.end.store(0, Ordering::Release);
    slot.start.store(0, Ordering::Release);
    FREE_SLOTS.lock().push(slot);
}

fn take_slot() -> &'static Slot {
    let mut free = FREE_SLOTS.lock();
    if let Some(slot) = free.pop() {
        return slot;
    }
    let chunk: &'static Chunk = Box::leak(Box::new(Chunk {
        slots: [const { Slot::free() }; SLOTS_PER_CHUNK],
        next: CHUNKS.load(Ordering::Acquire),
    }));
    CHUNKS.store(ptr::from_ref(chunk).cast_mut(), Ordering::Release);
    free.extend(&chunk.slots[1..]);
    &chunk.slots[0]
}

fn slot_of(address: usize) -> Option<&'static Slot> {
    let mut next: *const Chunk = CHUNKS.load(Ordering::Acquire);
    // SAFETY: chunks are leaked, published whole with Release, and never change
    // but for the atomics in them.
    while let Some(chunk) = unsafe { next.as_ref() } {
        if let Some(slot) = chunk.slots.iter().find(|slot| slot.holds(address)) {
            return Some(slot);
        }
        next = chunk.next;
    }
    None
}

/// What handled SIGBUS before the guard.
struct Previous(UnsafeCell<MaybeUninit<libc::sigaction>>);

// SAFETY: written once, under `INSTALLED`, before the handler that reads it is in place.
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous(UnsafeCell::new(MaybeUninit::uninit()));
static INSTALLED: Mutex<bool> = Mutex::new(false);

/// Installs the guard for the whole process: from now on a fault inside a [`Map`](super::Map)
/// marks that map and reads as zeros. A second call does nothing.
///
/// It is for the program to decide, by this call or by [`MapPolicy::Guarded`](crate::MapPolicy::Guarded):
/// one that keeps signal handlers of its own installs those first, so that the guard hands on to them.
pub fn install_guard() -> io::Result<()> {
    let mut installed = INSTALLED.lock();
    if *installed {
        return Ok(());
    }
    // SAFETY: plain calls of sigaction with valid, zero-initialised structures. The
    // handler touches only atomics, leaked memory and PREVIOUS, which is written here
    // before the handler can run, and makes async-signal-safe system calls only.
    unsafe {
        let previous = (*PREVIOUS.0.get()).as_mut_ptr();
        previous.write(std::mem::zeroed());
        if libc::sigaction(libc::SIGBUS, ptr::null(), previous) != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        if libc::sigaction(libc::SIGBUS, &action, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    *installed = true;
    Ok(())
}

extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel gives a valid siginfo. A code above 0 says that the kernel
    // raised the signal, so that si_addr is the address that faulted; errno is put
    // back since the interrupted code may be about to read it.
    unsafe {
        let errno = *libc::__errno_location();
        let ours = (*info).si_code > 0 && stand_in((*info).si_addr() as usize);
        if !ours {
            hand_on(signal, info, context);
        }
        *libc::__errno_location() = errno;
    }
}

/// Puts a page of zeros over the page of `address`, where that lies in one of our maps. The mark comes
/// first: who reads the zeros, in whatever thread, finds it.
fn stand_in(address: usize) -> bool {
    let Some(slot) = slot_of(address) else { return false };
    slot.faulted.store(true, Ordering::Release);
    // SAFETY: sysconf and mmap are plain system calls on Linux. The page replaced lies
    // in a live map of ours, held by the very thread that faulted in it: nobody can
    // unmap it meanwhile, and no memory of anybody else is touched.
    unsafe {
        let page_bytes = libc::sysconf(libc::_SC_PAGESIZE) as usize;
        let zeros = libc::mmap(
            (address & !(page_bytes - 1)) as *mut libc::c_void,
            page_bytes,
            libc::PROT_READ,
            libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if zeros == libc::MAP_FAILED {
            return false;
        }
    }
    true
}

/// Does what would have happened without the guard.
///
/// # Safety
/// Only from the handler, with what the kernel gave it.
unsafe fn hand_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: PREVIOUS was written before this handler was installed; a handler
    // in it was valid for whoever installed it, and is called as its flags say.
    unsafe {
        let previous = (*PREVIOUS.0.get()).assume_init_ref();
        match previous.sa_sigaction {
            libc::SIG_DFL => {
                libc::sigaction(libc::SIGBUS, previous, ptr::null_mut());
                // A fault comes again by itself when the handler returns; a signal
                // that somebody sent has to be sent once more.
                if (*info).si_code <= 0 {
                    libc::raise(signal);
                }
            }
            libc::SIG_IGN if (*info).si_code <= 0 => {}
            libc::SIG_IGN => {
                // The kernel does not let a fault be ignored: die as it would have.
                let mut default: libc::sigaction = std::mem::zeroed();
                default.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(libc::SIGBUS, &default, ptr::null_mut());
            }
            handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus};

    use super::super::Map;
    use super::*;

    const SCENARIO: &str = "SAPWOOD_TEST_GUARD_SCENARIO";
    const CHAINED_EXIT_CODE: i32 = 77;

    /// A file of two pages, mapped and then cut after the first.
    fn map_of_a_cut_file() -> (Map, File) {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[0xab; 8192], 0).unwrap();
        let map = Map::of_file(&file, 0, 8192).unwrap();
        file.set_len(4096).unwrap();
        (map, file)
    }

    fn touch_foreign_map_of_a_cut_file() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[0xab; 4096], 0).unwrap();
        // SAFETY: nobody else uses the map; its fault is what the scenario is about.
        let map = unsafe { memmap2::Mmap::map(&file).unwrap() };
        file.set_len(0).unwrap();
        std::hint::black_box(map[17]);
    }

    extern "C" fn exit_of_the_chained_handler(_: libc::c_int) {
        // SAFETY: _exit is async-signal-safe.
        unsafe { libc::_exit(CHAINED_EXIT_CODE) }
    }

    /// What happens in a process of its own, since a guard is for the whole process.
    fn play(scenario: &str) {
        match scenario {
            "cut" => {
                install_guard().unwrap();
                let (map, _file) = map_of_a_cut_file();
                let mut buffer = [0; 4096];
                map.try_copy(0, &mut buffer).unwrap();
                assert_eq!(buffer, [0xab; 4096]);
                let error = map.try_copy(4096, &mut buffer).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EIO));
                assert!(map.faulted());
                assert_eq!(map.bytes(0, 1), [0xab], "pages beside it are as they were");
            }
            "many" => {
                install_guard().unwrap();
                let maps: Vec<_> = (0..3 * SLOTS_PER_CHUNK).map(|_| map_of_a_cut_file()).collect();
                for (map, _) in maps.iter().step_by(2) {
                    map.try_copy(4096, &mut [0; 1]).unwrap_err();
                }
                for (index, (map, _)) in maps.iter().enumerate() {
                    assert_eq!(map.faulted(), index % 2 == 0, "map {index}");
                }
                drop(maps);
                let fresh = map_of_a_cut_file().0;
                assert!(!fresh.faulted(), "a slot forgets the map that had it before");
            }
            "unguarded" => {
                map_of_a_cut_file().0.try_copy(4096, &mut [0; 1]).unwrap();
            }
            "foreign" => {
                install_guard().unwrap();
                touch_foreign_map_of_a_cut_file();
            }
            "sent" => {
                // SAFETY: the default action, in place of that of the standard library,
                // and a signal raised in our own process.
                unsafe {
                    libc::signal(libc::SIGBUS, libc::SIG_DFL);
                    install_guard().unwrap();
                    libc::raise(libc::SIGBUS);
                }
            }
            "chained" => {
                // SAFETY: the handler calls nothing but _exit.
                unsafe {
                    let mut action: libc::sigaction = std::mem::zeroed();
                    action.sa_sigaction = exit_of_the_chained_handler as *const () as usize;
                    libc::sigaction(libc::SIGBUS, &action, ptr::null_mut());
                }
                install_guard().unwrap();
                touch_foreign_map_of_a_cut_file();
            }
            other => panic!("no scenario {other}"),
        }
    }

    fn run(scenario: &str) -> ExitStatus {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "raw::guard::tests::only_faults_in_our_maps_are_survived"])
            .env(SCENARIO, scenario)
            .output()
            .unwrap()
            .status
    }

    #[test]
    fn only_faults_in_our_maps_are_survived() {
        if let Ok(scenario) = std::env::var(SCENARIO) {
            return play(&scenario);
        }
        assert!(run("cut").success());
        assert!(run("many").success());
        for deadly in ["unguarded", "foreign", "sent"] {
            assert_eq!(run(deadly).signal(), Some(libc::SIGBUS), "{deadly}");
        }
        assert_eq!(run("chained").code(), Some(CHAINED_EXIT_CODE));
    }
}

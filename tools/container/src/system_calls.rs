//! The system calls that a container is refused: those with which a process changes the machine and
//! not its own, or for which the kernel has had too many holes.
//!
//! The list says what is refused, not what is allowed, so that programs go on running on kernels
//! that are newer than the list. It refuses what other tools refuse containers that have no more
//! rights than [`defaults`](crate::defaults) gives.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator, LinuxSyscall,
};

/// What refused calls end with: `EPERM`.
const NOT_PERMITTED: u32 = 1;
/// `ENOSYS`: whoever hears it takes an older call.
const NOT_THERE: u32 = 38;

const REFUSED: &[&str] = &[
    // The machine as a whole: its kernel, clock, name, swap, ports.
    "reboot",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "settimeofday",
    "stime",
    "clock_settime",
    "clock_settime64",
    "sethostname",
    "setdomainname",
    "swapon",
    "swapoff",
    "ioperm",
    "iopl",
    "vhangup",
    "syslog",
    "acct",
    // What is mounted where.
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "move_mount",
    "open_tree",
    "open_tree_attr",
    "mount_setattr",
    "quotactl",
    "quotactl_fd",
    // Namespaces, and files without their names: ways out.
    "setns",
    "unshare",
    "open_by_handle_at",
    "fanotify_init",
    // Keys are not told apart by namespaces.
    "add_key",
    "request_key",
    "keyctl",
    // Programs in the kernel, and what others do there.
    "bpf",
    "perf_event_open",
    "lookup_dcookie",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    // Other processes, past what `ptrace` allows; their memory's places.
    "kcmp",
    "pidfd_getfd",
    "process_madvise",
    "move_pages",
    "migrate_pages",
    "mbind",
    "get_mempolicy",
    "set_mempolicy",
    "set_mempolicy_home_node",
    // What a 32-bit processor had.
    "vm86",
    "vm86old",
];

/// New namespaces, as `clone` takes them: mounts, groups of resources, host name, message queues, users,
/// processes, network.
const NEW_NAMESPACES: [u64; 7] = [1 << 17, 1 << 25, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30];
/// Which argument of `clone` has them.
const CLONE_FLAGS: usize = if cfg!(target_arch = "s390x") { 1 } else { 0 };
/// The bits of `personality` that change how memory lies and what calls do: all but those by which
/// a program says which processor it was made for.
const PERSONALITIES: [u64; 9] =
    [1 << 18, 1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 24, 1 << 25, 1 << 26, 1 << 27];
/// Not a bit of any: who only asks has all of them.
const PERSONALITY_ASKED: u64 = 1 << 31;
/// Sockets to the machine that this one is a guest of, and to its other guests.
const AF_VSOCK: u64 = 40;

/// The filter of a container.
pub fn filter() -> LinuxSeccomp {
    let mut rules = vec![rule(REFUSED, NOT_PERMITTED, None), rule(&["clone3"], NOT_THERE, None)];
    // Its flags lie in memory, where no filter sees them; those of `clone` do not.
    rules.extend(
        NEW_NAMESPACES
            .map(|flag| rule(&["clone"], NOT_PERMITTED, Some(has_bits(CLONE_FLAGS, flag, flag)))),
    );
    rules.extend(PERSONALITIES.map(|bit| {
        rule(&["personality"], NOT_PERMITTED, Some(has_bits(0, bit | PERSONALITY_ASKED, bit)))
    }));
    let family = has_bits(0, u64::MAX, AF_VSOCK);
    rules.push(rule(&["socket"], NOT_PERMITTED, Some(family)));
    let mut filter = LinuxSeccomp::default();
    filter
        .set_default_action(LinuxSeccompAction::ScmpActAllow)
        .set_architectures(architectures())
        .set_syscalls(Some(rules));
    filter
}

/// Those whose programs this machine runs: calls of others end the program.
fn architectures() -> Option<Vec<Arch>> {
    if cfg!(target_arch = "x86_64") {
        Some(vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32])
    } else if cfg!(target_arch = "aarch64") {
        Some(vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm])
    } else {
        None
    }
}

fn rule(names: &[&str], error: u32, argument: Option<LinuxSeccompArg>) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names(names.iter().map(|name| (*name).to_owned()).collect())
        .set_action(LinuxSeccompAction::ScmpActErrno)
        .set_errno_ret(Some(error))
        .set_args(argument.map(|argument| vec![argument]));
    rule
}

/// Whether of the bits in `mask` an argument has those in `bits`.
fn has_bits(index: usize, mask: u64, bits: u64) -> LinuxSeccompArg {
    LinuxSeccompArgBuilder::default()
        .index(index)
        .value(mask)
        .value_two(bits)
        .op(LinuxSeccompOperator::ScmpCmpMaskedEq)
        .build()
        .expect("no part of it is missing")
}

//! What of the kernel a container sees and may have.

use std::path::PathBuf;

use oci_spec::runtime as oci;
use oci_spec::runtime::LinuxNamespaceType;

use crate::job::{Job, Network};
use crate::system_calls;

/// What of the kernel's files is hidden.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What of the kernel's files can only be read.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Namespaces, hidden files and the rest of what is Linux's own. `group` is where its resources are
/// counted.
pub fn of_job(job: &Job, group: PathBuf) -> oci::Linux {
    let mut namespaces = vec![
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Mount,
    ];
    if job.network == Network::None {
        namespaces.push(LinuxNamespaceType::Network);
    }
    let namespace = |kind| {
        let mut namespace = oci::LinuxNamespace::default();
        namespace.set_typ(kind).set_path(None);
        namespace
    };
    let texts = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());
    let mut nothing = oci::LinuxDeviceCgroup::default();
    nothing.set_allow(false).set_access(Some("rwm".to_owned()));
    let mut resources = oci::LinuxResources::default();
    // Runtimes add the devices that every container has.
    resources.set_devices(Some(vec![nothing]));
    resources.set_memory(job.memory_bytes.map(|bytes| {
        let mut memory = oci::LinuxMemory::default();
        memory.set_limit(Some(i64::try_from(bytes).unwrap_or(i64::MAX)));
        memory
    }));
    let mut linux = oci::Linux::default();
    linux
        .set_namespaces(Some(namespaces.into_iter().map(namespace).collect()))
        .set_masked_paths(texts(&MASKED))
        .set_readonly_paths(texts(&READ_ONLY))
        .set_seccomp(Some(system_calls::filter()))
        .set_resources(Some(resources))
        .set_cgroups_path(Some(group));
    linux
}

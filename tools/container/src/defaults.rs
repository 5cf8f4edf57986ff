//! What a container is given unless somebody asks for something else: that of other tools, so that
//! images that run there run here.

use oci_spec::runtime as oci;
use oci_spec::runtime::Capability;

/// Where commands are looked for.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What of root's rights is left.
const CAPABILITIES: [Capability; 14] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Target, type, and options; the source is called as the type is.
const MOUNTS: [(&str, &str, &[&str]); 7] = [
    ("/proc", "proc", &["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    (
        "/dev/pts",
        "devpts",
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    ),
    ("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ("/sys/fs/cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
    ("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]),
];

/// The kernel's own filesystems, in the order in which they are mounted.
pub fn mounts() -> Vec<oci::Mount> {
    let mount = |&(target, kind, options): &(&str, &str, &[&str])| {
        let mut mount = oci::Mount::default();
        mount
            .set_destination(target.into())
            .set_typ(Some(kind.to_owned()))
            .set_source(Some(kind.into()))
            .set_options(Some(options.iter().map(|option| (*option).to_owned()).collect()));
        mount
    };
    MOUNTS.iter().map(mount).collect()
}

/// The rights of a user's process: of one that is not root only the bound of what it may get.
pub fn capabilities(user: u32) -> oci::LinuxCapabilities {
    let all: oci::Capabilities = CAPABILITIES.into_iter().collect();
    let of_root = if user == 0 { all.clone() } else { oci::Capabilities::new() };
    let mut capabilities = oci::LinuxCapabilities::default();
    capabilities
        .set_bounding(Some(all))
        .set_effective(Some(of_root.clone()))
        .set_permitted(Some(of_root))
        .set_inheritable(None)
        .set_ambient(None);
    capabilities
}

//! What a runtime is given: one file that says it all, and the files that it names.

use std::ffi::{CStr, CString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime as oci;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::MountFlags;
use sapwood::files::FileKind;
use sapwood::medium::create_private_folders;
use sapwood::{Error, Result};
use sapwood_fuse::MountPoint;

use crate::accounts::Account;
use crate::defaults;
use crate::job::{Access, Content, Job, Mount, Network};
use crate::linux;
use crate::place::Place;

/// What stands in `/etc` of a machine that has no network, and before that of the host's where it has.
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// What of the host's own `/etc` a container with its network is given.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A container may write to the files of its network, and then has its own share of memory only.
const BUNDLE_OPTIONS: &CStr = c"mode=700,size=64m";

/// One mount, and whether it is of a file.
struct Planned {
    mount: oci::Mount,
    kind: FileKind,
}

/// Writes the bundle of `job` into `place`, its process run as `account`. Gives back where the tree has
/// to have something to mount on.
pub fn write(job: &Job, account: &Account, place: &Place, id: &str) -> Result<Vec<MountPoint>> {
    let folder = place.bundle();
    let failed = |error: io::Error| Error::io("write a bundle", error).in_file(&folder);
    create_private_folders(&folder).map_err(failed)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("sapwood", &folder, "tmpfs", flags, Some(BUNDLE_OPTIONS))
        .map_err(|error| failed(error.into()))?;
    let asked = asked_mounts(job, place)?;
    let kernels = defaults::mounts().into_iter();
    let mut planned: Vec<Planned> =
        kernels.map(|mount| Planned { mount, kind: FileKind::Directory }).collect();
    planned.extend(network_files(job, &folder, &asked).map_err(failed)?);
    planned.extend(asked);
    let mount_points = mount_points(&planned);

    let mut root = oci::Root::default();
    root.set_path(place.rootfs()).set_readonly(Some(job.root == Access::ReadOnly));
    let mut spec = oci::Spec::default();
    spec.set_root(Some(root))
        .set_hostname(Some(job.hostname.clone()))
        .set_process(Some(job.process.to_oci(account, &job.hostname)?))
        .set_mounts(Some(planned.into_iter().map(|planned| planned.mount).collect()))
        .set_linux(Some(linux::of_job(job, Path::new("/").join(id))));
    let bytes = serde_json::to_vec(&spec).map_err(|error| failed(error.into()))?;
    fs::write(folder.join("config.json"), bytes).map_err(failed)?;
    Ok(mount_points)
}

/// What was asked for, those that others may lie in before the others.
fn asked_mounts(job: &Job, place: &Place) -> Result<Vec<Planned>> {
    let mut mounts: Vec<&Mount> = job.mounts.iter().collect();
    mounts.sort_by_key(|mount| mount.target.components().count());
    let plan = |(number, mount): (usize, &Mount)| {
        check_target(&mount.target)?;
        plan(mount, number, place)
    };
    mounts.into_iter().enumerate().map(plan).collect()
}

fn check_target(target: &Path) -> Result<()> {
    let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    let is_fit = target.is_absolute() && target != Path::new("/");
    if is_fit && target.components().all(is_plain) && target.to_str().is_some() {
        return Ok(());
    }
    let found = format!("{:?}", target);
    let expected = "an absolute path below `/`, without `..`";
    Err(Error::invalid("mount in a container", "target", found, expected))
}

fn plan(mount: &Mount, number: usize, place: &Place) -> Result<Planned> {
    let access = match mount.access {
        Access::ReadOnly => "ro",
        Access::ReadWrite => "rw",
    };
    match &mount.content {
        Content::Host(path) => {
            let failed = |error| Error::io("mount in a container", error).in_file(path);
            let path = path.canonicalize().map_err(failed)?;
            let kind = kind_of(&path.metadata().map_err(failed)?);
            Ok(bound(&mount.target, path.clone(), kind, access))
        }
        Content::Opened(directory) => {
            let failed = |error| Error::io("mount in a container", error).in_file(&mount.target);
            let kind = FileKind::Directory;
            let source = held(directory, kind, &place.sources(), number).map_err(failed)?;
            Ok(bound(&mount.target, source, kind, access))
        }
        Content::Tree { root, path } => {
            let opened = open_in(root, path)?;
            let failed = |error| Error::io("mount in a container", error).in_file(path);
            let kind = kind_of(&opened.metadata().map_err(failed)?);
            let source = held(&opened, kind, &place.sources(), number).map_err(failed)?;
            Ok(bound(&mount.target, source, kind, access))
        }
        Content::Memory { size_bytes, permissions } => {
            // Not left to the runtime: some give it the permissions of what it is mounted on.
            let folder = place.sources().join(number.to_string());
            let failed = |error: io::Error| Error::io("mount in memory", error).in_file(&folder);
            let size = size_bytes.map(|bytes| format!(",size={bytes}")).unwrap_or_default();
            let options = CString::new(format!("mode={permissions:o}{size}")).expect("no NUL");
            fs::create_dir_all(&folder).map_err(failed)?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            rustix::mount::mount("sapwood", &folder, "tmpfs", flags, Some(&*options))
                .map_err(|error| failed(error.into()))?;
            Ok(bound(&mount.target, folder, FileKind::Directory, access))
        }
        Content::Secret { bytes, owner, group, permissions } => {
            let folder = place.secrets();
            let failed = |error: io::Error| Error::io("keep a secret", error).in_file(&folder);
            fs::create_dir_all(&folder).map_err(failed)?;
            let file = folder.join(number.to_string());
            fs::write(&file, bytes).map_err(failed)?;
            chown(&file, Some(*owner), Some(*group)).map_err(failed)?;
            let mode = Permissions::from_mode((*permissions).into());
            fs::set_permissions(&file, mode).map_err(failed)?;
            Ok(bound(&mount.target, file, FileKind::Regular, access))
        }
    }
}

/// A file in a mounted tree, found without leaving it.
fn open_in(root: &Path, path: &Path) -> Result<File> {
    let failed = |error: io::Error| Error::io("mount in a container", error).in_file(path);
    let root = File::open(root).map_err(failed)?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
    let opened = openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
    opened.map(File::from).map_err(|error| failed(error.into()))
}

/// An opened file under a name that nobody else can make lead to another.
fn held(opened: &File, kind: FileKind, folder: &Path, number: usize) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let name = folder.join(number.to_string());
    match kind {
        FileKind::Directory => fs::create_dir(&name)?,
        _ => drop(File::create_new(&name)?),
    }
    let source = format!("/proc/self/fd/{}", opened.as_raw_fd());
    rustix::mount::mount_bind_recursive(source, &name)?;
    Ok(name)
}

/// The host's name servers, the names of machines, and the container's own: files that what runs
/// may change, and the tree does not have.
fn network_files(job: &Job, folder: &Path, asked: &[Planned]) -> io::Result<Vec<Planned>> {
    let read = |path: &str| match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    };
    let mut hosts = match job.network {
        Network::Host => read("/etc/hosts")?,
        Network::None => Vec::new(),
    };
    if hosts.is_empty() {
        hosts = HOSTS.into();
    }
    hosts.extend(format!("\n127.0.0.1\t{}\n", job.hostname).bytes());
    let name_servers = match job.network {
        Network::Host => read(RESOLV_CONF)?,
        Network::None => Vec::new(),
    };
    let files = [
        (RESOLV_CONF, name_servers),
        ("/etc/hosts", hosts),
        ("/etc/hostname", format!("{}\n", job.hostname).into_bytes()),
    ];
    let mut planned = Vec::new();
    for (target, bytes) in files {
        let target = Path::new(target);
        // What somebody mounts there, or above, is what counts.
        if asked.iter().any(|asked| target.starts_with(asked.mount.destination())) {
            continue;
        }
        let file = folder.join(target.file_name().expect("a file of /etc"));
        fs::write(&file, bytes)?;
        fs::set_permissions(&file, Permissions::from_mode(0o644))?;
        planned.push(bound(target, file, FileKind::Regular, "rw"));
    }
    Ok(planned)
}

fn bound(target: &Path, source: PathBuf, kind: FileKind, access: &str) -> Planned {
    let bind = if kind == FileKind::Directory { "rbind" } else { "bind" };
    let options = [bind, "rprivate", access].map(str::to_owned).to_vec();
    Planned { mount: mount_of(target, "bind", source, options), kind }
}

fn mount_of(target: &Path, kind: &str, source: PathBuf, options: Vec<String>) -> oci::Mount {
    let mut mount = oci::Mount::default();
    mount
        .set_destination(target.to_owned())
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source))
        .set_options(Some(options));
    mount
}

fn kind_of(metadata: &fs::Metadata) -> FileKind {
    if metadata.is_dir() { FileKind::Directory } else { FileKind::Regular }
}

/// Those places of mounts that are looked for in the tree itself, and not in another mount.
fn mount_points(planned: &[Planned]) -> Vec<MountPoint> {
    let is_below = |path: &Path, other: &Planned| {
        path != other.mount.destination() && path.starts_with(other.mount.destination())
    };
    let in_tree = planned
        .iter()
        .filter(|one| !planned.iter().any(|other| is_below(one.mount.destination(), other)));
    let point =
        |one: &Planned| MountPoint { path: one.mount.destination().clone(), kind: one.kind };
    in_tree.map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_absolute_and_plain() {
        assert!(check_target(Path::new("/data")).is_ok());
        for bad in ["", "data", "/", "/a/../b", "//"] {
            assert!(check_target(Path::new(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_lies_in_another_mount_needs_no_place_in_the_tree() {
        let planned = ["/dev", "/dev/pts", "/device", "/etc/hosts"]
            .map(|target| bound(Path::new(target), "/x".into(), FileKind::Directory, "ro"));
        let points = mount_points(&planned);
        let paths: Vec<_> = points.iter().map(|point| point.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["/dev", "/device", "/etc/hosts"]);
    }
}

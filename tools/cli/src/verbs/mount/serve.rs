//! The process that serves a mount.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sapwood::Volume;
use sapwood::files::{Files, FilesOptions, FilesView};
use sapwood::store::{Name, Resolved, Store};
use sapwood_fuse::{AccessTimes, Audience, Durability, IdMap, Mount, MountOptions, control_folder};

use super::{Mounted, signals, temporary};
use crate::args::MountArgs;
use crate::context::Context;
use crate::daemon::{self, Background};
use crate::error::{CliError, Result, Verdict};

/// What stands behind the mount.
enum Behind {
    /// A frozen tree, or the last commit of a volume, read only.
    View(FilesView),
    /// The volume of this name.
    Volume(Volume, String),
    /// A fork that goes with the unmount.
    Fork(Volume, String),
}

/// Mounts, says so, and serves until the unmount.
pub fn run(args: &MountArgs, context: &Context<'_>) -> Result<Verdict> {
    let background = args.ready.then(|| Background::open(args.log.as_deref())).transpose()?;
    let store = context.open_store()?;
    let resolved = store.resolve(&args.reference)?;
    let behind = open(&store, args, &resolved)?;
    let options = options(&store, args)?;
    let interval = args.commit_every.map(Duration::from_secs);
    let (mount, fork) = begin(behind, &store, &args.directory, options, interval)?;
    let told = tell(&mount, &fork, args, background, context);
    if told.is_err() {
        // Nobody learned that there is a mount: none must be left.
        mount.unmounter().unmount()?;
    }
    match fork {
        Kept::Fork(name) => mount.wait_and_give_up(|| store.remove(&name).map(drop))?,
        Kept::Nothing | Kept::Volume => mount.wait()?,
    }
    told.map(|()| Verdict::Done)
}

/// Says that the mount is there, and sees to it that it ends as it should.
fn tell(
    mount: &Mount,
    fork: &Kept,
    args: &MountArgs,
    background: Option<Background>,
    context: &Context<'_>,
) -> Result<()> {
    daemon::abort_on_panic();
    signals::unmount_on_signal(mount.unmounter())?;
    if background.is_some() {
        daemon::tell_ready()?;
    }
    context.print(&Mounted {
        reference: args.reference.clone(),
        directory: mount.directory().display().to_string(),
        writable: !matches!(fork, Kept::Nothing),
        temporary: matches!(fork, Kept::Fork(_)),
    })?;
    background.map_or(Ok(()), Background::let_go)
}

/// What is left of a mount when it has ended.
enum Kept {
    Nothing,
    Volume,
    Fork(String),
}

fn open(store: &Store, args: &MountArgs, resolved: &Resolved) -> Result<Behind> {
    if args.temporary {
        let name = temporary::name()?;
        if resolved.is_live() {
            let text = format!("{} is a volume: --temporary forks a snapshot", args.reference);
            return Err(CliError::usage(text));
        }
        return Ok(Behind::Fork(store.fork(&args.reference, &name)?, name));
    }
    match &resolved.name {
        Some(name) if resolved.is_live() && !args.read_only => {
            Ok(Behind::Volume(store.open_volume(name)?, name.clone()))
        }
        _ => {
            if args.volatile || args.quota.is_some() || args.commit_every.is_some() {
                let text =
                    format!("{} is mounted read only: nothing to bound or commit", args.reference);
                return Err(CliError::usage(text));
            }
            Ok(Behind::View(FilesView::open(store.snapshot_of(&args.reference)?)?))
        }
    }
}

fn begin(
    behind: Behind,
    store: &Store,
    directory: &Path,
    options: MountOptions,
    commit_interval: Option<Duration>,
) -> Result<(Mount, Kept)> {
    let live = |volume: Volume, name: &str| -> Result<Mount> {
        // Whoever mounts an empty tree first owns its root.
        let user = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        let root_owner = (
            options.users.to_tree(user).unwrap_or_default(),
            options.groups.to_tree(group).unwrap_or_default(),
        );
        let files_options = FilesOptions { root_owner, commit_interval, ..FilesOptions::default() };
        let files = Files::open(volume, files_options)?;
        // By this `umount` finds the server.
        let source = format!("{}:{name}", store.path().display());
        let options = MountOptions { source, ..options.clone() };
        let folder = control_folder(store.path(), &Name::new(name)?);
        Ok(Mount::writable(files, directory, options)?.listening_in(&folder)?)
    };
    Ok(match behind {
        Behind::View(view) => {
            (Mount::read_only(Arc::new(view), directory, options)?, Kept::Nothing)
        }
        Behind::Volume(volume, name) => (live(volume, &name)?, Kept::Volume),
        Behind::Fork(volume, name) => match live(volume, &name) {
            Ok(mount) => (mount, Kept::Fork(name)),
            Err(error) => {
                store.remove(&name)?;
                return Err(error);
            }
        },
    })
}

fn options(store: &Store, args: &MountArgs) -> Result<MountOptions> {
    let ids = |ranges: &[_]| IdMap::new(ranges.to_vec()).map_err(CliError::usage);
    let is_volatile = args.volatile || args.temporary;
    Ok(MountOptions {
        source: format!("{}:{}", store.path().display(), args.reference),
        audience: if args.allow_other { Audience::Everybody } else { Audience::Owner },
        users: ids(&args.map_users)?,
        groups: ids(&args.map_groups)?,
        quota_bytes: args.quota,
        durability: if is_volatile { Durability::OnUnmount } else { Durability::OnSync },
        access_times: if args.no_access_times { AccessTimes::Off } else { AccessTimes::Relative },
        access_control_lists: args.acl,
        set_user_id: args.suid,
        devices: args.dev,
        room_of: Some(store.path().to_owned()),
        report: Arc::new(|text| eprintln!("sapwood mount: {text}")),
        ..MountOptions::default()
    })
}

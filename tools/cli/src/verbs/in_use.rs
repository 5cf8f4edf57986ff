//! What uses a volume that cannot be had.

use sapwood::{ErrorKind, Store};
use sapwood_container::{Status, container, shell_word};
use sapwood_fuse::RunningMount;

use crate::context::Context;
use crate::error::CliError;

/// The error, with what holds the volume that it is about: the engine knows only the process.
pub fn explain(error: CliError, context: &Context<'_>) -> CliError {
    let CliError::Engine(engine) = &error else { return error };
    let (ErrorKind::Locked, Some("lock"), Some(holder)) =
        (engine.kind(), engine.field(), engine.found())
    else {
        return error;
    };
    let Some(volume) = engine.operation().strip_prefix("lock ") else { return error };
    // Where nothing more is known, or it is free by now, the error stays as it is.
    let user = context.open_store().ok().and_then(|store| user(&store, volume, context));
    match user {
        Some(user) => {
            CliError::InUse { volume: volume.to_owned(), holder: holder.to_owned(), user }
        }
        None => error,
    }
}

/// Who uses a volume, and how to go on.
fn user(store: &Store, volume: &str, context: &Context<'_>) -> Option<String> {
    let mount = context.running_mount(store, volume).ok().flatten();
    let word = shell_word(volume);
    if let Some(error) = mount.as_ref().and_then(RunningMount::wants_room) {
        return Some(format!(
            "not mounted any more, and its last commit waits for room; make some, and it ends, with `flush {word}` at once: {error}"
        ));
    }
    if container(store, volume).is_ok_and(|container| container.status == Status::Running) {
        return Some(format!(
            "a container that runs; `exec {word}` works in it, `stop {word}` ends it"
        ));
    }
    let mount = mount?;
    let directory = mount.directory().to_string_lossy();
    let word = shell_word(&directory);
    Some(format!("mounted on {directory}; write there, or `umount {word}` first"))
}

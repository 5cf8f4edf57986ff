//! Forks that go with the unmount.

use sapwood::store::{Name, Store};
use sapwood::{ErrorKind, LayerId};
use sapwood_fuse::{RunningMount, control_folder, remove_stale_socket};

use crate::error::Result;

const BEGIN: &str = "temporary-";
/// How much of a random number a name ends with.
const RANDOM_DIGITS: usize = 8;

/// A name that no other mount has.
pub fn name() -> Result<String> {
    let random = LayerId::random()?.to_string();
    Ok(format!("{BEGIN}{}-{}", std::process::id(), &random[..RANDOM_DIGITS]))
}

/// Removes the forks whose server was killed before it could. How many there were. With `dry_run` they
/// are counted only.
pub fn remove_abandoned(store: &Store, dry_run: bool) -> Result<u64> {
    let mut removed = 0;
    for entry in store.names()?.into_iter().filter(|entry| is_temporary(&entry.name)) {
        let name = Name::new(&entry.name)?;
        if RunningMount::find(&control_folder(store.path(), &name))?.is_some() {
            continue;
        }
        if !dry_run {
            remove_stale_socket(store, &name)?;
            match store.remove(name.as_str()) {
                // One that is about to be mounted, or was removed meanwhile.
                Err(error) if matches!(error.kind(), ErrorKind::Locked | ErrorKind::NotFound) => {
                    continue;
                }
                removed => drop(removed?),
            }
        }
        removed += 1;
    }
    Ok(removed)
}

/// Whether it is the name of such a fork, as a whole: others may begin so too.
pub fn is_temporary(name: &str) -> bool {
    let parts = name.strip_prefix(BEGIN).and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(process, random)| {
        process.parse::<u32>().is_ok_and(|number| number.to_string() == process)
            && random.len() == RANDOM_DIGITS
            && random.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_fork_is_known_and_others_are_not() {
        assert!(is_temporary(&name().unwrap()));
        for other in [
            "temporary-",
            "temporary-12",
            "temporary-12-0123456",
            "temporary-12-012345678",
            "temporary-12-0123456g",
            "temporary-012-01234567",
            "temporary-x-01234567",
            "a-12-01234567",
        ] {
            assert!(!is_temporary(other), "{other}");
        }
    }
}

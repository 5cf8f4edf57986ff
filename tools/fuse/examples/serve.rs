//! Serves a volume on a directory until it is unmounted; both are made where they are missing.
//!
//! `cargo run -p sapwood-fuse --example serve -- STORE VOLUME DIRECTORY [allow_other]...`

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use sapwood::files::{Files, FilesOptions};
use sapwood::{ErrorKind, Store, StoreOptions};
use sapwood_fuse::{AccessTimes, Audience, Mount, MountOptions, control_folder};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().ok_or("STORE VOLUME DIRECTORY [allow_other|acl|noatime]...");
    let (store, name, directory) = (PathBuf::from(word()?), word()?, PathBuf::from(word()?));
    let options = StoreOptions::default();
    let store = match Store::create(&store, &options) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Store::open(&store, &options)?,
        made => made?,
    };
    let volume = match store.open_volume(&name) {
        Err(error) if error.kind() == ErrorKind::NotFound => store.create_tree(&name)?,
        opened => opened?,
    };
    let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let files = Files::open(volume, FilesOptions { root_owner: user, ..FilesOptions::default() })?;
    std::fs::create_dir_all(&directory)?;
    let mut options = MountOptions {
        source: format!("{}:{name}", store.path().display()),
        room_of: Some(store.path().to_owned()),
        report: Arc::new(|text| eprintln!("{text}")),
        ..MountOptions::default()
    };
    for word in words {
        match word.as_str() {
            "allow_other" => options.audience = Audience::Everybody,
            "acl" => options.access_control_lists = true,
            "noatime" => options.access_times = AccessTimes::Off,
            word => return Err(format!("{word}: unknown").into()),
        }
    }
    let folder = control_folder(store.path(), &sapwood::store::Name::new(name)?);
    Ok(Mount::writable(files, &directory, options)?.listening_in(&folder)?.wait()?)
}

//! Runs processes over sapwood trees, through an OCI runtime that is installed: `runc`, `crun` or
//! `youki`.
//!
//! [`run`] mounts [`Files`](sapwood::files::Files), runs a [`Process`] over them in namespaces of its
//! own, and gives the files back: what the process wrote is in them, and nothing of what was
//! mounted around it. Root is needed.
//!
//! ```no_run
//! use sapwood::files::{Files, FilesOptions};
//! use sapwood::{Annotations, Store, StoreOptions};
//! use sapwood_container::{Job, Process, RunFolder, Runtime, Streams, run};
//!
//! let store = Store::open("/var/lib/sapwood", &StoreOptions::default())?;
//! let files = Files::open(store.fork("debian:12", "step")?, FilesOptions::default())?;
//! let process = Process {
//!     arguments: ["sh", "-c", "echo hello > /greeting"].map(str::to_owned).to_vec(),
//!     ..Process::default()
//! };
//! let job = Job { process, ..Job::default() };
//! let place = RunFolder::make(&store)?.step("1");
//! let (code, files) = run(&Runtime::find(None)?, files, &place, &job, Streams::inherited())?;
//! assert_eq!(code, 0);
//! files.snapshot(&Annotations::default())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod abandoned;
mod accounts;
mod bundle;
mod containers;
mod defaults;
mod error;
mod guard;
mod job;
mod linux;
mod place;
mod process;
mod run_folder;
mod runtime;
mod sandbox;
mod settings;
mod shell;
mod signaller;
mod system_calls;

pub use accounts::{Account, Accounts};
pub use containers::{
    Commit, Committed, Container, Exec, ExecSettings, HeldContainer, Letter, NewContainer, Record,
    RunningContainer, Sealing, Status, clear_killed, commit, container, create, differences, exec,
    give_up_commit, hold, list, output, remove, remove_record, remove_stale, signal, unfinished,
    wait_for_end,
};
pub use error::{Error, Result, exit_code};
pub use job::{Access, Content, Job, Mount, Network, Streams, hostname_of};
pub use place::Place;
pub use process::Process;
pub use run_folder::RunFolder;
pub use runtime::{Runtime, expect_root};
pub use sandbox::{Sandbox, run};
pub use settings::{HostMount, MemoryMount, Settings};
pub use shell::shell_word;
pub use signaller::Signaller;

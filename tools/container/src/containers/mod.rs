//! Containers: volumes of a store that processes run over, each with a record of that.

mod commit;
mod differences;
mod exec;
mod folder;
mod held;
mod list;
mod record;
mod remove;
mod running;

pub use commit::{Commit, Committed, Sealing, commit};
pub use differences::{Letter, differences};
pub use exec::{Exec, ExecSettings, exec};
pub use held::{HeldContainer, NewContainer, create, hold};
pub use list::{
    Container, Status, container, give_up_commit, list, output, signal, unfinished, wait_for_end,
};
pub use record::Record;
pub use remove::{clear_killed, remove, remove_record, remove_stale};
pub use running::RunningContainer;

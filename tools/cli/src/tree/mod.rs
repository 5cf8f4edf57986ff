//! Trees of files, as the verbs reach into them without a mount.

mod open;
mod out;
mod place;
mod report;

pub use self::open::{change, is_live, open_view, walk};
pub use self::out::{copy_out, make_durable};
pub use self::place::{TreePath, Word, as_reference, runs_of_one_tree};
pub use self::report::{AttributesReport, FileReport, PathReport, hex, kind_word, mode_text};

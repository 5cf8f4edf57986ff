//! Whose files are: users and groups, by number or by the names that a tree has for them.

use sapwood::Result;
use sapwood::files::ReadFiles;
use sapwood_container::Accounts;

/// A user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
}

impl Owner {
    /// Root.
    pub const ROOT: Owner = Owner { user: 0, group: 0 };

    /// Whom `USER[:GROUP]` means in a tree. A number without a group is one of both.
    ///
    /// Errors: [`NotFound`](sapwood::ErrorKind::NotFound) for names that the tree does not have.
    pub fn find(files: Option<&dyn ReadFiles>, text: &str) -> Result<Owner> {
        if let Ok(number) = text.trim_end_matches(':').parse() {
            return Ok(Owner { user: number, group: number });
        }
        let accounts = files.map(Accounts::of).transpose()?.unwrap_or_default();
        let account = accounts.find(text)?;
        Ok(Owner { user: account.user, group: account.group })
    }
}

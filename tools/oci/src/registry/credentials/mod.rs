//! Who one is to a registry: from the files that Docker's and the container tools' `login` write.

mod files;
mod helper;

use std::fmt;

pub use files::CredentialFiles;

/// What a registry is shown. It prints as nothing that helps anybody.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password, or an access token in its place.
        password: String,
    },
    /// A token that is exchanged for short ones.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Basic { username, .. } => write!(f, "Basic({username:?}, ...)"),
            Credential::IdentityToken(_) => f.write_str("IdentityToken(...)"),
        }
    }
}

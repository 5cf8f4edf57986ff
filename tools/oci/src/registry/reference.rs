//! Which image of which registry.

use std::fmt;
use std::str::FromStr;

use oci_spec::distribution::{ParseError, Reference};
use sapwood::{Error, Result};

use crate::Sha256;

/// The registry that names without a host mean, and where it answers.
const DEFAULT_REGISTRY: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// An image of a registry: `HOST[:PORT]/REPOSITORY[:TAG][@sha256:DIGEST]`.
///
/// Short names mean what they mean to Docker: `alpine` is `docker.io/library/alpine:latest`, and the
/// first part is a host only where it has a dot or a port, or is `localhost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteReference {
    inner: Reference,
    digest: Option<Sha256>,
}

impl RemoteReference {
    /// The registry, as people write it.
    pub fn registry(&self) -> &str {
        self.inner.registry()
    }

    /// The host, with its port, that answers for the registry.
    pub fn host(&self) -> &str {
        let (name, host) = DEFAULT_REGISTRY;
        if self.registry() == name { host } else { self.registry() }
    }

    /// The repository.
    pub fn repository(&self) -> &str {
        self.inner.repository()
    }

    /// The tag; `latest` where there is neither a tag nor a digest.
    pub fn tag(&self) -> Option<&str> {
        self.inner.tag()
    }

    /// The digest of the manifest, which the tag then does not matter for.
    pub fn digest(&self) -> Option<Sha256> {
        self.digest
    }

    /// What the registry knows the manifest by.
    pub(super) fn manifest(&self) -> String {
        match (self.digest, self.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.expect("a tag or a digest").to_owned(),
        }
    }
}

impl FromStr for RemoteReference {
    type Err = Error;

    /// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput);
    /// [`Unsupported`](sapwood::ErrorKind::Unsupported) for a digest that is no SHA-256.
    fn from_str(text: &str) -> Result<RemoteReference> {
        let bad = |why: &str| {
            let shown: String = text.chars().take(300).collect();
            let expected = "HOST[:PORT]/REPOSITORY[:TAG][@sha256:DIGEST]";
            let found = format!("{} ({why})", shown.escape_debug());
            Error::invalid("read a reference", "reference", found, expected)
        };
        let inner: Reference = text.parse().map_err(|error: ParseError| bad(&error.to_string()))?;
        if inner.repository().bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(bad("repositories are in lower case"));
        }
        let digest = inner.digest().map(str::parse).transpose()?;
        Ok(RemoteReference { inner, digest })
    }
}

impl fmt::Display for RemoteReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use sapwood::ErrorKind;

    use super::*;

    #[test]
    fn short_names_mean_what_they_mean_to_docker() {
        let digest = Sha256::of(b"sap");
        let pinned = format!("localhost/a:1@{digest}");
        for (text, host, repository, manifest, whole) in [
            (
                "alpine",
                "registry-1.docker.io",
                "library/alpine",
                "latest",
                "docker.io/library/alpine:latest",
            ),
            ("me/app:2", "registry-1.docker.io", "me/app", "2", "docker.io/me/app:2"),
            (
                "index.docker.io/alpine:3",
                "registry-1.docker.io",
                "library/alpine",
                "3",
                "docker.io/library/alpine:3",
            ),
            ("localhost/a", "localhost", "a", "latest", "localhost/a:latest"),
            ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000", "a/b", "c", "127.0.0.1:5000/a/b:c"),
            ("a.example/b", "a.example", "b", "latest", "a.example/b:latest"),
            (&pinned, "localhost", "a", &digest.to_string(), &pinned),
        ] {
            let reference: RemoteReference = text.parse().unwrap();
            assert_eq!(reference.host(), host, "{text}");
            assert_eq!(reference.repository(), repository, "{text}");
            assert_eq!(reference.manifest(), manifest, "{text}");
            assert_eq!(reference.to_string(), whole, "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let upper = format!("a@{}", Sha256::of(b"a").to_string().replace('a', "A"));
        for bad in
            ["", "/", "a:", ":b", "a@sha256:1", "A/b", "a b", "a.example/", "a/../b", "a\n", &upper]
        {
            let error = bad.parse::<RemoteReference>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
        }
        let other = format!("a@sha512:{}", "0".repeat(128)).parse::<RemoteReference>();
        assert_eq!(other.unwrap_err().kind(), ErrorKind::Unsupported);
    }
}

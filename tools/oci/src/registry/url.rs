//! Addresses of a registry, and where its answers lead.

use std::fmt;

use ureq::http::Uri;
use ureq::http::uri::Scheme;

/// Where a server answers. Credentials belong to one, and go to no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    is_secure: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of `host[:port]`; `None` where that is none.
    pub fn new(is_secure: bool, host: &str) -> Option<Origin> {
        let scheme = if is_secure { "https" } else { "http" };
        Url::absolute(&format!("{scheme}://{host}/")).map(|url| url.origin)
    }

    /// Whether what goes there is encrypted.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// An address there: a path, perhaps with a query.
    pub fn at(&self, path: &str) -> Url {
        Url { origin: self.clone(), path: path.to_owned() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.is_secure { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == usual { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// An address: an origin, a path and perhaps a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    origin: Origin,
    path: String,
}

impl Url {
    /// An absolute address; `None` for what is none, or has another scheme than HTTP.
    pub fn absolute(text: &str) -> Option<Url> {
        let uri: Uri = text.parse().ok()?;
        let is_secure = match uri.scheme()? {
            scheme if *scheme == Scheme::HTTPS => true,
            scheme if *scheme == Scheme::HTTP => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        // `user:password@` in an address that a server gave would be credentials of its choice.
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        let port = match authority.port() {
            Some(_) => authority.port_u16()?,
            // A port that is none.
            None if authority.as_str().len() > authority.host().len() => return None,
            None if is_secure => 443,
            None => 80,
        };
        let host = authority.host().to_ascii_lowercase();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Some(Origin { is_secure, host, port }.at(path))
    }

    /// Where a `Location` leads that was given at this address.
    pub fn join(&self, location: &str) -> Option<Url> {
        let scheme = if self.origin.is_secure { "https" } else { "http" };
        if location.starts_with("//") {
            Url::absolute(&format!("{scheme}:{location}"))
        } else if location.starts_with('/') {
            Url::absolute(&format!("{}{location}", self.origin))
        } else {
            Url::absolute(location)
        }
    }

    /// The origin.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The address with a parameter more, whose value needs no escapes in a query.
    pub fn with(&self, name: &str, value: &str) -> Url {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        self.origin.at(&format!("{}{joint}{name}={value}", self.path))
    }

    /// All of it, for a request.
    pub fn whole(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }
}

impl fmt::Display for Url {
    /// Without the query, which may hold what is as good as a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{}{path}", self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_lead_on_from_where_they_were_given() {
        let url = Origin::new(true, "A.example:5000").unwrap().at("/v2/x?state=1");
        for (location, whole) in [
            ("/y?z=1", Some("https://a.example:5000/y?z=1")),
            ("//b.example/y", Some("https://b.example/y")),
            ("http://b.example:80", Some("http://b.example/")),
            ("HTTPS://b.example:444/", Some("https://b.example:444/")),
            ("ftp://b.example/", None),
            ("file:///etc/passwd", None),
            ("https://user:password@b.example/", None),
            ("https://b.example:99999/", None),
            ("y", None),
            ("", None),
        ] {
            assert_eq!(url.join(location).map(|url| url.whole()).as_deref(), whole, "{location}");
        }
        assert_eq!(url.with("digest", "d").whole(), "https://a.example:5000/v2/x?state=1&digest=d");
        assert_eq!(url.to_string(), "https://a.example:5000/v2/x");
        let same = |a, b| Url::absolute(a).unwrap().origin() == Url::absolute(b).unwrap().origin();
        assert!(same("https://a/", "https://A:443/b"));
        assert!(!same("https://a/", "http://a/"));
        assert!(!same("https://a/", "https://a:444/"));
    }
}

//! How a registry is spoken to.

use std::net::IpAddr;
use std::time::Duration;

use sapwood::{Error, Result};
use ureq::Agent;
use ureq::config::AutoHeaderValue;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::Credential;

/// What makes sure that the registry is the one that is meant, and that nobody listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// HTTPS with a certificate that verifies; plain HTTP to this machine's own addresses, unless
    /// certificates are given, and without credentials.
    #[default]
    Usual,
    /// HTTPS with a certificate that verifies, whatever the address.
    Verified,
    /// HTTPS with any certificate.
    Unverified,
    /// Plain HTTP.
    Plain,
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// A proxy that requests go through, but those to this machine's own addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its address: `http://HOST:PORT`.
    pub address: String,
    /// Hosts that are spoken to without it: names, or suffixes that begin with a dot.
    pub exceptions: Vec<String>,
}

/// How a registry is spoken to. Nothing is read from the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryOptions {
    /// Over what.
    pub security: Security,
    /// Certificates in PEM that are trusted in place of the machine's own.
    pub certificates: Option<Vec<u8>>,
    /// Who one is; nobody in particular without.
    pub credential: Option<Credential>,
    /// A proxy.
    pub proxy: Option<Proxy>,
    /// How often a thing is tried at most before its error is the answer.
    pub attempts: u32,
    /// How long the second attempt waits; each one after it waits twice as long as the one before.
    pub back_off: Duration,
    /// How long nothing may come in, or go out, before a connection counts as broken.
    pub silence: Duration,
}

impl Default for RegistryOptions {
    fn default() -> RegistryOptions {
        RegistryOptions {
            security: Security::Usual,
            certificates: None,
            credential: None,
            proxy: None,
            attempts: 5,
            back_off: Duration::from_millis(500),
            silence: Duration::from_secs(60),
        }
    }
}

impl RegistryOptions {
    /// Whether a host is spoken to over HTTPS. Who says which certificates are trusted wants to see one.
    pub(super) fn is_secure(&self, host: &str) -> bool {
        match self.security {
            Security::Usual => self.certificates.is_some() || !is_loopback(host),
            Security::Verified | Security::Unverified => true,
            Security::Plain => false,
        }
    }
}

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(30);

/// What sends requests so. It follows no redirects, and leaves each status to its caller.
pub(super) fn agent(options: &RegistryOptions, host: &str) -> Result<Agent> {
    // No proxy knows this machine's own addresses.
    let proxy =
        options.proxy.as_ref().filter(|_| !is_loopback(host)).map(parse_proxy).transpose()?;
    let roots = match &options.certificates {
        Some(pem) => RootCerts::new_with_certs(&certificates(pem)?),
        None => RootCerts::PlatformVerifier,
    };
    let tls = TlsConfig::builder()
        .root_certs(roots)
        .disable_verification(options.security == Security::Unverified)
        .build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("sapwood/", env!("CARGO_PKG_VERSION")))
        .accept_encoding(AutoHeaderValue::None)
        .timeout_connect(Some(CONNECT))
        .timeout_per_read(Some(options.silence))
        .timeout_per_write(Some(options.silence))
        .tls_config(tls)
        .proxy(proxy)
        .build();
    Ok(config.new_agent())
}

fn parse_proxy(proxy: &Proxy) -> Result<ureq::Proxy> {
    let bad = || {
        // It may hold a password.
        Error::invalid(
            "use a proxy",
            "address",
            "something else",
            "http://[USER:PASSWORD@]HOST:PORT",
        )
    };
    let parsed = ureq::Proxy::new(&proxy.address).map_err(|_| bad())?;
    let mut builder =
        ureq::Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
    if let Some(name) = parsed.username() {
        builder = builder.username(name);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    for exception in &proxy.exceptions {
        builder = builder.no_proxy(exception);
    }
    builder.build().map_err(|_| bad())
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>> {
    let bad =
        |found: String| Error::invalid("read certificates", "file", found, "certificates in PEM");
    let items =
        parse_pem(pem).collect::<Result<Vec<_>, _>>().map_err(|error| bad(error.to_string()))?;
    let certificates: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() { Err(bad("none".to_owned())) } else { Ok(certificates) }
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn own_addresses_are_known_with_and_without_a_port() {
        for own in
            ["localhost", "localhost:5000", "127.0.0.1", "127.8.8.8:1", "[::1]", "[::1]:5000"]
        {
            assert!(is_loopback(own), "{own}");
        }
        for other in ["a.example", "localhost.a.example:5000", "128.0.0.1", "[::2]:5000", "[", ""] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}

//! Registries as the command line and the environment describe them.

use std::env;
use std::fs;
use std::path::PathBuf;

use sapwood_oci::{CredentialFiles, Proxy, RegistryOptions, RemoteReference, Security};

use crate::args::RegistryArgs;
use crate::error::{CliError, Result};

/// How to speak to the registry of a reference, and as whom.
pub fn registry_options(
    args: &RegistryArgs,
    reference: &RemoteReference,
) -> Result<RegistryOptions> {
    let security = match args.tls_verify {
        _ if args.plain_http => Security::Plain,
        Some(true) => Security::Verified,
        Some(false) => Security::Unverified,
        None => Security::Usual,
    };
    let certificates = match &args.ca_file {
        Some(path) => Some(fs::read(path).map_err(CliError::file("read", path))?),
        None => None,
    };
    if let Some(path) = &args.auth_file {
        fs::metadata(path).map_err(CliError::file("read", path))?;
    }
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let paths = match &args.auth_file {
        Some(path) => vec![path.clone()],
        None => usual_files(|name| variable(name).map(PathBuf::from)),
    };
    let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
    Ok(RegistryOptions {
        security,
        certificates,
        credential: CredentialFiles { paths }.find(reference)?,
        proxy: proxy(text, args.plain_http),
        ..RegistryOptions::default()
    })
}

/// Where the `login` of the container tools and Docker's leave what they know.
fn usual_files(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let of_containers = variable("REGISTRY_AUTH_FILE")
        .or_else(|| variable("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")));
    let of_docker = variable("DOCKER_CONFIG")
        .or_else(|| variable("HOME").map(|home| home.join(".docker")))
        .map(|folder| folder.join("config.json"));
    of_containers.into_iter().chain(of_docker).collect()
}

/// The proxy that the environment names, as other programs read it.
fn proxy(variable: impl Fn(&str) -> Option<String>, is_plain: bool) -> Option<Proxy> {
    // HTTP_PROXY in capitals can be a header of somebody's request to a server.
    let names: &[&str] = if is_plain { &["http_proxy"] } else { &["https_proxy", "HTTPS_PROXY"] };
    let address = names.iter().find_map(|name| variable(name))?;
    let exceptions = variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default();
    let mut without = Vec::new();
    for name in exceptions.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        without.push(name.to_owned());
        // A name means what is below it, too.
        if !name.starts_with(['.', '*']) {
            without.push(format!(".{name}"));
        }
    }
    Some(Proxy { address, exceptions: without })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_looked_for_where_logins_leave_them() {
        let files = |pairs: &[(&str, &str)]| {
            let found = usual_files(|name| {
                pairs.iter().find(|pair| pair.0 == name).map(|pair| PathBuf::from(pair.1))
            });
            found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        let (home, run) = (("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r"));
        assert_eq!(files(&[]), "");
        assert_eq!(files(&[home, run]), "/r/containers/auth.json /h/.docker/config.json");
        assert_eq!(files(&[home, ("DOCKER_CONFIG", "/d")]), "/d/config.json");
        assert_eq!(files(&[run, ("REGISTRY_AUTH_FILE", "/a")]), "/a");
    }

    #[test]
    fn proxies_are_read_as_others_read_them() {
        let of = |pairs: &[(&str, &str)], is_plain| {
            let found =
                |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned());
            proxy(found, is_plain)
        };
        let secure = ("HTTPS_PROXY", "http://p:1");
        let proxy = of(&[secure, ("NO_PROXY", "a.example, .b.example,,*")], false).unwrap();
        assert_eq!(proxy.address, "http://p:1");
        assert_eq!(proxy.exceptions, ["a.example", ".a.example", ".b.example", "*"]);
        assert_eq!(of(&[secure, ("HTTP_PROXY", "http://p:2")], true), None);
        assert!(of(&[("http_proxy", "http://p:2")], true).is_some());
    }
}

//! The files, and what they say of a registry.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use sapwood::{Error, Result};
use serde::Deserialize;

use super::{Credential, helper};
use crate::registry::RemoteReference;

/// The longest file in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// What Docker calls its own registry in these files.
const DOCKER_KEYS: [&str; 4] =
    ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"];

/// Files that hold credentials, or name the helpers that do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialFiles {
    /// The files. The first that knows the registry is believed; one that does not exist knows none.
    pub paths: Vec<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl CredentialFiles {
    /// The credential for a repository; `None` where no file knows the registry.
    ///
    /// Errors: a file that cannot be read or understood; a helper that fails.
    pub fn find(&self, reference: &RemoteReference) -> Result<Option<Credential>> {
        for path in &self.paths {
            if let Some(credential) = find_in(path, reference)? {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }
}

fn find_in(path: &Path, reference: &RemoteReference) -> Result<Option<Credential>> {
    let operation = "read credentials";
    let mut json = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut json));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| Error::io(operation, error).in_file(path))?,
    };
    let bad = |found: &str, expected: &str| {
        Error::invalid(operation, "file", found, expected).in_file(path)
    };
    if json.len() as u64 > FILE_BYTES_MAX {
        return Err(bad("more bytes", "at most 4 MiB"));
    }
    // The error of a parser would show what it found: a secret.
    let config: Config = serde_json::from_slice(&json)
        .map_err(|error| bad(&format!("an error in line {}", error.line()), "JSON of a login"))?;
    let keys = keys(reference);
    for key in &keys {
        if let Some(name) = config.cred_helpers.get(key).filter(|name| !name.is_empty()) {
            return helper::ask(name, key, helper::PATIENCE);
        }
    }
    for key in &keys {
        let entry =
            config.auths.iter().find(|(written, _)| without_scheme(written) == without_scheme(key));
        if let Some((key, entry)) = entry
            && let Some(credential) = credential_of(entry).map_err(|found| {
                bad(&format!("{found} for {}", key.escape_debug()), "base64 of NAME:PASSWORD")
            })?
        {
            return Ok(Some(credential));
        }
    }
    match config.creds_store.filter(|name| !name.is_empty()) {
        Some(name) => {
            let server = if reference.registry() == "docker.io" {
                DOCKER_KEYS[0]
            } else {
                reference.registry()
            };
            helper::ask(&name, server, helper::PATIENCE)
        }
        None => Ok(None),
    }
}

/// What a file may call the registry of a repository, or a part of it: the narrowest first.
fn keys(reference: &RemoteReference) -> Vec<String> {
    let registry = reference.registry();
    let mut keys = Vec::new();
    let mut part = Some(reference.repository());
    while let Some(repository) = part {
        keys.push(format!("{registry}/{repository}"));
        part = repository.rsplit_once('/').map(|(above, _)| above);
    }
    match registry {
        "docker.io" => keys.extend(DOCKER_KEYS.map(str::to_owned)),
        _ => keys.push(registry.to_owned()),
    }
    keys
}

/// A key as it is compared: Docker once wrote whole addresses, of the protocol's versions.
fn without_scheme(key: &str) -> &str {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let bare = bare.unwrap_or(key).trim_end_matches('/');
    ["/v1", "/v2"].iter().find_map(|version| bare.strip_suffix(version)).unwrap_or(bare)
}

fn credential_of(entry: &Entry) -> Result<Option<Credential>, &'static str> {
    if let Some(token) = entry.identitytoken.as_ref().filter(|token| !token.is_empty()) {
        return Ok(Some(Credential::IdentityToken(token.clone())));
    }
    if let Some(auth) = entry.auth.as_ref().filter(|auth| !auth.is_empty()) {
        let padding =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, padding);
        let decoded = engine.decode(auth.trim()).map_err(|_| "an auth that is no base64")?;
        let decoded = String::from_utf8(decoded).map_err(|_| "an auth that is no text")?;
        let (username, password) = decoded.split_once(':').ok_or("an auth without a colon")?;
        // Docker pads with zeros what it wrote long ago.
        let password = password.trim_end_matches('\0');
        return Ok(Some(Credential::Basic {
            username: username.into(),
            password: password.into(),
        }));
    }
    match (&entry.username, &entry.password) {
        (Some(username), Some(password)) => {
            Ok(Some(Credential::Basic { username: username.clone(), password: password.clone() }))
        }
        // With a store, an empty entry only says that somebody logged in.
        _ => Ok(None),
    }
}

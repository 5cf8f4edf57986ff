//! Programs that keep credentials: `docker-credential-NAME get`.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sapwood::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::Credential;

/// How long a helper may take: it may ask its user.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// What a helper says where it has nothing, on standard output, with an exit code of 1.
const NOTHING: &str = "credentials not found in native keychain";
/// The name that stands for an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks a helper for the credential of a server; `None` where it has none.
pub fn ask(name: &str, server: &str, patience: Duration) -> Result<Option<Credential>> {
    let program = format!("docker-credential-{name}");
    let operation = format!("ask {program}");
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_name) {
        let expected = "letters, digits, `-`, `_` and `.`";
        return Err(Error::invalid(operation, "helper", name.escape_debug(), expected));
    }
    let failed = |error| Error::io(operation.clone(), error);
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(failed)?;
    // A helper that knows the answer without reading is not in the wrong.
    let _ = child.stdin.take().expect("it is piped").write_all(server.as_bytes());
    let answer = read_within(&mut child, patience);
    if answer.is_none() {
        child.kill().map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    let Some(answer) = answer else {
        let found = format!("nothing after {} s", patience.as_secs());
        return Err(Error::new(ErrorKind::Io, operation).about("answer", found, "a credential"));
    };
    let answer = answer.map_err(failed)?;
    if !status.success() {
        let said = String::from_utf8_lossy(&answer);
        if said.trim().starts_with(NOTHING) {
            return Ok(None);
        }
        let shown: String = said.trim().chars().take(200).collect();
        let found = format!("{status}: {}", shown.escape_debug());
        return Err(Error::new(ErrorKind::Io, operation).about("answer", found, "a credential"));
    }
    // The error of a parser would show what it found: a secret.
    let answer: Answer = serde_json::from_slice(&answer).map_err(|_| {
        let expected = "JSON with Username and Secret";
        Error::new(ErrorKind::Io, operation).about("answer", "something else", expected)
    })?;
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => Credential::IdentityToken(answer.secret),
        _ => Credential::Basic { username: answer.username, password: answer.secret },
    }))
}

/// What a program writes until it closes its output; `None` where that takes too long.
fn read_within(child: &mut Child, patience: Duration) -> Option<std::io::Result<Vec<u8>>> {
    let output = child.stdout.take().expect("it is piped");
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).map(|_| bytes);
        // Nobody waits any more where it came too late.
        let _ = sender.send(read);
    });
    receiver.recv_timeout(patience).ok()
}

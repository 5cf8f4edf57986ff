//! Programs that keep credentials: `docker-credential-NAME get`.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sapwood::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::Credential;

/// How long a helper may take: it may ask its user.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether a helper has ended that has answered.
const GLANCE: Duration = Duration::from_millis(5);
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
    ask_program(Command::new(&program).arg("get"), operation, server, patience)
}

fn ask_program(
    program: &mut Command,
    operation: String,
    server: &str,
    patience: Duration,
) -> Result<Option<Credential>> {
    let failed = |error| Error::io(operation.clone(), error);
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(failed)?;
    // A helper that knows the answer without reading is not in the wrong.
    let _ = child.stdin.take().expect("it is piped").write_all(server.as_bytes());
    let deadline = Instant::now() + patience;
    let answer = read_until(&mut child, deadline);
    let Some(status) = wait_until(&mut child, deadline).map_err(failed)? else {
        child.kill().and_then(|()| child.wait()).map_err(failed)?;
        let said = if answer.is_some() { "an answer, but no end," } else { "nothing" };
        let found = format!("{said} after {} s", patience.as_secs());
        return Err(Error::new(ErrorKind::Io, operation).about("answer", found, "a credential"));
    };
    // Whoever has its output now keeps it to itself.
    let silent = || io::Error::from(io::ErrorKind::TimedOut);
    let answer = answer.unwrap_or_else(|| Err(silent())).map_err(failed)?;
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
fn read_until(child: &mut Child, deadline: Instant) -> Option<io::Result<Vec<u8>>> {
    let output = child.stdout.take().expect("it is piped");
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).map(|_| bytes);
        // Nobody waits any more where it came too late.
        let _ = sender.send(read);
    });
    receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
}

/// How a program ended; `None` where that takes too long.
fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        match child.try_wait()? {
            None if Instant::now() < deadline => thread::sleep(GLANCE),
            ended => return Ok(ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask_shell(script: &str, patience: Duration) -> Result<Option<Credential>> {
        ask_program(
            Command::new("sh").args(["-c", script]),
            "ask".to_owned(),
            "a.example",
            patience,
        )
    }

    #[test]
    fn a_helper_that_does_not_end_is_not_waited_for() {
        let began = Instant::now();
        let answer = r#"{"Username": "u", "Secret": "s"}"#;
        for (script, expected) in [
            ("exec sleep 60".to_owned(), "nothing after"),
            (format!("echo '{answer}'; exec sleep 60 >&-"), "an answer, but no end,"),
        ] {
            let error = ask_shell(&script, Duration::from_millis(200)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(began.elapsed() < Duration::from_secs(30));
        let asked = ask_shell(&format!("read -r name; echo '{answer}'"), PATIENCE).unwrap();
        assert!(matches!(asked, Some(Credential::Basic { username, .. }) if username == "u"));
    }
}

//! What goes wrong between here and a registry, and whether it may go right the next time.

use std::io::{self, Read};
use std::time::Duration;

use sapwood::{Error, ErrorKind, Result};
use serde::Deserialize;
use ureq::Body;
use ureq::http::header::RETRY_AFTER;
use ureq::http::{HeaderMap, StatusCode};

use super::options::RegistryOptions;
use super::url::Url;

/// How much of what a registry says of a refusal is read, in bytes.
const SAID_BYTES_MAX: u64 = 64 << 10;
/// How much of it is told, in characters.
const SAID_CHARS_MAX: usize = 300;
/// What TLS says of a server whose certificate may sign others, and is not one that another signed.
const OWN_AUTHORITY: &str = "CaUsedAsEndEntity";
/// How much has to move before earlier failures count no more, in bytes.
pub const PROGRESS_BYTES: u64 = 1 << 20;
/// The longest that is waited before the next attempt, whatever the registry asks for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// An error of one attempt.
#[derive(Debug)]
pub struct Failure {
    /// The error.
    pub error: Error,
    /// Whether another attempt makes sense, and how long to wait for it at least.
    pub again: Option<Duration>,
}

impl From<Error> for Failure {
    /// An error that comes again with each attempt.
    fn from(error: Error) -> Failure {
        Failure { error, again: None }
    }
}

impl Failure {
    /// An error that may be gone the next time.
    pub fn to_try_again(error: Error) -> Failure {
        Failure { error, again: Some(Duration::ZERO) }
    }

    /// What the network said. A host that never answered is not asked again: its name, or the
    /// port, is wrong more often than it starts this very moment.
    pub fn of_transport(
        operation: &'static str,
        url: &Url,
        error: ureq::Error,
        has_answered: bool,
    ) -> Failure {
        let again = match &error {
            ureq::Error::Io(error) => match error.kind() {
                // How TLS says that it cannot agree.
                io::ErrorKind::InvalidData => false,
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NetworkUnreachable => {
                    has_answered
                }
                _ => true,
            },
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => has_answered,
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => has_answered,
            ureq::Error::Timeout(_) | ureq::Error::Protocol(_) => true,
            _ => false,
        };
        if error.to_string().contains(OWN_AUTHORITY) {
            let found = "one that is an authority's, as `openssl req -x509` makes it";
            let expected = "one that an authority signed, whose own `--ca-file` has; \
                `--tls-verify=false` takes any";
            let error = Error::new(ErrorKind::Io, operation).in_file(url.to_string());
            return error.about("certificate", found, expected).into();
        }
        let error = Error::io(operation, error.into_io()).in_file(url.to_string());
        Failure { error, again: again.then_some(Duration::ZERO) }
    }

    /// Whether a status is one of those that pass.
    pub fn is_passing(status: StatusCode) -> bool {
        matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
    }

    /// How long a registry asks to wait.
    pub fn wait(headers: &HeaderMap) -> Duration {
        let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        seconds.map_or(Duration::ZERO, Duration::from_secs)
    }
}

/// Attempts at one thing, which are counted.
pub struct Attempts {
    left: u32,
    pause: Duration,
}

impl Attempts {
    /// As many as the options say, the first among them.
    pub fn new(options: &RegistryOptions) -> Attempts {
        Attempts { left: options.attempts.max(1) - 1, pause: options.back_off }
    }

    /// Waits for the next attempt; the error where there is none.
    pub fn wait(&mut self, failure: Failure) -> Result<()> {
        let Some(asked) = failure.again.filter(|_| self.left > 0) else {
            return Err(failure.error);
        };
        std::thread::sleep(self.pause.max(asked).min(WAIT_MAX));
        self.left -= 1;
        self.pause = self.pause.saturating_mul(2);
        Ok(())
    }

    /// Does something until it is done, or fails for good.
    pub fn until_done<T>(mut self, mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T> {
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(failure) => self.wait(failure)?,
            }
        }
    }
}

#[derive(Deserialize)]
struct Said {
    errors: Vec<SaidError>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct SaidError {
    code: String,
    message: String,
}

/// The body of a refusal, as far as it is looked at.
pub fn refusal_body(body: Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What it says is told where it can be read; the status is told anyway.
    let _ = body.into_reader().take(SAID_BYTES_MAX).read_to_end(&mut bytes);
    bytes
}

/// Whether it says that HTTPS is spoken there, as servers in Go and nginx do; the answer to a `HEAD` says nothing.
pub fn may_want_https(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    body.is_empty()
        || ["HTTP request to an HTTPS server", "plain HTTP request was sent to HTTPS port"]
            .iter()
            .any(|words| text.contains(words))
}

/// What the body of a refusal says, in one line that a terminal can show; nothing where it is no
/// error of a registry.
pub fn said(body: &[u8]) -> String {
    let said = serde_json::from_slice::<Said>(body).map_or(Vec::new(), |said| said.errors);
    let said: Vec<String> = said
        .iter()
        .map(|error| match (&*error.code, &*error.message) {
            (code, "") => code.to_owned(),
            ("", message) => message.to_owned(),
            (code, message) => format!("{code}: {message}"),
        })
        .collect();
    let said: String = said.join("; ").chars().take(SAID_CHARS_MAX).collect();
    said.escape_debug().to_string()
}

//! What a registry answers.

use std::io::Read;

use sapwood::{Error, ErrorKind};
use ureq::Body;
use ureq::http::header::LOCATION;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::failure::{self, Failure};
use super::url::Url;

/// An answer, its body not read.
pub struct Answer {
    pub(super) operation: &'static str,
    /// Where it came from in the end.
    pub url: Url,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

impl Answer {
    /// The answer where its status is one of these.
    pub fn expect(self, statuses: &[StatusCode]) -> Result<Answer, Failure> {
        if statuses.contains(&self.status) { Ok(self) } else { Err(self.refuse()) }
    }

    /// The address of its `Location`; `None` where there is none that one may go to.
    pub fn location(&self) -> Option<Url> {
        let text = self.headers.get(LOCATION)?.to_str().ok()?;
        let is_secure = self.url.origin().is_secure();
        self.url.join(text).filter(|url| url.origin().is_secure() || !is_secure)
    }

    /// A header, escaped, for a look.
    pub fn header_text(&self, name: HeaderName) -> String {
        let value = self.headers.get(name).map(HeaderValue::as_bytes).unwrap_or(b"nothing");
        value[..value.len().min(300)].escape_ascii().to_string()
    }

    /// All of the body.
    ///
    /// Errors: more than `bytes_max` bytes.
    pub fn read(self, bytes_max: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let error = |kind| Error::new(kind, self.operation).in_file(self.url.to_string());
        let mut body = self.body.into_reader().take(bytes_max + 1);
        body.read_to_end(&mut bytes).map_err(|source| {
            Failure::to_try_again(Error::io(self.operation, source).in_file(self.url.to_string()))
        })?;
        if bytes.len() as u64 > bytes_max {
            let expected = format!("at most {bytes_max} bytes");
            return Err(error(ErrorKind::Corrupt).about("body", "more", expected).into());
        }
        Ok(bytes)
    }

    /// An error about what was asked.
    pub fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.operation).in_file(self.url.to_string())
    }

    /// What a status that nobody wanted says.
    pub fn refuse(self) -> Failure {
        let again = Failure::is_passing(self.status).then(|| Failure::wait(&self.headers));
        Failure { error: self.refusal(), again }
    }

    /// As [`refuse`](Answer::refuse), for who does not ask whether it may pass.
    pub fn refusal(self) -> Error {
        let kind = match self.status {
            StatusCode::NOT_FOUND => ErrorKind::NotFound,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::NotPermitted,
            _ => ErrorKind::Io,
        };
        let error = self.error(kind);
        let status = self.status;
        let is_plain = !self.url.origin().is_secure();
        let body = failure::refusal_body(self.body);
        if is_plain && status == StatusCode::BAD_REQUEST && failure::may_want_https(&body) {
            let found = format!("{status} to a request over plain HTTP");
            let expected =
                "success: if HTTPS is spoken there, `--tls-verify` or `--ca-file` is for it";
            return error.about("answer", found, expected);
        }
        let said = failure::said(&body);
        let found = if said.is_empty() { status.to_string() } else { format!("{status} ({said})") };
        error.about("answer", found, "success")
    }

    /// Whether it leads elsewhere.
    pub fn is_redirect(&self) -> bool {
        matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308)
    }
}

//! Requests and answers, with who one is; no more than a registry needs of HTTP.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use sapwood::{Error, ErrorKind, Result};
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, WWW_AUTHENTICATE};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use ureq::{Agent, Body, SendBody};

use super::authorize::{self, Challenge};
use super::failure::Failure;
use super::options::{RegistryOptions, agent};
use super::url::{Origin, Url};
use super::{Credential, RemoteReference};

/// How often an answer may lead elsewhere.
const REDIRECTS_MAX: usize = 10;

/// A registry, as one speaks to it about one repository.
#[derive(Debug)]
pub struct Http {
    agent: Agent,
    home: Origin,
    /// What the tokens asked for are good for.
    scopes: Vec<String>,
    credential: Option<Credential>,
    authorization: Mutex<Option<HeaderValue>>,
    has_answered: AtomicBool,
}

/// What is sent with a request.
pub enum Content<'a> {
    /// Nothing.
    Nothing,
    /// Bytes.
    Bytes(&'a [u8]),
    /// So many bytes of a stream.
    Stream(&'a mut dyn Read, u64),
}

/// A request.
pub struct Request<'a> {
    /// What it does, for errors.
    pub operation: &'static str,
    /// The method.
    pub method: Method,
    /// The address.
    pub url: Url,
    /// Headers.
    pub headers: Vec<(HeaderName, String)>,
    /// What is sent.
    pub content: Content<'a>,
}

impl Request<'_> {
    /// A request that sends nothing.
    pub fn new(operation: &'static str, method: Method, url: Url) -> Request<'static> {
        Request { operation, method, url, headers: Vec::new(), content: Content::Nothing }
    }
}

/// An answer, its body not read.
pub struct Answer {
    operation: &'static str,
    /// Where it came from in the end.
    pub url: Url,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

impl Http {
    /// A registry, which is not asked yet.
    pub fn new(
        reference: &RemoteReference,
        scopes: Vec<String>,
        options: &RegistryOptions,
    ) -> Result<Http> {
        let is_secure = options.security.is_secure(reference.host());
        let home = Origin::new(is_secure, reference.host()).ok_or_else(|| {
            let found = reference.host().escape_debug();
            Error::invalid("find a registry", "host", found, "HOST or HOST:PORT")
        })?;
        Ok(Http {
            agent: agent(options, reference.host())?,
            home,
            scopes,
            credential: options.credential.clone(),
            authorization: Mutex::new(None),
            has_answered: AtomicBool::new(false),
        })
    }

    /// Where the registry answers.
    pub fn home(&self) -> &Origin {
        &self.home
    }

    /// Sends a request, and again with an authorization where the registry wants one.
    pub fn send(&self, mut request: Request<'_>) -> Result<Answer, Failure> {
        let shown = self.authorization.lock().clone();
        let answer =
            self.exchange(&mut request, shown.as_ref().map(|value| (&self.home, value)))?;
        if answer.status != StatusCode::UNAUTHORIZED || answer.url.origin() != &self.home {
            return Ok(answer);
        }
        let Some(authorization) = self.authorize(&answer, shown.as_ref())? else {
            return Ok(answer);
        };
        if matches!(request.content, Content::Stream(..)) {
            return Err(Failure::to_try_again(answer.refusal()));
        }
        self.exchange(&mut request, Some((&self.home, &authorization)))
    }

    /// An authorization in place of one that was not enough; `None` where there is no other.
    fn authorize(
        &self,
        refused: &Answer,
        shown: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Failure> {
        let mut current = self.authorization.lock();
        if current.as_ref() != shown {
            return Ok(current.clone());
        }
        let headers = refused.headers.get_all(WWW_AUTHENTICATE).iter();
        let new = match Challenge::of(headers) {
            None => None,
            Some(Challenge::Basic) => self.credential.as_ref().and_then(authorize::basic),
            Some(Challenge::Bearer(bearer)) => {
                Some(authorize::token(self, &bearer, &self.scopes, self.credential.as_ref())?)
            }
        };
        // What was refused once is refused again.
        let new = new.filter(|new| Some(new) != shown);
        if let Some(new) = &new {
            *current = Some(new.clone());
        }
        Ok(new)
    }

    /// Sends a request and follows where the answers lead; an authorization goes to its origin only.
    pub fn exchange(
        &self,
        request: &mut Request<'_>,
        authorization: Option<(&Origin, &HeaderValue)>,
    ) -> Result<Answer, Failure> {
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.exchange_once(request, authorization)?;
            if !is_read || !answer.is_redirect() {
                return Ok(answer);
            }
            request.url = answer.location().ok_or_else(|| {
                let expected = "an address, as secure as the one before";
                answer.error(ErrorKind::Io).about(
                    "Location",
                    answer.header_text(LOCATION),
                    expected,
                )
            })?;
        }
        let error = Error::new(ErrorKind::Io, request.operation).in_file(request.url.to_string());
        let expected = format!("at most {REDIRECTS_MAX}");
        Err(error.about("redirects", "more", expected).into())
    }

    fn exchange_once(
        &self,
        request: &mut Request<'_>,
        authorization: Option<(&Origin, &HeaderValue)>,
    ) -> Result<Answer, Failure> {
        let (operation, url) = (request.operation, request.url.clone());
        let invalid = |error: ureq::http::Error| {
            let error = io::Error::new(io::ErrorKind::InvalidInput, error);
            Failure::from(Error::io(operation, error).in_file(url.to_string()))
        };
        let mut builder =
            ureq::http::Request::builder().method(request.method.clone()).uri(url.whole());
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some((origin, value)) = authorization
            && origin == url.origin()
        {
            builder = builder.header(AUTHORIZATION, value);
        }
        let answer = match &mut request.content {
            Content::Nothing
                if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) =>
            {
                self.agent.run(builder.body(&[][..]).map_err(invalid)?)
            }
            Content::Nothing => self.agent.run(builder.body(()).map_err(invalid)?),
            Content::Bytes(bytes) => self.agent.run(builder.body(*bytes).map_err(invalid)?),
            Content::Stream(stream, length) => {
                let builder = builder.header(CONTENT_LENGTH, *length);
                self.agent.run(builder.body(SendBody::from_reader(*stream)).map_err(invalid)?)
            }
        };
        let answer = answer.map_err(|error| {
            Failure::of_transport(operation, &url, error, self.has_answered.load(Ordering::Relaxed))
        })?;
        self.has_answered.store(true, Ordering::Relaxed);
        let (parts, body) = answer.into_parts();
        Ok(Answer { operation, url, status: parts.status, headers: parts.headers, body })
    }
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

    fn refusal(self) -> Error {
        let kind = match self.status {
            StatusCode::NOT_FOUND => ErrorKind::NotFound,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::NotPermitted,
            _ => ErrorKind::Io,
        };
        let error = self.error(kind);
        let status = self.status;
        let said = super::failure::said(self.body);
        let found = if said.is_empty() { status.to_string() } else { format!("{status} ({said})") };
        error.about("answer", found, "success")
    }

    fn is_redirect(&self) -> bool {
        matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308)
    }
}

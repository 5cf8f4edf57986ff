//! Requests over HTTP, sent as they are; no more than a registry needs of it.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use sapwood::{Error, ErrorKind, Result};
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION};
use ureq::http::{HeaderName, HeaderValue, Method};
use ureq::{Agent, SendBody};

use super::RemoteReference;
use super::answer::Answer;
use super::failure::Failure;
use super::options::{RegistryOptions, agent};
use super::url::{Origin, Url};

/// How often an answer may lead elsewhere.
const REDIRECTS_MAX: usize = 10;

/// The way to a registry.
#[derive(Debug)]
pub struct Transport {
    agent: Agent,
    home: Origin,
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

impl Transport {
    /// The way to the registry of `reference`, which is not gone yet.
    pub fn new(reference: &RemoteReference, options: &RegistryOptions) -> Result<Transport> {
        let is_secure = options.is_secure(reference.host());
        let home = Origin::new(is_secure, reference.host()).ok_or_else(|| {
            let found = reference.host().escape_debug();
            Error::invalid("find a registry", "host", found, "HOST or HOST:PORT")
        })?;
        let agent = agent(options, reference.host())?;
        Ok(Transport { agent, home, has_answered: AtomicBool::new(false) })
    }

    /// Where the registry answers.
    pub fn home(&self) -> &Origin {
        &self.home
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

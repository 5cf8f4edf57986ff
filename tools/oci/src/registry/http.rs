//! Requests and answers, with who one is.

use parking_lot::Mutex;
use sapwood::{ErrorKind, Result};
use ureq::http::header::WWW_AUTHENTICATE;
use ureq::http::{HeaderValue, StatusCode};

use super::answer::Answer;
use super::authorize::{self, Challenge};
use super::failure::Failure;
use super::options::{RegistryOptions, Security};
use super::transport::{Content, Request, Transport};
use super::url::Origin;
use super::{Credential, RemoteReference};

/// A registry, as one speaks to it about one repository.
#[derive(Debug)]
pub struct Http {
    transport: Transport,
    /// What the tokens asked for are good for.
    scopes: Vec<String>,
    credential: Option<Credential>,
    /// Whether credentials may go over plain HTTP.
    is_plain_wanted: bool,
    authorization: Mutex<Option<HeaderValue>>,
}

impl Http {
    /// A registry, which is not asked yet.
    pub fn new(
        reference: &RemoteReference,
        scopes: Vec<String>,
        options: &RegistryOptions,
    ) -> Result<Http> {
        Ok(Http {
            transport: Transport::new(reference, options)?,
            scopes,
            credential: options.credential.clone(),
            is_plain_wanted: options.security == Security::Plain,
            authorization: Mutex::new(None),
        })
    }

    /// Where the registry answers.
    pub fn home(&self) -> &Origin {
        self.transport.home()
    }

    /// Sends a request, and again with an authorization where the registry wants one.
    pub fn send(&self, mut request: Request<'_>) -> Result<Answer, Failure> {
        let shown = self.authorization.lock().clone();
        let home = self.home();
        let with = |value| (home, value);
        let answer = self.transport.exchange(&mut request, shown.as_ref().map(with))?;
        if answer.status != StatusCode::UNAUTHORIZED || answer.url.origin() != home {
            return Ok(answer);
        }
        let Some(authorization) = self.authorize(&answer, shown.as_ref())? else {
            return Ok(answer);
        };
        if matches!(request.content, Content::Stream(..)) {
            return Err(Failure::to_try_again(answer.refusal()));
        }
        self.transport.exchange(&mut request, Some((home, &authorization)))
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
        // Whoever listens on a port of this machine would have them, and could be anybody on it.
        if self.credential.is_some() && !self.home().is_secure() && !self.is_plain_wanted {
            let found = "a request for credentials over plain HTTP";
            let expected = "HTTPS (`--tls-verify`), or `--plain-http` to send them all the same";
            let error = refused.error(ErrorKind::NotPermitted);
            return Err(error.about("answer", found, expected).into());
        }
        let headers = refused.headers.get_all(WWW_AUTHENTICATE).iter();
        let new = match Challenge::of(headers) {
            None => None,
            Some(Challenge::Basic) => self.credential.as_ref().and_then(authorize::basic),
            Some(Challenge::Bearer(bearer)) => Some(authorize::token(
                &self.transport,
                &bearer,
                &self.scopes,
                self.credential.as_ref(),
            )?),
        };
        // What was refused once is refused again.
        let new = new.filter(|new| Some(new) != shown);
        if let Some(new) = &new {
            *current = Some(new.clone());
        }
        Ok(new)
    }
}

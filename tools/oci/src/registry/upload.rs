//! Writing a blob: from elsewhere in the registry, or sent, on from where a broken connection left it.

use std::io::{self, Read};

use sapwood::{Error, ErrorKind, Result};
use ureq::http::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE};
use ureq::http::{HeaderMap, Method, StatusCode};

use super::answer::Answer;
use super::client::Repository;
use super::failure::{Failure, PROGRESS_BYTES};
use super::transport::{Content, Request};
use super::url::Url;
use crate::Sha256;

const WRITE: &str = "write a blob";

/// Where the bytes of a blob lie: read again from any place.
pub trait BlobBytes: Sync {
    /// The bytes from `offset` on.
    fn from(&self, offset: u64) -> io::Result<Box<dyn Read + '_>>;
}

/// An upload that the registry has begun.
struct Upload {
    /// Where it goes on.
    url: Url,
    /// How much of it the registry has.
    offset: u64,
}

impl Repository {
    /// Has the registry take a blob that another of its repositories has; whether it did.
    pub fn mount_blob(&self, digest: Sha256, from: &str) -> Result<bool> {
        self.attempts().until_done(|| {
            let mut request = self.request("mount a blob", Method::POST, "blobs/uploads/");
            request.url = request.url.with("mount", &digest.to_string()).with("from", from);
            let answer = self.http.send(request)?;
            match answer.status {
                StatusCode::CREATED => Ok(true),
                // It has begun an upload instead.
                StatusCode::ACCEPTED => {
                    self.give_up(&begun(answer, 0)?);
                    Ok(false)
                }
                // It may not be read there, or not be there.
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                    Ok(false)
                }
                _ => Err(answer.refuse()),
            }
        })
    }

    /// Sends a blob. `sent` hears how many bytes the registry has got; fewer than before where it has
    /// to begin again.
    pub fn write_blob(
        &self,
        digest: Sha256,
        size_bytes: u64,
        bytes: &dyn BlobBytes,
        sent: &dyn Fn(u64),
    ) -> Result<()> {
        let mut attempts = self.attempts();
        let mut broken: Option<Upload> = None;
        let mut counted_from = 0;
        loop {
            // What is left of it after a failure, or a new one.
            let left = broken.as_ref().map_or(Ok(None), |broken| self.asked(broken, size_bytes));
            let upload = left.and_then(|left| left.map_or_else(|| self.begin(), Ok));
            let failure = match upload {
                Ok(mut upload) => {
                    // Failures of long ago count no more.
                    if upload.offset >= counted_from + PROGRESS_BYTES {
                        attempts = self.attempts();
                        counted_from = upload.offset;
                    }
                    match self.send_rest(&mut upload, digest, size_bytes, bytes, sent) {
                        Ok(()) => return Ok(()),
                        Err(failure) => {
                            broken = Some(upload);
                            failure
                        }
                    }
                }
                Err(failure) => failure,
            };
            attempts.wait(failure)?;
        }
    }

    fn begin(&self) -> Result<Upload, Failure> {
        let answer = self.http.send(self.request(WRITE, Method::POST, "blobs/uploads/"))?;
        begun(answer.expect(&[StatusCode::ACCEPTED])?, 0)
    }

    /// What a registry has of an upload that broke; `None` where it knows it no more.
    fn asked(&self, broken: &Upload, size_bytes: u64) -> Result<Option<Upload>, Failure> {
        let request = Request::new(WRITE, Method::GET, broken.url.clone());
        let answer = self.http.send(request)?;
        if answer.status != StatusCode::NO_CONTENT {
            return match Failure::is_passing(answer.status) {
                true => Err(answer.refuse()),
                false => Ok(None),
            };
        }
        let end = received(&answer.headers).filter(|end| *end <= size_bytes);
        let Some(offset) = end else { return Ok(None) };
        let url = answer.location().unwrap_or_else(|| broken.url.clone());
        Ok(Some(Upload { url, offset }))
    }

    fn send_rest(
        &self,
        upload: &mut Upload,
        digest: Sha256,
        size_bytes: u64,
        bytes: &dyn BlobBytes,
        sent: &dyn Fn(u64),
    ) -> Result<(), Failure> {
        if upload.offset < size_bytes {
            let offset = upload.offset;
            let rest = bytes.from(offset).map_err(|error| Error::io("read what is sent", error))?;
            let mut rest = Counting { inner: rest, offset, sent };
            let mut request = Request {
                headers: vec![(CONTENT_TYPE, "application/octet-stream".to_owned())],
                content: Content::Stream(&mut rest, size_bytes - offset),
                ..Request::new(WRITE, Method::PATCH, upload.url.clone())
            };
            if offset > 0 {
                request.headers.push((CONTENT_RANGE, format!("{offset}-{}", size_bytes - 1)));
            }
            let answer = self.http.send(request)?;
            *upload =
                begun(answer.expect(&[StatusCode::ACCEPTED, StatusCode::CREATED])?, size_bytes)?;
        }
        let url = upload.url.with("digest", &digest.to_string());
        let answer = self.http.send(Request::new(WRITE, Method::PUT, url))?;
        let statuses = [StatusCode::CREATED, StatusCode::OK, StatusCode::NO_CONTENT];
        answer.expect(&statuses).map(drop)
    }

    /// Tells a registry that an upload will not come.
    fn give_up(&self, upload: &Upload) {
        // A registry that does not hear it forgets by itself.
        let _ =
            self.http.send(Request::new("give up an upload", Method::DELETE, upload.url.clone()));
    }
}

/// Where an upload goes on, as an answer says.
fn begun(answer: Answer, offset: u64) -> Result<Upload, Failure> {
    match answer.location() {
        Some(url) => Ok(Upload { url, offset }),
        None => {
            let found = answer.header_text(ureq::http::header::LOCATION);
            let expected = "an address, as secure as the registry's";
            Err(answer.error(ErrorKind::Io).about("Location", found, expected).into())
        }
    }
}

/// How many bytes a registry has got: `0-LAST`. With `0-0` registries say that there are none; a blob
/// that broke after its first byte would then be refused for its digest. `None` where it says nothing.
fn received(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(RANGE)?.to_str().ok()?;
    let last = range.trim().trim_start_matches("bytes=").strip_prefix("0-")?;
    let last: u64 = last.parse().ok()?;
    Some(if last == 0 { 0 } else { last.saturating_add(1) })
}

struct Counting<'a> {
    inner: Box<dyn Read + 'a>,
    offset: u64,
    sent: &'a dyn Fn(u64),
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.offset += read as u64;
        (self.sent)(self.offset);
        Ok(read)
    }
}

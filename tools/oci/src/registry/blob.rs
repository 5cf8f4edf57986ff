//! Reading a blob, on from where a broken connection left it.

use std::io::{self, Read};

use sapwood::{Error, ErrorKind, Result};
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use ureq::http::{Method, StatusCode};
use ureq::{BodyReader, http::HeaderMap};

use super::client::Repository;
use super::failure::{Attempts, Failure, PROGRESS_BYTES};
use crate::Sha256;

const READ: &str = "read a blob";

/// The bytes of a blob: as many as its size says, whose digest nobody has looked at yet.
pub struct BlobReader<'a> {
    repository: &'a Repository,
    digest: Sha256,
    size_bytes: u64,
    offset: u64,
    body: Option<BodyReader<'static>>,
    attempts: Attempts,
    /// Where it was when failures were last forgotten.
    counted_from: u64,
}

impl Repository {
    /// Reads a blob of `size_bytes`.
    ///
    /// Errors: [`NotFound`](ErrorKind::NotFound); [`Corrupt`](ErrorKind::Corrupt) where the registry
    /// says that it has another size. What comes while the reader reads is an
    /// [`io::Error`] around an [`Error`].
    pub fn read_blob(&self, digest: Sha256, size_bytes: u64) -> Result<BlobReader<'_>> {
        let mut reader = BlobReader {
            repository: self,
            digest,
            size_bytes,
            offset: 0,
            body: None,
            attempts: self.attempts(),
            counted_from: 0,
        };
        reader.open_body()?;
        Ok(reader)
    }
}

impl BlobReader<'_> {
    /// Asks for what is missing, until there is an answer.
    fn open_body(&mut self) -> Result<()> {
        loop {
            match self.ask() {
                Ok(body) => {
                    self.body = Some(body);
                    return Ok(());
                }
                Err(failure) => self.wait(failure)?,
            }
        }
    }

    fn wait(&mut self, failure: Failure) -> Result<()> {
        self.body = None;
        if self.offset >= self.counted_from + PROGRESS_BYTES {
            self.attempts = self.repository.attempts();
            self.counted_from = self.offset;
        }
        self.attempts.wait(failure)
    }

    fn ask(&self) -> Result<BodyReader<'static>, Failure> {
        let path = format!("blobs/{}", self.digest);
        let mut request = self.repository.request(READ, Method::GET, &path);
        if self.offset > 0 {
            request.headers.push((RANGE, format!("bytes={}-", self.offset)));
        }
        let statuses = match self.offset {
            0 => &[StatusCode::OK][..],
            _ => &[StatusCode::OK, StatusCode::PARTIAL_CONTENT],
        };
        let answer = self.repository.http.send(request)?.expect(statuses)?;
        let is_part = answer.status == StatusCode::PARTIAL_CONTENT;
        let begin = if is_part { self.offset } else { 0 };
        if is_part && first_of_range(&answer.headers) != Some(begin) {
            let found = answer.header_text(CONTENT_RANGE);
            let error = answer.error(ErrorKind::Corrupt);
            return Err(error.about("Content-Range", found, format!("bytes {begin}-")).into());
        }
        if let Some(length) = number(&answer.headers)
            && length != self.size_bytes - begin
        {
            let expected = format!("{} bytes", self.size_bytes - begin);
            return Err(answer.error(ErrorKind::Corrupt).about("size", length, expected).into());
        }
        let url = answer.url.to_string();
        let mut body = answer.body.into_reader();
        // A registry that knows no ranges begins again.
        let skipped = io::copy(&mut (&mut body).take(self.offset - begin), &mut io::sink());
        let broken = |error| Failure::to_try_again(Error::io(READ, error).in_file(&url));
        if skipped.map_err(broken)? < self.offset - begin {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(body)
    }

    fn read_on(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            if self.body.is_none() {
                self.open_body()?;
            }
            let body = self.body.as_mut().expect("it was opened");
            let left = self.size_bytes - self.offset;
            if left == 0 {
                return self.expect_end();
            }
            let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let failure = match body.read(&mut buffer[..room]) {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(read) => {
                    self.offset += read as u64;
                    return Ok(read);
                }
                Err(error) => error,
            };
            let error = Error::io(READ, failure).in_file(self.url()).at_offset(self.offset);
            self.wait(Failure::to_try_again(error))?;
        }
    }

    /// What lies behind the size that was told, which is nothing.
    fn expect_end(&mut self) -> Result<usize> {
        let body = self.body.as_mut().expect("it was opened");
        // All is there: that the connection breaks now hurts nobody.
        match body.read(&mut [0]) {
            Ok(1..) => {
                let (more, expected) = ("more", format!("{} bytes", self.size_bytes));
                Err(Error::corrupt(READ, "size", more, expected).in_file(self.url()))
            }
            _ => Ok(0),
        }
    }

    fn url(&self) -> String {
        let path = format!("blobs/{}", self.digest);
        self.repository.request(READ, Method::GET, &path).url.to_string()
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.read_on(buffer).map_err(io::Error::other)
    }
}

/// Where a part begins: `bytes FIRST-LAST/SIZE`.
fn first_of_range(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes")?;
    range.trim().split_once('-')?.0.parse().ok()
}

fn number(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

//! What is asked of a registry: manifests and blobs.

use sapwood::{Error, ErrorKind, Result};
use ureq::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use ureq::http::{HeaderName, Method, StatusCode};

use super::answer::Answer;
use super::failure::{Attempts, Failure};
use super::http::Http;
use super::transport::{Content, Request};
use super::{RegistryOptions, RemoteReference};
use crate::Sha256;

/// The longest manifest in bytes: what registries take.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// The digest of what comes with an answer.
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// What a manifest may be.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// A repository of a registry.
#[derive(Debug)]
pub struct Repository {
    pub(super) http: Http,
    pub(super) options: RegistryOptions,
    name: String,
}

/// What a repository is opened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read it.
    Pull,
    /// To write to it, and read from these repositories of the same registry.
    Push {
        /// Their names.
        from: Vec<String>,
    },
}

/// A manifest, or an index of them, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteManifest {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What the registry says they are.
    pub media_type: Option<String>,
    /// Their digest.
    pub digest: Sha256,
}

impl Repository {
    /// The repository of a reference. Nothing is asked yet.
    ///
    /// Errors: certificates or a proxy that cannot be understood.
    pub fn new(
        reference: &RemoteReference,
        access: &Access,
        options: &RegistryOptions,
    ) -> Result<Repository> {
        let name = reference.repository().to_owned();
        let scopes = match access {
            Access::Pull => vec![format!("repository:{name}:pull")],
            Access::Push { from } => {
                let own = format!("repository:{name}:pull,push");
                let others = from.iter().map(|other| format!("repository:{other}:pull"));
                std::iter::once(own).chain(others).collect()
            }
        };
        let http = Http::new(reference, scopes, options)?;
        Ok(Repository { http, options: options.clone(), name })
    }

    /// The manifest that a reference means.
    ///
    /// Errors: [`NotFound`](ErrorKind::NotFound); [`Corrupt`](ErrorKind::Corrupt) where its digest is
    /// another one.
    pub fn manifest(&self, reference: &RemoteReference) -> Result<RemoteManifest> {
        let found = self.read_manifest(&reference.manifest())?;
        match reference.digest() {
            Some(wanted) if wanted != found.digest => Err(self.wrong_digest(found.digest, wanted)),
            _ => Ok(found),
        }
    }

    /// The manifest with this digest.
    pub fn manifest_of(&self, digest: Sha256) -> Result<RemoteManifest> {
        let found = self.read_manifest(&digest.to_string())?;
        if found.digest == digest {
            Ok(found)
        } else {
            Err(self.wrong_digest(found.digest, digest))
        }
    }

    fn wrong_digest(&self, found: Sha256, wanted: Sha256) -> Error {
        let url = self.http.home().at(&format!("/v2/{}/manifests/{wanted}", self.name));
        Error::corrupt("read a manifest", "digest", found, wanted).in_file(url.to_string())
    }

    fn read_manifest(&self, manifest: &str) -> Result<RemoteManifest> {
        self.attempts().until_done(|| {
            let answer =
                self.ask("read a manifest", Method::GET, &format!("manifests/{manifest}"))?;
            let answer = answer.expect(&[StatusCode::OK])?;
            let media_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let media_type = media_type
                .map(|value| value.split(';').next().unwrap_or_default().trim().to_owned());
            let claimed = claimed_digest(&answer);
            let error = answer.error(ErrorKind::Corrupt);
            let bytes = answer.read(MANIFEST_BYTES_MAX)?;
            let digest = Sha256::of(&bytes);
            match claimed {
                Some(claimed) if claimed != digest => Err(error
                    .about("digest", digest, format!("{claimed}, as the answer says"))
                    .into()),
                _ => Ok(RemoteManifest { bytes, media_type, digest }),
            }
        })
    }

    /// Whether a blob is there.
    pub fn has_blob(&self, digest: Sha256, size_bytes: u64) -> Result<bool> {
        self.attempts().until_done(|| {
            let path = format!("blobs/{digest}");
            let answer = self.ask("look for a blob", Method::HEAD, &path)?;
            if answer.status == StatusCode::NOT_FOUND {
                return Ok(false);
            }
            let answer = answer.expect(&[StatusCode::OK])?;
            let length: Option<u64> = answer
                .headers
                .get(CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            match length {
                Some(found) if found != size_bytes => {
                    let error = answer.error(ErrorKind::Corrupt);
                    Err(error.about("size", found, format!("{size_bytes} bytes")).into())
                }
                _ => Ok(true),
            }
        })
    }

    /// The digest of the manifest that has this tag; `None` where there is none, or nobody says.
    pub fn manifest_digest(&self, tag: &str) -> Result<Option<Sha256>> {
        self.attempts().until_done(|| {
            let answer =
                self.ask("look for a manifest", Method::HEAD, &format!("manifests/{tag}"))?;
            if answer.status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            Ok(claimed_digest(&answer.expect(&[StatusCode::OK])?))
        })
    }

    /// Writes a manifest under a tag.
    pub fn write_manifest(&self, tag: &str, media_type: &str, bytes: &[u8]) -> Result<Sha256> {
        let digest = Sha256::of(bytes);
        self.attempts().until_done(|| {
            let request = Request {
                headers: vec![(CONTENT_TYPE, media_type.to_owned())],
                content: Content::Bytes(bytes),
                ..self.request("write a manifest", Method::PUT, &format!("manifests/{tag}"))
            };
            let answer = self.http.send(request)?;
            let answer = answer.expect(&[StatusCode::CREATED, StatusCode::OK])?;
            let claimed = claimed_digest(&answer);
            match claimed {
                Some(claimed) if claimed != digest => {
                    let error = answer.error(ErrorKind::Corrupt);
                    Err(error.about("digest", claimed, digest).into())
                }
                _ => Ok(digest),
            }
        })
    }

    pub(super) fn attempts(&self) -> Attempts {
        Attempts::new(&self.options)
    }

    pub(super) fn request(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
    ) -> Request<'static> {
        let url = self.http.home().at(&format!("/v2/{}/{path}", self.name));
        Request::new(operation, method, url)
    }

    fn ask(&self, operation: &'static str, method: Method, path: &str) -> Result<Answer, Failure> {
        let mut request = self.request(operation, method, path);
        if path.starts_with("manifests/") {
            request.headers.push((ACCEPT, MANIFEST_TYPES.to_owned()));
        }
        self.http.send(request)
    }
}

/// The digest that an answer says it is about.
fn claimed_digest(answer: &Answer) -> Option<Sha256> {
    answer.headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

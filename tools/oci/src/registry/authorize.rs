//! What a registry wants to see, and tokens that say it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use sapwood::{Error, ErrorKind};
use serde::Deserialize;
use ureq::http::header::CONTENT_TYPE;
use ureq::http::{HeaderValue, Method, StatusCode};

use super::Credential;
use super::answer::Answer;
use super::failure::Failure;
use super::transport::{Content, Request, Transport};
use super::url::Url;

/// The longest answer with a token, in bytes.
const TOKEN_BYTES_MAX: u64 = 1 << 20;
const ASK: &str = "ask for a token";

/// What a registry says it wants.
pub enum Challenge {
    /// A name and a password.
    Basic,
    /// A token from somewhere.
    Bearer(Bearer),
}

/// Where tokens come from.
pub struct Bearer {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

impl Challenge {
    /// The challenge in these headers that can be met; a token before a password.
    pub fn of<'a>(headers: impl Iterator<Item = &'a HeaderValue>) -> Option<Challenge> {
        let mut found = None;
        for header in headers {
            let text = header.to_str().unwrap_or_default();
            for challenge in ChallengeParser::new(text).filter_map(|challenge| challenge.ok()) {
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    if let Some(bearer) = Bearer::of(&challenge) {
                        return Some(Challenge::Bearer(bearer));
                    }
                } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                    found = Some(Challenge::Basic);
                }
            }
        }
        found
    }
}

impl Bearer {
    fn of(challenge: &ChallengeRef<'_>) -> Option<Bearer> {
        let parameter = |wanted: &str| {
            let mut parameters = challenge.params.iter();
            let (_, value) = parameters.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
            Some(value.to_unescaped())
        };
        Some(Bearer {
            realm: parameter("realm")?,
            service: parameter("service"),
            scope: parameter("scope"),
        })
    }
}

/// A name and a password as a header; `None` for what is neither.
pub fn basic(credential: &Credential) -> Option<HeaderValue> {
    match credential {
        Credential::Basic { username, password } => {
            let encoded = STANDARD.encode(format!("{username}:{password}"));
            Some(secret(&format!("Basic {encoded}")).expect("base64 is ASCII"))
        }
        Credential::IdentityToken(_) => None,
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// Asks for a token that is good for `scopes`, and what the challenge names.
pub fn token(
    transport: &Transport,
    bearer: &Bearer,
    scopes: &[String],
    credential: Option<&Credential>,
) -> Result<HeaderValue, Failure> {
    let bad = |expected: &str| {
        let found = bearer.realm.chars().take(300).collect::<String>().escape_debug().to_string();
        Failure::from(Error::new(ErrorKind::Io, ASK).about("realm", found, expected))
    };
    let realm = Url::absolute(&bearer.realm).ok_or_else(|| bad("an address"))?;
    if transport.home().is_secure() && !realm.origin().is_secure() {
        return Err(bad("an address as secure as the registry's"));
    }
    let mut wanted: Vec<&str> = scopes.iter().map(String::as_str).collect();
    if let Some(scope) = &bearer.scope {
        wanted.extend(scope.split(' ').filter(|scope| !is_covered(scope, scopes)));
    }
    let answer = match credential {
        Some(Credential::IdentityToken(refresh)) => {
            refreshed(transport, realm, bearer, &wanted.join(" "), refresh)?
        }
        credential => {
            let mut url = realm;
            if let Some(service) = &bearer.service {
                url = url.with("service", &escaped(service));
            }
            for scope in wanted {
                url = url.with("scope", &escaped(scope));
            }
            let authorization = credential.and_then(basic);
            let origin = url.origin().clone();
            let mut request = Request::new(ASK, Method::GET, url);
            transport
                .exchange(&mut request, authorization.as_ref().map(|value| (&origin, value)))?
        }
    };
    let answer = answer.expect(&[StatusCode::OK])?;
    let error = answer.error(ErrorKind::Io);
    let bytes = answer.read(TOKEN_BYTES_MAX)?;
    // The error of a parser would show what it found: a secret.
    let token = serde_json::from_slice::<Token>(&bytes).ok();
    token
        .and_then(|token| token.token.filter(|token| !token.is_empty()).or(token.access_token))
        .and_then(|token| secret(&format!("Bearer {token}")))
        .ok_or_else(|| error.about("answer", "something else", "JSON with a token").into())
}

/// A token in exchange for one that lasts.
fn refreshed(
    transport: &Transport,
    realm: Url,
    bearer: &Bearer,
    scope: &str,
    refresh: &str,
) -> Result<Answer, Failure> {
    let fields = [
        ("grant_type", "refresh_token"),
        ("service", bearer.service.as_deref().unwrap_or_default()),
        ("client_id", "sapwood"),
        ("scope", scope),
        ("refresh_token", refresh),
    ];
    let fields = fields.map(|(name, value)| format!("{name}={}", escaped(value)));
    let form = fields.join("&");
    let mut request = Request {
        headers: vec![(CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned())],
        content: Content::Bytes(form.as_bytes()),
        ..Request::new(ASK, Method::POST, realm)
    };
    transport.exchange(&mut request, None)
}

/// Whether what a challenge asks for is among what is asked for anyway:
/// `repository:NAME:ACTION,ACTION`.
fn is_covered(asked: &str, scopes: &[String]) -> bool {
    let Some((name, actions)) = asked.rsplit_once(':') else { return asked.is_empty() };
    scopes.iter().filter_map(|scope| scope.rsplit_once(':')).any(|(ours, granted)| {
        ours == name && actions.split(',').all(|action| granted.split(',').any(|own| own == action))
    })
}

/// A header that is not told; `None` for what no header can hold.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A value as it stands in a query.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(header: &'static str) -> Option<Challenge> {
        Challenge::of([HeaderValue::from_static(header)].iter())
    }

    #[test]
    fn challenges_are_read_in_all_their_forms() {
        for header in [
            r#"Bearer realm="https://a.example/token",service="a, \"b\"",scope="repository:x:pull""#,
            r#"bearer Realm="https://a.example/token" , SERVICE="a, \"b\"", scope="repository:x:pull""#,
            r#"Basic realm="x", Bearer realm="https://a.example/token",service="a, \"b\"",scope="repository:x:pull""#,
        ] {
            let Some(Challenge::Bearer(bearer)) = challenge(header) else { panic!("{header}") };
            assert_eq!(bearer.realm, "https://a.example/token");
            assert_eq!(bearer.service.as_deref(), Some("a, \"b\""));
            assert_eq!(bearer.scope.as_deref(), Some("repository:x:pull"));
        }
        assert!(matches!(challenge(r#"Basic realm="x""#), Some(Challenge::Basic)));
        for none in
            ["", "Negotiate", "Bearer", "Bearer x", "Digest realm=\"x\"", ",,,", "Bearer realm="]
        {
            assert!(challenge(none).is_none(), "{none}");
        }
    }

    #[test]
    fn scopes_that_are_asked_for_anyway_are_not_asked_for_twice() {
        let ours = ["repository:a/b:pull,push".to_owned()];
        for (asked, covered) in [
            ("repository:a/b:pull", true),
            ("repository:a/b:push,pull", true),
            ("repository:a/b:delete", false),
            ("repository:a:pull", false),
            ("registry:catalog:*", false),
            ("", true),
        ] {
            assert_eq!(is_covered(asked, &ours), covered, "{asked}");
        }
        assert_eq!(escaped("repository:a/b:pull,push"), "repository%3Aa%2Fb%3Apull%2Cpush");
    }
}

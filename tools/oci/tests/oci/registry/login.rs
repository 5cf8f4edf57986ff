//! Registries that want to know who asks, and that one wants to know.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use sapwood::ErrorKind;
use sapwood_oci::{Credential, RegistryOptions, Security, Way};

use super::daemon::{Daemon, HTPASSWD};
use super::server::{Fault, Reply, Seen, Server};
use super::{make_image, options, push_to, run, ways};
use crate::support::*;

fn with_password(username: &str, password: &str) -> RegistryOptions {
    let (username, password) = (username.to_owned(), password.to_owned());
    let credential = Some(Credential::Basic { username, password });
    RegistryOptions { credential, security: Security::Plain, ..options() }
}

/// `sapwood:tree ring`, as it is sent.
const BASIC: &str = "Basic c2Fwd29vZDp0cmVlIHJpbmc=";

#[test]
fn a_real_registry_asks_for_a_password() {
    let Some(daemon) = Daemon::start("a_real_registry_asks_for_a_password", |folder| {
        let path = folder.join("htpasswd");
        fs::write(&path, HTPASSWD).unwrap();
        format!(
            "http: {{addr: '127.0.0.1:0'}}\nauth: {{htpasswd: {{realm: trees, path: {}}}}}",
            path.display()
        )
    }) else {
        return;
    };
    let (_folder, store) = store();
    make_image(&store);
    for who in [options(), with_password("sapwood", "heart"), with_password("oak", "tree ring")] {
        let error = push_to(&store, &daemon.host, "oak:1", who).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error}");
        assert!(error.to_string().contains("401"), "{error}");
        assert!(!error.to_string().contains("tree ring"), "{error}");
    }
    let known = with_password("sapwood", "tree ring");
    let pushed = push_to(&store, &daemon.host, "oak:1", known).unwrap();
    assert_eq!(ways(&pushed), [Way::Sent; 2]);
}

#[test]
fn a_certificate_counts_only_where_somebody_trusted_vouches_for_it() {
    let test = "a_certificate_counts_only_where_somebody_trusted_vouches_for_it";
    if std::process::Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED {test}: no openssl here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let Some(daemon) = Daemon::start(test, |_| {
        let (certificate, key) = (path("host.pem"), path("host.key"));
        format!("http: {{addr: '127.0.0.1:0', tls: {{certificate: {certificate}, key: {key}}}}}")
    }) else {
        return;
    };
    let (_folder, store) = store();
    make_image(&store);
    let host = daemon.host.replace("127.0.0.1", "localhost");
    let with = |security, certificates: Option<&str>| {
        let certificates = certificates.map(|name| fs::read(path(name)).unwrap());
        push_to(&store, &host, "oak:1", RegistryOptions { security, certificates, ..options() })
    };
    for (security, certificates) in [
        (Security::Usual, None),
        (Security::Plain, None),
        (Security::Verified, None),
        (Security::Verified, Some("other.pem")),
    ] {
        let error = with(security, certificates).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    }
    let error = with(Security::Usual, None).unwrap_err();
    assert!(error.to_string().contains("--tls-verify"), "{error}");
    let error = with(Security::Verified, Some("host.key")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(ways(&with(Security::Verified, Some("ca.pem")).unwrap()), [Way::Sent; 2]);
    assert_eq!(ways(&with(Security::Unverified, None).unwrap()), [Way::Present; 2]);
    // Who gives certificates means HTTPS, whatever the address.
    assert_eq!(ways(&with(Security::Usual, Some("ca.pem")).unwrap()), [Way::Present; 2]);
    assert_eq!(with(Security::Usual, Some("other.pem")).unwrap_err().kind(), ErrorKind::Io);
}

/// What TLS has against it was told as it stands in its source.
#[test]
fn a_certificate_that_is_its_own_authority_is_told_in_words() {
    let test = "a_certificate_that_is_its_own_authority_is_told_in_words";
    if std::process::Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED {test}: no openssl here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (key, certificate) = (path("own.key"), path("own.pem"));
    let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", &key];
    let names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    run("openssl", &[&new[..], &["-out", &certificate], &names].concat());
    let Some(daemon) = Daemon::start(test, |_| {
        format!("http: {{addr: '127.0.0.1:0', tls: {{certificate: {certificate}, key: {key}}}}}")
    }) else {
        return;
    };
    let (_folder, store) = store();
    make_image(&store);
    let host = daemon.host.replace("127.0.0.1", "localhost");
    let certificates = Some(fs::read(&certificate).unwrap());
    let trusting = RegistryOptions { certificates, ..options() };
    let error = push_to(&store, &host, "oak:1", trusting).unwrap_err();
    assert!(error.to_string().contains("an authority signed"), "{error}");
}

/// They went to whoever listened on this machine.
#[test]
fn credentials_go_over_plain_http_only_where_that_was_asked_for() {
    let (_folder, store) = store();
    make_image(&store);
    let tokens = token_server(&[BASIC], "bark");
    let basic = Server::start(|_| {
        let challenge = r#"Basic realm="trees""#.to_owned();
        Some(Fault::Reply(Reply::of(401).with("WWW-Authenticate", challenge)))
    });
    let bearer = wants_token(&tokens.host, "bark");
    for registry in [&basic, &bearer] {
        let usual =
            RegistryOptions { security: Security::Usual, ..with_password("sapwood", "tree ring") };
        let error = push_to(&store, &registry.host, "oak:1", usual).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error}");
        assert!(error.to_string().contains("--plain-http"), "{error}");
    }
    for server in [&basic, &bearer, &tokens] {
        assert!(server.seen().iter().all(|seen| seen.header("authorization").is_empty()));
    }
}

/// `ca.pem` and `host.pem` with `host.key`, which it vouches for; `other.pem`, which it does not.
fn make_certificates(folder: &Path) {
    let path = |name: &str| folder.join(name).display().to_string();
    for name in ["ca", "other"] {
        let (key, certificate) = (path(&format!("{name}.key")), path(&format!("{name}.pem")));
        let subject = format!("/CN={name}");
        let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        let rest =
            ["-nodes", "-days", "2", "-subj", &subject, "-keyout", &key, "-out", &certificate];
        run("openssl", &[&new[..], &rest].concat());
    }
    let (key, request, certificate) = (path("host.key"), path("host.req"), path("host.pem"));
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let rest = ["-subj", "/CN=localhost", "-keyout", &key, "-out", &request];
    run("openssl", &[&new[..], &rest].concat());
    fs::write(path("names"), "subjectAltName=DNS:localhost").unwrap();
    let (ca, ca_key, names) = (path("ca.pem"), path("ca.key"), path("names"));
    let sign = ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-days", "2"];
    let rest = ["-set_serial", "7", "-extfile", &names, "-out", &certificate];
    run("openssl", &[&sign[..], &rest].concat());
}

/// A server of tokens, which gives `token` to who shows one of these headers, or such a form.
fn token_server(allowed: &'static [&'static str], token: &'static str) -> Server {
    Server::start(move |seen| {
        let is_allowed = allowed.contains(&seen.header("authorization"));
        Some(Fault::Reply(match (is_allowed, seen.before) {
            (true, _) if seen.path == "/token" => {
                Reply::of(200).body(format!(r#"{{"token": "{token}"}}"#))
            }
            _ => Reply::of(403),
        }))
    })
}

/// A registry that wants a token from there.
fn wants_token(realm: &str, token: &'static str) -> Server {
    let challenge = format!(r#"Bearer realm="http://{realm}/token",service="a registry""#);
    Server::start(move |seen: &Seen| {
        let is_known = seen.header("authorization") == format!("Bearer {token}");
        (!is_known)
            .then(|| Fault::Reply(Reply::of(401).with("WWW-Authenticate", challenge.clone())))
    })
}

#[test]
fn tokens_are_asked_for_where_the_registry_says() {
    let tokens = token_server(&[BASIC], "bark");
    let registry = wants_token(&tokens.host, "bark");
    let (_folder, store) = store();
    make_image(&store);
    let known = with_password("sapwood", "tree ring");
    push_to(&store, &registry.host, "forest/oak:1", known).unwrap();
    // One token does for all, and nobody but who gives tokens sees the password.
    let asked = tokens.seen();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        asked[0].query,
        "service=a%20registry&scope=repository%3Aforest%2Foak%3Apull%2Cpush"
    );
    assert!(registry.seen().iter().all(|seen| !seen.header("authorization").contains("Basic")));

    let error = push_to(&store, &registry.host, "forest/oak:1", options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error}");
}

#[test]
fn an_identity_token_is_exchanged_and_goes_nowhere_else() {
    let tokens = Server::start(|seen| {
        assert_eq!(seen.header("content-type"), "application/x-www-form-urlencoded");
        let is_post = seen.method == "POST" && seen.header("authorization").is_empty();
        let reply = Reply::of(if is_post { 200 } else { 403 });
        Some(Fault::Reply(reply.body(r#"{"access_token": "leaf", "expires_in": 300}"#)))
    });
    let registry = wants_token(&tokens.host, "leaf");
    let (_folder, store) = store();
    make_image(&store);
    let credential = Some(Credential::IdentityToken("pith".to_owned()));
    let known = RegistryOptions { credential, security: Security::Plain, ..options() };
    push_to(&store, &registry.host, "oak:1", known).unwrap();
    assert_eq!(tokens.count("POST", "/token"), 1);
    assert!(registry.seen().iter().all(|seen| !format!("{seen:?}").contains("pith")));
}

#[test]
fn a_token_that_has_expired_is_asked_for_again() {
    let tokens = Server::start(|seen| {
        let token = format!(r#"{{"token": "ring-{}"}}"#, seen.before);
        Some(Fault::Reply(Reply::of(200).body(token)))
    });
    let challenge = format!(r#"Bearer realm="http://{}/token""#, tokens.host);
    let is_over = AtomicBool::new(false);
    let registry = Server::start(move |seen| {
        is_over.fetch_or(seen.method == "PATCH", Ordering::Relaxed);
        let good = if is_over.load(Ordering::Relaxed) { "Bearer ring-1" } else { "Bearer ring-0" };
        (seen.header("authorization") != good)
            .then(|| Fault::Reply(Reply::of(401).with("WWW-Authenticate", challenge.clone())))
    });
    let (_folder, store) = store();
    make_image(&store);
    push_to(&store, &registry.host, "oak:1", options()).unwrap();
    assert_eq!(tokens.count("GET", "/token"), 2);
}

#[test]
fn what_gives_tokens_is_not_believed_everything() {
    let (_folder, store) = store();
    make_image(&store);
    for (answer, expected) in [
        (Reply::of(200).body("{}"), "JSON with a token"),
        (Reply::of(200).body("[1"), "JSON with a token"),
        (Reply::of(200).body(r#"{"token": "a\r\nX-Evil: 1"}"#), "JSON with a token"),
        (
            Reply {
                is_endless: true,
                told: Some(None),
                ..Reply::of(200).body(vec![b' '; 1 << 16])
            },
            "at most",
        ),
        (Reply::of(302).with("Location", "file:///etc/passwd"), "an address"),
        (Reply::of(302).with("Location", "/token"), "redirects"),
    ] {
        let tokens = Server::start(move |_| Some(Fault::Reply(answer.clone())));
        let registry = wants_token(&tokens.host, "bark");
        let error = push_to(&store, &registry.host, "oak:1", options()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    for realm in ["", "nowhere", "ftp://a.example/", "https://user:pass@a.example/"] {
        let challenge = format!(r#"Bearer realm="{realm}""#);
        let registry = Server::start(move |_| {
            Some(Fault::Reply(Reply::of(401).with("WWW-Authenticate", challenge.clone())))
        });
        let error = push_to(&store, &registry.host, "oak:1", options()).unwrap_err();
        assert!(error.to_string().contains("realm"), "{error}");
    }
}

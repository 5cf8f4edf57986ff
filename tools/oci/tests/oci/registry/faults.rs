//! What a registry, or the way to it, does wrong while an image goes there.

use std::time::{Duration, Instant};

use sapwood::ErrorKind;
use sapwood_oci::{Credential, RegistryOptions, Security, Sha256, Way};

use super::server::{Fault, Reply, Seen, Server};
use super::{make_image, options, push_to, ways};
use crate::support::*;

/// That the image is there, whole.
fn expect_image(server: &Server) {
    let (_, manifest) = server.manifest("1").unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    for blob in layers.iter().chain([&manifest["config"]]) {
        let digest = blob["digest"].as_str().unwrap();
        let bytes = server.blob(digest).unwrap();
        assert_eq!(Sha256::of(&bytes).to_string(), digest);
        assert_eq!(blob["size"], bytes.len());
    }
}

#[test]
fn an_upload_that_breaks_goes_on_from_where_it_was() {
    let server = Server::start(|seen| {
        (seen.method == "PATCH" && seen.before == 0 && number(seen, "content-length") > 1 << 20)
            .then_some(Fault::CutRequest(1 << 20))
    });
    let (_folder, store) = store();
    make_image(&store);
    push_to(&store, &server.host, "oak:1", options()).unwrap();
    expect_image(&server);
    let seen = server.seen();
    let broken =
        seen.iter().find(|seen| seen.method == "PATCH" && number(seen, "content-length") > 1 << 20);
    let broken = broken.unwrap();
    let second = seen
        .iter()
        .find(|seen| seen.path == broken.path && seen.before == 1 && seen.method == "PATCH");
    let second = second.unwrap();
    let length = number(broken, "content-length");
    assert_eq!(second.header("content-range"), format!("{}-{}", 1 << 20, length - 1));
    assert_eq!(number(second, "content-length"), length - (1 << 20));
}

fn number(seen: &Seen, header: &str) -> u64 {
    seen.header(header).parse().unwrap_or(0)
}

#[test]
fn an_upload_that_the_registry_forgot_begins_again() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "PATCH" if seen.path.ends_with("upload-0") => Some(Fault::CutRequest(100)),
        "GET" => Some(Fault::Reply(Reply::of(404))),
        _ => None,
    });
    let (_folder, store) = store();
    make_image(&store);
    push_to(&store, &server.host, "oak:1", options()).unwrap();
    expect_image(&server);
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_told_at_once() {
    let (_folder, store) = store();
    make_image(&store);
    for status in [429, 500, 502, 503, 504] {
        let server = Server::start(move |seen| {
            (seen.before == 0).then(|| Fault::Reply(Reply::of(status).with("Retry-After", "0")))
        });
        let patient = RegistryOptions { attempts: 12, ..options() };
        push_to(&store, &server.host, "oak:1", patient).unwrap();
        expect_image(&server);
    }
    // A registry that asks for time is given it.
    let server = Server::start(|seen| {
        let is_first = seen.before == 0 && seen.method == "PUT";
        is_first.then(|| Fault::Reply(Reply::of(429).with("Retry-After", "1")))
    });
    let began = Instant::now();
    push_to(&store, &server.host, "oak:1", options()).unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    for (status, kind, times) in [
        (400, ErrorKind::Io, 1),
        (403, ErrorKind::NotPermitted, 1),
        (405, ErrorKind::Io, 1),
        (500, ErrorKind::Io, 4),
        (507, ErrorKind::Io, 1),
    ] {
        let said = r#"{"errors": [{"code": "DENIED", "message": "not today\u001b[31m"}]}"#;
        let server = Server::start(move |seen| {
            (seen.method == "POST").then(|| Fault::Reply(Reply::of(status).body(said)))
        });
        let error = push_to(&store, &server.host, "oak:1", options()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(text.contains(&status.to_string()) && text.contains("DENIED: not today"), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        // Two layers are on their way at once.
        let posts = server.count("POST", "/blobs/uploads/");
        assert!((times..=2 * times).contains(&posts), "{status}: {posts}");
        assert!(server.manifest("1").is_none());
    }
}

#[test]
fn nobody_answers() {
    let (_folder, store) = store();
    make_image(&store);
    let host = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let error = push_to(&store, &host, "oak:1", options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.to_string().contains(&host), "{error}");
}

#[test]
fn an_upload_may_lead_to_another_host_but_who_one_is_stays_here() {
    let elsewhere = Server::start(|seen| {
        let location = format!("http://{}/elsewhere", seen.header("host"));
        Some(Fault::Reply(match seen.method.as_str() {
            "PATCH" => Reply::of(202).with("Location", location),
            _ => Reply::of(201),
        }))
    });
    let location = format!("http://{}/elsewhere", elsewhere.host);
    let registry = Server::start(move |seen| {
        if !seen.header("authorization").starts_with("Basic ") {
            return Some(Fault::Reply(
                Reply::of(401).with("WWW-Authenticate", "Basic realm=\"x\""),
            ));
        }
        (seen.method == "POST")
            .then(|| Fault::Reply(Reply::of(202).with("Location", location.clone())))
    });
    let (_folder, store) = store();
    make_image(&store);
    let (username, password) = ("sapwood".to_owned(), "tree ring".to_owned());
    let credential = Some(Credential::Basic { username, password });
    let known = RegistryOptions { credential, security: Security::Plain, ..options() };
    let pushed = push_to(&store, &registry.host, "oak:1", known).unwrap();
    assert_eq!(ways(&pushed), [Way::Sent; 2]);
    assert_eq!(elsewhere.count("PUT", "/elsewhere"), 3);
    assert!(elsewhere.seen().iter().all(|seen| seen.header("authorization").is_empty()));
}

#[test]
fn answers_that_make_no_sense_are_told() {
    let (_folder, store) = store();
    make_image(&store);
    let other = Sha256::of(b"other").to_string();
    let cases: [(&str, &str, Reply, &str); 6] = [
        ("POST", "/uploads/", Reply::of(202), "Location"),
        ("POST", "/uploads/", Reply::of(202).with("Location", "ftp://a.example/"), "Location"),
        ("POST", "/uploads/", Reply::of(202).with("Location", "nowhere"), "Location"),
        ("HEAD", "/blobs/", Reply::of(200).body("xx"), "size"),
        ("PUT", "/manifests/", Reply::of(201).with("Docker-Content-Digest", other), "digest"),
        ("PUT", "/uploads/", Reply::of(400), "400"),
    ];
    for (method, part, reply, told) in cases {
        let server =
            Server::start(move |seen| seen.is(method, part).then(|| Fault::Reply(reply.clone())));
        let error = push_to(&store, &server.host, "oak:1", options()).unwrap_err();
        assert!(error.to_string().contains(told), "{method} {part}: {error}");
    }
}

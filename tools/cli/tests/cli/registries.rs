//! Images to a real registry and back: what the command says, whose credentials it takes, how it ends.

#[path = "../../../oci/tests/oci/registry/daemon.rs"]
mod daemon;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::json::expect_document;
use super::life::images;
use super::support::*;
use daemon::HTPASSWD;

pub use daemon::Daemon;

#[test]
fn what_is_pushed_is_pulled_and_moves_once() {
    let Some(registry) = Daemon::open("what_is_pushed_is_pulled_and_moves_once") else { return };
    let place = Place::with_store();
    images(&place);
    let remote = format!("{}/team/app:1", registry.host);
    let pushed = place.json(&["push", "app:1", &remote], 0);
    assert_eq!((&pushed["image"], &pushed["reference"]), (&json!("app:1"), &json!(remote)));
    let layers = pushed["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    expect_document(&pushed, "push");
    assert!(layers.iter().all(|layer| layer["way"] == "sent"));

    let before = registry.moves().len();
    let again = place.json(&["push", "app:1", &remote], 0);
    assert!(again["layers"].as_array().unwrap().iter().all(|layer| layer["way"] == "present"));
    assert_eq!((&again["digest"], &again["sent_bytes"]), (&pushed["digest"], &json!(0)));
    // The manifest, which says what the tag is.
    assert!(registry.moves().len() <= before + 1, "{:?}", registry.moves());

    let other = Place::empty();
    let pulled = other.json(&["pull", &remote, "mine:1"], 0);
    expect_document(&pulled, "pull");
    assert_eq!((&pulled["tag"], &pulled["digest"]), (&json!("mine:1"), &pushed["digest"]));
    assert_eq!((&pulled["layers"], &pulled["layers_read"]), (&json!(2), &json!(2)));
    let read = |request: &String| request.starts_with("GET") && request.contains("/blobs/");
    let blobs_read = || registry.requests().iter().filter(|request| read(request)).count();
    let before = blobs_read();
    assert_eq!(other.json(&["pull", &remote, "twice:1"], 0)["layers_read"], 0);
    // At most the configuration.
    assert!(blobs_read() <= before + 1, "{:?}", registry.requests());
    assert_eq!(other.json(&["inspect", "mine:1"], 0)["id"], pulled["id"]);

    let by_digest = format!("{}/team/app@{}", registry.host, pushed["digest"].as_str().unwrap());
    let said = String::from_utf8(other.ok(&["pull", &by_digest])).unwrap();
    assert!(said.starts_with(&format!("pulled {by_digest} as ")), "{said}");
    assert!(said.contains("2 layers, 0 of them read ("), "{said}");

    let nothing = format!("{}/team/other:1", registry.host);
    assert_eq!(place.run(&["pull", &nothing]).code, 8);
    assert_eq!(place.run(&["push", "nothing:1", &remote]).code, 8);
    assert_eq!(place.run(&["pull", "Upper/Case:1"]).code, 2);
    assert_eq!(Place::empty().run(&["push", "app:1", &remote]).code, 3);
    let nobody = place.run(&["pull", "127.0.0.1:1/team/app:1"]);
    assert!(nobody.code == 10 && nobody.stderr.contains("127.0.0.1:1"), "{}", nobody.stderr);
}

#[test]
fn credentials_come_from_the_files_and_helpers_of_others() {
    let started =
        Daemon::start("credentials_come_from_the_files_and_helpers_of_others", |folder| {
            let passwords = folder.join("htpasswd");
            fs::write(&passwords, HTPASSWD).unwrap();
            format!(
                "http: {{addr: '127.0.0.1:0'}}\n\
                 auth: {{htpasswd: {{realm: trees, path: {}}}}}",
                passwords.display()
            )
        });
    let Some(registry) = started else { return };
    let place = Place::with_store();
    images(&place);
    let remote = format!("{}/app:1", registry.host);
    let push = |variables: &[(&str, &str)]| {
        let mut command = place.command();
        let words = ["push", "app:1", &remote, "--plain-http"];
        let command = command.args(words).envs(variables.iter().copied());
        Said::of(command.output().unwrap())
    };
    let said = push(&[]);
    assert!(said.code == 10 && said.stderr.contains("401"), "{} {}", said.code, said.stderr);

    let docker = place.path("docker");
    fs::create_dir(&docker).unwrap();
    let configure = |value: serde_json::Value| {
        fs::write(docker.join("config.json"), value.to_string()).unwrap();
    };
    let docker_folder = docker.to_str().unwrap();
    // `sapwood:tree ring`
    configure(json!({ "auths": { &registry.host: { "auth": "c2Fwd29vZDp0cmVlIHJpbmc=" } } }));
    let said = push(&[("DOCKER_CONFIG", docker_folder)]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    // Over plain HTTP they go only where that is wanted.
    let mut command = place.command();
    let command = command.args(["push", "app:1", &remote]).env("DOCKER_CONFIG", docker_folder);
    let said = Said::of(command.output().unwrap());
    assert!(said.code == 10 && said.stderr.contains("--plain-http"), "{}", said.stderr);
    let both = place.run(&["push", "app:1", &remote, "--plain-http", "--ca-file", "ca.pem"]);
    assert_eq!(both.code, 2, "{}", both.stderr);

    // `sapwood:bark`
    configure(json!({ "auths": { &registry.host: { "auth": "c2Fwd29vZDpiYXJr" } } }));
    assert_eq!(push(&[("DOCKER_CONFIG", docker_folder)]).code, 10);

    let helper = place.path("docker-credential-trees");
    let script = "#!/bin/sh\n[ \"$1\" = get ] || exit 1\nread -r host\n\
         echo '{\"ServerURL\":\"'\"$host\"'\",\"Username\":\"sapwood\",\"Secret\":\"tree ring\"}'\n";
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    configure(json!({ "credHelpers": { &registry.host: "trees" } }));
    let path = format!("{}:{}", place.path("").display(), std::env::var("PATH").unwrap());
    let said = push(&[("DOCKER_CONFIG", docker_folder), ("PATH", &path)]);
    assert_eq!(said.code, 0, "{}", said.stderr);
}

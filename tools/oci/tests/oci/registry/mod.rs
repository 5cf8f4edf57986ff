//! Registries: a real one, and one that does wrong.

mod credentials;
mod daemon;
mod faults;
mod login;
mod pull;
mod push;
mod server;

use std::process::Command;
use std::time::Duration;

use sapwood::{Result, Store};
use sapwood_oci::{Compression, PushOptions, Pushed, RegistryOptions, RemoteReference, Way, push};

use crate::support::*;

/// What fails fast.
fn options() -> RegistryOptions {
    RegistryOptions {
        attempts: 4,
        back_off: Duration::from_millis(1),
        silence: Duration::from_secs(20),
        ..RegistryOptions::default()
    }
}

fn reference(host: &str, image: &str) -> RemoteReference {
    format!("{host}/{image}").parse().unwrap()
}

fn push_to(store: &Store, host: &str, image: &str, registry: RegistryOptions) -> Result<Pushed> {
    let options = PushOptions { registry, compression: Compression::Gzip };
    push(store, "image:1", &reference(host, image), &options, &|_, _| {})
}

fn ways(pushed: &Pushed) -> Vec<Way> {
    pushed.layers.iter().map(|layer| layer.way).collect()
}

/// An image of two layers, `image:1`.
fn make_image(store: &Store) {
    // What no compression makes smaller.
    let mut state = 1_u64;
    let large: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(3 << 20)
    .collect();
    build(
        store,
        None,
        "image:1",
        &[
            ("first", &|files| write(files, "etc/large", &large)),
            ("second", &|files| write(files, "etc/small", b"small")),
        ],
    );
}

/// Whether a program is here; where not, the test says so loudly and ends.
fn is_here(test: &str, program: &str) -> bool {
    let is_here = Command::new(program).arg("--version").output().is_ok();
    if !is_here {
        eprintln!("SKIPPED {test}: no {program} here");
    }
    is_here
}

/// Runs a program that must end well, and gives what it says.
fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

//! An image as people make them: on a real Debian, with packages of its mirror, and a program that a
//! compiler in a stage of its own made.
//!
//! `.ci/debian-root DIR` makes the Debian; `SAPWOOD_TEST_ROOT` says where it is.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use sapwood_container::Runtime;

use super::support::{Place, Said};

/// Where packages come from is the machine's affair: its own list is bound, and is in no layer.
const CONTAINERFILE: &str = r#"
FROM debian:1 AS packages
ENV DEBIAN_FRONTEND=noninteractive
RUN --mount=from=apt,target=/etc/apt --mount=type=cache,target=/var/lib/apt \
    apt-get update -q

FROM packages AS compiler
RUN --mount=from=apt,target=/etc/apt --mount=type=cache,target=/var/lib/apt \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    apt-get install -q -y --no-install-recommends gcc libc6-dev
COPY program.c /src/
RUN gcc -O2 -Wall -Werror -o /usr/local/bin/program /src/program.c

FROM packages
RUN --mount=from=apt,target=/etc/apt --mount=type=cache,target=/var/lib/apt \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    apt-get install -q -y --no-install-recommends hello
RUN useradd --create-home app
COPY --from=compiler /usr/local/bin/program /usr/local/bin/
USER app
WORKDIR /home/app
CMD ["program", "of the image"]
"#;

const PROGRAM: &str = r#"
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

int main(int count, char **words) {
    char directory[256];
    struct passwd *user = getpwuid(getuid());
    if (count != 2 || !user || !getcwd(directory, sizeof directory)) return 1;
    printf("%s: %s in %s\n", words[1], user->pw_name, directory);
    return 7;
}
"#;

/// Calls by their numbers on x86-64, those first that are refused: what they end with is printed. The
/// arguments are such that each would do something harmless.
#[cfg(target_arch = "x86_64")]
const CALLS: &str = r#"
use strict;
for my $call (["keyctl", 250, 0, -3, 0], ["personality", 135, 0x40000], ["unshare", 272, 0],
    ["clone3", 435, 0, 0], ["io_uring_setup", 425, 0, 0], ["bpf", 321, 100, 0, 0],
    ["vsock", 41, 40, 1, 0], ["personality?", 135, 0xffffffff], ["socket", 41, 2, 1, 0]) {
    my ($name, $number, @rest) = @$call;
    my $ended = syscall($number, @rest);
    print "$name ", $ended < 0 ? $! + 0 : "done", "\n";
}
"#;
#[cfg(target_arch = "x86_64")]
const ENDED: &str = "keyctl 1\npersonality 1\nunshare 1\nclone3 38\nio_uring_setup 1\nbpf 1\n\
    vsock 1\npersonality? done\nsocket done\n";

/// The real tree, where there is one; else the test says so loudly.
fn root(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("SAPWOOD_TEST_ROOT").map(PathBuf::from);
    let is_debian = |root: &Path| root.join("var/lib/dpkg/status").exists();
    let why = match &found {
        None => "SAPWOOD_TEST_ROOT is not set",
        Some(root) if !is_debian(root) => "no Debian could be made here",
        Some(_) if !rustix::process::geteuid().is_root() => "not root",
        Some(_) if !Path::new("/dev/fuse").exists() => "no /dev/fuse",
        Some(_) if Runtime::find(None).is_err() => "no OCI runtime",
        Some(_) => return found,
    };
    say(&format!("SKIPPED {test}: {why}"));
    None
}

/// Past the capture of the test runner: what was not done must be seen.
fn say(line: &str) {
    let stderr = fs::OpenOptions::new().append(true).open("/dev/stderr");
    let written = stderr.and_then(|mut stderr| writeln!(stderr, "{line}"));
    written.expect("standard error");
}

#[test]
fn a_real_image_is_built_and_runs() {
    let Some(root) = root("a_real_image_is_built_and_runs") else { return };
    let place = Place::with_store();
    place.ok(&["import", root.to_str().unwrap(), "debian:1"]);
    let context = place.path("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("program.c"), PROGRAM).unwrap();
    fs::write(context.join("Containerfile"), CONTAINERFILE).unwrap();
    let build = |words: &[&str]| {
        let mut fixed = vec!["build", "-t", "real:1", "--build-context", "apt=/etc/apt", "context"];
        // By what the machine reaches its mirror.
        let proxies = ["http_proxy", "https_proxy", "no_proxy"];
        let proxies = proxies.map(|name| format!("{name}={}", variable(name)));
        fixed.extend(proxies.iter().flat_map(|proxy| ["--build-arg", proxy]));
        place.run(&[&fixed[..], words].concat())
    };
    let built = build(&[]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let expect = |words: &[&str], code: i32, text: &str| {
        let Said { code: ended, stdout, stderr } = place.run(words);
        let said = (ended, String::from_utf8(stdout).unwrap());
        assert_eq!(said, (code, text.to_owned()), "{words:?}: {stderr}");
    };
    expect(&["run", "--rm", "real:1"], 7, "of the image: app in /home/app\n");
    expect(&["run", "--rm", "real:1", "hello"], 0, "Hello, world!\n");
    // Nothing of the compiler is in it, nor of what was bound and kept.
    for path in ["/usr/bin/gcc", "/src"] {
        assert_eq!(place.run(&["stat", &format!("real:1:{path}")]).code, 8, "{path}");
    }
    let said = place.run(&["diff", "--files", "debian:1", "real:1"]).stdout;
    let differences = String::from_utf8(said).unwrap();
    assert!(differences.contains("usr/bin/hello"), "{differences}");
    for path in ["etc/apt", "var/lib/apt", ".deb\n"] {
        assert!(!differences.contains(path), "{path}: {differences}");
    }
    let told = place.json(&["inspect", "real:1"], 0);
    assert_eq!(told["layers"].as_array().unwrap().len(), 5, "{told:#}");

    let again = build(&["--explain"]);
    assert_eq!(again.code, 0);
    assert!(!again.stderr.contains("not made before"), "{}", again.stderr);
    #[cfg(target_arch = "x86_64")]
    expect(&["run", "--rm", "-u", "0", "real:1", "perl", "-e", CALLS], 0, ENDED);
    // Each that is there does the same.
    for runtime in ["runc", "crun", "youki"] {
        let words = ["run", "--rm", "--runtime", runtime, "real:1", "hello", "-t"];
        match Runtime::find(Some(runtime)) {
            Err(_) => {}
            // Both kinds of control groups at once: `crun` refuses such machines.
            Ok(_) if place.run(&words).stderr.contains("cgroups in hybrid mode") => {
                say(&format!("SKIPPED a real image run by {runtime}: hybrid control groups"));
            }
            Ok(_) => expect(&words, 0, "hello, world\n"),
        }
    }
    place.ok(&["check", "--data"]);
}

fn variable(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    std::env::var(name).or_else(|_| std::env::var(upper)).unwrap_or_default()
}

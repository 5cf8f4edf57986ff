//! The pages in `docs/` and the README: what they name is there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::structure::repository;

/// Where files of the repository begin with, when a page names them between backticks.
const FOLDERS: [&str; 7] = [".ci/", "benches/", "docs/", "engine/", "fuzz/", "tests/", "tools/"];

#[test]
fn files_that_pages_name_are_there() {
    let mut missing = Vec::new();
    for page in pages() {
        let text = read(&page);
        let folder = page.parent().expect("a page lies in a folder");
        let named = between(&text, '`', '`').filter(|name| is_path(name)).map(|name| (name, false));
        let links = text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split(')').next());
        let linked = links.filter(|link| !link.contains("://")).map(|link| (link, true));
        for (name, is_link) in named.chain(linked) {
            let base = if is_link { folder } else { &repository() };
            let target = base.join(name.split('#').next().expect("the part before it"));
            if !target.exists() {
                missing.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "named and not there:\n{}", missing.join("\n"));
}

#[test]
fn each_invariant_names_tests_that_exist() {
    let text = read(&repository().join("docs/INVARIANTS.md"));
    let mut missing = Vec::new();
    for number in 1..=12 {
        let heading = format!("## INV-{number:02}\n");
        let (_, rest) = text.split_once(&heading).unwrap_or_else(|| panic!("no {heading}"));
        let section = rest.split("\n## ").next().expect("the part before it");
        let mut rows = 0;
        for row in section.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = between(row, '`', '`').collect();
            let [test, file] = cells[..] else { panic!("INV-{number:02}: {row}") };
            let source = fs::read_to_string(repository().join(file)).unwrap_or_default();
            if !source.contains(&format!("fn {test}(")) {
                missing.push(format!("INV-{number:02}: {test} in {file}"));
            }
            rows += 1;
        }
        assert!(rows > 0, "INV-{number:02} names no test");
    }
    assert!(missing.is_empty(), "no such tests:\n{}", missing.join("\n"));
}

#[test]
fn each_fault_names_tests_that_exist() {
    let text = read(&repository().join("docs/TESTING.md"));
    let (_, rest) = text.split_once("## What goes wrong").expect("the table of faults");
    let section = rest.split("\n## ").next().expect("the part before it");
    let mut rows = 0;
    for row in section.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let last = row.trim_end_matches('|').rsplit(" | ").next().expect("a cell");
        let names: Vec<&str> = between(last, '`', '`').collect();
        assert!(!names.is_empty(), "{row}");
        if let [test, file] = names[..]
            && !is_path(test)
        {
            let source = fs::read_to_string(repository().join(file)).unwrap_or_default();
            assert!(source.contains(&format!("fn {test}(")), "no {test} in {file}");
        }
        rows += 1;
    }
    assert!(rows > 20, "{rows} faults");
}

#[test]
fn the_commands_of_the_readme_are_those_that_are_checked() {
    let (readme, script) =
        (read(&repository().join("README.md")), read(&repository().join(".ci/run")));
    let (_, rest) = readme.split_once("```sh\n").expect("the two commands");
    let commands = rest.split("```").next().expect("the part before it");
    assert_eq!(commands.lines().count(), 2);
    for line in commands.lines() {
        let command = line.split('#').next().expect("the part before it").trim();
        assert!(script.contains(&format!("stage {command}\n")), ".ci/run does not run `{command}`");
    }
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(repository().join("docs")).expect("the folder of pages");
    let mut pages: Vec<PathBuf> = docs
        .map(|entry| entry.expect("an entry of it").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .chain([repository().join("README.md")])
        .collect();
    pages.sort();
    assert!(pages.len() >= 7, "{pages:?}");
    pages
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_path(name: &str) -> bool {
    FOLDERS.iter().any(|folder| name.starts_with(folder)) && !name.contains(['*', ' ', '<'])
}

/// What stands between each `open` and the `close` after it, on one line.
fn between(text: &str, open: char, close: char) -> impl Iterator<Item = &str> {
    text.lines().flat_map(move |line| {
        let mut rest = line;
        std::iter::from_fn(move || {
            let (_, after) = rest.split_once(open)?;
            let (inside, after) = after.split_once(close)?;
            rest = after;
            Some(inside)
        })
    })
}

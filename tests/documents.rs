//! What the documents say of the source is so.

use std::fs;
use std::path::Path;

/// The words in backquotes of a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn the_invariants_name_files_and_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("docs/INVARIANTS.md")).unwrap();
    let mut tests = 0;
    for line in text.lines() {
        for file in quoted(line).filter(|word| word.ends_with(".rs")) {
            assert!(root.join(file).is_file(), "{file} is not there");
        }
        let cells: Vec<&str> = quoted(line).collect();
        if let (true, [test, file]) = (line.starts_with("| `"), &cells[..]) {
            let source = fs::read_to_string(root.join(file)).unwrap();
            assert!(source.contains(&format!("fn {test}(")), "no test {test} in {file}");
            tests += 1;
        }
    }
    for invariant in 1..=12 {
        let heading = format!("\n## INV-{invariant:02}\n");
        let section = text.split(&heading).nth(1).unwrap_or_else(|| panic!("no {heading}"));
        let section = section.split("\n## ").next().unwrap_or(section);
        assert!(section.contains("\n| `"), "INV-{invariant:02} has no test");
    }
    assert!(tests > 40, "{tests} tests are named");
}

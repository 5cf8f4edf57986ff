//! Who may use whom, and what the engine never does: read from its source, token by token.
//!
//! Tests inside the engine may reach for anything, so what stands under `#[cfg(test)]` is
//! left out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What each module of the engine may name under `crate::`, downward only.
///
/// `extent::Extent` allows that one name. The words `Extent` and `Target` are what both the
/// format and the second reading of it speak in; neither may use the maps and runs beside them.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("units", &["error"]),
    ("error", &[]),
    ("memory", &[]),
    ("format", &["error", "units", "extent::Extent", "extent::Target"]),
    ("raw", &["format", "memory"]),
    ("threads", &["raw::fork_generation"]),
    ("medium", &["error", "units", "raw"]),
    ("extent", &["error", "units", "memory", "format", "raw"]),
    ("layer", &["error", "units", "memory", "threads", "format", "raw", "medium", "extent"]),
    (
        "chain",
        &["error", "units", "memory", "threads", "format", "raw", "medium", "extent", "layer"],
    ),
    (
        "volume",
        &["error", "units", "memory", "format", "raw", "medium", "extent", "layer", "chain"],
    ),
    (
        "store",
        &[
            "error", "units", "threads", "format", "raw", "medium", "extent", "layer", "chain",
            "volume",
        ],
    ),
    ("files", &["error", "units", "format", "medium::fork_generation", "chain", "volume", "store"]),
    (
        "inspect",
        &[
            "error",
            "units",
            "memory",
            "threads",
            "format",
            "medium",
            "extent::Extent",
            "extent::Target",
        ],
    ),
    (
        "testing",
        &["error", "units", "format", "raw", "medium", "extent", "layer", "chain", "volume"],
    ),
];

/// What everybody may name from the crate's root, where `error` is re-exported.
const AT_THE_ROOT: [&str; 3] = ["Error", "ErrorKind", "Result"];

/// A file of the engine longer than this says at its top why it is one thing.
const LINES_MAX: usize = 600;

/// The words with which it says so.
const LONG_FOR_A_REASON: &str = "one thing";

#[test]
fn modules_use_only_what_lies_below_them() {
    let mut offences = Vec::new();
    for source in engine_sources() {
        let Some((_, allowed)) = MAY_USE.iter().find(|(module, _)| *module == source.module) else {
            assert_eq!(source.module, "lib", "{} has no row in MAY_USE", source.path.display());
            continue;
        };
        for used in uses_of_crate(&source) {
            let (module, _) = used.name.split_once("::").unwrap_or((&used.name, ""));
            let module = if AT_THE_ROOT.contains(&module) { "error" } else { module };
            let is_allowed = module == source.module
                || allowed.contains(&module)
                || allowed.contains(&used.name.as_str());
            if !is_allowed {
                offences.push(format!("{}: crate::{}", source.at(used.line), used.name));
            }
        }
    }
    assert!(offences.is_empty(), "upward or sideways:\n{}", offences.join("\n"));
}

#[test]
fn the_engine_neither_prints_nor_asks_its_environment_nor_waits_in_a_runtime() {
    let forbidden: [(&[&str], &[&str]); 9] = [
        (&["print", "!"], &[]),
        (&["println", "!"], &[]),
        (&["eprint", "!"], &[]),
        (&["eprintln", "!"], &[]),
        (&["dbg", "!"], &[]),
        (&["std", "::", "env"], &[]),
        (&["async"], &[]),
        (&["await"], &[]),
        (&["unsafe"], &["raw"]),
    ];
    assert_absent(&forbidden);
}

#[test]
fn input_and_output_go_through_the_seam() {
    let forbidden: [(&[&str], &[&str]); 2] =
        [(&["std", "::", "fs"], &["medium", "raw"]), (&["rustix", "::", "fs"], &["medium", "raw"])];
    assert_absent(&forbidden);
}

#[test]
fn the_format_is_pure() {
    let impure = ["Mutex", "RwLock", "Instant", "SystemTime", "thread", "File"];
    for source in engine_sources().iter().filter(|source| source.module == "format") {
        for token in &source.tokens {
            let at = source.at(token.line);
            assert!(!impure.contains(&token.text.as_str()), "{at}: {} in format/", token.text);
        }
    }
}

#[test]
fn long_files_say_why_they_are_one_thing() {
    for source in engine_sources() {
        let text = fs::read_to_string(&source.path).expect("read a source");
        let lines = text.lines().count();
        let top: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        assert!(!top.is_empty(), "{} says nothing at its top", source.path.display());
        assert!(
            lines <= LINES_MAX || top.contains(LONG_FOR_A_REASON),
            "{} has {lines} lines and does not say at its top why it is one thing",
            source.path.display()
        );
    }
}

/// Asserts that none of the sequences occurs outside the modules that may have it.
fn assert_absent(forbidden: &[(&[&str], &[&str])]) {
    let mut offences = Vec::new();
    for source in engine_sources() {
        for (sequence, except) in forbidden {
            if except.contains(&source.module.as_str()) {
                continue;
            }
            let found = source.tokens.windows(sequence.len()).filter(|window| {
                window.iter().zip(*sequence).all(|(token, wanted)| token.text == *wanted)
            });
            offences.extend(
                found.map(|window| format!("{}: {}", source.at(window[0].line), sequence.concat())),
            );
        }
    }
    assert!(offences.is_empty(), "not in the engine:\n{}", offences.join("\n"));
}

/// One file of the engine, without comments and without what is compiled for tests alone.
struct Source {
    path: PathBuf,
    /// The module at the top of the crate that the file belongs to.
    module: String,
    /// How many modules down from the crate's root it is.
    depth: usize,
    tokens: Vec<Token>,
}

struct Token {
    /// Groups are spelled out; `::` is one token.
    text: String,
    line: usize,
}

struct Use {
    /// `module`, or `module::Name`.
    name: String,
    line: usize,
}

impl Source {
    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

fn engine_sources() -> Vec<Source> {
    let root = repository().join("engine/src");
    let mut sources = Vec::new();
    read_module(&root, &root.join("lib.rs"), ("lib", 0), &mut sources);
    assert!(sources.len() > 50, "the engine's sources were not found");
    sources
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the crate of tests lies in the repository").to_path_buf()
}

/// Reads the file of a module, then those of the modules that it declares outside tests.
fn read_module(
    folder: &Path,
    path: &Path,
    (module, depth): (&str, usize),
    sources: &mut Vec<Source>,
) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let stream = TokenStream::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    let declared: Vec<String> = tokens
        .windows(3)
        .filter(|window| window[0].text == "mod" && window[2].text == ";")
        .map(|window| window[1].text.clone())
        .collect();
    sources.push(Source { path: path.to_path_buf(), module: module.to_owned(), depth, tokens });
    for name in declared {
        let top = (if depth == 0 { &name } else { module }, depth + 1);
        let (file, inner) = (folder.join(format!("{name}.rs")), folder.join(&name));
        match file.exists() {
            true => read_module(&inner, &file, top, sources),
            false => read_module(&inner, &inner.join("mod.rs"), top, sources),
        }
    }
}

/// Spells out the groups of `stream`, leaving out each item under `#[cfg(test)]`.
fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    while at < trees.len() {
        let line = trees[at].span().start().line;
        let mut push = |text: String| tokens.push(Token { text, line });
        match &trees[at] {
            TokenTree::Punct(mark) if mark.as_char() == '#' && is_for_tests(trees.get(at + 1)) => {
                at = end_of_item(&trees, at + 2);
                continue;
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => {
                let doubled = matches!(
                    trees.get(at + 1),
                    Some(TokenTree::Punct(next)) if next.as_char() == ':'
                );
                push(if doubled { "::" } else { ":" }.to_owned());
                at += usize::from(doubled);
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open.to_owned());
                flatten(group.stream(), tokens);
                tokens.push(Token { text: close.to_owned(), line });
            }
            // A string may say anything.
            TokenTree::Literal(_) => push("literal".to_owned()),
            other => push(other.to_string()),
        }
        at += 1;
    }
}

fn is_for_tests(attribute: Option<&TokenTree>) -> bool {
    attribute.is_some_and(|attribute| {
        attribute.to_string().split_whitespace().collect::<String>() == "[cfg(test)]"
    })
}

/// Where the item that begins at `at` ends: past its `;` or past its braces.
fn end_of_item(trees: &[TokenTree], at: usize) -> usize {
    let is_end = |tree: &TokenTree| match tree {
        TokenTree::Punct(mark) => mark.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    trees[at..].iter().position(is_end).map_or(trees.len(), |length| at + length + 1)
}

/// Every path from the root of the crate, as far as its second name.
fn uses_of_crate(source: &Source) -> Vec<Use> {
    let tokens = &source.tokens;
    let mut uses = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let text = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text.as_str());
        let supers = (0..).take_while(|up| text(2 * up) == "super").count();
        assert!(supers < source.depth, "{}: name it from the crate's root", source.at(token.line));
        if token.text != "crate" || text(1) != "::" {
            continue;
        }
        let (module, line) = (text(2), token.line);
        assert_ne!(module, "{", "{}: one `use` for each module", source.at(line));
        match (text(3), text(4)) {
            ("::", "{") => {
                let names = names_in_braces(&tokens[at + 5..]);
                uses.extend(names.map(|name| Use { name: format!("{module}::{name}"), line }));
            }
            ("::", name) => uses.push(Use { name: format!("{module}::{name}"), line }),
            _ => uses.push(Use { name: module.to_owned(), line }),
        }
    }
    uses
}

/// The first name of each path in a list that `tokens` continue after its opening brace.
fn names_in_braces(tokens: &[Token]) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let mut is_first = true;
    tokens
        .iter()
        .map_while(move |token| {
            let mut name = None;
            match token.text.as_str() {
                "{" => depth += 1,
                "}" if depth == 0 => return None,
                "}" => depth -= 1,
                "," if depth == 0 => is_first = true,
                text if depth == 0 && is_first => {
                    name = Some(text);
                    is_first = false;
                }
                _ => {}
            }
            Some(name)
        })
        .flatten()
}

#[test]
fn the_reader_of_sources_sees_what_it_must() {
    let text = r#"
        //! crate::store in a comment
        use crate::extent::{Extent, run::{self, Run}, Target};
        #[cfg(test)]
        mod tests { use crate::store::Store; }
        #[cfg(test)]
        use crate::volume::Volume;
        fn f() -> crate::layer::Layer { let text = "crate::chain::View"; println!("{}", text) }
    "#;
    let mut tokens = Vec::new();
    flatten(TokenStream::from_str(text).expect("lexes"), &mut tokens);
    let source = Source { path: PathBuf::new(), module: "medium".to_owned(), depth: 1, tokens };
    let mut lines_of = BTreeMap::new();
    for used in uses_of_crate(&source) {
        lines_of.insert(used.name, used.line);
    }
    let expected =
        [("extent::Extent", 3), ("extent::Target", 3), ("extent::run", 3), ("layer::Layer", 8)];
    assert_eq!(lines_of, expected.map(|(name, line)| (name.to_owned(), line)).into());
    let is_print = |window: &[Token]| window[0].text == "println" && window[1].text == "!";
    assert!(source.tokens.windows(2).any(is_print));
}

//! What `docs/JSON.md` says of documents, and whether a document is as it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Map, Value};

/// What every document has.
const ENVELOPE: [&str; 2] = ["schema", "verb"];

/// The tables of the page.
pub struct Page {
    /// By their headings. Several may be of one verb: it prints what one of them says.
    forms: BTreeMap<String, Form>,
}

/// A document: its fields by their paths, as in `names[].layer`.
type Form = BTreeMap<String, Field>;

#[derive(Clone, Debug)]
struct Field {
    /// `string`, `integer`, `boolean`, `list`, `list of string`, `object`, `map of string` or `any`.
    kind: String,
    may_be_null: bool,
    may_be_absent: bool,
}

/// What a document says besides the page, and which fields of the page it has.
#[derive(Default)]
struct Comparison {
    problems: Vec<String>,
    met: BTreeSet<String>,
}

impl Page {
    /// The page as it is in the repository.
    pub fn get() -> &'static Page {
        static PAGE: OnceLock<Page> = OnceLock::new();
        PAGE.get_or_init(|| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/JSON.md");
            Page::parse(&fs::read_to_string(path).unwrap())
        })
    }

    /// All forms and fields, a line each.
    pub fn fields(&self) -> BTreeSet<String> {
        let lines = |(form, fields): (&String, &Form)| -> Vec<String> {
            fields.keys().map(|path| format!("{form}: {path}")).collect()
        };
        self.forms.iter().flat_map(lines).collect()
    }

    /// The verbs that it tells of.
    pub fn verbs(&self) -> BTreeSet<&str> {
        self.forms.keys().map(|form| verb(form)).filter(|verb| *verb != "error").collect()
    }

    /// Expects that a document is as the page says, and tells which fields it has, as
    /// [`fields`](Page::fields) does.
    pub fn expect(&self, document: &Value) -> BTreeSet<String> {
        assert_eq!(document["schema"], 1, "{document}");
        let of = match document.get("error").filter(|error| error.is_object()) {
            Some(_) => "error",
            None => document["verb"].as_str().expect("the verb"),
        };
        let fields = document.as_object().unwrap();
        let forms = self.forms.iter().filter(|(form, _)| verb(form) == of);
        let compared = forms.map(|(form, expected)| {
            let mut comparison = Comparison::default();
            comparison.object("", fields, expected);
            (form, comparison)
        });
        let nearest = compared.min_by_key(|(_, comparison)| comparison.problems.len());
        let (form, found) = nearest.unwrap_or_else(|| panic!("docs/JSON.md does not tell of {of}"));
        let problems = found.problems.join("\n");
        assert!(problems.is_empty(), "docs/JSON.md, {form}:\n{problems}\n{document:#}");
        found.met.iter().map(|path| format!("{form}: {path}")).collect()
    }

    fn parse(text: &str) -> Page {
        let mut sections: BTreeMap<String, Vec<[&str; 2]>> = BTreeMap::new();
        let mut current = None;
        for line in text.lines() {
            if line.starts_with('#') {
                let heading = line.strip_prefix("#### ").map(|heading| heading.replace('`', ""));
                current = heading.map(|heading| sections.entry(heading).or_default());
            }
            let cells: Vec<&str> =
                line.split(" |").map(|cell| cell.trim_matches(['|', ' '])).collect();
            let is_row = line.starts_with("| ") && !["field", "---"].contains(&cells[0]);
            if let (true, Some(rows)) = (is_row, &mut current) {
                assert!(cells.len() == 4, "not three cells: {line}");
                rows.push([cells[0], cells[1]]);
            }
        }
        // A part stands under the name that links lead to.
        let anchor = |heading: &String| heading.to_lowercase().replace(' ', "-");
        let parts: BTreeMap<String, &Vec<[&str; 2]>> =
            sections.iter().map(|(heading, rows)| (anchor(heading), rows)).collect();
        let mut linked = BTreeSet::new();
        let mut forms = BTreeMap::new();
        for (heading, rows) in &sections {
            let mut form = Form::new();
            for [path, kind] in rows {
                let own = path.trim_matches('`').to_owned();
                let Some((prefix, part)) = path.split_once("](#") else {
                    form.insert(own, Field::parse(kind));
                    continue;
                };
                let (prefix, _) = prefix
                    .split_once('[')
                    .filter(|_| !prefix.starts_with('`'))
                    .unwrap_or_else(|| {
                        let (prefix, rest) =
                            prefix[1..].split_once('`').expect("the end of a path");
                        assert!(rest.starts_with(" ["), "{path}");
                        (prefix, rest)
                    });
                let part = part.trim_end_matches(')');
                linked.insert(part.to_owned());
                for [path, part_kind] in
                    parts.get(part).unwrap_or_else(|| panic!("no part {part}")).iter()
                {
                    let mut field = Field::parse(part_kind);
                    field.may_be_absent |= *kind == "or absent";
                    form.insert(format!("{prefix}{}", path.trim_matches('`')), field);
                }
            }
            forms.insert(heading.clone(), form);
        }
        forms.retain(|heading, _| !linked.contains(&anchor(heading)));
        Page { forms }
    }
}

impl Field {
    fn parse(cell: &str) -> Field {
        let (kind, _unit) = cell.split_once(", ").unwrap_or((cell, ""));
        let mut words = kind.split(" or ");
        let kind = words.next().unwrap().to_owned();
        let known = ["string", "integer", "boolean", "object", "any"];
        let inner = kind.trim_start_matches("list of ").trim_start_matches("map of ");
        assert!(kind == "list" || known.contains(&inner), "no type: {cell:?}");
        let also: BTreeSet<&str> = words.collect();
        assert!(also.iter().all(|word| ["null", "absent"].contains(word)), "{cell:?}");
        Field { kind, may_be_null: also.contains("null"), may_be_absent: also.contains("absent") }
    }
}

impl Comparison {
    /// Compares the fields of an object at `prefix`.
    fn object(&mut self, prefix: &str, fields: &Map<String, Value>, form: &Form) {
        for (name, value) in fields {
            let path = format!("{prefix}{name}");
            match form.get(&path) {
                Some(field) => self.field(&path, value, field, form),
                None if prefix.is_empty() && ENVELOPE.contains(&name.as_str()) => {}
                None => self.problems.push(format!("{path} is not on the page")),
            }
        }
        for (path, field) in form {
            let name = path.strip_prefix(prefix).filter(|name| !name.contains(['.', '[']));
            if name.is_some_and(|name| !field.may_be_absent && !fields.contains_key(name)) {
                self.problems.push(format!("{path} is absent"));
            }
        }
    }

    fn field(&mut self, path: &str, value: &Value, field: &Field, form: &Form) {
        self.met.insert(path.to_owned());
        let is_right = match (value, field.kind.as_str()) {
            (_, "any") => true,
            (Value::Null, _) => field.may_be_null,
            (Value::Object(fields), "object") => {
                self.object(&format!("{path}."), fields, form);
                true
            }
            (Value::Array(elements), "list") => {
                for element in elements {
                    match element.as_object() {
                        Some(fields) => self.object(&format!("{path}[]."), fields, form),
                        None => self.problems.push(format!("{path} holds {element}")),
                    }
                }
                true
            }
            (Value::Array(elements), kind) => {
                let of = kind.strip_prefix("list of ");
                of.is_some_and(|of| elements.iter().all(|element| is(element, of)))
            }
            (Value::Object(fields), kind) => {
                let of = kind.strip_prefix("map of ");
                of.is_some_and(|of| fields.values().all(|value| is(value, of)))
            }
            (value, kind) => is(value, kind),
        };
        if !is_right {
            self.problems.push(format!("{path} is no {field:?}: {value}"));
        }
    }
}

/// Whether a scalar has a type.
fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        _ => false,
    }
}

/// The verb that a form is of.
fn verb(form: &str) -> &str {
    form.split([' ', ':']).next().expect("the first of them")
}

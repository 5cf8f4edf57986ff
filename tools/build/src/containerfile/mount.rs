//! `RUN --mount=type=...,target=...`.

use super::error::{Problem, shown};
use super::instruction::{Mount, MountKind};
use super::place::Word;

/// The options of each kind, under all their names; the first one counts.
const TARGET: &[&str] = &["target", "dst", "destination"];
const SOURCE: &[&str] = &["source", "src"];
const READ_ONLY: &[&str] = &["readonly", "ro"];
const READ_WRITE: &[&str] = &["readwrite", "rw"];
const BIND: &[&[&str]] = &[TARGET, SOURCE, &["from"], READ_ONLY, READ_WRITE];
const CACHE: &[&[&str]] = &[
    TARGET,
    SOURCE,
    &["from"],
    READ_ONLY,
    READ_WRITE,
    &["id"],
    &["sharing"],
    &["mode"],
    &["uid"],
    &["gid"],
];
const TMPFS: &[&[&str]] = &[TARGET, &["size"]];
const SECRET: &[&[&str]] =
    &[TARGET, &["id", "source", "src"], &["required"], &["mode"], &["uid"], &["gid"], &["env"]];

/// Reads the value of the option. Where variables say what kind of a mount it is, its options are checked
/// once that is known.
pub fn read(value: &Word) -> Result<Mount, Problem> {
    let mut mount = Mount { kind: None, fields: Vec::new(), text: value.clone() };
    for (name, field) in fields(value)? {
        match field {
            Some(word) if name.text == "type" => {
                mount.kind.get_or_insert(word);
            }
            _ if name.text == "type" => {}
            field => mount.fields.push((name, field)),
        }
    }
    match &mount.kind {
        Some(kind) if kind.text.contains('$') => {}
        kind => {
            mount.options(mount.kind_of(kind.as_ref().map(|kind| kind.text.as_str()))?)?;
        }
    }
    Ok(mount)
}

impl Mount {
    /// What kind a word means; a bind where there is none.
    pub fn kind_of(&self, text: Option<&str>) -> Result<MountKind, Problem> {
        match text {
            None | Some("bind") => Ok(MountKind::Bind),
            Some("cache") => Ok(MountKind::Cache),
            Some("tmpfs") => Ok(MountKind::Tmpfs),
            Some("secret") => Ok(MountKind::Secret),
            Some(other) => {
                let at = self.kind.as_ref().map_or(self.text.at, |word| word.at);
                let expected = "bind, cache, tmpfs or secret";
                Err(Problem::new(at, "type of a mount", shown(other), expected))
            }
        }
    }

    /// The options of a mount of this kind, under one name each: `target`, not `dst`.
    pub fn options(&self, kind: MountKind) -> Result<Vec<(&'static str, Option<Word>)>, Problem> {
        let known = match kind {
            MountKind::Bind => BIND,
            MountKind::Cache => CACHE,
            MountKind::Tmpfs => TMPFS,
            MountKind::Secret => SECRET,
        };
        let mut options: Vec<(&'static str, Option<Word>)> = Vec::new();
        for (name, value) in &self.fields {
            let Some(names) = known.iter().find(|names| names.contains(&name.text.as_str())) else {
                let expected = known.iter().map(|names| names[0]).collect::<Vec<_>>().join(", ");
                let found = shown(&name.text);
                return Err(Problem::new(name.at, "option of a mount", found, expected));
            };
            let option = names[0];
            let is_switch = matches!(option, "readonly" | "readwrite" | "required");
            if value.is_none() && !is_switch {
                let found = shown(&name.text);
                return Err(Problem::new(name.at, "option of a mount", found, "NAME=VALUE"));
            }
            if option == "from"
                && let Some(from) = value.as_ref().filter(|from| from.text.contains('$'))
            {
                let expected =
                    "a name without variables; FROM takes some, and gives a stage a name";
                return Err(Problem::new(from.at, "from of a mount", shown(&from.text), expected));
            }
            if options.iter().any(|(there, _)| *there == option) {
                let field = format!("option {option} of a mount");
                return Err(Problem::new(name.at, field, "it a second time", "it once"));
            }
            options.push((option, value.clone()));
        }
        let has_target = options.iter().any(|(option, _)| *option == "target");
        if !has_target && kind != MountKind::Secret {
            let Word { text, at } = &self.text;
            return Err(Problem::new(*at, "mount", shown(text), "a target"));
        }
        Ok(options)
    }

    /// The name behind `from`.
    pub fn from(&self) -> Option<&str> {
        let found = self.fields.iter().find(|(name, _)| name.text == "from");
        found.and_then(|(_, word)| word.as_ref()).map(|word| word.text.as_str())
    }
}

/// The parts between commas; one in double quotes may hold commas, and `""` for a quote.
fn fields(value: &Word) -> Result<Vec<(Word, Option<Word>)>, Problem> {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let rest = &value.text[at..];
        let (field, length, shift) = match rest.strip_prefix('"') {
            None => {
                let length = rest.find(',').unwrap_or(rest.len());
                (rest[..length].to_owned(), length, 0)
            }
            Some(inside) => {
                let (field, length) = quoted(inside).ok_or_else(|| {
                    let expected = "a quote before a comma or the end";
                    Problem::new(value.at + at, "mount", shown(rest), expected)
                })?;
                (field, length + 1, 1)
            }
        };
        let begins = value.at + at + shift;
        fields.push(match field.split_once('=') {
            Some((name, text)) => {
                let text = Word { text: text.to_owned(), at: begins + name.len() + 1 };
                (Word { text: name.to_owned(), at: begins }, Some(text))
            }
            None => (Word { text: field, at: begins }, None),
        });
        at += length;
        if at == value.text.len() {
            return Ok(fields);
        }
        at += 1;
    }
}

/// What stands before the quote that ends it, and how much of the text that was.
fn quoted(inside: &str) -> Option<(String, usize)> {
    let mut field = String::new();
    let mut characters = inside.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character != '"' {
            field.push(character);
        } else if characters.next_if(|(_, next)| *next == '"').is_some() {
            field.push('"');
        } else {
            let is_end = characters.peek().is_none_or(|(_, next)| *next == ',');
            return is_end.then_some((field, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(text: &str) -> Result<Mount, Problem> {
        read(&Word { text: text.into(), at: 10 })
    }

    #[test]
    fn options_go_by_their_first_names() {
        let read = mount("type=cache,dst=/c,\"id=a,b\"\"\",ro").unwrap();
        let options = read.options(MountKind::Cache).unwrap();
        let options: Vec<_> = options
            .iter()
            .map(|(name, value)| (*name, value.as_ref().map(|value| value.text.as_str())))
            .collect();
        let expected = [("target", Some("/c")), ("id", Some("a,b\"")), ("readonly", None)];
        assert_eq!(options, expected);
        // Whether they are its options is known when the kind is.
        let read = mount("target=/x,size=1,from=a,type=$t").unwrap();
        assert_eq!((read.from(), read.options(MountKind::Bind).unwrap_err().at), (Some("a"), 20));
        assert_eq!(read.kind_of(Some("ssh")).unwrap_err().at, 39);
    }

    #[test]
    fn what_cannot_be_is_told_with_its_place() {
        let cases = [
            ("type=ssh", 15),
            ("type=bind", 10),
            ("target=/x,size=1", 20),
            ("target=/x,dst=/y", 20),
            ("target", 10),
            ("target=/x,from=$a", 25),
            ("target=/x,\"from=a", 20),
            ("", 10),
        ];
        for (text, at) in cases {
            assert_eq!(mount(text).unwrap_err().at, at, "{text}");
        }
    }
}

//! Instructions out of their text.

use std::time::Duration;

use super::duration;
use super::error::{Problem, shown};
use super::flags::{self, Flags};
use super::heredoc::{self, Heredoc};
use super::instruction::{
    Argument, CommandLine, CopyFiles, From, Healthcheck, Kind, Mount, Network, Run,
};
use super::mount;
use super::place::Word;
use super::words;

/// All instructions.
const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What an instruction says, and the documents that it begins.
pub type Read = (Kind, Vec<(Word, Heredoc)>);

/// Reads the instruction that begins at `start` of `text`.
pub fn instruction(text: &str, start: usize, escape: char) -> Result<Read, Problem> {
    let length = text[start..].find(char::is_whitespace).unwrap_or(text.len() - start);
    let word = &text[start..start + length];
    let Some(name) = NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(word)) else {
        let expected = format!("one of {}", NAMES.join(", "));
        return Err(Problem::new(start, "instruction", shown(word), expected));
    };
    let (flags, rest) = flags::read(text, start + length, escape)?;
    let body = Body { name, text: text.trim_end(), start: rest.min(text.trim_end().len()), escape };
    let no_flags = |flags| Flags::check(flags, name, &[], &[]).map(|_| ());
    let kind = match name {
        "ADD" | "COPY" => return copy(flags, &body),
        "RUN" => return run(flags, &body),
        "ONBUILD" => {
            no_flags(flags)?;
            return on_build(&body);
        }
        "FROM" => Kind::From(from(flags, &body)?),
        "HEALTHCHECK" => Kind::Healthcheck(healthcheck(flags, &body)?),
        _ => {
            no_flags(flags)?;
            simple(&body)?
        }
    };
    Ok((kind, Vec::new()))
}

/// What stands behind the name and the options of an instruction.
struct Body<'a> {
    name: &'static str,
    text: &'a str,
    start: usize,
    escape: char,
}

impl Body<'_> {
    fn rest(&self) -> &str {
        &self.text[self.start..]
    }

    fn wrong(&self, at: usize, found: impl Into<String>, expected: impl Into<String>) -> Problem {
        Problem::new(at, self.name, found, expected)
    }

    /// All of it, which must not be empty.
    fn whole(&self) -> Result<Word, Problem> {
        match self.rest() {
            "" => Err(self.wrong(self.start, "nothing behind it", "an argument")),
            rest => Ok(Word { text: rest.to_owned(), at: self.start }),
        }
    }

    /// The words, of JSON or between blanks.
    fn words(&self) -> Result<Vec<Word>, Problem> {
        Ok(match words::json(self.text, self.start)? {
            Some(words) => words,
            None => words::plain(self.text, self.start),
        })
    }

    fn command_line(&self) -> Result<CommandLine, Problem> {
        Ok(match words::json(self.text, self.start)? {
            Some(words) => CommandLine::Exec(texts(words)),
            None => CommandLine::Shell(self.whole()?.text),
        })
    }

    /// `name=value ...`, or the old `name value`.
    fn pairs(&self) -> Result<Vec<(Word, Word)>, Problem> {
        self.whole()?;
        let words = words::quoted(self.text, self.start, self.escape)?;
        if words.first().is_some_and(|first| !first.text.contains('=')) {
            let rest = self.rest();
            let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let value = rest[length..].trim_start();
            if value.is_empty() {
                return Err(self.wrong(self.start, shown(rest), "NAME=VALUE"));
            }
            let name = Word { text: rest[..length].to_owned(), at: self.start };
            let value = Word { text: value.to_owned(), at: self.text.len() - value.len() };
            return Ok(vec![(name, value)]);
        }
        words.into_iter().map(|word| self.pair(&word)).collect()
    }

    fn pair(&self, word: &Word) -> Result<(Word, Word), Problem> {
        match word.text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                let value = Word { text: value.to_owned(), at: word.at + name.len() + 1 };
                Ok((Word { text: name.to_owned(), at: word.at }, value))
            }
            _ => Err(self.wrong(word.at, shown(&word.text), "NAME=VALUE")),
        }
    }
}

fn simple(body: &Body<'_>) -> Result<Kind, Problem> {
    Ok(match body.name {
        "ARG" => Kind::Arg(arguments(body)?),
        "CMD" => Kind::Cmd(body.command_line()?),
        "ENTRYPOINT" => Kind::Entrypoint(body.command_line()?),
        "ENV" => Kind::Env(body.pairs()?),
        "EXPOSE" => {
            body.whole()?;
            Kind::Expose(words::plain(body.text, body.start))
        }
        "LABEL" => Kind::Label(body.pairs()?),
        "MAINTAINER" => Kind::Maintainer(body.whole()?.text),
        "SHELL" => match words::json(body.text, body.start)? {
            Some(words) if !words.is_empty() => Kind::Shell(texts(words)),
            _ => {
                let expected = "a JSON array, as [\"/bin/sh\", \"-c\"]";
                return Err(body.wrong(body.start, shown(body.rest()), expected));
            }
        },
        "STOPSIGNAL" => Kind::StopSignal(body.whole()?),
        "USER" => Kind::User(body.whole()?),
        "VOLUME" => {
            body.whole()?;
            Kind::Volume(body.words()?)
        }
        _ => Kind::Workdir(body.whole()?),
    })
}

fn arguments(body: &Body<'_>) -> Result<Vec<Argument>, Problem> {
    body.whole()?;
    let words = words::quoted(body.text, body.start, body.escape)?;
    let arguments = words.into_iter().map(|word| match word.text.contains('=') {
        true => {
            body.pair(&word).map(|(name, value)| Argument { name: name.text, default: Some(value) })
        }
        false => Ok(Argument { name: word.text, default: None }),
    });
    arguments.collect()
}

fn from(flags: Vec<flags::Flag>, body: &Body<'_>) -> Result<From, Problem> {
    let mut flags = Flags::check(flags, body.name, &["platform"], &[])?;
    let platform = flags.value("platform")?;
    let mut words = words::plain(body.text, body.start).into_iter();
    let (image, between, name) = (words.next(), words.next(), words.next());
    let expected = "FROM IMAGE, or FROM IMAGE AS NAME";
    let wrong = || body.wrong(body.start, shown(body.rest()), expected);
    let image = image.ok_or_else(wrong)?;
    let is_as = between.as_ref().is_some_and(|word| word.text.eq_ignore_ascii_case("as"));
    let name = match name {
        Some(name) if is_as && words.next().is_none() => Some(stage_name(body, &name)?),
        None if between.is_none() => None,
        _ => return Err(wrong()),
    };
    Ok(From { image, name, platform })
}

fn stage_name(body: &Body<'_>, word: &Word) -> Result<String, Problem> {
    let name = word.text.to_ascii_lowercase();
    let mut characters = name.chars();
    let is_name = characters.next().is_some_and(|first| first.is_ascii_lowercase())
        && characters.all(|character| {
            character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
        });
    match name.as_str() {
        "scratch" | "context" => Err(body.wrong(word.at, shown(&name), "a name without a meaning")),
        _ if is_name => Ok(name),
        _ => Err(body.wrong(
            word.at,
            shown(&word.text),
            "a name of letters, digits and - _ . that begins with a letter",
        )),
    }
}

fn copy(flags: Vec<flags::Flag>, body: &Body<'_>) -> Result<Read, Problem> {
    let is_add = body.name == "ADD";
    let once: &[&str] = match is_add {
        true => &["chown", "chmod", "link", "unpack", "checksum", "keep-git-dir"],
        false => &["from", "chown", "chmod", "link", "parents"],
    };
    let mut flags = Flags::check(flags, body.name, once, &["exclude"])?;
    for remote in ["checksum", "keep-git-dir"] {
        if let Some(flag) = flags.take(remote) {
            let (found, expected) = ("it", "no option for what a network brings: none is asked");
            return Err(Problem::new(flag.at, format!("option --{remote}"), found, expected));
        }
    }
    let json = words::json(body.text, body.start)?;
    let begun = match &json {
        Some(_) => Vec::new(),
        None => heredoc::of_text(body.text, body.start),
    };
    let mut words = json.unwrap_or_else(|| words::plain(body.text, body.start));
    let destination = words.pop();
    let destination = match destination {
        Some(destination) if !words.is_empty() => destination,
        _ => {
            let expected = "sources and a destination";
            return Err(body.wrong(body.start, shown(body.rest()), expected));
        }
    };
    if begun.iter().any(|(word, _)| word.at == destination.at) {
        let found = shown(&destination.text);
        return Err(body.wrong(destination.at, found, "a destination behind the documents"));
    }
    let is_document = |word: &Word| begun.iter().any(|(begun, _)| begun.at == word.at);
    let documents = (0..begun.len()).collect();
    let from = flags.value("from")?;
    if let Some(from) = from.as_ref().filter(|from| from.text.contains('$')) {
        return Err(Problem::new(
            from.at,
            "option --from",
            shown(&from.text),
            "a name without variables; FROM takes some, and gives a stage a name",
        ));
    }
    if let (Some(from), Some((word, _))) = (&from, begun.first()) {
        let found = format!("a document beside --from={}", from.text);
        return Err(body.wrong(word.at, found, "one of the two"));
    }
    let files = CopyFiles {
        sources: words.into_iter().filter(|word| !is_document(word)).collect(),
        documents,
        destination,
        from,
        owner: flags.value("chown")?,
        permissions: flags.value("chmod")?,
        exclude: flags.values("exclude")?,
        link: flags.switch("link")?.unwrap_or(false),
        parents: flags.switch("parents")?.unwrap_or(false),
        unpack: flags.switch("unpack")?,
    };
    Ok((if is_add { Kind::Add(files) } else { Kind::Copy(files) }, begun))
}

fn run(flags: Vec<flags::Flag>, body: &Body<'_>) -> Result<Read, Problem> {
    let mut flags = Flags::check(flags, body.name, &["network", "security"], &["mount"])?;
    let mounts: Result<Vec<Mount>, Problem> =
        flags.values("mount")?.iter().map(mount::read).collect();
    let network = match flags.value("network")? {
        None => Network::Default,
        Some(word) => match word.text.as_str() {
            "default" => Network::Default,
            "host" => Network::Host,
            "none" => Network::None,
            other => {
                let expected = "default, host or none";
                return Err(Problem::new(word.at, "option --network", shown(other), expected));
            }
        },
    };
    if let Some(word) = flags.value("security")?.filter(|word| word.text != "sandbox") {
        let expected = "sandbox: programs are never run without one";
        return Err(Problem::new(word.at, "option --security", shown(&word.text), expected));
    }
    let command = body.command_line()?;
    let begun = match &command {
        CommandLine::Shell(_) => heredoc::of_text(body.text, body.start),
        CommandLine::Exec(words) if words.is_empty() => {
            return Err(body.wrong(body.start, "[]", "a program"));
        }
        CommandLine::Exec(_) => Vec::new(),
    };
    Ok((Kind::Run(Run { command, mounts: mounts?, network }), begun))
}

fn on_build(body: &Body<'_>) -> Result<Read, Problem> {
    body.whole()?;
    let first = body.rest().split(char::is_whitespace).next().unwrap_or_default();
    let refused = ["ONBUILD", "FROM", "MAINTAINER"];
    if refused.iter().any(|name| name.eq_ignore_ascii_case(first)) {
        let expected = format!("another instruction than {}", refused.join(", "));
        return Err(body.wrong(body.start, shown(first), expected));
    }
    let (_, begun) = instruction(body.text, body.start, body.escape)?;
    Ok((Kind::OnBuild(body.rest().to_owned()), begun))
}

fn healthcheck(flags: Vec<flags::Flag>, body: &Body<'_>) -> Result<Healthcheck, Problem> {
    let once = ["interval", "timeout", "start-period", "start-interval", "retries"];
    let first_flag = flags.first().map(|flag| flag.at);
    let mut flags = Flags::check(flags, body.name, &once, &[])?;
    let word = words::plain(body.text, body.start).into_iter().next();
    let length = word.as_ref().map_or(0, |word| word.text.len());
    let rest = body.start + length;
    let rest = rest + body.text[rest..].len() - body.text[rest..].trim_start().len();
    let behind = Body { start: rest, ..*body };
    match word.map(|word| word.text.to_ascii_uppercase()).as_deref() {
        Some("NONE") => match (first_flag, behind.rest()) {
            (Some(at), _) => Err(body.wrong(at, "an option", "NONE without options")),
            (None, "") => Ok(Healthcheck::None),
            (None, more) => Err(body.wrong(rest, shown(more), "nothing behind NONE")),
        },
        Some("CMD") => {
            let command = behind.command_line()?;
            let mut duration = |name: &str| -> Result<Option<Duration>, Problem> {
                flags.value(name)?.map(|word| duration::read(name, &word)).transpose()
            };
            Ok(Healthcheck::Command {
                command,
                interval: duration("interval")?,
                timeout: duration("timeout")?,
                start_period: duration("start-period")?,
                start_interval: duration("start-interval")?,
                retries: match flags.value("retries")? {
                    None => None,
                    Some(word) => match word.text.parse() {
                        Ok(number) => Some(number),
                        Err(_) => {
                            let (field, found) = ("option --retries", shown(&word.text));
                            return Err(Problem::new(word.at, field, found, "a number"));
                        }
                    },
                },
            })
        }
        _ => Err(body.wrong(body.start, shown(body.rest()), "CMD and a program, or NONE")),
    }
}

fn texts(words: Vec<Word>) -> Vec<String> {
    words.into_iter().map(|word| word.text).collect()
}

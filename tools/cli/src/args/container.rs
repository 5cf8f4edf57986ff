//! The words of the verbs that run processes over trees.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sapwood_container::{Access, HostMount, MemoryMount, Network};

use crate::output::size::parse_size;

/// Seconds that a container is given to end by itself.
const STOP_SECONDS: u64 = 10;

/// What of the network a container sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkWord {
    /// That of the host
    Host,
    /// Only itself
    None,
}

impl From<NetworkWord> for Network {
    fn from(word: NetworkWord) -> Network {
        match word {
            NetworkWord::Host => Network::Host,
            NetworkWord::None => Network::None,
        }
    }
}

#[derive(Args, Debug)]
#[command(override_usage = "sapwood run [OPTIONS] <IMAGE> [COMMAND]...")]
pub struct RunArgs {
    /// The image, a tag or another snapshot of a tree; then the command and its arguments [default: the
    /// image's], whatever they look like
    // One list: the first word ends the options of this command, as the rest are the program's.
    #[arg(required = true, trailing_var_arg = true, value_names = ["IMAGE", "COMMAND"])]
    words: Vec<String>,
    /// The container's name, which nobody has [default: one is made up]
    #[arg(long)]
    pub name: Option<String>,
    /// Remove the container when its process has ended
    #[arg(long)]
    pub rm: bool,
    /// Let it run by itself: print its name, and what it says goes to `logs`
    #[arg(short, long, conflicts_with_all = ["terminal", "interactive"])]
    pub detach: bool,
    /// Give the process a terminal
    #[arg(short, long, visible_alias = "tty")]
    pub terminal: bool,
    /// Pass standard input on; --terminal does, too
    #[arg(short, long)]
    pub interactive: bool,
    /// Set a variable, as often as needed; KEY alone takes over this process's own
    #[arg(short, long = "env", value_name = "KEY[=VALUE]")]
    pub environment: Vec<String>,
    /// Set the variables that a file has, one a line
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// The working directory, made where it is missing [default: the image's]
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Who it runs as, by name or number in the tree [default: the image's]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// Mount a file or directory of the host, as often as needed
    #[arg(short, long = "volume", value_name = "HOST:DIR[:ro]", value_parser = parse_volume)]
    pub volumes: Vec<HostMount>,
    /// Known to others, and refused with what is there instead
    #[arg(short, long = "publish", hide = true, value_parser = refuse_ports)]
    pub publish: Vec<Refused>,
    /// Mount an empty directory in memory, as often as needed
    #[arg(long = "tmpfs", value_name = "DIR[:size=SIZE,mode=MODE]", value_parser = parse_tmpfs)]
    pub memory_folders: Vec<MemoryMount>,
    /// Let nothing of the tree be written; what is mounted in it can be
    #[arg(long)]
    pub read_only: bool,
    /// So much of the machine's memory it may have
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size)]
    pub memory: Option<u64>,
    /// What of the network it sees
    #[arg(long, value_enum, default_value = "host")]
    pub network: NetworkWord,
    /// The command that the arguments are for, in place of the image's
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    /// The name of its machine [default: the container's]
    #[arg(long)]
    pub hostname: Option<String>,
    /// The OCI runtime: runc, crun or youki [default: the first that is installed]
    #[arg(long, value_name = "NAME", env = "SAPWOOD_RUNTIME", hide_env_values = true)]
    pub runtime: Option<String>,
}

impl RunArgs {
    /// A tag or another snapshot of a tree.
    pub fn image(&self) -> &str {
        &self.words[0]
    }

    /// The command and its arguments; none for the image's.
    pub fn command(&self) -> &[String] {
        &self.words[1..]
    }
}

#[derive(Args, Debug)]
pub struct StartArgs {
    /// The container
    pub name: String,
    /// Let it run by itself: print its name, and what it says goes to `logs`
    #[arg(short, long, conflicts_with = "interactive")]
    pub detach: bool,
    /// Pass standard input on; so does a container that was made with --terminal
    #[arg(short, long)]
    pub interactive: bool,
    /// Say when it runs, to the process that started this one
    #[arg(long, hide = true)]
    pub ready: bool,
}

#[derive(Args, Debug)]
#[command(override_usage = "sapwood exec [OPTIONS] <NAME> <COMMAND>...")]
pub struct ExecArgs {
    /// The container, and the command with its arguments, whatever they look like
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, value_names = ["NAME", "COMMAND"])]
    words: Vec<String>,
    /// Give the process a terminal
    #[arg(short, long, visible_alias = "tty")]
    pub terminal: bool,
    /// Pass standard input on; --terminal does, too
    #[arg(short, long)]
    pub interactive: bool,
    /// Set a variable, as often as needed; KEY alone takes over this process's own
    #[arg(short, long = "env", value_name = "KEY[=VALUE]")]
    pub environment: Vec<String>,
    /// The working directory [default: the container's]
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Who it runs as, by name or number in the tree [default: the container's]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
}

impl ExecArgs {
    /// The container.
    pub fn name(&self) -> &str {
        &self.words[0]
    }

    /// The command and its arguments.
    pub fn command(&self) -> &[String] {
        &self.words[1..]
    }
}

#[derive(Args, Debug)]
pub struct CommitArgs {
    /// The container, or another volume that is a tree
    pub name: String,
    /// The tag of the image
    pub tag: String,
    /// Change the configuration by an instruction as in a Containerfile, as often as needed: CMD,
    /// ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    pub changes: Vec<String>,
    /// A comment for people
    #[arg(short = 'm', long)]
    pub comment: Option<String>,
    /// Who makes it
    #[arg(short, long)]
    pub author: Option<String>,
    /// Do not name its layers by their digests
    #[arg(long)]
    pub no_seal: bool,
    /// Move the tag if it is there already
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub struct PsArgs {
    /// List those that do not run, too
    #[arg(short, long)]
    pub all: bool,
}

#[derive(Args, Debug)]
pub struct LogsArgs {
    /// The container
    pub name: String,
    /// Go on with what it says from now on, until it ends
    #[arg(short, long)]
    pub follow: bool,
}

#[derive(Args, Debug)]
pub struct StopArgs {
    /// The containers
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// The signal that asks it to end, by name or number [default: the image's, or TERM]
    #[arg(short, long, value_parser = parse_signal)]
    pub signal: Option<String>,
    /// Seconds that it is given to end before it is killed
    #[arg(short, long, value_name = "SECONDS", default_value_t = STOP_SECONDS)]
    pub time: u64,
}

/// The signals of Linux by name, without `SIG`.
const SIGNALS: [&str; 33] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV",
    "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU",
    "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS",
];
/// The highest number of one.
const SIGNAL_NUMBER_MAX: u32 = 64;

/// A signal as runtimes take it, so that one that is none is told before any container gets one.
fn parse_signal(word: &str) -> Result<String, String> {
    let name = word.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let is_number = word.parse().is_ok_and(|number| (1..=SIGNAL_NUMBER_MAX).contains(&number));
    match is_number || SIGNALS.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err("no signal of Linux, as TERM, SIGUSR1 or 10".to_owned()),
    }
}

/// Variables as they are typed: what has no value has that of `variable`.
pub fn environment(
    words: &[String],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<String>, String> {
    let mut environment = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some(("", _)) => return Err(format!("no key: {word:?}")),
            Some(_) => environment.push(word.clone()),
            // As others have it, one that is not set is not given.
            None => match variable(word).map(OsString::into_string) {
                None => {}
                Some(Ok(value)) => environment.push(format!("{word}={value}")),
                Some(Err(_)) => return Err(format!("the value of {word} is no UTF-8")),
            },
        }
    }
    Ok(environment)
}

/// The lines of a file of variables: empty ones and those that begin with `#` say nothing.
pub fn lines_of_file(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.trim_start());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// What no word can mean.
#[derive(Clone, Debug)]
pub enum Refused {}

fn refuse_ports(_: &str) -> Result<Refused, String> {
    Err("ports are not published: what a container listens on is the host's, with --network=host \
         as without it, and nobody's with --network=none"
        .to_owned())
}

fn parse_volume(text: &str) -> Result<HostMount, String> {
    let expected = || "a volume is HOST:DIR or HOST:DIR:ro".to_owned();
    let (rest, access) = match text.rsplit_once(':') {
        Some((rest, options)) if !options.starts_with('/') => (rest, access(options)?),
        _ => (text, Access::ReadWrite),
    };
    match rest.rsplit_once(':') {
        Some((source, target)) if !source.is_empty() && target.starts_with('/') => {
            // Others take one word for the name of a volume that they keep.
            if !source.contains('/') && !Path::new(source).exists() {
                return Err(format!(
                    "volumes by name are not kept: HOST is a path, and {source:?} is not there"
                ));
            }
            let source = std::path::absolute(source).map_err(|error| error.to_string())?;
            Ok(HostMount { source, target: target.into(), access })
        }
        _ => Err(expected()),
    }
}

/// What stands behind the directory. That files are labelled anew for SELinux is asked for with `z` and
/// `Z` on every machine, and nothing has to be done for it: a container is not confined by labels.
fn access(options: &str) -> Result<Access, String> {
    let mut access = Access::ReadWrite;
    for option in options.split(',') {
        match option {
            "ro" => access = Access::ReadOnly,
            "rw" => access = Access::ReadWrite,
            "z" | "Z" => {}
            _ => return Err(format!("found {option:?}, expected HOST:DIR or HOST:DIR:ro")),
        }
    }
    Ok(access)
}

fn parse_tmpfs(text: &str) -> Result<MemoryMount, String> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    if !target.starts_with('/') {
        return Err("the directory is an absolute path".to_owned());
    }
    let mut folder = MemoryMount { target: target.into(), size_bytes: None, permissions: 0o1777 };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", size)) => folder.size_bytes = Some(parse_size(size)?),
            Some(("mode", mode)) => {
                let parsed = u16::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777);
                folder.permissions = parsed.ok_or("a mode is octal, at most 7777")?;
            }
            _ => return Err(format!("found {option:?}, expected size=SIZE or mode=MODE")),
        }
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_two_paths_and_an_access() {
        let parse = |text: &str| {
            parse_volume(text).map(|volume| {
                (
                    volume.source.display().to_string(),
                    volume.target.display().to_string(),
                    volume.access,
                )
            })
        };
        let is =
            |source: &str, target: &str, access| Ok((source.to_owned(), target.to_owned(), access));
        assert_eq!(parse("/a:/b"), is("/a", "/b", Access::ReadWrite));
        assert_eq!(parse("/a:/b:ro"), is("/a", "/b", Access::ReadOnly));
        assert_eq!(parse("/a:c:/b:rw"), is("/a:c", "/b", Access::ReadWrite));
        assert_eq!(parse("/a:/b:z"), is("/a", "/b", Access::ReadWrite));
        assert_eq!(parse("/a:/b:Z,ro"), is("/a", "/b", Access::ReadOnly));
        let named = parse("data:/b").unwrap_err();
        assert!(named.contains("volumes by name") && named.contains("\"data\""), "{named}");
        assert!(parse("src:/b").is_ok() && parse("./data:/b").is_ok(), "a folder here");
        for bad in ["", "/a", "/a:", ":/b", "/a:b", "/a:ro", "/a:/b:rx", "/a:/b:ro,", "/a:/b:"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn directories_in_memory_have_a_size_and_a_mode() {
        let parse = |text: &str| {
            let folder = parse_tmpfs(text).ok()?;
            Some((folder.target, folder.size_bytes, folder.permissions))
        };
        assert_eq!(parse("/run"), Some(("/run".into(), None, 0o1777)));
        assert_eq!(parse("/a:size=1M,mode=700"), Some(("/a".into(), Some(1 << 20), 0o700)));
        for bad in ["", "run", "/run:size=x", "/run:mode=9", "/run:mode=17777", "/run:exec"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn variables_come_with_a_value_or_from_outside_by_name() {
        let outside = |name: &str| (name == "HERE").then(|| OsString::from("outside"));
        let words = ["A=1".to_owned(), "HERE".to_owned(), "GONE".to_owned(), "B=".to_owned()];
        assert_eq!(environment(&words, outside).unwrap(), ["A=1", "HERE=outside", "B="]);
        assert!(environment(&["=x".to_owned()], outside).is_err());
        assert_eq!(lines_of_file("A=1\n\n # no\nB=# yes\n"), ["A=1", "B=# yes"]);
    }
}

//! Instructions that change the configuration alone.

use serde_json::Value;

use super::StageBuild;
use crate::configuration;
use crate::containerfile::{
    Argument, CommandLine, Healthcheck, Instruction, Kind, Problem, Word, expand_words,
};
use crate::error::Stop;
use crate::variables::is_proxy;

/// How a shell is called where nobody says it.
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

impl StageBuild<'_> {
    pub(super) fn set(&mut self, instruction: &Instruction) -> Result<(), Stop> {
        let created_by = match &instruction.kind {
            Kind::Arg(arguments) => self.declare(instruction, arguments)?,
            Kind::Env(pairs) => {
                let pairs = self.pairs(instruction, pairs)?;
                for (name, value) in &pairs {
                    self.state.variables.set(name, value);
                    self.state.configuration.set_variable(name, value);
                }
                format!("ENV {}", joined(&pairs))
            }
            Kind::Label(pairs) => {
                let pairs = self.pairs(instruction, pairs)?;
                self.state.configuration.config.labels.extend(pairs.iter().cloned());
                format!("LABEL {}", joined(&pairs))
            }
            Kind::Cmd(command) => {
                let command = self.command(command);
                let created_by = format!("CMD {}", quoted(&command));
                self.state.configuration.config.cmd = Some(command);
                self.state.has_command = true;
                created_by
            }
            Kind::Entrypoint(command) => {
                let command = self.command(command);
                let created_by = format!("ENTRYPOINT {}", quoted(&command));
                self.state.configuration.config.entrypoint = Some(command);
                // What the base runs is not meant as arguments of this.
                if !self.state.has_command {
                    self.state.configuration.config.cmd = None;
                }
                created_by
            }
            Kind::Expose(words) => {
                let mut ports = Vec::new();
                for word in words {
                    ports.extend(self.ports(instruction, word)?);
                }
                for port in &ports {
                    let exposed = &mut self.state.configuration.config.exposed_ports;
                    exposed.insert(port.clone(), Value::Object(serde_json::Map::new()));
                }
                format!("EXPOSE [{}]", ports.join(" "))
            }
            Kind::Healthcheck(check) => {
                self.state.configuration.config.healthcheck = Some(self.healthcheck(check));
                super::shown(instruction)
            }
            Kind::Maintainer(name) => {
                self.state.configuration.author = Some(name.clone());
                format!("MAINTAINER {name}")
            }
            Kind::OnBuild(trigger) => {
                self.state.configuration.config.on_build.push(trigger.clone());
                format!("ONBUILD {trigger}")
            }
            Kind::Shell(words) => {
                self.state.configuration.config.shell = Some(words.clone());
                format!("SHELL [{}]", words.join(" "))
            }
            Kind::StopSignal(word) => {
                let signal = self.expanded(instruction, word)?;
                if !is_signal(&signal) {
                    let expected = "a signal's name or number";
                    let problem =
                        Problem::new(word.at, "STOPSIGNAL", format!("{signal:?}"), expected);
                    return Err(problem.in_text(&instruction.text).into());
                }
                self.state.configuration.config.stop_signal = Some(signal.clone());
                format!("STOPSIGNAL {signal}")
            }
            Kind::User(word) => {
                let user = self.filled(instruction, word)?;
                self.state.configuration.config.user.clone_from(&user);
                format!("USER {user}")
            }
            Kind::Volume(words) => {
                let mut volumes = Vec::new();
                for word in words {
                    volumes.push(self.filled(instruction, word)?);
                }
                for volume in &volumes {
                    let there = &mut self.state.configuration.config.volumes;
                    there.insert(volume.clone(), Value::Object(serde_json::Map::new()));
                }
                format!("VOLUME [{}]", volumes.join(" "))
            }
            // The others are steps of their own.
            Kind::Add(_) | Kind::Copy(_) | Kind::Run(_) | Kind::Workdir(_) | Kind::From(_) => {
                return Ok(());
            }
        };
        self.state.configuration.note(self.state.created.as_deref(), created_by);
        Ok(())
    }

    /// A command line as it is called.
    pub(super) fn command(&self, command: &CommandLine) -> Vec<String> {
        match command {
            CommandLine::Exec(words) => words.clone(),
            CommandLine::Shell(text) => {
                let mut words = match &self.state.configuration.config.shell {
                    Some(shell) => shell.clone(),
                    None => DEFAULT_SHELL.map(str::to_owned).to_vec(),
                };
                words.push(text.clone());
                words
            }
        }
    }

    /// What is given to programs of the build besides, and told to nobody.
    pub(super) fn proxies(&self) -> Vec<String> {
        let given = self.build.options.arguments.iter();
        let proxies = given.filter(|(name, _)| is_proxy(name));
        proxies.map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn declare(
        &mut self,
        instruction: &Instruction,
        arguments: &[Argument],
    ) -> Result<String, Stop> {
        let mut told = Vec::new();
        for Argument { name, default } in arguments {
            let given = self.build.options.arguments.iter().rfind(|(there, _)| there == name);
            let value = match (given, default) {
                (Some((_, value)), _) => Some(value.clone()),
                (None, Some(word)) => Some(self.expanded(instruction, word)?),
                (None, None) => self.build.plan.globals.get(name).map(str::to_owned),
            };
            if let Some(value) = &value {
                // Docker's documentation has it that `ENV` always counts. BuildKit, and with it every
                // Docker of today, takes what was said last; the image keeps what `ENV` said.
                self.state.variables.set(name, value);
            }
            told.push(match &value {
                Some(value) => format!("{name}={value}"),
                None => name.clone(),
            });
            self.state.arguments.retain(|(there, _)| there != name);
            self.state.arguments.push((name.clone(), value));
        }
        Ok(format!("ARG {}", told.join(" ")))
    }

    fn pairs(
        &self,
        instruction: &Instruction,
        pairs: &[(Word, Word)],
    ) -> Result<Vec<(String, String)>, Stop> {
        let expanded = pairs.iter().map(|(name, value)| {
            Ok((self.filled(instruction, name)?, self.expanded(instruction, value)?))
        });
        expanded.collect()
    }

    /// A word that must not become empty.
    pub(super) fn filled(&self, instruction: &Instruction, word: &Word) -> Result<String, Stop> {
        let value = self.expanded(instruction, word)?;
        match value.is_empty() {
            false => Ok(value),
            true => {
                let found = "nothing, its variables replaced";
                let problem = Problem::new(word.at, instruction.kind.name(), found, "a value");
                Err(problem.in_text(&instruction.text).into())
            }
        }
    }

    /// `80`, `80/udp` and `8000-8010` as ports are listed.
    fn ports(&self, instruction: &Instruction, word: &Word) -> Result<Vec<String>, Stop> {
        let variables = |name: &str| self.state.variables.get(name).map(str::to_owned);
        let wrong = |found: &str| {
            let expected = "PORT, PORT-PORT, or one of them with /tcp, /udp or /sctp";
            Problem::new(word.at, "EXPOSE", format!("{found:?}"), expected)
        };
        let words = expand_words(&word.text, self.build.plan.escape, &variables);
        let words = words
            .map_err(|problem| Problem { at: word.at + problem.at, ..problem })
            .map_err(|problem| problem.in_text(&instruction.text))?;
        let mut ports = Vec::new();
        for text in words {
            let read = ports_of(&text).ok_or_else(|| wrong(&text).in_text(&instruction.text))?;
            ports.extend(read);
        }
        Ok(ports)
    }

    fn healthcheck(&self, check: &Healthcheck) -> configuration::Healthcheck {
        let Healthcheck::Command {
            command,
            interval,
            timeout,
            start_period,
            start_interval,
            retries,
        } = check
        else {
            let test = vec!["NONE".to_owned()];
            return configuration::Healthcheck { test, ..Default::default() };
        };
        let nanoseconds = |time: &Option<std::time::Duration>| {
            time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
        };
        let test = match command {
            CommandLine::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
            CommandLine::Exec(words) => {
                ["CMD".to_owned()].into_iter().chain(words.iter().cloned()).collect()
            }
        };
        configuration::Healthcheck {
            test,
            interval: nanoseconds(interval),
            timeout: nanoseconds(timeout),
            start_period: nanoseconds(start_period),
            start_interval: nanoseconds(start_interval),
            retries: retries.unwrap_or(0).into(),
        }
    }
}

fn ports_of(text: &str) -> Option<Vec<String>> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return None;
    }
    // `HOST:PORT` was taken once; what is on the host was never the image's affair.
    let ports = ports.rsplit(':').next()?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    let all = (first <= last).then(|| (first..=last).map(|port| format!("{port}/{protocol}")));
    all.map(Iterator::collect)
}

/// Whether this is a signal: a number, or a name with or without `SIG`.
fn is_signal(text: &str) -> bool {
    const NAMES: [&str; 34] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT",
        "KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM",
        "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
    ];
    if let Ok(number) = text.parse::<u32>() {
        return (1..=64).contains(&number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |name: &str| {
        let within = |rest: &str, sign: char| {
            rest.is_empty()
                || rest
                    .strip_prefix(sign)
                    .and_then(|n| n.parse::<u32>().ok())
                    .is_some_and(|n| n <= 15)
        };
        name.strip_prefix("RTMIN").is_some_and(|rest| within(rest, '+'))
            || name.strip_prefix("RTMAX").is_some_and(|rest| within(rest, '-'))
    };
    NAMES.contains(&name) || real_time(name)
}

fn joined(pairs: &[(String, String)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(" ")
}

/// Words in brackets, each in quotes.
fn quoted(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_signals() {
        assert_eq!(ports_of("80").unwrap(), ["80/tcp"]);
        assert_eq!(ports_of("7-9/UDP").unwrap(), ["7/udp", "8/udp", "9/udp"]);
        assert_eq!(ports_of("8080:80").unwrap(), ["80/tcp"]);
        for wrong in ["", "x", "80/x", "9-7", "65536", "-1"] {
            assert_eq!(ports_of(wrong), None, "{wrong}");
        }
        for signal in ["9", "SIGKILL", "term", "SIGRTMIN+3", "RTMAX"] {
            assert!(is_signal(signal), "{signal}");
        }
        for wrong in ["", "0", "65", "SIGNONE", "RTMIN+16"] {
            assert!(!is_signal(wrong), "{wrong}");
        }
    }
}

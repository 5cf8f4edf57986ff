//! Instructions that change the configuration of an image.

use sapwood_build::containerfile::{
    CommandLine, Instruction, Kind, Mode, Word, expand, parse_trigger,
};
use serde_json::{Map, Value, json};

use crate::error::{CliError, Result};

/// What a command is given to that is no list of words.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];
/// As in Containerfiles.
const ESCAPE: char = '\\';

/// Changes, understood.
#[derive(Debug)]
pub struct Changes(Vec<Instruction>);

impl Changes {
    /// Reads instructions.
    pub fn read(texts: &[String]) -> Result<Changes> {
        let read = |text: &String| {
            let refused =
                |problem: &dyn std::fmt::Display| CliError::usage(format!("{text:?}: {problem}"));
            let instruction = parse_trigger(text).map_err(|error| refused(&error))?;
            match instruction.kind {
                Kind::Cmd(_)
                | Kind::Entrypoint(_)
                | Kind::Env(_)
                | Kind::Expose(_)
                | Kind::Label(_)
                | Kind::OnBuild(_)
                | Kind::StopSignal(_)
                | Kind::User(_)
                | Kind::Volume(_)
                | Kind::Workdir(_) => Ok(instruction),
                kind => Err(refused(&format!("{} changes no configuration", kind.name()))),
            }
        };
        texts.iter().map(read).collect::<Result<_>>().map(Changes)
    }

    /// Changes the member `config` of an image's configuration.
    pub fn apply(&self, config: &mut Value) -> sapwood::Result<()> {
        self.0.iter().try_for_each(|instruction| apply(instruction, config))
    }
}

fn apply(instruction: &Instruction, config: &mut Value) -> sapwood::Result<()> {
    let known = environment(config);
    let text = |word: &Word| text_of(word, &known);
    match &instruction.kind {
        Kind::Cmd(command) => config["Cmd"] = command_line(command, config).into(),
        Kind::Entrypoint(command) => {
            config["Entrypoint"] = command_line(command, config).into();
        }
        Kind::Env(pairs) => {
            for (name, value) in pairs {
                let (name, value) = (text(name)?, text(value)?);
                let of_name = format!("{name}=");
                let variables = list(config, "Env");
                variables.retain(|known| !known.as_str().unwrap_or("").starts_with(&of_name));
                variables.push(format!("{of_name}{value}").into());
            }
        }
        Kind::Label(pairs) => {
            for (name, value) in pairs {
                members(config, "Labels").insert(text(name)?, text(value)?.into());
            }
        }
        Kind::Expose(ports) => {
            for port in ports {
                let port = text(port)?;
                let port = if port.contains('/') { port } else { format!("{port}/tcp") };
                members(config, "ExposedPorts").insert(port, json!({}));
            }
        }
        Kind::Volume(paths) => {
            for path in paths {
                members(config, "Volumes").insert(text(path)?, json!({}));
            }
        }
        Kind::OnBuild(trigger) => list(config, "OnBuild").push(trigger.clone().into()),
        Kind::StopSignal(signal) => config["StopSignal"] = text(signal)?.into(),
        Kind::User(user) => config["User"] = text(user)?.into(),
        Kind::Workdir(path) => {
            let before = config["WorkingDir"].as_str().unwrap_or("/");
            // One that is not absolute goes on from the one before.
            let path = std::path::Path::new("/").join(before).join(text(path)?);
            config["WorkingDir"] = path.to_string_lossy().into();
        }
        kind => unreachable!("{} was refused when it was read", kind.name()),
    }
    Ok(())
}

/// A word with the variables of the image in their place.
fn text_of(word: &Word, known: &[(String, String)]) -> sapwood::Result<String> {
    let value = |name: &str| {
        known.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    };
    expand(&word.text, ESCAPE, Mode::Unquote, &value).map_err(|problem| {
        let found = format!("{:?}: {}", word.text, problem.found);
        sapwood::Error::invalid("change a configuration", "word", found, problem.expected)
    })
}

fn environment(config: &Value) -> Vec<(String, String)> {
    let variables = config["Env"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let pairs = variables.filter_map(|text| text.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn command_line(command: &CommandLine, config: &Value) -> Vec<String> {
    match command {
        CommandLine::Exec(words) => words.clone(),
        CommandLine::Shell(text) => {
            let of_image = config["Shell"].as_array().into_iter().flatten();
            let mut words: Vec<String> =
                of_image.filter_map(Value::as_str).map(str::to_owned).collect();
            if words.is_empty() {
                words = SHELL.map(str::to_owned).to_vec();
            }
            words.push(text.clone());
            words
        }
    }
}

fn list<'a>(config: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    if !config[key].is_array() {
        config[key] = json!([]);
    }
    config[key].as_array_mut().expect("made one above")
}

fn members<'a>(config: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !config[key].is_object() {
        config[key] = json!({});
    }
    config[key].as_object_mut().expect("made one above")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instruction_changes_what_it_names() {
        let changes = [
            "CMD [\"run\", \"it\"]",
            "ENTRYPOINT exec $HOME/it",
            "ENV A=1 B=\"$OLD x\"",
            "ENV OLD=new",
            "EXPOSE 80 53/udp",
            "LABEL key=\"a value\"",
            "ONBUILD RUN true",
            "STOPSIGNAL INT",
            "USER www",
            "VOLUME /data",
            "WORKDIR sub",
        ];
        let mut config = json!({ "Env": ["OLD=was"], "WorkingDir": "/srv", "Other": 1 });
        Changes::read(&changes.map(str::to_owned)).unwrap().apply(&mut config).unwrap();
        let expected = json!({
            "Cmd": ["run", "it"],
            "Entrypoint": ["/bin/sh", "-c", "exec $HOME/it"],
            "Env": ["A=1", "B=was x", "OLD=new"],
            "ExposedPorts": { "80/tcp": {}, "53/udp": {} },
            "Labels": { "key": "a value" },
            "OnBuild": ["RUN true"],
            "StopSignal": "INT",
            "User": "www",
            "Volumes": { "/data": {} },
            "WorkingDir": "/srv/sub",
            "Other": 1,
        });
        assert_eq!(config, expected);
        for bad in ["", "RUN true", "COPY a b", "NONSENSE", "ENV", "CMD\nCMD"] {
            let error = Changes::read(&[bad.to_owned()]).unwrap_err();
            assert!(matches!(error, CliError::Usage(_)), "{bad}");
        }
    }
}

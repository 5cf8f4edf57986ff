//! The configuration of an image: what runs in it, and how it came to be.
//!
//! The types of `oci-spec` lack what Docker adds (health checks, shells, triggers), and would drop
//! it from images that have it.

use std::collections::BTreeMap;

use sapwood_oci::CACHE_KEYS_FIELD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What programs are looked for in where an image does not say it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The configuration of an image. What is not known here is kept as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// When it was made, as RFC 3339 writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The processor, by its name in Go.
    #[serde(default)]
    pub architecture: String,
    /// Its variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The operating system, by its name in Go.
    #[serde(default)]
    pub os: String,
    /// What runs.
    #[serde(default)]
    pub config: Execution,
    /// The digests of its layers, where they are known.
    #[serde(default)]
    pub rootfs: RootFilesystem,
    /// How it came to be, from the first step on.
    #[serde(default, deserialize_with = "or_default")]
    pub history: Vec<History>,
    /// The rest.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What runs in an image, unless something else is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    /// As whom.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports that are served.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Value>,
    /// `NAME=VALUE`
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// What is run always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Its arguments, or what is run where there is no entry point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// How to find out whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Directories whose content is not the image's.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Value>,
    /// In which directory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Instructions for those who build on it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// What people say of it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// The shell of later instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// The rest.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How to find out whether a container is well. Times are in nanoseconds, 0 for the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// The command, behind a word that says how it is called.
    #[serde(default)]
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub interval: u64,
    /// Until one counts as failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout: u64,
    /// Until failures count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_period: u64,
    /// Between two checks in that time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_interval: u64,
    /// How often it may fail.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u64,
}

/// The digests of layers, lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFilesystem {
    /// `layers`
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the archives that they are.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<String>,
}

/// A step by which an image came to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Whether it made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// The rest.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for RootFilesystem {
    fn default() -> RootFilesystem {
        RootFilesystem { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

impl Configuration {
    /// The keys of the steps that made the layers, lowest first; none of those that no step made.
    pub fn cache_keys(&self) -> Vec<Option<String>> {
        let keys = self.other.get(CACHE_KEYS_FIELD).and_then(Value::as_array);
        let keys = keys.into_iter().flatten();
        keys.map(|key| key.as_str().map(str::to_owned)).collect()
    }

    /// Notes the key of the step that made layer `number`, counted from the lowest one.
    pub fn note_cache_key(&mut self, number: usize, key: &str) {
        let mut keys = self.cache_keys();
        keys.resize(number, None);
        keys.push(Some(key.to_owned()));
        self.other.insert(CACHE_KEYS_FIELD.to_owned(), keys.into());
    }

    /// How many layers its history tells of.
    pub fn layers(&self) -> usize {
        self.history.iter().filter(|step| !step.empty_layer).count()
    }

    /// Notes a step that made no layer.
    pub fn note(&mut self, created: Option<&str>, created_by: impl Into<String>) {
        self.history.push(History {
            created: created.map(str::to_owned),
            created_by: Some(created_by.into()),
            empty_layer: true,
            ..History::default()
        });
    }

    /// Notes a step that made a layer.
    pub fn note_layer(&mut self, created: &str, created_by: impl Into<String>) {
        self.note(Some(created), created_by);
        if let Some(step) = self.history.last_mut() {
            step.empty_layer = false;
        }
    }

    /// Gives the steps behind the first `from` that have no time this one.
    pub fn date_steps(&mut self, from: usize, created: &str) {
        let steps = self.history.iter_mut().skip(from);
        for step in steps.filter(|step| step.created.is_none()) {
            step.created = Some(created.to_owned());
        }
    }

    /// Says of the last steps that are more than there are layers that they made none.
    pub fn keep_steps_of(&mut self, layers: usize) {
        let surplus = self.layers().saturating_sub(layers);
        let steps = self.history.iter_mut().rev().filter(|step| !step.empty_layer);
        steps.take(surplus).for_each(|step| step.empty_layer = true);
    }

    /// Sets a variable, in its place where it is there.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        let text = format!("{name}={value}");
        let is_it = |there: &&mut String| there.split('=').next() == Some(name);
        match self.config.env.iter_mut().find(is_it) {
            Some(there) => *there = text,
            None => self.config.env.push(text),
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Others write `null` where there is nothing.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_kept() {
        let text = r#"{"architecture":"amd64","os":"linux","x":1,"config":{"Env":null,
            "Volumes":{"/v":{}},"Healthcheck":{"Test":["NONE"]},"Y":[2]},
            "rootfs":{"type":"layers","diff_ids":["sha256:00"]},
            "history":[{"created_by":"a","comment":"b"}]}"#;
        let nothing = text.replace(r#"["sha256:00"]"#, "null");
        let nothing = format!("{}null}}", &nothing[..nothing.find("[{").unwrap()]);
        let read: Configuration = serde_json::from_str(&nothing).unwrap();
        assert_eq!((read.history.len(), read.rootfs.diff_ids.len()), (0, 0));
        let read: Configuration = serde_json::from_str(text).unwrap();
        assert!(read.config.volumes.contains_key("/v"));
        let value: Value = serde_json::to_value(&read).unwrap();
        assert_eq!(value["x"], 1);
        assert_eq!(value["config"]["Y"][0], 2);
        assert_eq!(value["history"][0]["comment"], "b");
        assert_eq!(value["config"].get("Env"), None);
    }

    #[test]
    fn variables_keep_their_places() {
        let mut configuration = Configuration::default();
        configuration.set_variable("A", "1");
        configuration.set_variable("AB", "2");
        configuration.set_variable("A", "3=4");
        assert_eq!(configuration.config.env, ["A=3=4", "AB=2"]);
    }
}

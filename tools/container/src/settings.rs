//! How a container is to run: what people ask for, over what its image says.

use std::path::PathBuf;

use oci_spec::image;
use serde::{Deserialize, Serialize};

use crate::job::{Access, Content, Job, Mount, Network, hostname_of};
use crate::process::Process;

/// What people ask for; what they leave out the image says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// In place of the image's entry point; the image's command goes with that.
    pub entrypoint: Option<Vec<String>>,
    /// In place of the image's command; empty for that.
    pub command: Vec<String>,
    /// `KEY=VALUE`, over the image's.
    pub environment: Vec<String>,
    /// In place of the image's working directory.
    pub directory: Option<String>,
    /// In place of the image's user.
    pub user: Option<String>,
    /// Files and directories of the host that are mounted in the container.
    pub volumes: Vec<HostMount>,
    /// Directories in memory.
    pub memory_folders: Vec<MemoryMount>,
    /// Whether what is not mounted can only be read.
    pub is_read_only: bool,
    /// So much of the machine's memory it may have.
    pub memory_bytes: Option<u64>,
    /// What of the network it sees.
    pub network: Network,
    /// The name of its machine; without one the container's.
    pub hostname: Option<String>,
    /// Whether it goes when its process has ended; then nothing of it is made durable.
    pub is_temporary: bool,
    /// Whether the process gets a terminal.
    pub terminal: bool,
    /// The name of the runtime; without one the first that is installed.
    pub runtime: Option<String>,
}

/// A file or directory of the host that is mounted in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostMount {
    /// On the host.
    pub source: PathBuf,
    /// In the container.
    pub target: PathBuf,
    /// Whether it can be written.
    pub access: Access,
}

/// An empty directory in memory that is mounted in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryMount {
    /// In the container.
    pub target: PathBuf,
    /// How large it may become; half of the machine's memory where nothing is said.
    pub size_bytes: Option<u64>,
    /// Its permissions.
    pub permissions: u16,
}

impl Settings {
    /// The process that these mean over an image's configuration.
    pub fn process(&self, image: Option<&image::Config>) -> Process {
        let of_image = |get: fn(&image::Config) -> &Option<Vec<String>>| {
            image.and_then(|image| get(image).clone()).unwrap_or_default()
        };
        let text_of_image = |get: fn(&image::Config) -> &Option<String>| {
            image.and_then(|image| get(image).clone()).unwrap_or_default()
        };
        let command = match (&self.entrypoint, self.command.is_empty()) {
            (None, true) => of_image(image::Config::cmd),
            (_, false) => self.command.clone(),
            // A command of the image is one for the image's own entry point.
            (Some(_), true) => Vec::new(),
        };
        let entrypoint = self.entrypoint.clone();
        let mut arguments = entrypoint.unwrap_or_else(|| of_image(image::Config::entrypoint));
        arguments.extend(command);
        let mut environment = of_image(image::Config::env);
        environment.extend(self.environment.iter().cloned());
        let directory = self.directory.clone();
        let user = self.user.clone();
        Process {
            arguments,
            environment,
            directory: directory.unwrap_or_else(|| text_of_image(image::Config::working_dir)),
            user: user.unwrap_or_else(|| text_of_image(image::Config::user)),
            terminal: self.terminal,
        }
    }

    /// All of it, for a container of this name.
    pub(crate) fn job(&self, process: &Process, name: &str) -> Job {
        let mount = |volume: &HostMount| Mount {
            target: volume.target.clone(),
            content: Content::Host(volume.source.clone()),
            access: volume.access,
        };
        let in_memory = |folder: &MemoryMount| Mount {
            target: folder.target.clone(),
            content: Content::Memory {
                size_bytes: folder.size_bytes,
                permissions: folder.permissions,
            },
            access: Access::ReadWrite,
        };
        let volumes = self.volumes.iter().map(mount);
        Job {
            process: process.clone(),
            mounts: volumes.chain(self.memory_folders.iter().map(in_memory)).collect(),
            directories: Vec::new(),
            root: if self.is_read_only { Access::ReadOnly } else { Access::ReadWrite },
            memory_bytes: self.memory_bytes,
            network: self.network,
            hostname: self.hostname.clone().unwrap_or_else(|| hostname_of(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_is_asked_for_goes_over_what_the_image_says() {
        let mut image = image::Config::default();
        image
            .set_entrypoint(Some(texts(&["entry"])))
            .set_cmd(Some(texts(&["command"])))
            .set_env(Some(texts(&["A=image"])))
            .set_working_dir(Some("/image".to_owned()))
            .set_user(Some("www".to_owned()));
        let arguments = |entrypoint: Option<&[&str]>, command: &[&str]| {
            let settings = Settings {
                entrypoint: entrypoint.map(texts),
                command: texts(command),
                ..Settings::default()
            };
            settings.process(Some(&image)).arguments.join(" ")
        };
        assert_eq!(arguments(None, &[]), "entry command");
        assert_eq!(arguments(None, &["given", "-x"]), "entry given -x");
        assert_eq!(arguments(Some(&["other"]), &[]), "other");
        assert_eq!(arguments(Some(&["other"]), &["given"]), "other given");
        assert_eq!(arguments(Some(&[]), &["given"]), "given");

        let process = Settings::default().process(Some(&image));
        assert_eq!((process.directory.as_str(), process.user.as_str()), ("/image", "www"));
        let settings = Settings {
            environment: texts(&["A=given"]),
            directory: Some("/given".to_owned()),
            user: Some("0".to_owned()),
            ..Settings::default()
        };
        let process = settings.process(Some(&image));
        assert_eq!((process.directory.as_str(), process.user.as_str()), ("/given", "0"));
        assert_eq!(process.environment, ["A=image", "A=given"]);
        assert_eq!(settings.process(None).arguments, texts(&[]));
    }
}

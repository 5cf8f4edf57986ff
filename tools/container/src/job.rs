//! What is asked for: a process, what is mounted around it, and its network.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::process::Process;

/// A process and what it sees besides its tree.
#[derive(Clone, Debug)]
pub struct Job {
    /// What runs.
    pub process: Process,
    /// What is mounted in the tree besides the kernel's own filesystems.
    pub mounts: Vec<Mount>,
    /// Directories that are made in its tree where that lacks them, by their paths from the root on.
    pub directories: Vec<String>,
    /// What of the network it sees.
    pub network: Network,
    /// The name of its machine.
    pub hostname: String,
    /// Whether its tree can be written.
    pub root: Access,
    /// So much of the machine's memory it may have; with more it is killed.
    pub memory_bytes: Option<u64>,
}

impl Default for Job {
    fn default() -> Job {
        Job {
            process: Process::default(),
            mounts: Vec::new(),
            directories: Vec::new(),
            network: Network::default(),
            hostname: hostname_of(""),
            root: Access::ReadWrite,
            memory_bytes: None,
        }
    }
}

/// What of the network a process sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// That of the host.
    #[default]
    Host,
    /// Only itself.
    None,
}

/// Something that is mounted in the tree of a process. The tree has nothing of it afterwards.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Where: an absolute path in the tree, whose symlinks are followed inside it.
    pub target: PathBuf,
    /// What.
    pub content: Content,
    /// Whether it can be written.
    pub access: Access,
}

/// What can be mounted in the tree of a process.
#[derive(Clone, Debug)]
pub enum Content {
    /// A file or directory of the host.
    Host(PathBuf),
    /// A directory of the host that was opened, whatever its path leads to by now.
    Opened(Arc<File>),
    /// A file or directory of another tree, which is mounted at `root`: symlinks on the way of `path`
    /// are followed inside that tree.
    Tree {
        /// Where on the host the other tree is mounted.
        root: PathBuf,
        /// What of it, from its root on.
        path: PathBuf,
    },
    /// An empty directory in memory.
    Memory {
        /// How large it may become; half of the machine's memory where nothing is said.
        size_bytes: Option<u64>,
        /// Its permissions.
        permissions: u16,
    },
    /// A file that reaches no disk.
    Secret {
        /// What it says.
        bytes: Vec<u8>,
        /// The number of its owner.
        owner: u32,
        /// The number of its group.
        group: u32,
        /// Its permissions.
        permissions: u16,
    },
}

/// Whether something can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// It can only be read.
    ReadOnly,
    /// It can be read and written.
    ReadWrite,
}

/// The standard streams of a process.
#[derive(Debug)]
pub struct Streams {
    /// What it reads.
    pub stdin: Stdio,
    /// Where it writes.
    pub stdout: Stdio,
    /// Where it complains.
    pub stderr: Stdio,
}

impl Streams {
    /// Those of this process.
    pub fn inherited() -> Streams {
        Streams { stdin: Stdio::inherit(), stdout: Stdio::inherit(), stderr: Stdio::inherit() }
    }
}

/// A name as that of a machine: of letters, digits and hyphens, 63 at most.
pub fn hostname_of(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().map(fit).take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "container".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_one_of_a_machine() {
        assert_eq!(hostname_of("web-1"), "web-1");
        assert_eq!(hostname_of("team/web:größe"), "team-web-gr--e");
        assert_eq!(hostname_of("/"), "container");
        assert_eq!(hostname_of(&"a".repeat(200)).len(), 63);
    }
}

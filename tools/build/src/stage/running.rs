//! `RUN`.

use std::io::{PipeReader, Read, pipe};
use std::path::PathBuf;
use std::thread;

use sapwood::Error;
use sapwood_container::{
    Access, Content, Job, Mount, Network as JobNetwork, Place, Process, Sandbox, Streams,
};
use sapwood_fuse::LastCommit;

use super::StageBuild;
use super::mounts::Mounted;
use crate::cache::Inputs;
use crate::containerfile::{CommandLine, Instruction, Network, Run, is_alone};
use crate::error::{Cause, Stop};
use crate::event::{Event, Outcome, Stream};

/// How much of what a program writes is told at once.
const OUTPUT_BYTES: usize = 8 << 10;
/// Where a script stands that is a document.
const SCRIPTS: &str = "/dev/pipes";

/// What is run.
struct Called {
    arguments: Vec<String>,
    /// A script that is mounted for it: its name and what it says.
    script: Option<(String, String)>,
}

impl StageBuild<'_> {
    pub(super) fn run(&mut self, instruction: &Instruction, run: &Run) -> Result<Outcome, Stop> {
        let called = self.called(instruction, run);
        let mut inputs = Inputs::default();
        inputs.add("instruction", format!("RUN {}", called.arguments.join(" ")));
        inputs.add("arguments", format!("{:?}", called.arguments));
        if let Some((_, script)) = &called.script {
            inputs.add("script", script);
        }
        for (name, value) in self.state.variables.iter() {
            inputs.add(format!("variable {name}"), value);
        }
        let config = &self.state.configuration.config;
        inputs.add("user", &config.user);
        inputs.add("directory", &config.working_dir);
        let network = match run.network {
            Network::Default => "default",
            Network::Host => "host",
            Network::None => "none",
        };
        inputs.add("network", network);
        for directory in config.volumes.keys() {
            inputs.add("volume", directory);
        }
        let mounts = self.mounts(instruction, run, &mut inputs)?;
        let created_by = self.run_by(&called);
        let network = run.network;
        self.layer(inputs, created_by, |stage| {
            let process = Process {
                arguments: called.arguments,
                environment: stage.environment(),
                directory: match stage.state.configuration.config.working_dir.as_str() {
                    "" => "/".to_owned(),
                    directory => directory.to_owned(),
                },
                user: stage.state.configuration.config.user.clone(),
                terminal: false,
            };
            let network = match network {
                Network::None => JobNetwork::None,
                Network::Default | Network::Host => JobNetwork::Host,
            };
            let directories = stage.state.configuration.config.volumes.keys().cloned().collect();
            let mut job = Job { process, network, directories, ..Job::default() };
            let place = stage.workshop()?.place()?;
            place.make()?;
            let mut mounted = Mounted::default();
            let ran = mounted.all(stage, &mounts, &place, &mut job).and_then(|()| {
                if let Some((name, script)) = called.script {
                    job.mounts.push(Mount {
                        target: PathBuf::from(format!("{SCRIPTS}/{name}")),
                        content: Content::Secret {
                            bytes: script.into_bytes(),
                            owner: 0,
                            group: 0,
                            permissions: 0o755,
                        },
                        access: Access::ReadOnly,
                    });
                }
                stage.execute(&job, &place)
            });
            let ended = mounted.end();
            let removed = place.remove();
            ran?;
            ended?;
            removed?;
            Ok(())
        })
    }

    /// What is called: by a shell, or as it is; a document is a script or is the shell's.
    fn called(&self, instruction: &Instruction, run: &Run) -> Called {
        let plain =
            |command: &CommandLine| Called { arguments: self.command(command), script: None };
        let CommandLine::Shell(text) = &run.command else { return plain(&run.command) };
        let Some(first) = instruction.heredocs.first() else { return plain(&run.command) };
        let is_alone = instruction.heredocs.len() == 1 && is_alone(text);
        if !is_alone {
            let mut whole = text.clone();
            for heredoc in &instruction.heredocs {
                whole += &format!("\n{}{}", heredoc.content, heredoc.name);
            }
            return plain(&CommandLine::Shell(whole));
        }
        let script = first.stripped_content();
        if script.starts_with("#!") {
            let arguments = vec![format!("{SCRIPTS}/{}", first.name)];
            return Called { arguments, script: Some((first.name.clone(), script)) };
        }
        plain(&CommandLine::Shell(script))
    }

    fn environment(&self) -> Vec<String> {
        let variables = self.state.variables.iter();
        let mut environment: Vec<_> =
            variables.map(|(name, value)| format!("{name}={value}")).collect();
        for proxy in self.proxies() {
            let name = proxy.split('=').next().unwrap_or_default();
            if self.state.variables.get(name).is_none() {
                environment.push(proxy);
            }
        }
        environment
    }

    /// The step as the history tells it: with the arguments that it saw.
    fn run_by(&self, called: &Called) -> String {
        let arguments: Vec<_> = self
            .state
            .arguments
            .iter()
            .map(|(name, value)| {
                let value = self.state.variables.get(name).or(value.as_deref());
                format!("{name}={}", value.unwrap_or_default())
            })
            .collect();
        let count = match arguments.len() {
            0 => String::new(),
            count => format!("|{count} {} ", arguments.join(" ")),
        };
        format!("RUN {count}{}", called.arguments.join(" "))
    }

    fn execute(&mut self, job: &Job, place: &Place) -> Result<(), Stop> {
        let failed = |error| Stop::from(Error::io("run a program", error));
        let runtime = self.build.runtime()?;
        let (output, into_output) = pipe().map_err(failed)?;
        let (errors, into_errors) = pipe().map_err(failed)?;
        let streams = Streams {
            stdin: std::process::Stdio::null(),
            stdout: into_output.into(),
            stderr: into_errors.into(),
        };
        let (build, number) = (self.build, self.number);
        let (step, listener) = (&self.step.clone(), build.listener);
        let workshop = self.workshop()?;
        let code = thread::scope(|scope| {
            let tell = |reader, stream| {
                forward(reader, &mut |bytes| listener(Event::Wrote(step, stream, bytes)));
            };
            scope.spawn(move || tell(output, Stream::Output));
            scope.spawn(move || tell(errors, Stream::Error));
            let mut code = 0;
            workshop.lend(|files| -> Result<_, Stop> {
                let mut sandbox = Sandbox::start(&runtime, files, place, job, streams)?;
                let signaller = sandbox.signaller();
                let ended = build.while_running(number, signaller, || sandbox.wait());
                let files = sandbox.end(LastCommit::Leave)?;
                code = ended?;
                Ok(files)
            })?;
            Ok::<_, Stop>(code)
        })?;
        match code {
            0 => Ok(()),
            _ if self.build.is_abandoned() => Err(Stop::Abandoned),
            code => Err(Stop::Cause(Cause::Exit(code))),
        }
    }
}

/// Tells what comes out of a pipe until everybody has closed it.
fn forward(mut pipe: PipeReader, tell: &mut dyn FnMut(&[u8])) {
    let mut buffer = vec![0; OUTPUT_BYTES];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => tell(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // What is said is for people; what is done does not depend on it.
            Err(_) => return,
        }
    }
}

//! The mount's side.

use std::io::{self, BufReader};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use sapwood::files::Files;
use sapwood::{Annotations, Error, Result};

use super::folder::SocketFolder;
use super::message::Message;
use crate::device::{FilesystemNumber, path_bytes};
use crate::ending::{Ending, Told};
use crate::live::Live;

/// Askers at a time; further ones are turned away.
const ASKERS_MAX: usize = 64;
/// How long it is before an asker is taken again where none could be.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

/// The socket of a mount, and who is being served through it.
#[derive(Debug)]
pub struct Control {
    folder: SocketFolder,
    listener: Arc<UnixListener>,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    live: Live,
    directory: PathBuf,
    number: FilesystemNumber,
    ending: Ending,
    /// Nobody is served any more.
    is_over: AtomicBool,
    askers: Mutex<Vec<(Arc<UnixStream>, JoinHandle<()>)>>,
}

impl Control {
    /// Listens in `folder`.
    pub fn listen(
        folder: &Path,
        live: Live,
        ending: Ending,
        directory: &Path,
        number: FilesystemNumber,
    ) -> Result<Control> {
        let failed = |error| Error::io("listen for askers", error).in_file(folder);
        let (listener, folder) = bind(folder)?;
        let listener = Arc::new(listener);
        let shared = Arc::new(Shared {
            live,
            directory: directory.to_owned(),
            number,
            ending,
            is_over: AtomicBool::new(false),
            askers: Mutex::default(),
        });
        let thread = thread::Builder::new()
            .name("sapwood-control".to_owned())
            .spawn({
                let (listener, shared) = (Arc::clone(&listener), Arc::clone(&shared));
                move || accept(&listener, &shared)
            })
            .map_err(failed)?;
        Ok(Control { folder, listener, shared, thread })
    }

    /// Serves nobody any more: those who wait have been told how the mount ended.
    pub fn end(self) {
        // First the name, so that nobody comes to a socket where nobody answers. Without it the
        // next mount replaces the socket, so a failure costs nothing.
        let _ = self.folder.remove();
        self.shared.is_over.store(true, Ordering::SeqCst);
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        // A thread that panicked has said so, and holds nothing.
        let _ = self.thread.join();
        for (stream, thread) in std::mem::take(&mut *self.shared.askers.lock()) {
            // Those who are still thinking about what to ask get no answer any more.
            let _ = stream.shutdown(Shutdown::Read);
            let _ = thread.join();
        }
    }
}

/// A socket in `folder`, reached through a descriptor: paths of sockets end at 108 bytes.
fn bind(folder: &Path) -> Result<(UnixListener, SocketFolder)> {
    let (made, askers) = SocketFolder::make(folder)?;
    made.remove_socket()?;
    let bound = UnixListener::bind(made.socket());
    let listener = bound.map_err(|error| Error::io("listen for askers", error).in_file(folder))?;
    made.open_to(askers)?;
    Ok((listener, made))
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => Arc::new(stream),
            // The socket was shut down.
            Err(_) if shared.is_over.load(Ordering::SeqCst) => return,
            Err(_) => {
                // An asker that is gone, or no descriptor is free: who asks waits until one is.
                thread::sleep(ACCEPT_AGAIN);
                continue;
            }
        };
        let mut askers = shared.askers.lock();
        askers.retain(|(_, thread)| !thread.is_finished());
        if askers.len() >= ASKERS_MAX || shared.ending.has_ended() {
            continue;
        }
        let serving = thread::Builder::new().name("sapwood-asker".to_owned()).spawn({
            let (shared, stream) = (Arc::clone(shared), Arc::clone(&stream));
            // An asker that hangs up in mid-sentence has nothing to be told.
            move || drop(serve(&stream, &shared))
        });
        if let Ok(thread) = serving {
            askers.push((stream, thread));
        }
    }
}

fn serve(stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = Message::receive(&mut reader)? {
        let reply = match request.word.as_str() {
            "where" => place(shared),
            "flush" => {
                let flushed = shared.live.with("commit", Files::flush);
                if flushed.is_ok() {
                    shared.ending.try_now();
                }
                reply(flushed.map(|()| Message::new("ok")))
            }
            "snapshot" => reply(snapshot(&request, &shared.live)),
            "wait" => match shared.ending.wait() {
                Ok(()) => Message::new("ok"),
                Err(told) => refusal(&told),
            },
            "give-up" => {
                shared.ending.give_up();
                Message::new("ok")
            }
            word => {
                let unknown = Error::invalid("serve an asker", "request", word, "a known one");
                refusal(&Told::of(&unknown))
            }
        };
        reply.send(stream)?;
    }
    Ok(())
}

fn place(shared: &Shared) -> Message {
    let place = Message::new("ok")
        .with("directory", path_bytes(&shared.directory))
        .with("filesystem", shared.number.to_string());
    match shared.ending.refused() {
        Some(refused) => place.with("wants-room", refused.text),
        None => place,
    }
}

fn snapshot(request: &Message, live: &Live) -> Result<Message> {
    let mut annotations = Annotations {
        created: request.text("created").and_then(|text| text.parse().ok()),
        created_by: request.text("created-by").map(str::to_owned),
        comment: request.text("comment").map(str::to_owned),
        ..Annotations::default()
    };
    for (key, value) in &request.fields {
        if let (Some(label), Ok(value)) = (key.strip_prefix("label."), std::str::from_utf8(value)) {
            annotations.labels.insert(label.to_owned(), value.to_owned());
        }
    }
    let snapshot = live.with("take a snapshot", |files| files.snapshot(&annotations))?;
    Ok(Message::new("ok").with("layer", snapshot.layer_id().to_string()))
}

fn reply(done: Result<Message>) -> Message {
    done.unwrap_or_else(|error| refusal(&Told::of(&error)))
}

fn refusal(told: &Told) -> Message {
    Message::new("error").with("kind", told.kind.as_str()).with("text", &told.text)
}

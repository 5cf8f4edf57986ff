//! A registry in memory that does wrong what a test wants it to do wrong.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use sapwood_oci::Sha256;

/// A request, without its body.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HashMap<String, String>,
    /// How many requests of this method and path came before.
    pub before: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The length that is told, where that is not the body's; `None` for none.
    pub told: Option<Option<u64>>,
    /// The body again and again, for ever.
    pub is_endless: bool,
}

impl Reply {
    pub fn of(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Reply {
        self.body = body.into();
        self
    }
}

/// What goes wrong with a request.
pub enum Fault {
    /// Another answer.
    Reply(Reply),
    /// The right answer, cut off after so many bytes of its body.
    CutReply(usize),
    /// The connection breaks after so many bytes of what is sent.
    CutRequest(usize),
    /// All of a blob, whatever part is asked for.
    NoRange,
}

type Faults = dyn Fn(&Seen) -> Option<Fault> + Send + Sync;

#[derive(Default)]
struct State {
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, (String, Vec<u8>)>,
    uploads: HashMap<String, Vec<u8>>,
    uploads_begun: usize,
    seen: Vec<Seen>,
}

/// The registry; it ends with the value.
pub struct Server {
    pub host: String,
    state: Arc<Mutex<State>>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    /// One that does everything right but for the faults.
    pub fn start(faults: impl Fn(&Seen) -> Option<Fault> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let is_over = Arc::new(AtomicBool::new(false));
        let faults: Arc<Faults> = Arc::new(faults);
        let server = Server { host, state: Arc::clone(&state), is_over: Arc::clone(&is_over) };
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let (state, faults) = (Arc::clone(&state), Arc::clone(&faults));
                let stream = stream.unwrap();
                // A client that goes away is none of the server's business.
                thread::spawn(move || drop(serve(&stream, &state, &*faults)));
            }
        });
        server
    }

    pub fn put_blob(&self, bytes: &[u8]) -> Sha256 {
        let digest = Sha256::of(bytes);
        self.state.lock().unwrap().blobs.insert(digest.to_string(), bytes.to_vec());
        digest
    }

    pub fn put_manifest(&self, reference: &str, media_type: &str, bytes: &[u8]) -> Sha256 {
        let digest = Sha256::of(bytes);
        let manifests = &mut self.state.lock().unwrap().manifests;
        for name in [reference, &digest.to_string()] {
            manifests.insert(name.to_owned(), (media_type.to_owned(), bytes.to_vec()));
        }
        digest
    }

    pub fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        self.state.lock().unwrap().blobs.get(digest).cloned()
    }

    pub fn manifest(&self, reference: &str) -> Option<(String, Vec<u8>)> {
        self.state.lock().unwrap().manifests.get(reference).cloned()
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// How many requests there were of this method, with this in their path.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.seen().iter().filter(|seen| seen.is(method, part)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // The listener wakes up and sees it.
        drop(TcpStream::connect(&self.host));
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>, faults: &Faults) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(mut seen) = read_head(&mut reader)? {
        let fault = {
            let mut state = state.lock().unwrap();
            let same = |old: &&Seen| old.method == seen.method && old.path == seen.path;
            seen.before = state.seen.iter().filter(same).count();
            state.seen.push(seen.clone());
            drop(state);
            faults(&seen)
        };
        let length: u64 = seen.header("content-length").parse().unwrap_or(0);
        let limit = match fault {
            Some(Fault::CutRequest(bytes)) => length.min(bytes as u64),
            _ => length,
        };
        let mut body = Vec::new();
        (&mut reader).take(limit).read_to_end(&mut body)?;
        let reply = match &fault {
            Some(Fault::Reply(reply)) => reply.clone(),
            Some(Fault::NoRange) => {
                seen.headers.remove("range");
                answer(&seen, body, &mut state.lock().unwrap())
            }
            _ => answer(&seen, body, &mut state.lock().unwrap()),
        };
        match fault_cut(&fault, &reply) {
            None => write_reply(stream, &seen, &reply)?,
            Some(None) => return Ok(()),
            Some(Some(cut)) => return write_reply(stream, &seen, &cut),
        }
        if reply.told.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

/// What is left of a reply that a fault cuts: nothing, or a part that says it is all.
fn fault_cut(fault: &Option<Fault>, reply: &Reply) -> Option<Option<Reply>> {
    match fault {
        Some(Fault::CutRequest(_)) => Some(None),
        Some(Fault::CutReply(bytes)) => {
            let mut cut = reply.clone();
            cut.told = Some(Some(reply.body.len() as u64));
            cut.body.truncate(*bytes);
            Some(Some(cut))
        }
        _ => None,
    }
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Seen>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let mut seen = Seen { method: words.next().unwrap().to_owned(), ..Seen::default() };
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (seen.path, seen.query) = (path.to_owned(), query.to_owned());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        seen.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(Some(seen))
}

fn write_reply(mut stream: &TcpStream, seen: &Seen, reply: &Reply) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Status\r\n", reply.status);
    match reply.told.unwrap_or(Some(reply.body.len() as u64)) {
        Some(length) if reply.status != 204 => head += &format!("Content-Length: {length}\r\n"),
        Some(_) => {}
        None => head += "Connection: close\r\n",
    }
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if seen.method == "HEAD" {
        return Ok(());
    }
    loop {
        stream.write_all(&reply.body)?;
        if !reply.is_endless {
            return Ok(());
        }
    }
}

/// What the specification of distribution says.
fn answer(seen: &Seen, body: Vec<u8>, state: &mut State) -> Reply {
    let parameter = |name: &str| {
        let mut pairs = seen.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
    };
    let (above, last) = seen.path.rsplit_once('/').unwrap();
    let is_upload = above.ends_with("/blobs/uploads");
    let received = |bytes: usize| format!("0-{}", bytes.saturating_sub(1));
    match seen.method.as_str() {
        "GET" | "HEAD" if above.ends_with("/manifests") => match state.manifests.get(last) {
            Some((media_type, bytes)) => Reply::of(200)
                .with("Content-Type", media_type)
                .with("Docker-Content-Digest", Sha256::of(bytes).to_string())
                .body(bytes.clone()),
            None => unknown("MANIFEST_UNKNOWN", "manifest unknown"),
        },
        "GET" | "HEAD" if above.ends_with("/blobs") => match state.blobs.get(last) {
            Some(bytes) => part_of(bytes, seen.header("range")),
            None => unknown("BLOB_UNKNOWN", "blob unknown"),
        },
        "POST" if is_upload => {
            let id = format!("upload-{}", state.uploads_begun);
            state.uploads_begun += 1;
            state.uploads.insert(id.clone(), Vec::new());
            Reply::of(202).with("Location", format!("{above}/{id}?state=a%2Fb"))
        }
        "GET" if is_upload && state.uploads.contains_key(last) => {
            Reply::of(204).with("Range", received(state.uploads[last].len()))
        }
        "PATCH" if is_upload && state.uploads.contains_key(last) => {
            let upload = state.uploads.get_mut(last).unwrap();
            let begin = seen.header("content-range").split('-').next().unwrap();
            if !begin.is_empty() && begin.parse() != Ok(upload.len()) {
                return Reply::of(416).with("Range", received(upload.len()));
            }
            upload.extend(body);
            let range = received(upload.len());
            Reply::of(202)
                .with("Location", format!("{}?state=a%2Fb", seen.path))
                .with("Range", range)
        }
        "PUT" if is_upload && state.uploads.contains_key(last) => {
            let bytes = state.uploads.remove(last).unwrap();
            let digest = Sha256::of(&bytes).to_string();
            if parameter("digest").as_deref() != Some(&digest) {
                return unknown("DIGEST_INVALID", "provided digest did not match");
            }
            state.blobs.insert(digest, bytes);
            Reply::of(201)
        }
        "PUT" if above.ends_with("/manifests") => {
            let media_type = seen.header("content-type").to_owned();
            state.manifests.insert(last.to_owned(), (media_type, body));
            Reply::of(201)
        }
        _ => unknown("UNSUPPORTED", "nothing is there"),
    }
}

fn unknown(code: &str, message: &str) -> Reply {
    let json = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}","detail":null}}]}}"#);
    Reply::of(if code == "DIGEST_INVALID" { 400 } else { 404 }).body(json)
}

/// The bytes that a `Range` asks for: `bytes=FIRST-`.
fn part_of(bytes: &[u8], range: &str) -> Reply {
    let first = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    match first.and_then(|first| first.parse::<usize>().ok()) {
        None => Reply::of(200).body(bytes),
        Some(first) if first < bytes.len() => Reply::of(206)
            .with("Content-Range", format!("bytes {first}-{}/{}", bytes.len() - 1, bytes.len()))
            .body(&bytes[first..]),
        Some(_) => Reply::of(416),
    }
}

//! The fork server engine: one clang, started once and stopped at its `main`, forks a child for each backend.
//! Knows nothing of flags or scheduling; the library that stops clang is `sys/preload.rs`, carried inside this binary.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::children::{Children, Running};

const LIBRARY: &[u8] = include_bytes!(env!("THINLTO_LD_PRELOAD"));

/// From so many backends on, a server's start pays: it costs about as much as two plain processes do.
pub const WORTH_IT: usize = 8;

/// How long a clang may take to reach its `main`: a cold disk and a busy machine included.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why there is no fork server; the name stands in the stats, and plain processes do the work.
#[derive(Debug, thiserror::Error)]
pub enum NoServer {
    /// The library could not be put where clang would load it from.
    #[error("fork server library not written: {0}")]
    Library(io::Error),
    /// The loader takes no path with a space or a colon in it.
    #[error("fork server library not loadable from a path with a space or a colon")]
    Path,
    /// clang could not be started.
    #[error("fork server not started: {0}")]
    Start(io::Error),
    /// clang ran, but not as a server: it is a script, statically linked, or the preload was refused.
    #[error("clang does not load the fork server library")]
    NotLoaded,
}

type Waiting = Arc<Mutex<HashMap<u32, Sender<i32>>>>;

/// A server, and what waits for its answers.
#[derive(Debug)]
pub struct ForkServer {
    socket: Mutex<UnixStream>,
    waiting: Waiting,
    numbers: AtomicU32,
    folder: PathBuf,
    clang: Option<Running>,
}

impl ForkServer {
    /// Starts `clang` as a server that keeps its files in `folder`.
    ///
    /// # Errors
    /// See [`NoServer`]; none of them is the link's.
    pub fn start(clang: &Path, folder: &Path, children: &Children) -> Result<ForkServer, NoServer> {
        let library = folder.join("forkserver.so");
        if library.as_os_str().as_bytes().iter().any(|byte| b" :".contains(byte)) {
            return Err(NoServer::Path);
        }
        fs::write(&library, LIBRARY).map_err(NoServer::Library)?;
        let (ours, theirs) = UnixStream::pair().map_err(NoServer::Start)?;
        let mut command = Command::new(clang);
        command
            .env("LD_PRELOAD", preload(&library))
            // All symbols resolved now and not in each child anew.
            .env("LD_BIND_NOW", "1")
            .env(
                "THINLTO_LD_FORKSERVER",
                fs::canonicalize(clang).map_err(NoServer::Start)?,
            )
            .env("GLIBC_TUNABLES", tunables())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let running = children.spawn(&mut command).map_err(NoServer::Start)?;
        // Else the socket's other end lives on here, and its closing would never show.
        drop(command);
        let mut server = ForkServer {
            socket: Mutex::new(ours),
            waiting: Waiting::default(),
            numbers: AtomicU32::new(0),
            folder: folder.to_owned(),
            clang: Some(running),
        };
        match server.greet() {
            Ok(reader) => {
                let waiting = Arc::clone(&server.waiting);
                thread::spawn(move || listen(reader, &waiting));
                Ok(server)
            }
            Err(_) => {
                server.hang_up();
                Err(NoServer::NotLoaded)
            }
        }
    }

    /// The server's first word; any other program has none that reads like it.
    fn greet(&self) -> io::Result<UnixStream> {
        let mut reader = self.socket.lock().unwrap_or_else(PoisonError::into_inner).try_clone()?;
        reader.set_read_timeout(Some(PATIENCE))?;
        let mut greeting = [0; 6];
        reader.read_exact(&mut greeting)?;
        reader.set_read_timeout(None)?;
        if &greeting == b"ready\n" {
            Ok(reader)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// Runs `clang ARGUMENTS` in a child to its end: how it ended, and what it wrote to stderr.
    ///
    /// # Errors
    /// The server is gone, or what the child wrote cannot be read.
    pub fn run(&self, arguments: &[OsString]) -> io::Result<(ExitStatus, String)> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let said = self.folder.join(format!("stderr.{number}"));
        let (sender, answer) = mpsc::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, sender);
        let request = request(number, &said, arguments)?;
        self.socket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(&request)?;
        let status = answer.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        let mut text = Vec::new();
        match File::open(&said) {
            Ok(mut file) => file.read_to_end(&mut text).map(drop)?,
            // A child that could not open it says so by its status.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok((
            ExitStatus::from_raw(status),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    }

    fn hang_up(&mut self) {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever it is that runs there, it ends when nobody listens, or is ended.
        let _ = socket.shutdown(std::net::Shutdown::Both);
        if let Some(clang) = self.clang.take() {
            clang.kill();
            let _ = clang.output();
        }
    }
}

impl Drop for ForkServer {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// Hands each answer to who waits for it; when the server is gone, everybody is told by their sender's end.
fn listen(mut reader: UnixStream, waiting: &Waiting) {
    let mut answer = [0; 8];
    while reader.read_exact(&mut answer).is_ok() {
        let [a, b, c, d, e, f, g, h] = answer;
        let sender = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&u32::from_le_bytes([a, b, c, d]));
        if let Some(sender) = sender {
            let _ = sender.send(i32::from_le_bytes([e, f, g, h]));
        }
    }
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// `LENGTH NUMBER`, little-endian, then the file for stderr and the arguments, each ended by a zero byte.
fn request(number: u32, said: &Path, arguments: &[OsString]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    for word in std::iter::once(said.as_os_str()).chain(arguments.iter().map(OsString::as_os_str)) {
        body.extend_from_slice(word.as_bytes());
        body.push(0);
    }
    let length = u32::try_from(body.len()).map_err(|_| io::Error::from(io::ErrorKind::ArgumentListTooLong))?;
    let mut request = length.to_le_bytes().to_vec();
    request.extend(number.to_le_bytes());
    request.append(&mut body);
    Ok(request)
}

/// Ours before what is preloaded already (fakeroot), which clang is to keep.
fn preload(library: &Path) -> OsString {
    let mut list = library.as_os_str().to_owned();
    if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        list.push(":");
        list.push(others);
    }
    list
}

/// glibc's malloc on huge pages, taken in larger steps: most of what a short compile waits for is page faults.
fn tunables() -> OsString {
    let mut tunables = OsString::from("glibc.malloc.hugetlb=1:glibc.malloc.top_pad=16777216");
    if let Some(others) = std::env::var_os("GLIBC_TUNABLES").filter(|others| !others.is_empty()) {
        tunables.push(":");
        tunables.push(others);
    }
    tunables
}

//! The fork server engine: one clang, started once and stopped at its `main`, forks workers that each run one backend
//! after the other. Knows nothing of flags or scheduling; the library that stops clang is `sys/preload.rs`, carried
//! inside this binary.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::children::{Children, Running};
use crate::staging::Staging;
use crate::toolchain::malloc;

/// The library that stops a clang at its `main`, and watches over one on another machine.
pub const LIBRARY: &[u8] = include_bytes!(env!("THINLTO_LD_PRELOAD"));

/// From so many backends on, a server's start pays: it costs about as much as two plain processes do.
pub const WORTH_IT: usize = 8;

/// From so many backends on, moving clang's code to huge pages pays: it takes as long as one or two short backends.
const LONG: usize = 64;

/// How much a server is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// A few backends.
    Short,
    /// Enough of them for what takes a server longer to start and each backend less time.
    Long,
}

impl Load {
    /// Of so many backends.
    pub fn of(backends: usize) -> Load {
        match backends {
            LONG.. => Load::Long,
            _ => Load::Short,
        }
    }
}

/// What the server tells of a worker that ended with no backend to do.
const NONE: u32 = u32::MAX;

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

/// A server, its workers, and who waits for their answers.
#[derive(Debug)]
pub struct ForkServer {
    shared: Arc<Shared>,
    origin: Origin,
    clang: Option<Running>,
}

/// What a server is started of.
#[derive(Clone, Debug)]
struct Origin {
    clang: PathBuf,
    library: PathBuf,
    /// Where workers write what they say.
    folder: PathBuf,
    load: Load,
    children: Children,
}

#[derive(Debug)]
struct Shared {
    /// One byte asks for a worker; the server tells of each that ends.
    control: UnixStream,
    /// Requests, which any idle worker takes, and their answers.
    requests: UnixDatagram,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<u32, Sender<i32>>,
    last_number: u32,
    /// Workers asked for that have not ended.
    workers: usize,
    /// How many backends may run at once.
    allowed: usize,
    /// The server is gone, or has lost a request: nothing more is to be had of it.
    gone: bool,
}

impl State {
    /// Nothing more is to be had of the server: everybody is told by their sender's end.
    fn lose(&mut self) {
        self.gone = true;
        self.waiting.clear();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for workers while there are requests for them and they may run.
    fn balance(&self, state: &mut State) -> io::Result<()> {
        while state.workers < state.waiting.len().min(state.allowed) {
            (&self.control).write_all(b"w")?;
            state.workers += 1;
        }
        Ok(())
    }

    fn answered(&self, number: u32, status: i32) {
        // Who is gone has no use for it.
        if let Some(sender) = self.state().waiting.remove(&number) {
            let _ = sender.send(status);
        }
    }

    /// A worker has ended. One that was at nothing was not to end: what it may have taken along nobody will answer.
    fn ended(&self, number: u32, status: i32) {
        self.answered(number, status);
        let mut state = self.state();
        state.workers = state.workers.saturating_sub(1);
        if number == NONE || self.balance(&mut state).is_err() {
            state.lose();
        }
    }
}

impl ForkServer {
    /// Starts `clang` as a server. Its library is in the folder for much: those in memory are often mounted without leave
    /// to execute what is in them. What workers say is in that for small files.
    ///
    /// # Errors
    /// See [`NoServer`]; none of them is the link's.
    pub fn start(clang: &Path, staging: &Staging, load: Load, children: &Children) -> Result<ForkServer, NoServer> {
        let library = staging.path("forkserver.so");
        if library.as_os_str().as_bytes().iter().any(|byte| b" :".contains(byte)) {
            return Err(NoServer::Path);
        }
        fs::write(&library, LIBRARY).map_err(NoServer::Library)?;
        ForkServer::launch(Origin {
            clang: clang.to_owned(),
            library,
            folder: staging.indexes().to_owned(),
            load,
            children: children.clone(),
        })
    }

    /// Another one of the same kind, where this is gone.
    ///
    /// # Errors
    /// As [`ForkServer::start`].
    pub fn again(&self) -> Result<ForkServer, NoServer> {
        ForkServer::launch(self.origin.clone())
    }

    /// Whether nothing more is to be had of it.
    pub fn is_gone(&self) -> bool {
        self.shared.state().gone
    }

    fn launch(origin: Origin) -> Result<ForkServer, NoServer> {
        let (control, their_control) = UnixStream::pair().map_err(NoServer::Start)?;
        let (requests, their_requests) = UnixDatagram::pair().map_err(NoServer::Start)?;
        let mut command = Command::new(&origin.clang);
        command
            .env("LD_PRELOAD", preload(&origin.library))
            // All symbols resolved now and not in each child anew.
            .env("LD_BIND_NOW", "1")
            .env(
                "THINLTO_LD_FORKSERVER",
                fs::canonicalize(&origin.clang).map_err(NoServer::Start)?,
            )
            .envs(malloc::of_backends().map(|told| (malloc::VARIABLE, told)))
            .stdin(Stdio::from(OwnedFd::from(their_control)))
            .stdout(Stdio::from(OwnedFd::from(their_requests)))
            .stderr(Stdio::null());
        if origin.load == Load::Long {
            command.env("THINLTO_LD_FORKSERVER_LONG", "1");
        }
        let running = origin.children.spawn(&mut command).map_err(NoServer::Start)?;
        // Else the sockets' other ends live on here, and their closing would never show.
        drop(command);
        let mut server = ForkServer {
            shared: Arc::new(Shared {
                control,
                requests,
                state: Mutex::default(),
            }),
            origin,
            clang: Some(running),
        };
        match server.greet() {
            Ok(()) => {
                let (told, answered) = (Arc::clone(&server.shared), Arc::clone(&server.shared));
                for attend in [
                    thread::Builder::new().spawn(move || listen(&told)),
                    thread::Builder::new().spawn(move || hear(&answered)),
                ] {
                    attend.map_err(NoServer::Start)?;
                }
                Ok(server)
            }
            Err(_) => {
                server.hang_up();
                // Whatever it is that runs there.
                if let Some(clang) = server.clang.take() {
                    clang.kill();
                    let _ = clang.output();
                }
                Err(NoServer::NotLoaded)
            }
        }
    }

    /// Whether it was started for at least that much.
    pub fn bears(&self, load: Load) -> bool {
        self.origin.load >= load
    }

    /// The server's first word; any other program has none that reads like it.
    fn greet(&self) -> io::Result<()> {
        let mut control = &self.shared.control;
        control.set_read_timeout(Some(PATIENCE))?;
        let mut greeting = [0; 6];
        control.read_exact(&mut greeting)?;
        control.set_read_timeout(None)?;
        if &greeting == b"ready\n" {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// So many backends may run at once from now on. Workers there are already stay: fewer may run only when there is
    /// nothing left for more to do, and a worker with nothing to do sleeps.
    pub fn allow(&self, backends: usize) {
        let mut state = self.shared.state();
        state.allowed = backends;
        if self.shared.balance(&mut state).is_err() {
            state.lose();
        }
    }

    /// Runs `clang ARGUMENTS` in a worker to its end: how it ended, and what it wrote to stderr. What comes when as many
    /// run as may is taken up by the first that is free again.
    ///
    /// # Errors
    /// The server is gone, or what the worker wrote cannot be read.
    pub fn run(&self, arguments: &[OsString]) -> io::Result<(ExitStatus, String)> {
        let (sender, answer) = mpsc::channel();
        let number = {
            let mut state = self.shared.state();
            if state.gone {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            state.last_number = state.last_number.wrapping_add(1) % NONE;
            let number = state.last_number;
            state.waiting.insert(number, sender);
            if let Err(error) = self.shared.balance(&mut state) {
                state.lose();
                return Err(error);
            }
            number
        };
        let said = self.origin.folder.join(format!("stderr.{number}"));
        // One that is longer than a socket takes (net.core.wmem_default) is none that anybody will answer.
        if let Err(error) = self.shared.requests.send(&request(number, &said, arguments)) {
            self.shared.state().waiting.remove(&number);
            return Err(error);
        }
        let status = answer.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        let mut text = Vec::new();
        match File::open(&said) {
            Ok(mut file) => file.read_to_end(&mut text).map(drop)?,
            // A worker that could not open it says so by its status.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok((
            ExitStatus::from_raw(status),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    }

    /// Ends it, and waits for that.
    pub fn end(mut self) {
        self.hang_up();
        if let Some(clang) = self.clang.take() {
            let _ = clang.output();
        }
    }

    fn hang_up(&self) {
        let _ = self.shared.control.shutdown(std::net::Shutdown::Both);
        let _ = self.shared.requests.shutdown(std::net::Shutdown::Both);
    }
}

impl Drop for ForkServer {
    /// A server that nobody listens to ends its workers and itself. The link need not wait for that.
    fn drop(&mut self) {
        self.hang_up();
        if let Some(clang) = self.clang.take() {
            // Where there is no thread to wait for it, nobody does.
            let _ = thread::Builder::new().spawn(move || clang.output());
        }
    }
}

fn words(answer: [u8; 8]) -> (u32, i32) {
    let [a, b, c, d, e, f, g, h] = answer;
    (u32::from_le_bytes([a, b, c, d]), i32::from_le_bytes([e, f, g, h]))
}

/// Hears of the ends of workers, and of the server's.
fn listen(shared: &Shared) {
    let mut told = [0; 8];
    while (&shared.control).read_exact(&mut told).is_ok() {
        let (number, status) = words(told);
        shared.ended(number, status);
    }
    shared.state().lose();
}

/// Hears the workers' answers.
fn hear(shared: &Shared) {
    let mut answer = [0; 8];
    while let Ok(8) = shared.requests.recv(&mut answer) {
        let (number, status) = words(answer);
        shared.answered(number, status);
    }
    // Who still waits would wait for ever.
    shared.state().lose();
}

/// How a process is told to leave freeing to its end; a worker has other backends before its end.
const NOT_TO_FREE: &str = "-disable-free";

/// `NUMBER`, little-endian, then the file for stderr and the arguments, each ended by a zero byte.
fn request(number: u32, said: &Path, arguments: &[OsString]) -> Vec<u8> {
    let mut request = number.to_le_bytes().to_vec();
    let arguments = arguments.iter().filter(|word| *word != NOT_TO_FREE);
    for word in std::iter::once(said.as_os_str()).chain(arguments.map(OsString::as_os_str)) {
        request.extend_from_slice(word.as_bytes());
        request.push(0);
    }
    request
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

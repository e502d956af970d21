//! Runs a backend on an engine: its one or two `clang -cc1` steps, their stderr kept, its object checked.
//! Knows nothing of flags, caches or scheduling; it is given argument vectors and a path that must become an object.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use object::BinaryFormat;

use super::launcher::Launcher;
use super::served::Served;
use crate::children::{Children, Running};

/// One backend: what to run, and what it must leave.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Argument vectors from `-cc1` on; one, or two where optimisation and code generation part.
    pub steps: Vec<Vec<OsString>>,
    /// The object the last step writes.
    pub object: PathBuf,
}

impl Backend {
    /// The same, its object put elsewhere.
    #[must_use]
    pub fn leaving(&self, object: &Path) -> Backend {
        let word = |word: &OsString| match word.as_os_str() == self.object.as_os_str() {
            true => object.as_os_str().to_owned(),
            false => word.clone(),
        };
        let steps = self.steps.iter().map(|step| step.iter().map(word).collect());
        Backend {
            steps: steps.collect(),
            object: object.to_owned(),
        }
    }
}

/// How a process ended that was not to end so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// By its own word.
    #[error("exited with status {0}")]
    Status(i32),
    /// By a signal.
    #[error("was killed by signal {0}")]
    Signal(i32),
}

/// How a backend failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// clang refused the module and said why.
    #[error("clang reported errors")]
    Diagnosed(String),
    /// clang died, or ended in a way that is no verdict on the module.
    #[error("clang {end}")]
    Crashed {
        /// How.
        end: End,
        /// What it printed.
        stderr: String,
    },
    /// clang was content, but left no valid object: it does so when an import or an index cannot be read.
    #[error("clang exited 0 but left {found}")]
    NoObject {
        /// What was found instead.
        found: &'static str,
        /// What it printed.
        stderr: String,
    },
    /// clang could not be run.
    #[error("cannot run {0}: {1}")]
    Spawn(PathBuf, io::Error),
    /// The command that the user has run on objects was not content.
    #[error("post-backend command {what}")]
    Post {
        /// Its words.
        command: String,
        /// `failed (exit status: 1)`, `left no object`.
        what: String,
        /// What it printed.
        said: String,
    },
    /// What it reads or leaves cannot be put in its place.
    #[error("{0}")]
    Unprepared(String),
    /// A signal came first.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// Whether what ran it was ended from outside, or is not there any more.
    fn is_death(&self) -> bool {
        match self {
            Failure::Spawn(..) => true,
            Failure::Crashed { end, .. } => matches!(end, End::Signal(_)),
            _ => false,
        }
    }
}

/// What runs a step.
#[derive(Debug)]
pub enum Engine {
    /// A process of its own.
    Process,
    /// A worker of the fork server.
    ForkServer(Box<Served>),
    /// A process of its own, started through a command of the user's.
    Launched(Launcher),
}

impl Engine {
    /// As the stats name it.
    pub fn name(&self) -> &'static str {
        match self {
            Engine::Process | Engine::Launched(_) => "process",
            Engine::ForkServer(_) => "forkserver",
        }
    }

    /// So many backends may run at once from now on; how many more it can be given, to start on without delay.
    pub fn allow(&self, running: usize) -> usize {
        match self {
            Engine::Process | Engine::Launched(_) => 0,
            Engine::ForkServer(server) => {
                server.allow(running);
                running
            }
        }
    }

    /// How many backends were run by a process of their own after all.
    pub fn retried(&self) -> usize {
        match self {
            Engine::Process | Engine::Launched(_) => 0,
            Engine::ForkServer(server) => server.lost(),
        }
    }

    /// Waits until nothing of it runs any more, so that what it cost counts among what we did.
    pub fn end(self) {
        if let Engine::ForkServer(server) = self {
            server.end();
        }
    }

    fn step(&self, clang: &Path, step: &[OsString], children: &Children) -> io::Result<(ExitStatus, String)> {
        match self {
            Engine::ForkServer(server) => {
                let (status, said) = server.run(step)?;
                children.settle(status);
                Ok((status, said))
            }
            Engine::Process => {
                let mut command = Command::new(clang);
                command.args(step);
                spawned(command, children)
            }
            Engine::Launched(launcher) => spawned(launcher.command(clang, step), children),
        }
    }
}

/// Runs a process to its end: how it ended, and what it wrote to stderr.
fn spawned(mut command: Command, children: &Children) -> io::Result<(ExitStatus, String)> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let output = children.spawn(&mut command).and_then(Running::output)?;
    Ok((output.status, String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Runs a backend to its end; its stderr if it left a valid object. One whose worker or server died is run once more by a
/// process of its own, unless nobody wants it any more: others' memory, or what a worker did before, may have been the cause.
///
/// # Errors
/// See [`Failure`].
pub fn run(
    engine: &Engine,
    clang: &Path,
    backend: &Backend,
    children: &Children,
    is_wanted: &dyn Fn() -> bool,
) -> Result<String, Failure> {
    let ran = run_once(engine, clang, backend, children);
    let (Engine::ForkServer(server), Err(failure)) = (engine, &ran) else {
        return ran;
    };
    if !failure.is_death() || !is_wanted() {
        return ran;
    }
    server.has_lost_one();
    tracing::info!(object = %backend.object.display(), "its worker died: run by a process of its own");
    run_once(&Engine::Process, clang, backend, children)
}

fn run_once(engine: &Engine, clang: &Path, backend: &Backend, children: &Children) -> Result<String, Failure> {
    let mut said = String::new();
    for step in &backend.steps {
        let done = engine.step(clang, step, children);
        let (status, stderr) = done.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => Failure::Interrupted,
            _ if children.interrupted().is_some() => Failure::Interrupted,
            _ => Failure::Spawn(clang.to_owned(), error),
        })?;
        said.push_str(&stderr);
        if !status.success() {
            return Err(verdict(status, said, children));
        }
    }
    match flaw(&backend.object) {
        None => Ok(said),
        Some(found) => Err(Failure::NoObject { found, stderr: said }),
    }
}

fn verdict(status: ExitStatus, stderr: String, children: &Children) -> Failure {
    if children.interrupted().is_some() {
        return Failure::Interrupted;
    }
    match (status.code(), status.signal()) {
        (Some(1), _) => Failure::Diagnosed(stderr),
        (Some(code), _) => Failure::Crashed {
            end: End::Status(code),
            stderr,
        },
        (None, signal) => Failure::Crashed {
            end: End::Signal(signal.unwrap_or_default()),
            stderr,
        },
    }
}

/// What is wrong with an object a backend left: none, empty, or no ELF file with all its sections.
pub fn flaw(object: &Path) -> Option<&'static str> {
    let Ok(file) = fs::File::open(object) else {
        return Some("no object");
    };
    let Ok(map) = crate::sys::map(&file) else {
        return Some("an object that cannot be read");
    };
    if map.is_empty() {
        return Some("an empty object");
    }
    match object::File::parse(&*map) {
        Ok(file) if file.format() == BinaryFormat::Elf => None,
        _ => Some("a file that is no whole ELF object"),
    }
}

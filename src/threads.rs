//! Threads where fewer may be had than are wanted: a container bounds processes, and lld links there.
//! Knows nothing of what they do.

use std::error::Error;
use std::io;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread::{self, Builder, Scope, ScopedJoinHandle};

/// Why there is not one thread besides the first.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no thread can be started: {0}")]
pub struct NoThread(String);

/// Starts the threads that inputs and modules are read by, as many as there are CPUs or can be had, once.
///
/// # Errors
/// There is not one to be had. rayon would panic.
pub fn pool() -> Result<(), NoThread> {
    static POOL: OnceLock<Result<(), NoThread>> = OnceLock::new();
    POOL.get_or_init(|| start(wanted())).clone()
}

/// As many as rayon would want.
fn wanted() -> usize {
    let asked = std::env::var("RAYON_NUM_THREADS").ok();
    let asked = asked.and_then(|text| text.parse().ok()).filter(|count| *count > 0);
    asked.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// rayon is only told how many there are to be once they are there: it gives up for good where one is missing.
fn start(wanted: usize) -> Result<(), NoThread> {
    let mut waiting = Vec::new();
    let mut error = None;
    while waiting.len() < wanted.max(1) && error.is_none() {
        let (work, given) = mpsc::channel::<rayon::ThreadBuilder>();
        let thread = Builder::new().spawn(move || given.recv().map(rayon::ThreadBuilder::run));
        match thread {
            Ok(_) => waiting.push(work),
            Err(why) => error = Some(why),
        }
    }
    if let (true, Some(error)) = (waiting.is_empty(), error) {
        return Err(NoThread(error.to_string()));
    }
    let count = waiting.len();
    let hand_over = |thread: rayon::ThreadBuilder| match waiting.pop() {
        Some(work) => work.send(thread).map_err(|_| io::ErrorKind::BrokenPipe.into()),
        None => Err(io::ErrorKind::WouldBlock.into()),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count);
    match pool.spawn_handler(hand_over).build_global() {
        // Only what the operating system refuses has a source. The other error is a pool that is there already.
        Err(error) if error.source().is_some() => Err(NoThread(error.to_string())),
        _ => Ok(()),
    }
}

/// Work that is done by a thread of its own, or has been done already where there was none to be had.
#[derive(Debug)]
pub enum Beside<'scope, T> {
    /// By this one.
    Runs(ScopedJoinHandle<'scope, T>),
    /// Its result.
    Done(T),
}

/// Has `work` done beside what this thread does next; before that, where no thread can be started.
pub fn beside<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: &'scope (impl Fn() -> T + Sync),
) -> Beside<'scope, T> {
    match Builder::new().spawn_scoped(scope, work) {
        Ok(thread) => Beside::Runs(thread),
        Err(_) => Beside::Done(work()),
    }
}

impl<T> Beside<'_, T> {
    /// What it has come to; its panic is ours.
    pub fn joined(self) -> T {
        match self {
            Beside::Runs(thread) => joined(thread),
            Beside::Done(made) => made,
        }
    }
}

/// What a thread has come to; its panic is ours.
pub fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

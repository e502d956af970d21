//! A fork server, and the one that takes its place where it dies: by the OOM killer, or at a limit on processes.
//! Knows nothing of what becomes of the backends that went with it, but how many.

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::forkserver::ForkServer;

/// A server, or its one successor.
#[derive(Debug)]
pub struct Served {
    first: ForkServer,
    /// Started when the first is gone, if it could be.
    second: OnceLock<Option<ForkServer>>,
    /// How many backends may run at once, for the second to be told.
    allowed: AtomicUsize,
    /// How many it has lost.
    lost: AtomicUsize,
}

impl Served {
    /// By this server.
    pub fn by(first: ForkServer) -> Served {
        Served {
            first,
            second: OnceLock::new(),
            allowed: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        }
    }

    /// As [`ForkServer::allow`].
    pub fn allow(&self, backends: usize) {
        self.allowed.store(backends, Ordering::Release);
        self.first.allow(backends);
        if let Some(Some(second)) = self.second.get() {
            second.allow(backends);
        }
    }

    /// As [`ForkServer::run`].
    ///
    /// # Errors
    /// As there; the next backend is run by a new server, where there has not been one yet.
    pub fn run(&self, arguments: &[OsString]) -> io::Result<(ExitStatus, String)> {
        if !self.first.is_gone() {
            return self.first.run(arguments);
        }
        match self.second.get_or_init(|| self.successor()) {
            Some(second) => second.run(arguments),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn successor(&self) -> Option<ForkServer> {
        let second = self
            .first
            .again()
            .inspect_err(|error| tracing::info!("{error}; plain processes are used"))
            .ok()?;
        second.allow(self.allowed.load(Ordering::Acquire));
        Some(second)
    }

    /// A backend has gone with a worker of it, and is run by a process of its own.
    pub fn has_lost_one(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    /// Ends it, and waits for that.
    pub fn end(self) {
        self.first.end();
        if let Some(second) = self.second.into_inner().flatten() {
            second.end();
        }
    }
}

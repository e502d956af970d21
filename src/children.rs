//! The programs we started and the signals we were sent: a signal ends our children before it ends us.
//! Knows nothing of what the children do.

use std::collections::HashSet;
use std::io;
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

#[derive(Debug, Default)]
struct State {
    running: HashSet<Pid>,
    signal: Option<i32>,
}

/// The children of one link. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Children(Arc<Mutex<State>>);

impl Children {
    /// Watches for SIGINT, SIGTERM and SIGHUP from now on.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn watch() -> io::Result<Children> {
        let children = Children::default();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let watched = children.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                watched.end(signal);
            }
        });
        Ok(children)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, signal: i32) {
        let mut state = self.state();
        state.signal = Some(signal);
        for pid in &state.running {
            // A child that is already gone is what we want.
            let _ = kill_process(*pid, Signal::from_named_raw(signal).unwrap_or(Signal::TERM));
        }
    }

    /// The signal we were sent, if any: nothing more is to be started, and once all is tidied up it is to be raised.
    pub fn interrupted(&self) -> Option<i32> {
        self.state().signal
    }

    /// Starts a program, unless a signal has come.
    ///
    /// # Errors
    /// `Interrupted` after a signal; else as `spawn` says.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Running> {
        let mut state = self.state();
        if state.signal.is_some() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        state.running.extend(pid);
        Ok(Running {
            child,
            pid,
            children: self.clone(),
        })
    }
}

/// A child that runs; forgotten by [`Children`] when it is waited for.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pid: Option<Pid>,
    children: Children,
}

impl Running {
    /// Waits for its end.
    ///
    /// # Errors
    /// As `wait` says.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait();
        self.forget();
        status
    }

    /// Waits for its end and takes what it printed to pipes.
    ///
    /// # Errors
    /// As `wait_with_output` says.
    pub fn output(self) -> io::Result<Output> {
        let Running { child, pid, children } = self;
        let output = child.wait_with_output();
        if let Some(pid) = pid {
            children.state().running.remove(&pid);
        }
        output
    }

    /// Ends it at once.
    pub fn kill(&self) {
        if let Some(pid) = self.pid {
            // One that is already gone is what we want.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    fn forget(&self) {
        if let Some(pid) = self.pid {
            self.children.state().running.remove(&pid);
        }
    }
}

//! The programs we started and the signals we were sent: a signal ends our children before it ends us.
//! Knows nothing of what the children do.

use std::collections::HashSet;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

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
pub struct Children(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when a signal comes.
    came: Condvar,
}

const WATCHED: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// How long after a child died of a signal our own may come.
const LATE: Duration = Duration::from_millis(300);

impl Children {
    /// Watches for SIGINT, SIGTERM and SIGHUP from now on, but for those that whoever started us had ignored (nohup, a
    /// shell's background jobs).
    ///
    /// # Errors
    /// The handlers cannot be installed, or no thread started.
    pub fn watch() -> io::Result<Children> {
        let children = Children::default();
        let mut signals = Signals::new(
            [SIGINT, SIGTERM, SIGHUP]
                .into_iter()
                .filter(|signal| !is_ignored(*signal)),
        )?;
        let watched = children.clone();
        thread::Builder::new().spawn(move || {
            for signal in signals.forever() {
                watched.end(signal);
            }
        })?;
        Ok(children)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, signal: i32) {
        let mut state = self.state();
        state.signal = Some(signal);
        self.0.came.notify_all();
        for pid in &state.running {
            // A child that is already gone is what we want.
            let _ = kill_process(*pid, Signal::from_named_raw(signal).unwrap_or(Signal::TERM));
        }
    }

    /// The signal we were sent, if any: nothing more is to be started, and once all is tidied up it is to be raised.
    pub fn interrupted(&self) -> Option<i32> {
        self.state().signal
    }

    /// Ends those that run at once: nobody needs what they are at any more.
    pub fn kill(&self) {
        for pid in &self.state().running {
            // A child that is already gone is what we want.
            let _ = kill_process(*pid, Signal::KILL);
        }
    }

    fn forget(&self, pid: Option<Pid>) {
        if let Some(pid) = pid {
            self.state().running.remove(&pid);
        }
    }

    /// Ctrl-C goes to the whole process group: a child may have died of it and been waited for before we were told. Then
    /// this waits until we are, lest the child's death be taken for its own.
    pub fn settle(&self, status: ExitStatus) {
        if !status.signal().is_some_and(|signal| WATCHED.contains(&signal)) {
            return;
        }
        // However it ends: `interrupted` says what came of it.
        let _ = self
            .0
            .came
            .wait_timeout_while(self.state(), LATE, |state| state.signal.is_none());
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

/// Whether the signal is ignored, as the kernel tells; without /proc, or where it is none of Linux's, it is not.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    let bit = u32::try_from(signal - 1)
        .ok()
        .and_then(|shift| 1_u64.checked_shl(shift));
    mask.zip(bit).is_some_and(|(mask, bit)| mask & bit != 0)
}

/// A child that runs; forgotten by [`Children`] when it is waited for.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pid: Option<Pid>,
    children: Children,
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end and takes what it printed to pipes.
    ///
    /// # Errors
    /// As `wait_with_output` says.
    pub fn output(self) -> io::Result<Output> {
        let Running { child, pid, children } = self;
        let output = child.wait_with_output();
        children.forget(pid);
        if let Ok(output) = &output {
            children.settle(output.status);
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
}

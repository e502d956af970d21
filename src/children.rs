//! The programs we started and the signals we were sent: a signal ends our children before it ends us.
//! Knows nothing of what the children do.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

#[derive(Debug, Default)]
struct State {
    /// By the order in which they were started.
    running: HashMap<u64, Arc<Handle>>,
    started: u64,
    signal: Option<i32>,
}

/// By what a child is sent a signal.
#[derive(Debug)]
enum Handle {
    /// Never another process's, also once the child has been waited for.
    Descriptor(OwnedFd),
    /// Where the kernel has no such descriptors (before 5.3), or no more of them.
    Number(Pid),
}

impl Handle {
    /// Of a child that has not been waited for.
    fn of(child: &Child) -> Option<Handle> {
        let pid = Pid::from_raw(i32::try_from(child.id()).ok()?)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty());
        Some(descriptor.map_or(Handle::Number(pid), Handle::Descriptor))
    }

    /// A child that is already gone is what we want.
    fn signal(&self, signal: Signal) {
        let _ = match self {
            Handle::Descriptor(descriptor) => pidfd_send_signal(descriptor, signal),
            Handle::Number(pid) => kill_process(*pid, signal),
        };
    }
}

fn named(signal: i32) -> Signal {
    Signal::from_named_raw(signal).unwrap_or(Signal::TERM)
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
        for handle in state.running.values() {
            handle.signal(named(signal));
        }
    }

    /// The signal we were sent, if any: nothing more is to be started, and once all is tidied up it is to be raised.
    pub fn interrupted(&self) -> Option<i32> {
        self.state().signal
    }

    /// Ends those that run at once: nobody needs what they are at any more.
    pub fn kill(&self) {
        for handle in self.state().running.values() {
            handle.signal(Signal::KILL);
        }
    }

    fn forget(&self, number: u64) {
        self.state().running.remove(&number);
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
        if self.interrupted().is_some() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        // Nobody waits for this, neither others that start a program nor who is told of a signal.
        let child = command.spawn()?;
        let handle = Handle::of(&child).map(Arc::new);
        let mut state = self.state();
        state.started += 1;
        let number = state.started;
        state.running.extend(handle.clone().map(|handle| (number, handle)));
        if let (Some(signal), Some(handle)) = (state.signal, &handle) {
            // It came meanwhile, and the child was not among those that were told.
            handle.signal(named(signal));
        }
        drop(state);
        Ok(Running {
            child,
            number,
            handle,
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
    number: u64,
    handle: Option<Arc<Handle>>,
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
        let Running {
            child,
            number,
            children,
            ..
        } = self;
        let output = child.wait_with_output();
        children.forget(number);
        if let Ok(output) = &output {
            children.settle(output.status);
        }
        output
    }

    /// Ends it at once.
    pub fn kill(&self) {
        if let Some(handle) = &self.handle {
            handle.signal(Signal::KILL);
        }
    }
}

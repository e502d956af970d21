//! How a link ended, and how this process ends so.
//! Knows nothing of links.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// How a link ended, where we are still there to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this exit status.
    Exit(i32),
    /// A signal ended us, or the linker: it is to be raised again.
    Signal(i32),
}

impl From<ExitStatus> for Ending {
    fn from(status: ExitStatus) -> Ending {
        match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exit(code),
            (None, Some(signal)) => Ending::Signal(signal),
            (None, None) => Ending::Exit(1),
        }
    }
}

impl Ending {
    /// The exit status, where it is one.
    pub fn status(self) -> Option<i32> {
        match self {
            Ending::Exit(status) => Some(status),
            Ending::Signal(_) => None,
        }
    }

    /// Ends this process so.
    pub fn meet(self) -> ! {
        match self {
            Ending::Exit(status) => std::process::exit(status),
            Ending::Signal(signal) => {
                // As the signal would have, so that make and the shell see what happened.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
                std::process::exit(128 + signal);
            }
        }
    }
}

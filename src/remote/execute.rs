//! Has an action executed, and waits for it through lost connections.
//! Knows nothing of what the action does, nor whether what came of it is any good.

use std::time::Duration;

use super::api;
use super::digest::Digest;

/// An action to execute, and how.
#[derive(Clone, Copy, Debug)]
pub struct Execution {
    /// The digest of an `Action` whose blobs have been uploaded.
    pub action: Digest,
    /// Lower is earlier, 0 the server's default; brought into the range that the server takes.
    pub priority: i32,
    /// Whether an earlier result in the server's action cache will do.
    pub cache: CacheLookup,
}

/// Whether the action cache is looked into before executing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheLookup {
    /// An earlier result will do.
    Allowed,
    /// It is executed again, whatever is there: the earlier result was no good.
    Skipped,
}

impl From<Digest> for Execution {
    fn from(action: Digest) -> Self {
        Execution {
            action,
            priority: 0,
            cache: CacheLookup::Allowed,
        }
    }
}

/// What came of an execution. A command that failed is none of the server's faults: see `result.exit_code`.
#[derive(Clone, Debug)]
pub struct Executed {
    /// Outputs, exit code, stdout and stderr (by digest or in place).
    pub result: api::ActionResult,
    /// Whether it is an earlier result.
    pub was_cached: bool,
    /// The worker's name, where the server tells.
    pub worker: Option<String>,
    /// What took how long, where the server tells.
    pub times: Times,
}

/// The parts of an execution, by the clocks of server and worker; zero where they do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From being queued until a worker took it.
    pub queue: Duration,
    /// The worker's fetching of inputs.
    pub fetch: Duration,
    /// The command itself.
    pub run: Duration,
    /// The worker's sending of outputs.
    pub upload: Duration,
}

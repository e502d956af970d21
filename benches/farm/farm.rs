//! A farm, and what its server and its wires take: measured figures, read from a file. Knows nothing of links.

use serde::{Deserialize, Serialize};

/// A remote execution engine with its network. Times are seconds, sizes bytes, rates a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Farm {
    /// What it is, for the table's head.
    pub name: String,
    /// Where its figures come from.
    pub source: String,
    /// What an action takes beside its backend and the time on wires: queue, sandbox, clang's start (which is had once a link
    /// where it was recorded), results written.
    pub action: f64,
    /// Actions that the server can hand out a second, workers or not.
    pub dispatched: f64,
    /// What an answer from the action cache takes.
    pub cached: f64,
    /// How many such questions are under way at once.
    pub questions: usize,
    /// There and back between the linking machine and the server.
    pub round_trip: f64,
    /// Bytes a second that the linking machine sends.
    pub up: f64,
    /// And receives.
    pub down: f64,
    /// Bytes a second between the server and each worker.
    pub worker_wire: f64,
    /// Backends that a worker runs at once.
    pub worker_slots: usize,
    /// How many times as long as on the recording machine a backend takes on a worker.
    pub slowness: f64,
    /// What is left of bitcode on wires that compress; 1 where none does.
    pub compressed: f64,
}

/// How many workers there are, and how many backends the linking machine runs itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hands {
    /// On the farm.
    pub workers: usize,
    /// Here.
    pub local: usize,
}

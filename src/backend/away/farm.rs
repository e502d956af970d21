//! Who executes backends elsewhere, as the schedule sees it: takes jobs on, and tells when they have begun and ended.
//! Knows nothing of what runs here; whatever it cannot do it refuses, with a reason that a person is told.

mod orders;
mod received;
mod serve;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::action::Making;
use super::ahead::Ahead;
use super::receive::{Due, Flaw};
use super::{Ended, Sharing};
use crate::backend::jobs::Jobs;
use crate::backend::run::Runs;
use crate::observe::timeline::Timeline;
use crate::remote::{Cancel, Client, Digest, Executed, RemoteError};
use crate::schedule::shared::{Elsewhere, Tell};
use crate::staging::Staging;

/// The server, and what it is at.
pub(in crate::backend) struct Farm<'a> {
    jobs: &'a dyn Jobs,
    staging: &'a Staging,
    timeline: &'a Timeline,
    /// The jobs as they are numbered, of those that it is handed by their place here.
    waiting: &'a [usize],
    sharing: &'a Sharing,
    /// Those whose object is there, or about to be.
    taken: &'a [AtomicBool],
    tell: Tell<Ended>,
    orders: Sender<Order>,
    width: usize,
    client: OnceLock<Arc<Client>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Nothing more is to be had of it.
    is_down: bool,
    /// Nothing more is wanted of it.
    is_over: bool,
    /// What is under way, by job.
    flights: HashMap<usize, Flight>,
    /// Jobs that failed one after the other.
    strikes: usize,
}

/// A job that has been handed over.
#[derive(Clone)]
struct Flight {
    cancel: Cancel,
    since: Instant,
    /// How often it has been tried again.
    again: usize,
}

impl Flight {
    fn new() -> Flight {
        Flight {
            cancel: Cancel::new(),
            since: Instant::now(),
            again: 0,
        }
    }
}

/// Where the server's thread is told what to do.
pub(in crate::backend) struct Inbox(Receiver<Order>);

/// What it is told.
enum Order {
    Start(usize),
    Executed(usize, Result<Executed, RemoteError>),
    Flawed(Due, Flaw),
    End,
}

/// All that is needed to make an action once more.
struct Kit<'a> {
    making: Making<'a>,
    digests: HashMap<usize, Digest>,
    due: Sender<Due>,
}

impl<'a> Farm<'a> {
    /// One that has not begun; what is to be told to [`Farm::attend`] comes with it.
    pub(in crate::backend) fn new(
        runs: &'a Runs<'a>,
        waiting: &'a [usize],
        (sharing, taken): (&'a Sharing, &'a [AtomicBool]),
        ahead: &Ahead,
        tell: Tell<Ended>,
    ) -> (Farm<'a>, Inbox) {
        let (orders, inbox) = channel();
        let farm = Farm {
            jobs: runs.jobs,
            staging: runs.staging,
            timeline: runs.timeline,
            waiting,
            sharing,
            taken,
            tell,
            orders,
            width: ahead.wanted.jobs,
            client: OnceLock::new(),
            state: Mutex::default(),
        };
        (farm, Inbox(inbox))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.state().is_over
    }

    fn is_taken(&self, job: usize) -> bool {
        self.taken[self.waiting[job]].load(Ordering::Acquire)
    }

    /// Ends it when it is dropped.
    pub(in crate::backend) fn ends(&self) -> Ends<'_> {
        Ends(self)
    }

    /// Has everything end where whoever holds it panics: nobody would hear of the jobs that he was to tell of.
    fn breaks(&self) -> Breaks<'_> {
        Breaks(&self.tell)
    }

    /// Ends whatever is under way.
    fn end(&self) {
        self.state().is_over = true;
        if let Some(client) = self.client.get() {
            client.close();
        }
        let _ = self.orders.send(Order::End);
    }
}

/// Ends a farm.
pub(in crate::backend) struct Ends<'a>(&'a Farm<'a>);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Breaks<'a>(&'a Tell<Ended>);

impl Drop for Breaks<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken();
        }
    }
}

impl Elsewhere for Farm<'_> {
    fn room(&self) -> usize {
        if self.state().is_down { 0 } else { self.width }
    }

    fn start(&self, job: usize) {
        let _ = self.orders.send(Order::Start(job));
    }

    fn cancel(&self, job: usize) {
        if let Some(flight) = self.state().flights.remove(&job) {
            flight.cancel.cancel();
        }
    }
}

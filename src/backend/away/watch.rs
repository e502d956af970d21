//! Waits for a server, but not for one that has fallen silent, nor when all is to end: then its client is closed, and with
//! it whatever is under way there. Knows nothing of what is asked.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::remote::{Client, RemoteError};

/// A server of which nothing is heard for so long, and which takes nothing, is waited for no more. The client itself is more
/// patient, with every question: what a cache has can be had here as well.
const QUIET: Duration = Duration::from_secs(12);

/// How often it is looked whether all is to end.
const GLANCE: Duration = Duration::from_millis(20);

/// Why it was not waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// Nobody wants it any more.
    Over,
    /// In words for people: it says nothing, or that it cannot.
    Failed(String),
}

/// A server that is waited for.
pub(super) struct Watch<'a> {
    client: &'a Client,
    is_over: &'a (dyn Fn() -> bool + Sync),
    answers: Arc<AtomicUsize>,
    failed: Mutex<Option<GivenUp>>,
}

impl<'a> Watch<'a> {
    /// One of this server, until all `is_over`.
    pub(super) fn of(client: &'a Client, is_over: &'a (dyn Fn() -> bool + Sync)) -> Watch<'a> {
        Watch {
            client,
            is_over,
            answers: Arc::default(),
            failed: Mutex::default(),
        }
    }

    /// Answers are counted here.
    pub(super) fn counted(self, answers: &Arc<AtomicUsize>) -> Watch<'a> {
        Watch {
            answers: Arc::clone(answers),
            ..self
        }
    }

    /// The server has answered something.
    pub(super) fn heard(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// The server has failed at something, after the client's retries: where others would fare no better it is given up.
    pub(super) fn failed(&self, error: &RemoteError) {
        if error.is_retryable() {
            self.give_up(GivenUp::Failed(error.to_string()));
        }
    }

    fn give_up(&self, why: GivenUp) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        // What ends by it says less than what it ended by.
        failed.get_or_insert(why);
        self.client.close();
    }

    /// What `wait` comes to, which ends early where the server is given up; and whether it was.
    pub(super) fn over<R>(self, wait: impl FnOnce(&Watch<'_>) -> R) -> (R, Option<GivenUp>) {
        let is_done = AtomicBool::new(false);
        let made = thread::scope(|scope| {
            let watcher = thread::Builder::new().spawn_scoped(scope, || self.look(&is_done));
            // Unwatched, a server that says nothing would be waited for for ever.
            let watcher = watcher.inspect_err(|error| {
                self.give_up(GivenUp::Failed(format!("no thread can be started: {error}")));
            });
            let _done = watcher.map(|watcher| Done(&is_done, watcher.thread().clone()));
            wait(&self)
        });
        (made, self.failed.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn look(&self, is_done: &AtomicBool) {
        let mut heard = (self.client.traffic(), 0);
        let mut since = Instant::now();
        while !is_done.load(Ordering::Acquire) {
            if (self.is_over)() {
                return self.give_up(GivenUp::Over);
            }
            let now = (self.client.traffic(), self.answers.load(Ordering::Relaxed));
            if now != heard {
                (heard, since) = (now, Instant::now());
            }
            if since.elapsed() >= QUIET {
                let words = format!("{}: no answer for {} s", self.client.name(), QUIET.as_secs());
                return self.give_up(GivenUp::Failed(words));
            }
            thread::park_timeout(GLANCE);
        }
    }
}

/// Ends the watch, also where what is waited for panics.
struct Done<'a>(&'a AtomicBool, Thread);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
        self.1.unpark();
    }
}

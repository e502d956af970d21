//! What jobs have come to so far, and the first that failed; counted as they end.
//! Knows nothing of what they are.

use super::away::{By, Ended, Ran};
use super::process::Failure;
use crate::cache::{Held, Tier};
use crate::observe::stats::{self, milliseconds};
use crate::schedule::Next;

/// One job's result.
#[derive(Debug)]
pub struct Done {
    /// What there is to be said.
    pub stderr: String,
    /// Where its object comes from.
    pub made: Made,
}

/// Where an object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was not in our cache.
    Compiled(By),
    /// A cache of ours.
    Cached(Held),
}

/// What has ended so far.
#[derive(Debug, Default)]
pub struct Results {
    /// By job.
    pub done: Vec<Option<Done>>,
    /// The first that failed.
    pub failure: Option<(usize, Failure)>,
}

impl Results {
    /// Of jobs of which the cache had these.
    pub fn of(done: Vec<Option<Done>>) -> Results {
        Results { done, failure: None }
    }

    /// Milliseconds that compiling what the cache had would have taken, as far as is known.
    pub fn saved(&self) -> f64 {
        milliseconds(self.held().filter_map(|held| held.took).sum())
    }

    /// How many were only in a cache behind ours.
    pub fn behind(&self) -> usize {
        self.held().filter(|held| held.tier == Tier::Behind).count()
    }

    fn held(&self) -> impl Iterator<Item = Held> {
        self.done.iter().flatten().filter_map(|done| match done.made {
            Made::Cached(held) => Some(held),
            Made::Compiled(_) => None,
        })
    }

    /// The jobs of which there is no result.
    pub fn waiting(&self) -> Vec<usize> {
        (0..self.done.len()).filter(|at| self.done[*at].is_none()).collect()
    }

    pub(super) fn take(&mut self, at: usize, ended: Ended, counts: &mut stats::Backends) -> Next {
        match ended {
            Ok(Ran { stderr, by }) => {
                *match by {
                    By::Here => &mut counts.run,
                    By::Worker => &mut counts.remote,
                    By::Cache => &mut counts.remote_cached,
                } += 1;
                self.done[at] = Some(Done {
                    stderr,
                    made: Made::Compiled(by),
                });
                Next::Continue
            }
            Err(error) => {
                counts.failed += 1;
                self.failure.get_or_insert((at, error));
                Next::Stop
            }
        }
    }
}

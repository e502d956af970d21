//! An object that has come from elsewhere: put in its place if it is whole and nobody was there first, and told of.
//! Knows nothing of how it was fetched, nor of what is done about one that is flawed.

use std::sync::atomic::Ordering;

use super::{Farm, Order};
use crate::backend::away::looks::said_here;
use crate::backend::away::receive::{Due, Flaw, From, Received};
use crate::backend::away::{By, Ran, place, settle};
use crate::schedule::shared::Told;

impl Farm<'_> {
    /// A result of the server's has been fetched, or not.
    pub(super) fn received(&self, due: Due, received: Result<Received, Flaw>) {
        if let Some((due, flaw)) = self.take(due, received) {
            let _ = self.orders.send(Order::Flawed(due, flaw));
        }
    }

    /// Puts a result in its place, unless it is there already; what is wrong with it, if it is no good.
    pub(super) fn take(&self, due: Due, received: Result<Received, Flaw>) -> Option<(Due, Flaw)> {
        let _breaks = self.breaks();
        let half_made = self.staging.half_made(due.at, "away");
        let received = match received {
            Err(flaw) => return Some((due, flaw)),
            Ok(received) => received,
        };
        if let Some(found) = place(&received, &half_made) {
            return Some((due, Flaw::Object(found)));
        }
        if self.taken[due.at].swap(true, Ordering::AcqRel) {
            return None;
        }
        if settle(&half_made, self.jobs.object(due.at)).is_err() {
            self.taken[due.at].store(false, Ordering::Release);
            return Some((due, Flaw::Object("an object that cannot be put in its place")));
        }
        self.received_whole(&due, &received.said);
        None
    }

    fn received_whole(&self, due: &Due, said: &str) {
        let said = said_here(self.jobs, self.sharing, due.at, said);
        let since = {
            let mut state = self.state();
            state.strikes = 0;
            state.flights.remove(&due.job).map(|flight| flight.since)
        };
        let by = match &due.from {
            From::Cache => By::Cache,
            From::Worker(worker) => {
                if let Some(since) = since {
                    self.timeline.away(due.at, since, worker.as_deref());
                }
                By::Worker
            }
        };
        let done = self.jobs.done(due.at, said, self.sharing.whose);
        self.tell.of(due.job, Told::Done(done.map(|stderr| Ran { stderr, by })));
    }
}

//! An object that has come from elsewhere: put in its place if it is whole and nobody was there first, and told of.
//! Knows nothing of how it was fetched, nor of what is done about one that is flawed.

use std::sync::atomic::Ordering;

use super::{Farm, Order, beside};
use crate::backend::away::looks::said_here;
use crate::backend::away::receive::{Due, Flaw, From, Received};
use crate::backend::away::{By, Ran, place};
use crate::backend::prepare::Prepared;
use crate::schedule::shared::Told;

impl Farm<'_> {
    /// A result has been fetched, or not.
    pub(super) fn received(&self, due: Due, received: Result<Received, Flaw>) {
        let module = &self.prepared[due.at];
        let object = module.object.path();
        let beside = beside(object, "away");
        let flaw = match received {
            Err(flaw) => Some(flaw),
            Ok(received) => match place(&received, &beside) {
                Some(found) => Some(Flaw::Object(found)),
                None if self.taken[due.at].swap(true, Ordering::AcqRel) => None,
                None => match std::fs::rename(&beside, object) {
                    Ok(()) => {
                        self.received_whole(&due, module, &received.said);
                        return;
                    }
                    Err(_) => {
                        self.taken[due.at].store(false, Ordering::Release);
                        Some(Flaw::Object("an object that cannot be put in its place"))
                    }
                },
            },
        };
        if let Some(flaw) = flaw {
            let _ = self.orders.send(Order::Flawed(due, flaw));
        }
    }

    fn received_whole(&self, due: &Due, module: &Prepared, said: &str) {
        let said = said_here(self.link, self.sharing, module, due.at, said);
        let since = {
            let mut state = self.state();
            state.strikes = 0;
            state.flights.remove(&due.job).map(|flight| flight.since)
        };
        let by = match &due.from {
            From::Cache => By::Cache,
            From::Worker(worker) => {
                if let (Some(timeline), Some(since)) = (self.link.timeline, since) {
                    timeline.away(due.at, since, worker.as_deref());
                }
                By::Worker
            }
        };
        let done = self.link.done(module, said);
        self.tell.of(due.job, Told::Done(done.map(|stderr| Ran { stderr, by })));
    }
}

//! One job at a server after the other: handed over, tried once more where that may help, refused where it does not; and what
//! ends them all. Knows nothing of how a result is fetched, nor of what is done here with a job that is refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use super::{Farm, Flight, Kit, Order};
use crate::backend::away::looks::Sendable;
use crate::backend::away::receive::{Due, Flaw, From};
use crate::remote::{CacheLookup, Cancel, Client, Executed, Execution, Heard, Kind, RemoteError};
use crate::schedule::shared::Told;

/// After so many jobs one after the other that failed, nothing more is expected of a server.
pub(super) const STRIKES: usize = 5;

impl Farm<'_> {
    pub(super) fn take_orders(&self, client: &Arc<Client>, inbox: &Receiver<Order>, kit: &Kit<'_>) {
        while let Ok(order) = inbox.recv() {
            if self.state().is_down || self.is_over() {
                // What is behind is for who comes after us to refuse.
                let _ = self.orders.send(order);
                return;
            }
            match order {
                Order::Start(job) if self.state().flights.contains_key(&job) => {}
                Order::Start(job) => self.start(client, job, kit, CacheLookup::Allowed),
                Order::Executed(job, executed) => self.executed(client, job, executed, kit),
                Order::Flawed(due, flaw) => self.flawed(client, &due, flaw, kit),
                Order::End => return,
            }
        }
    }

    fn start(&self, client: &Arc<Client>, job: usize, kit: &Kit<'_>, cache: CacheLookup) {
        if self.is_taken(job) {
            return;
        }
        let Some(action) = kit.digests.get(&job) else {
            // It stays here, which may be told only now.
            return self.tell.of(job, Told::Refused);
        };
        let cancel = Cancel::new();
        self.state().flights.entry(job).or_insert_with(Flight::new).cancel = cancel.clone();
        let execution = Execution {
            action: *action,
            priority: 0,
            cache,
        };
        let (tell, orders) = (self.tell.clone(), self.orders.clone());
        client.start(execution, cancel, move |heard| match heard {
            Heard::Begun => tell.of(job, Told::Begun),
            Heard::Ended(executed) => {
                let _ = orders.send(Order::Executed(job, *executed));
            }
        });
    }

    fn executed(&self, client: &Arc<Client>, job: usize, executed: Result<Executed, RemoteError>, kit: &Kit<'_>) {
        if self.is_taken(job) {
            return;
        }
        match executed {
            Ok(executed) => {
                let from = match executed.was_cached {
                    true => From::Cache,
                    false => From::Worker(executed.worker),
                };
                let _ = kit.due.send(Due {
                    job,
                    at: self.waiting[job],
                    result: executed.result,
                    from,
                });
            }
            Err(error) => match error.kind {
                Kind::Unreachable | Kind::Denied | Kind::Full | Kind::Unsupported(_) => self.failed_all(&error),
                Kind::Cancelled => self.tell.of(job, Told::Refused),
                Kind::Missing(_) => self.again(client, job, kit, CacheLookup::Allowed, error.to_string()),
                _ => self.refuse(job, error.to_string()),
            },
        }
    }

    fn flawed(&self, client: &Arc<Client>, due: &Due, flaw: Flaw, kit: &Kit<'_>) {
        let job = due.job;
        if self.is_taken(job) {
            return;
        }
        tracing::info!(module = self.jobs.shown(due.at), from = ?due.from, "{flaw}");
        match &flaw {
            // clang's own verdict: a backend here gives it in the words for this machine.
            Flaw::Failed { code: 1, .. } if due.from != From::Cache => self.refuse(job, flaw.to_string()),
            Flaw::Server(error) if error.is_retryable() => self.failed_all(error),
            _ => self.again(client, job, kit, CacheLookup::Skipped, flaw.to_string()),
        }
    }

    /// Once more, everything sent that may be missing; a second time it is refused.
    fn again(&self, client: &Arc<Client>, job: usize, kit: &Kit<'_>, cache: CacheLookup, why: String) {
        {
            let mut state = self.state();
            let flight = state.flights.entry(job).or_insert_with(Flight::new);
            flight.again += 1;
            if flight.again > 1 {
                drop(state);
                return self.refuse(job, why);
            }
        }
        let Ok((_, blobs)) = kit.making.action(self.waiting[job]) else {
            return self.refuse(job, why);
        };
        let one = Sendable {
            job,
            digest: kit.digests[&job],
            blobs,
        };
        match self.send(client, &[one], kit) {
            // It may have been refused for what was to be sent.
            Ok(refused) if refused.is_empty() => self.start(client, job, kit, cache),
            Ok(_) => {}
            Err(error) => self.failed_all(&error),
        }
    }

    /// This one is done here, through no fault of the server's.
    pub(super) fn keep_back(&self, job: usize, why: String) {
        self.state().flights.remove(&job);
        let mut account = self.sharing.account();
        account.refused.insert(self.waiting[job]);
        account.why.get_or_insert(why);
        drop(account);
        self.tell.of(job, Told::Refused);
    }

    /// This one is done here.
    fn refuse(&self, job: usize, why: String) {
        let strikes = {
            let mut state = self.state();
            state.strikes += 1;
            state.strikes
        };
        match strikes >= STRIKES {
            true => self.down(why),
            false => self.keep_back(job, why),
        }
    }

    pub(super) fn failed_all(&self, error: &RemoteError) {
        if !self.is_over() {
            self.down(error.to_string());
        }
    }

    /// Everything that is left is done here.
    pub(in crate::backend) fn down(&self, why: String) {
        let flights = {
            let mut state = self.state();
            state.is_down = true;
            std::mem::take(&mut state.flights)
        };
        let mut account = self.sharing.account();
        let left = self
            .waiting
            .iter()
            .filter(|at| !self.taken[**at].load(Ordering::Acquire));
        account.refused.extend(left.copied());
        account.why = Some(why);
        drop(account);
        for (job, flight) in flights {
            flight.cancel.cancel();
            self.tell.of(job, Told::Refused);
        }
        self.tell.opened();
    }
}

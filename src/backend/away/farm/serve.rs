//! What a link wants of a server from the first to the last: waits for it, has it say what it has, sends what it lacks, and
//! refuses all that is left when it cannot go on. Knows nothing of what becomes of a single job.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::orders::STRIKES;
use super::{Farm, Flight, Inbox, Kit, Order};
use crate::backend::away::action::{Making, Stays};
use crate::backend::away::ahead::{Ahead, Ready};
use crate::backend::away::looks::{self, Sendable};
use crate::backend::away::receive::{self, Due, Flaw, Received};
use crate::backend::away::watch::GivenUp;
use crate::remote::compiler::Compiler;
use crate::remote::{Blob, Cancel, Client, Kind, RemoteError};
use crate::schedule::shared::Told;

impl Farm<'_> {
    /// Does everything, until [`Farm::end`].
    pub(in crate::backend) fn attend(&self, ahead: Ahead, Inbox(inbox): Inbox) {
        let _breaks = self.breaks();
        let wanted = ahead.wanted.clone();
        let Some(ready) = ahead.ready(&|| self.is_over()) else {
            return self.came_too_late(wanted.server());
        };
        if self.is_over() {
            ready.contents.save();
            return self.came_too_late(wanted.server());
        }
        let cache = ready.cache.as_ref().and_then(|(_, client)| client.as_ref().ok());
        let server = ready.server.as_ref().and_then(|client| client.as_ref().ok());
        self.sharing.asks(cache.into_iter().chain(server));
        match (&ready.server, &ready.compiler) {
            (Some(Ok(client)), Ok(compiler)) => {
                let _ = self.client.set(Arc::clone(client));
                // Whoever has ended it meanwhile has not seen the client.
                if self.is_over() {
                    client.close();
                }
                match wanted.refused(client, &Cancel::new()) {
                    Some(_) if self.is_over() => self.came_too_late(wanted.server()),
                    Some(why) => self.down(why),
                    None => self.serve(client, compiler, &ready, &wanted.platform, &inbox),
                }
            }
            (Some(Err(error)), _) => self.down(error.to_string()),
            (_, Err(error)) => self.down(error.to_string()),
            (None, _) => {}
        }
        // Whoever is told after all was said.
        while let Ok(order) = inbox.recv() {
            match order {
                Order::Start(job) => self.tell.of(job, Told::Refused),
                Order::End => break,
                _ => {}
            }
        }
        ready.contents.save();
    }

    fn serve(
        &self,
        client: &Arc<Client>,
        compiler: &Compiler,
        ready: &Ready,
        platform: &[(String, String)],
        inbox: &Receiver<Order>,
    ) {
        let modules = looks::modules(self.jobs, self.waiting, &ready.contents);
        let digest = |path: &Path| -> io::Result<_> { ready.contents.of(path) };
        let making = Making {
            jobs: self.jobs,
            staging: self.staging,
            compiler,
            platform,
            digest: &digest,
            modules: &modules,
        };
        let sendable = looks::actions(&making, self.waiting, self.sharing, |job, _: Stays| {
            self.tell.of(job, Told::Refused);
        });
        let (due, dues) = channel();
        let dues = Mutex::new(dues);
        let received = |due: Due, received: Result<Received, Flaw>| self.received(due, received);
        thread::scope(|scope| {
            let digests = sendable.iter().map(|one| (one.job, one.digest)).collect();
            let mut kit = Kit { making, digests, due };
            let sendable = self.shared_cache(ready, sendable);
            let attend = || receive::attend(client, &dues, &received);
            let receiver = |_| thread::Builder::new().spawn_scoped(scope, attend);
            let receivers: Vec<_> = (0..receive::THREADS).map(receiver).collect();
            if let Some(Err(error)) = receivers.first() {
                return self.down(format!("no thread can be started: {error}"));
            }
            let looked: Vec<usize> = sendable.iter().map(|one| one.job).collect();
            let (has, error) = looks::look(client, &sendable, self.waiting, &kit.due, || {});
            if let Some(error) = error {
                return self.failed_all(&error);
            }
            let mut has = has.into_iter();
            let left: Vec<Sendable> = sendable.into_iter().filter(|_| has.next() == Some(false)).collect();
            self.found(looked, &left);
            self.tell.opened();
            match self.send(client, &left, &kit) {
                Err(error) => return self.failed_all(&error),
                Ok(refused) => kit.digests.retain(|job, _| !refused.contains(job)),
            }
            drop(left);
            self.take_orders(client, inbox, &kit);
        });
    }

    /// What was found is under way, to be executed only if it is no good.
    fn found(&self, looked: Vec<usize>, left: &[Sendable]) {
        let left: HashSet<usize> = left.iter().map(|one| one.job).collect();
        let mut state = self.state();
        for job in looked.into_iter().filter(|job| !left.contains(job)) {
            state.flights.entry(job).or_insert_with(Flight::new);
        }
    }

    fn is_all_made(&self) -> bool {
        let mut modules = self.waiting.iter();
        modules.all(|at| self.taken[*at].load(Ordering::Acquire))
    }

    /// Everything has been made here before the server has said a word.
    fn came_too_late(&self, server: &str) {
        if !self.is_all_made() {
            return;
        }
        let mut account = self.sharing.account();
        account.fell_back = self.waiting.len();
        account.why = Some(format!("{server}: no answer yet"));
    }

    /// Takes what a cache beside the server has, before that is asked; what it has not.
    fn shared_cache(&self, ready: &Ready, sendable: Vec<Sendable>) -> Vec<Sendable> {
        let (access, client) = match &ready.cache {
            Some((access, Ok(client))) => (access, client),
            Some((_, Err(error))) => {
                self.sharing.account().cache_off = Some(error.to_string());
                return sendable;
            }
            None => return sendable,
        };
        // What it has the server will be asked for anyway.
        if ready.is_one {
            self.sharing.fill(*access, client);
            return sendable;
        }
        // What is no good there is for the server to make, and no fault of its.
        let flawed = Mutex::new(HashSet::new());
        let received = |due: Due, received: Result<Received, Flaw>| {
            let (due, flaw) = self.take(due, received)?;
            let module = self.jobs.shown(due.at);
            tracing::info!(module, "not taken from the remote cache: {flaw}");
            flawed.lock().unwrap_or_else(PoisonError::into_inner).insert(due.job);
            Some(flaw)
        };
        let (has, given_up) = looks::take(client, &sendable, self.waiting, &|| self.is_over(), &received);
        match given_up {
            Some(GivenUp::Failed(why)) => self.sharing.account().cache_off = Some(why),
            Some(GivenUp::Over) if !self.is_all_made() => {}
            Some(GivenUp::Over) => {
                self.sharing.account().cache_off = Some(format!("{}: no answer yet", client.name()));
            }
            None => self.sharing.fill(*access, client),
        }
        let flawed = flawed.into_inner().unwrap_or_else(PoisonError::into_inner);
        let left = sendable.into_iter().zip(has);
        let left = left.filter(|(one, has)| !has || flawed.contains(&one.job));
        left.map(|(one, _)| one).collect()
    }

    /// Sends all that these need and the server does not have, the compiler with it. Which of them were refused, since what
    /// they need is not to be had, or is not what it was any more.
    pub(super) fn send(
        &self,
        client: &Client,
        jobs: &[Sendable],
        kit: &Kit<'_>,
    ) -> Result<HashSet<usize>, RemoteError> {
        let wanted: Vec<&Sendable> = jobs.iter().filter(|one| !self.is_taken(one.job)).collect();
        let mut refused = HashSet::new();
        if wanted.is_empty() {
            return Ok(refused);
        }
        match self.upload(client, &wanted, kit) {
            Err(error) if is_of_a_blob(&error) && self.upload(client, &[], kit).is_ok() => {}
            sent => return sent.map(|()| refused),
        }
        // One by one, to see whose it is: what has been sent is not sent again.
        let mut in_a_row = 0;
        for one in wanted {
            match self.upload(client, &[one], kit) {
                Ok(()) => in_a_row = 0,
                // A server that says so of everything means itself.
                Err(error) if is_of_a_blob(&error) && (error.kind == Kind::Local || in_a_row < STRIKES) => {
                    in_a_row += 1;
                    self.keep_back(one.job, error.to_string());
                    refused.insert(one.job);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }

    fn upload(&self, client: &Client, wanted: &[&Sendable], kit: &Kit<'_>) -> Result<(), RemoteError> {
        let mut blobs: Vec<Blob> = kit.making.compiler.blobs.clone();
        blobs.extend(kit.making.modules(wanted.iter().map(|one| self.waiting[one.job])));
        blobs.extend(wanted.iter().flat_map(|one| one.blobs.iter().cloned()));
        client.upload(&blobs).map(drop)
    }
}

/// Whether another blob may fare better: a file cannot be read, or the server says that it is not what it was.
fn is_of_a_blob(error: &RemoteError) -> bool {
    matches!(error.kind, Kind::Local | Kind::Failed { .. })
}
